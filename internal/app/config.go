// Package app wires rooms into running programs: it starts them in order,
// stops them in reverse within one deadline, and knows nothing of flags or
// signals.
package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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

// check says what is wrong with a reference: it can't be resolved, or its file
// is open to others. The latter keeps nobody from using it.
func (s secrets) check(ref string) error {
	if _, err := s.resolve(ref); err != nil {
		return err
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return nil
	}
	if err := secret.Exposed(path); !errors.Is(err, fs.ErrNotExist) { // the sandbox needs none
		return err
	}
	return nil
}

// account returns the account that calls of a sender are made for.
func (s secrets) account(spec *sender.Spec) (channel.Account, error) {
	a := channel.Account{ID: spec.Account, Instagram: spec.Channel == "instagram", Owner: spec.AccountSID, Callback: spec.StatusCallback}
	var err error
	if a.Token, err = s.resolve(spec.Credential); err != nil {
		return a, err
	}
	if spec.AppSecret != "" {
		a.AppSecret, err = s.resolve(spec.AppSecret)
	}
	return a, err
}
