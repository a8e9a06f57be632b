package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/secret"
)

// The defaults that others name too.
const (
	DefaultData   = ".carillon"
	DefaultListen = "127.0.0.1:8080"
	DefaultTwilio = "https://api.twilio.com"
)

// Default is a configuration of which nothing was said.
func Default() Config {
	return Config{Data: DefaultData, Listen: DefaultListen, APIRate: 50, EventBacklog: 100_000, Concurrency: 24, Drain: 30 * time.Second, LogFormat: "text"}
}

// Settings returns everything that a process can be told.
func Settings() []Setting {
	return []Setting{
		{"data", "CARILLON_DATA", "directory for the store, the key, the token and the local Redis' socket", "`" + DefaultData + "`", all, open,
			text(func(c *Config) *string { return &c.Data })},
		{"listen", "CARILLON_LISTEN", "host:port of the API; port 0 takes a free one", "`" + DefaultListen + "`", servers, open,
			address(func(c *Config) *string { return &c.Listen })},
		{"health", "CARILLON_HEALTH", "host:port of `/healthz`, `/readyz` and `/metrics`, which need no token", "none of its own", Scheduler | Worker, open,
			address(func(c *Config) *string { return &c.Health })},
		{"tls-cert", "CARILLON_TLS_CERT", "PEM file with the API's certificate chain; read anew when it changes", "plain HTTP, on loopback or behind a proxy alone", servers, open,
			text(func(c *Config) *string { return &c.TLSCert })},
		{"tls-key", "CARILLON_TLS_KEY", "PEM file with its private key", "as above", servers, open,
			text(func(c *Config) *string { return &c.TLSKey })},
		{"trusted-proxies", "CARILLON_TRUSTED_PROXIES", "networks, joined by commas, of the proxies that end TLS before the API; their `X-Forwarded-For` is believed", "none", servers, open, proxies},
		{"api-rate", "CARILLON_API_RATE", "requests a second that one token may make, 1 to 100000", "50", servers, open,
			number(1, 100_000, func(c *Config) *int { return &c.APIRate })},
		{"event-backlog", "CARILLON_EVENT_BACKLOG", "events that may wait for flows before CRM systems are asked to tell later, up to 100000000; 0: any number", "100000", servers, open,
			number(0, 100_000_000, func(c *Config) *int { return &c.EventBacklog })},
		{"nats-url", "CARILLON_NATS_URL", "servers, joined by commas; 2.12 or later with JetStream, 2.15.2 advised", "NATS is embedded (`carillon dev`); needed otherwise", all, locator,
			natsServers(func(c *Config) *secret.Text { return &c.NATSURL })},
		{"nats-credentials", "CARILLON_NATS_CREDENTIALS", "file with a user's JWT and seed", "none", all, open,
			text(func(c *Config) *string { return &c.NATSCredentials })},
		{"nats-nkey", "CARILLON_NATS_NKEY", "file with a user's nkey seed", "none", all, open,
			text(func(c *Config) *string { return &c.NATSNKey })},
		{"nats-ca", "CARILLON_NATS_CA", "PEM file with the authorities that the servers' certificates are checked against", "the system's", all, open,
			text(func(c *Config) *string { return &c.NATSCA })},
		{"nats-cert", "CARILLON_NATS_CERT", "PEM file with a client certificate", "none", all, open,
			text(func(c *Config) *string { return &c.NATSCert })},
		{"nats-key", "CARILLON_NATS_KEY", "PEM file with its private key", "none", all, open,
			text(func(c *Config) *string { return &c.NATSKey })},
		{"nats-replicas", "CARILLON_NATS_REPLICAS", "how many servers keep each stream, 1 to 5; 0: 3 on a cluster, else 1", "0", servers | Restorer, open,
			number(0, 5, func(c *Config) *int { return &c.NATSReplicas })},
		{"nats-sync", "CARILLON_NATS_SYNC", "`always`: your word that every server has `sync_interval: always`, which can't be asked of it", "a warning at every start", running, open,
			oneOf(func(c *Config) *string { return &c.NATSSync }, "always")},
		{"redis-url", "CARILLON_REDIS_URL", "`redis://`, `rediss://` (Sentinel with `?master_name=`) or `unix://`; 6.2 or later", "a local Redis is started (`carillon dev`); needed otherwise", running, locator,
			hide(func(c *Config) *secret.Text { return &c.RedisURL })},
		{"redis-ca", "CARILLON_REDIS_CA", "PEM file with the authorities that the server's certificate is checked against", "the system's", running, open,
			text(func(c *Config) *string { return &c.RedisCA })},
		{"redis-cert", "CARILLON_REDIS_CERT", "PEM file with a client certificate", "none", running, open,
			text(func(c *Config) *string { return &c.RedisCert })},
		{"redis-key", "CARILLON_REDIS_KEY", "PEM file with its private key", "none", running, open,
			text(func(c *Config) *string { return &c.RedisKey })},
		{"meta-url", "CARILLON_META_URL", "base of the Graph API", "the sandbox (`carillon dev`); needed by a worker, and by a scheduler that pulls labels", Scheduler | Worker | Dev, open,
			text(func(c *Config) *string { return &c.MetaURL })},
		{"twilio-url", "CARILLON_TWILIO_URL", "base of Twilio's API", "`" + DefaultTwilio + "`; under `carillon dev` the sandbox where `CARILLON_META_URL` isn't set either", Worker | Dev, open,
			text(func(c *Config) *string { return &c.TwilioURL })},
		{"prefix", "CARILLON_PREFIX", "of everything in NATS and Redis, so that two installations can share them: a-z, 0-9, `-`", "none", all, open,
			text(func(c *Config) *string { return &c.Prefix })},
		{"key-file", "CARILLON_KEY_FILE", "file with the installation's key, 64 or more hex digits; the same in every process", "`installation.key` in the data directory, made at the first start of a scheduler", all, open,
			text(func(c *Config) *string { return &c.KeyFile })},
		{"token", "CARILLON_TOKEN", "the root token of the API; for a client, the one to show", "made, and left as `token` in the data directory, mode 0600", servers, hidden,
			hide(func(c *Config) *secret.Text { return &c.Token })},
		{"rulebook", "CARILLON_RULEBOOK", "file with a rulebook of your own; the same in every process", "the built-in one", running, open,
			text(func(c *Config) *string { return &c.Rulebook })},
		{"concurrency", "CARILLON_CONCURRENCY", "envelopes that one process delivers at a time, 1 to 1000", "24", Worker | Dev, open,
			number(1, 1000, func(c *Config) *int { return &c.Concurrency })},
		{"drain", "CARILLON_DRAIN", "how long a stop may take, 25s to 10m; what runs them must grant more", "30s", running, open,
			span(25*time.Second, 10*time.Minute, func(c *Config) *time.Duration { return &c.Drain })},
		{"log", "CARILLON_LOG", "`text` or `json` lines", "text", running, open,
			oneOf(func(c *Config) *string { return &c.LogFormat }, "text", "json")},
		{"kill", "CARILLON_KILL", "for tests alone: `POINT:N`, several joined by commas; the process kills itself at the N-th pass of that point of its code, see [testing.md](testing.md)", "never", running, open, kill},
	}
}

