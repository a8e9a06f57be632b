package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Policy names the rulebook that a server judges by.
type Policy struct {
	Rulebook string `json:"rulebook"` // built-in, or the file that it was read from
	Digest   string `json:"digest"`   // first 12 hex digits of its SHA-256
}

// PolicyDiffRequest asks what changes in the rules after From, up to and with
// To, and what that does to the stored broadcasts.
type PolicyDiffRequest struct {
	From     string `json:"from"`               // a day such as 2026-04-27, which begins at 00:00 UTC, or a time in RFC 3339
	To       string `json:"to"`                 // the same; not before From
	Rulebook string `json:"rulebook,omitempty"` // its text, at most 256 KiB; "": the server's own
}

// Span reads From and To. Its error names the one that is wrong.
func (r PolicyDiffRequest) Span() (from, to time.Time, err error) {
	if from, err = ParseMoment(r.From); err != nil {
		return from, to, fmt.Errorf("from %w", err)
	}
	if to, err = ParseMoment(r.To); err != nil {
		return from, to, fmt.Errorf("to %w", err)
	}
	if to.Before(from) {
		return from, to, fmt.Errorf("to %s is before from %s", r.To, r.From)
	}
	return from, to, nil
}

// ParseMoment reads a day such as 2026-04-27, which begins at 00:00 UTC, or a
// time in RFC 3339.
func ParseMoment(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, fmt.Errorf("%.40q: want a day such as 2026-04-27, or a time in RFC 3339", s)
	}
	return t, nil
}

// PolicyDiffEvent is one line of the answer: exactly one field is set. The
// changes come first.
type PolicyDiffEvent struct {
	Change    *RuleChange      `json:"change,omitempty"`
	Broadcast *BroadcastImpact `json:"broadcast,omitempty"`
}

// RuleChange is what becomes different in the rules on one day.
type RuleChange struct {
	Date     string   `json:"date"` // 2006-01-02
	Rule     string   `json:"rule"`
	What     string   `json:"what"` // begins, ends, changes, limit or closes
	Names    []string `json:"names,omitempty"`
	Channels []string `json:"channels,omitempty"` // none: all
	Detail   string   `json:"detail"`
	Source   []string `json:"source"`
}

// BroadcastImpact is what the change does to one stored broadcast that has
// not ended. Whoever is in none of Broken, Allowed and Blocked is let through
// before and after.
type BroadcastImpact struct {
	Broadcast string              `json:"broadcast"`
	Sender    string              `json:"sender"`
	State     string              `json:"state"`
	Since     string              `json:"since"`          // day of the change: the only one between the two moments, else that of To
	Due       time.Time           `json:"due"`            // at its time; now where that has come or there is none
	Ends      time.Time           `json:"ends,omitzero"`  // absent: a draft without a time
	Gone      bool                `json:"gone,omitempty"` // it goes out before From, so nobody was judged
	Audience  int                 `json:"audience"`       // who was judged: members of a frozen audience whose job has not ended, else whom the audience picks now
	Broken    int                 `json:"broken"`         // let through before and blocked after
	BrokenBy  map[reason.Code]int `json:"broken_by"`      // by reason
	Allowed   int                 `json:"allowed"`        // blocked before and let through after
	AllowedBy map[string]int      `json:"allowed_by"`     // by the rule that does it
	Blocked   int                 `json:"blocked"`        // before and after
}

// Policy names the rulebook that the server judges by.
func (c *Client) Policy(ctx context.Context) (Policy, error) {
	return call[Policy](ctx, c, get("/v1/policy", nil))
}

// PolicyDiff lists what changes in the rules, then what that does to each
// stored broadcast that has not ended, by id.
func (c *Client) PolicyDiff(ctx context.Context, r PolicyDiffRequest) iter.Seq2[PolicyDiffEvent, error] {
	return list[PolicyDiffEvent](ctx, c, post("/v1/policy/diff", r))
}

// Unacknowledged returns the warnings that a refused launch waits for, none
// for any other error.
func Unacknowledged(err error) []Warning {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Missing
	}
	return nil
}
