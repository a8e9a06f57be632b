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
	"os"
	"path/filepath"
	"strings"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Config is what a process is started with.
type Config struct {
	config.Config
	SandboxRate int // calls a second that the sandbox lets through; 0: its own default
	Log         *slog.Logger
}

// secretFile returns what a file holds, making it with a random secret where
// it does not exist. Of two processes that make it at once both return the
// secret of the first.
func secretFile(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		made := make([]byte, 32)
		if _, err := rand.Read(made); err != nil {
			return nil, fmt.Errorf("make secret: %w", err)
		}
		if err := newFile(path, []byte(hex.EncodeToString(made)+"\n")); err != nil {
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
	plain, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(plain) < 32 {
		return nil, fmt.Errorf("%s: want 64 or more hex digits; restore the file from a backup", path)
	}
	return plain, nil
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
	fallback secret.Text // for references to nothing, where the platform is the sandbox
}

// resolve returns the secret that a reference env:NAME or file:PATH names.
func (s secrets) resolve(ref string) (secret.Text, error) {
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
	return secret.Text(v), nil
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
