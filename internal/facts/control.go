package facts

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// The kinds of control records.
const (
	SenderControl = "sender"
	SourceControl = "source"
)

// The states of control records.
const (
	Running   = "running"
	Paused    = "paused"
	Cancelled = "cancelled"
	Ended     = "ended" // its end has come
)

// Control is what a recheck must see at once of a sender or a source.
type Control struct {
	State  string      `json:"state"`
	Reason reason.Code `json:"reason,omitempty"` // of a paused sender
	Why    string      `json:"why,omitempty"`    // in words
	EndsAt time.Time   `json:"ends_at,omitzero"` // of a source: nothing leaves from then on
	Rev    uint64      `json:"rev"`              // grows with every change; an older one never undoes a newer
	At     time.Time   `json:"at"`

	// Enforcement is what the platform did to a sender's account; nil: nothing
	// is known. An edit that says nothing of it keeps it.
	Enforcement *Enforcement `json:"enforcement,omitempty"`
}

// Enforcement is what a platform did to an account: the newest word on whether
// it is blocked, and the newest warning, each by the platform's clock.
type Enforcement struct {
	Action   string    `json:"action,omitempty"` // block or unblock; "": neither was told
	At       time.Time `json:"at,omitzero"`
	Why      string    `json:"why,omitempty"` // the platform's words
	Warning  string    `json:"warning,omitempty"`
	WarnedAt time.Time `json:"warned_at,omitzero"`
}