func text(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = v; return nil }
}

func hide(at func(*Config) *secret.Text) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = secret.Text(v); return nil }
}

func number(least, most int, at func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q: want %d to %d", v, least, most)
		}
		*at(c) = n
		return nil
	}
}

func span(least, most time.Duration, at func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return fmt.Errorf("%q: want %v to %v, such as %v", v, least, most, least)
		}
		*at(c) = d
		return nil
	}
}

func oneOf(at func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		for _, w := range words {
			if v == w {
				*at(c) = v
				return nil
			}
		}
		return fmt.Errorf("%q: want %s", v, strings.Join(words, " or "))
	}
}

// natsServers takes the URLs of NATS servers, and never repeats them: a
// password may be among them.
func natsServers(at func(*Config) *secret.Text) func(*Config, string) error {
	return func(c *Config, v string) error {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); !strings.Contains(one, "://") {
				one = "nats://" + one
			}
			u, err := url.Parse(one)
			if err == nil && strings.Contains(u.Host, ":") && !strings.HasSuffix(u.Host, "]") {
				_, _, err = net.SplitHostPort(u.Host)
			}
			if err != nil || u.Host == "" {
				return errors.New("is no list of servers: want URLs such as nats://10.0.0.1:4222, joined by commas")
			}
		}
		*at(c) = secret.Text(v)
		return nil
	}
}

func kill(c *Config, v string) (err error) {
	c.Kill, err = killpoint.Parse(v)
	return err
}

func address(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		_, port, err := net.SplitHostPort(v)
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
			return fmt.Errorf("%q: want host:port such as %s", v, DefaultListen)
		}
		*at(c) = v
		return nil
	}
}

func proxies(c *Config, v string) error {
	c.TrustedProxies = nil
	for one := range strings.SplitSeq(v, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(one))
		if err != nil {
			return fmt.Errorf("%q: want networks such as 10.0.0.0/8, joined by commas", v)
		}
		c.TrustedProxies = append(c.TrustedProxies, p)
	}
	return nil
}

// Local is a configuration that stands alone: everything in one directory, the
// API on any free port of this machine.
func Local(dir string) Config {
	c := Default()
	c.Data, c.Listen = dir, "127.0.0.1:0"
	return c
}
