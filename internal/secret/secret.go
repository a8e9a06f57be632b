// Package secret is a text that must not be seen: credentials, tokens, and
// addresses that carry them. It prints, logs and encodes as a mark; whoever
// needs the value says so by converting it to a string.
package secret

import "log/slog"

// Mark is what stands where a secret would.
const Mark = "[redacted]"

// Text is a secret. The zero value is none.
type Text string

// String hides the value.
func (Text) String() string { return Mark }

// LogValue hides the value from slog.
func (Text) LogValue() slog.Value { return slog.StringValue(Mark) }

// GoString hides the value from %#v.
func (Text) GoString() string { return Mark }

// MarshalText hides the value from encoders; slog's JSON handler prints a
// struct that holds a Text by this, not by LogValue.
func (Text) MarshalText() ([]byte, error) { return []byte(Mark), nil }
