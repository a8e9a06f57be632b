// Package config is what a process can be told: one table of settings, from
// which flags, environment, file and the page about them are made. A flag goes
// before the environment, the environment before the file.
//
// It opens no connection and reads no file but those that it is told of: the
// configuration file, and files that hold a secret.
package config

import (
	"net/netip"
	"time"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/secret"
)

// Config is what a process is started with.
type Config struct {
	Data   string // directory
	Listen string // host:port of the API; port 0 picks one
	Health string // host:port of probes and metrics; "": none

	TLSCert, TLSKey string         // PEM files of the API; "": plain HTTP
	TrustedProxies  []netip.Prefix // who may end TLS before the API
	APIRate         int            // requests a second that one token may make
	EventBacklog    int            // events that may wait for flows before CRM systems are asked to tell later; 0: any number

	NATSURL                   secret.Text // servers, joined by commas; "": embedded
	NATSCredentials, NATSNKey string      // files
	NATSCA, NATSCert, NATSKey string      // PEM files
	NATSReplicas              int         // of every stream; 0: 3 on a cluster, else 1
	NATSSync                  string      // "always": the operator's word that the servers sync every write

	RedisURL                     secret.Text // "": a local child
	RedisCA, RedisCert, RedisKey string      // PEM files

	MetaURL     string          // Graph base; "": the sandbox, in carillon dev alone
	TwilioURL   string          // base of Twilio's API; "": the sandbox beside Meta's, else DefaultTwilio
	Prefix      string          // of everything in NATS and Redis
	KeyFile     string          // of the installation's key; "": in Data
	Token       secret.Text     // the API's root token; "": made and left in Data
	Rulebook    string          // file; "": the built-in one
	Concurrency int             // envelopes that one process delivers at a time
	Drain       time.Duration   // how long a stop may take
	LogFormat   string          // text or json
	Kill        *killpoint.Plan // where the process kills itself, for tests; nil: nowhere
}

// Role is a kind of process; several may be joined.
type Role uint8

// The roles.
const (
	Scheduler Role = 1 << iota
	Worker
	Dev
	Restorer // makes an installation out of a backup

	servers = Scheduler | Dev // who answers the API
	running = Scheduler | Worker | Dev
	all     = running | Restorer
)

// exposure says where a setting may stand.
type exposure uint8

const (
	open    exposure = iota // anywhere
	locator                 // anywhere, unless it carries a password
	hidden                  // in the environment alone, or in a file of its own
)

// Setting is one thing that a process can be told.
type Setting struct {
	Name   string // of its flag, and in the configuration file
	Env    string // of its environment variable
	Means  string // one line
	Absent string // what holds where it is not set
	Of     Role   // who reads it

	exposure exposure
	set      func(*Config, string) error
}

// Secret tells whether a setting's value may also stand in a file of its own,
// named by Name-file, and Env with _FILE.
func (s Setting) Secret() bool { return s.exposure != open }

// Flag tells whether a setting has a flag: a secret on a command line could
// be read by anybody on the machine.
func (s Setting) Flag() bool { return s.exposure != hidden }
