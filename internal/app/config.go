// Package app wires rooms into running programs: it starts them in order,
// stops them in reverse within one deadline, and knows nothing of flags or
// signals.
package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/sender"
)

// DefaultData is the data directory where CARILLON_DATA names none.
const DefaultData = ".carillon"

// DefaultListen is where the API listens where CARILLON_LISTEN says nothing.
const DefaultListen = "127.0.0.1:8080"

// Config is what a process is started with. The zero value of a field means
// its default.
type Config struct {
	Data        string // CARILLON_DATA: directory
	Listen      string // CARILLON_LISTEN: host:port of the API; port 0 picks one
	NATSURL     string // CARILLON_NATS_URL; empty: embedded
	RedisURL    string // CARILLON_REDIS_URL; empty: a local child
	MetaURL     string // CARILLON_META_URL: Graph base; empty: the sandbox
	Prefix      string // CARILLON_PREFIX: of everything in NATS and Redis
	Token       string // CARILLON_TOKEN: of the API; empty: made and left in Data
	KeyFile     string // CARILLON_KEY_FILE: the installation's key; empty: made in Data
	Rulebook    string // CARILLON_RULEBOOK: file; empty: the built-in one
	Concurrency int    // CARILLON_CONCURRENCY: envelopes at a time; 0: 24
	SandboxRate int    // calls a second that the sandbox lets through; 0: its own default
	Log         *slog.Logger
}

// FromEnv reads a configuration from the environment.
func FromEnv(getenv func(string) string) (Config, error) {
	c := Config{
		Data: getenv("CARILLON_DATA"), Listen: getenv("CARILLON_LISTEN"), NATSURL: getenv("CARILLON_NATS_URL"),
		RedisURL: getenv("CARILLON_REDIS_URL"), MetaURL: getenv("CARILLON_META_URL"), Prefix: getenv("CARILLON_PREFIX"),
		Token: getenv("CARILLON_TOKEN"), KeyFile: getenv("CARILLON_KEY_FILE"),
		Rulebook: getenv("CARILLON_RULEBOOK"),
	}
	if v := getenv("CARILLON_CONCURRENCY"); v != "" {
		if _, err := fmt.Sscanf(v, "%d", &c.Concurrency); err != nil || c.Concurrency < 1 || c.Concurrency > 1000 {
			return c, fmt.Errorf("CARILLON_CONCURRENCY %q: want 1 to 1000", v)
		}
	}
	return c, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Data == "" {
		c.Data = DefaultData
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Concurrency == 0 {
		c.Concurrency = 24
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c, fmt.Errorf("listen address %q: want host:port such as %s", c.Listen, DefaultListen)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	return c, nil
}

// stopTimeout bounds all of a stop.
const stopTimeout = 30 * time.Second

// secretFile returns what a file holds, making it with a random secret where
// it does not exist. Of two processes that make it at once both return the
// secret of the first.
func secretFile(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, 32)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("make secret: %w", err)
		}
		if err := newFile(path, []byte(hex.EncodeToString(secret)+"\n")); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return decodeSecret(path, b)
}

func decodeSecret(path string, b []byte) ([]byte, error) {
	secret, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(secret) < 32 {
		return nil, fmt.Errorf("%s: want 64 or more hex digits; restore the file from a backup", path)
	}
	return secret, nil
}

// newFile writes a file that only its owner may read, whole or not at all, to
// stay there after a power failure too. One that is there stays as it is.
func newFile(path string, data []byte) (err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	f, err := os.CreateTemp(dir.Name(), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// A link, not a rename: it refuses to replace what another made.
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err = errors.Join(err, os.Remove(f.Name()), dir.Sync()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// secrets resolves what Sender documents refer to.
type secrets struct {
	fallback channel.Secret // for references to nothing, where the platform is the sandbox
}

// resolve returns the secret that a reference env:NAME or file:PATH names.
func (s secrets) resolve(ref string) (channel.Secret, error) {
	kind, name, _ := strings.Cut(ref, ":")
	var v string
	switch kind {
	case "env":
		v = os.Getenv(name)
	case "file":
		b, err := os.ReadFile(name)
		if err != nil && s.fallback == "" {
			return "", fmt.Errorf("credential %s: %w", ref, err)
		}
		v = strings.TrimSpace(string(b))
	}
	if v == "" {
		v = string(s.fallback)
	}
	if v == "" {
		return "", fmt.Errorf("credential %s is empty in this process", ref)
	}
	return channel.Secret(v), nil
}

// account returns the account that calls of a sender are made for.
func (s secrets) account(spec *sender.Spec) (channel.Account, error) {
	a := channel.Account{ID: spec.Account, Instagram: spec.Channel == "instagram"}
	var err error
	if a.Token, err = s.resolve(spec.Credential); err != nil {
		return a, err
	}
	if spec.AppSecret != "" {
		a.AppSecret, err = s.resolve(spec.AppSecret)
	}
	return a, err
}
