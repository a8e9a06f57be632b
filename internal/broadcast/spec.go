// Package broadcast holds a broadcast: what its author wrote and the states it
// goes through. It does no I/O.
package broadcast

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Spec is a Broadcast document.
type Spec struct {
	Kind         string          `yaml:"kind" json:"kind"`
	ID           string          `yaml:"id" json:"id"`
	Sender       string          `yaml:"sender" json:"sender"`
	Audience     Audience        `yaml:"audience,omitempty" json:"audience,omitzero"`
	Message      message.Message `yaml:"message" json:"message"`
	Schedule     Schedule        `yaml:"schedule,omitempty" json:"schedule,omitzero"`
	Pace         Pace            `yaml:"pace,omitempty" json:"pace,omitzero"`
	ExpiresAfter string          `yaml:"expires_after,omitempty" json:"expires_after,omitempty"` // Go duration, or days as 7d; empty: DefaultExpiry
}

// Audience says who is written to: contacts of the sender with all of Labels
// and none of ExcludeLabels for whom Where is true. The zero value is
// everybody.
type Audience struct {
	Labels        []string `yaml:"labels,omitempty" json:"labels,omitempty"`
	ExcludeLabels []string `yaml:"exclude_labels,omitempty" json:"exclude_labels,omitempty"`
	Where         string   `yaml:"where,omitempty" json:"where,omitempty"` // CEL over name, labels, attributes, timezone, comment_open, token_open
}

// Schedule says when. The zero value is: when launched.
type Schedule struct {
	At string `yaml:"at,omitempty" json:"at,omitempty"` // RFC 3339
}

// Pace slows a broadcast down below its sender's rate.
type Pace struct {
	PerSecond int `yaml:"per_second,omitempty" json:"per_second,omitempty"` // 0: the sender's rate
}

// DefaultExpiry is how long after it was due a broadcast ends.
const DefaultExpiry = 7 * 24 * time.Hour

// maxDays bounds ExpiresAfter: what nobody sends within a year is stale.
const maxDays = 365

// Validate returns one error that says what to change, or nil.
func (s *Spec) Validate() error {
	switch {
	case !sender.ValidID(s.ID):
		return fmt.Errorf("id %q: want 1 to 63 characters out of a-z, 0-9 and '-'", s.ID)
	case !sender.ValidID(s.Sender):
		return fmt.Errorf("broadcast %s: sender %q: want the id of a Sender", s.ID, s.Sender)
	case s.Pace.PerSecond < 0 || s.Pace.PerSecond > rate.MaxPerSecond:
		return fmt.Errorf("broadcast %s: pace.per_second %d: want 0 to %d", s.ID, s.Pace.PerSecond, rate.MaxPerSecond)
	}
	if err := s.Message.Validate(); err != nil {
		return fmt.Errorf("broadcast %s: message.%w", s.ID, err)
	}
	if _, err := s.At(); err != nil {
		return fmt.Errorf("broadcast %s: %w", s.ID, err)
	}
	if _, err := s.Expiry(); err != nil {
		return fmt.Errorf("broadcast %s: %w", s.ID, err)
	}
	return nil
}

// At returns the scheduled time, zero for "when launched".
func (s *Spec) At() (time.Time, error) {
	if s.Schedule.At == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s.Schedule.At)
	if err != nil {
		return t, fmt.Errorf("schedule.at %q: want RFC 3339 such as 2026-11-22T10:00:00+01:00", s.Schedule.At)
	}
	return t, nil
}

// Expiry returns how long after it was due the broadcast ends.
func (s *Spec) Expiry() (time.Duration, error) {
	v := s.ExpiresAfter
	if v == "" {
		return DefaultExpiry, nil
	}
	d, err := time.ParseDuration(v)
	if days, ok := strings.CutSuffix(v, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, maxDays+1)) * 24 * time.Hour // a larger number would not fit
	}
	if err != nil || d < time.Second || d > maxDays*24*time.Hour {
		return 0, fmt.Errorf("expires_after %q: want a duration from 1s to 365d, such as 6h or 7d", v)
	}
	return d, nil
}

// Times returns when the broadcast is due and when it ends if it is launched
// at now, both in UTC: at its time, or at once where that has come or there is
// none. Where ends is not after now it has come, and nothing can be launched.
func (s *Spec) Times(now time.Time) (due, ends time.Time, err error) {
	at, err := s.At()
	if err != nil {
		return due, ends, err
	}
	after, err := s.Expiry()
	if err != nil {
		return due, ends, err
	}
	if due = now.UTC(); at.After(now) {
		due = at.UTC()
	}
	if end := at.Add(after); !at.IsZero() && !end.After(now) {
		return due, end.UTC(), nil
	}
	return due, due.Add(after), nil
}

// Broadcast is a document with what became of it.
type Broadcast struct {
	Spec       Spec       `json:"spec"`
	State      State      `json:"state"`
	Month      string     `json:"month,omitempty"` // of the launch; with Part it names the ledger stream
	Part       int        `json:"part,omitempty"`  //
	Occurrence int        `json:"occurrence"`      // from 1
	LaunchedAt time.Time  `json:"launched_at,omitzero"`
	DueAt      time.Time  `json:"due_at,omitzero"`
	EndsAt     time.Time  `json:"ends_at,omitzero"` // what has not been sent by then is expired
	ClosedAt   time.Time  `json:"closed_at,omitzero"`
	Snapshot   *Snapshot  `json:"snapshot,omitempty"` // nil until the audience is frozen
	Trace      string     `json:"trace,omitempty"`    // W3C traceparent of the launch
	Frozen     *FreezeLog `json:"frozen,omitempty"`

	// Template is the one that the message names, as it was at the launch.
	Template *content.Template `json:"template,omitempty"`

	Acknowledged []Acknowledged `json:"acknowledged,omitempty"` // warnings, at the launch; it belongs to that launch
}

// Acknowledged is one warning that whoever launched the broadcast said was
// read.
type Acknowledged struct {
	Code string    `json:"code"` // as the rulebook names the advice
	At   time.Time `json:"at"`
}

// Snapshot names the audience as frozen.
type Snapshot struct {
	Object string `json:"object"` // prefix of the chunks' names
	Count  int    `json:"count"`
	Chunk  int    `json:"chunk"`  // contacts in every chunk but the last
	Digest string `json:"digest"` // of the set of contacts, whatever their order
}

// FreezeLog says how the audience came about.
type FreezeLog struct {
	At       time.Time `json:"at"`
	Seen     int       `json:"seen"`              // contacts looked at
	NotMatch int       `json:"not_matching"`      // left out by labels or where
	Errors   int       `json:"errors,omitempty"`  // left out because where could not be decided
	Example  string    `json:"example,omitempty"` // one such error
	Facts    uint64    `json:"facts_seq"`         // the facts' sequence it was taken at
}

// Source returns the sending that the broadcast's jobs belong to. The
// broadcast must have been launched.
func (b *Broadcast) Source() job.Source {
	return job.Source{Month: b.Month, Part: b.Part, Sender: b.Spec.Sender, Name: SourceName(b.Spec.ID, b.Occurrence)}
}

// SourceName returns the name of one occurrence of a broadcast.
func SourceName(id string, occurrence int) string { return id + "~" + strconv.Itoa(occurrence) }

// IDOf returns the broadcast that a source name belongs to.
func IDOf(source string) string {
	id, _, _ := strings.Cut(source, "~")
	return id
}
