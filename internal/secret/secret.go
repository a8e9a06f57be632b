// Package secret is a text that must not be seen: credentials, tokens, and
// addresses that carry them. It prints, logs and encodes as a mark; whoever
// needs the value says so by converting it to a string.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Mark is what stands where a secret would.
const Mark = "[redacted]"

// Text is a secret. The zero value is none. Keep it in exported fields: the
// printer of a struct asks no methods of what it can't reach.
type Text string

// Format hides the value, whatever the verb: those that don't fit a string
// would print it in a complaint.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mark) }

// String hides the value.
func (Text) String() string { return Mark }

// LogValue hides the value from slog.
func (Text) LogValue() slog.Value { return slog.StringValue(Mark) }

// MarshalText hides the value from encoders; slog's JSON handler prints a
// struct that holds a Text by this, not by LogValue.
func (Text) MarshalText() ([]byte, error) { return []byte(Mark), nil }
