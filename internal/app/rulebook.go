package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// BuiltIn is the name of the rulebook that the program carries.
const BuiltIn = "built-in"

// Rulebook is what messages are judged by, and how people tell it from
// another one.
type Rulebook struct {
	*policy.Rulebook
	Name   string // BuiltIn, or the file that it was read from
	Digest string // first 12 hex digits of its text's SHA-256
	Text   []byte
}

// String is the name with the digest.
func (r Rulebook) String() string { return fmt.Sprintf("%s (sha256 %s)", r.Name, r.Digest) }

// OpenRulebook reads the rulebook of a file, or the built-in one where the
// file is "". What is wrong with it is one line: file, line, fault.
func OpenRulebook(file string) (Rulebook, error) {
	r := Rulebook{Name: file, Text: policy.Embedded()}
	if file == "" {
		r.Name = BuiltIn
	} else if text, err := os.ReadFile(file); err != nil {
		return r, fmt.Errorf("rulebook: %w", err)
	} else {
		r.Text = text
	}
	var err error
	if r.Rulebook, err = policy.Parse(r.Text); err != nil {
		return r, misplaced(r.Name, err)
	}
	sum := sha256.Sum256(r.Text)
	r.Digest = hex.EncodeToString(sum[:6])
	return r, nil
}

func misplaced(file string, err error) error {
	ref, ok := errors.AsType[*policy.Refusal](err)
	if !ok || ref.Line == 0 {
		return fmt.Errorf("%s: %w", file, err)
	}
	return fmt.Errorf("%s:%d: rulebook: %w", file, ref.Line, ref.Err)
}
