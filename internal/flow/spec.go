// Package flow holds an automation: what its author wrote, how it is read, and
// how one run of it goes on. The same engine carries out flows that are live
// and plays them for a test. It does no I/O and reads no clock: whoever calls
// it says what time it is, what is known of a contact and what happened, and
// does what it asks for.
//
// Invariant: what a run does next depends on its record and on what it is
// told, and on nothing else. The same again changes nothing.
package flow

import (
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// The types of flows, which the rules ask about.
const (
	AutoReply    = "auto_reply"   // answers what a contact wrote
	Automation   = "automation"   // something happened to the contact in a CRM
	Notification = "notification" // tells the contact something they did not ask for
)

// How a flow finds its sender where it names none.
const (
	RecordOwner = "record_owner" // by who owns the record in the CRM
	Auto        = "auto"         // where the contact wrote, or wrote last
)

// Spec is a Flow document. Expressions are CEL over event (id, source, type,
// subject, time, extensions, data; with a keyword's trigger also keyword and
// language) and contact (id, sender, channel, name, timezone, labels,
// attributes, opted_out, last_inbound); in steps also over steps, the outcomes
// of earlier ones by their id, and run (id, started, visits by step, and event,
// for where event is one that is waited for). Durations are Go's, or days and
// weeks as in 7d and 2w.
type Spec struct {
	Kind    string            `yaml:"kind" json:"kind"`
	ID      string            `yaml:"id" json:"id"`
	Type    string            `yaml:"type" json:"type"`
	Sender  string            `yaml:"sender" json:"sender"`                     // a Sender's id, record_owner, or auto
	Owner   string            `yaml:"owner,omitempty" json:"owner,omitempty"`   // with record_owner: expression over event that gives the owner
	Owners  map[string]string `yaml:"owners,omitempty" json:"owners,omitempty"` // with record_owner: Sender ids by owner
	Contact string            `yaml:"contact,omitempty" json:"contact,omitempty"`
	Also    map[string]string `yaml:"also,omitempty" json:"also,omitempty"` // by Sender id: expression that gives the same person's id there
	Trigger Trigger           `yaml:"trigger" json:"trigger"`
	Reentry Reentry           `yaml:"reentry,omitempty" json:"reentry,omitzero"`

	Coalesce   string             `yaml:"coalesce,omitempty" json:"coalesce,omitempty"` // triggers of one key within this time start one run, with the last of them
	Exit       []Condition        `yaml:"exit,omitempty" json:"exit,omitempty"`         // any of them ends a run
	Goal       *Condition         `yaml:"goal,omitempty" json:"goal,omitempty"`         // ends a run as one that came to its goal
	QuietHours *sender.QuietHours `yaml:"quiet_hours,omitempty" json:"quiet_hours,omitempty"`
	Frequency  *Frequency         `yaml:"frequency,omitempty" json:"frequency,omitempty"` // of runs of one contact
	Limits     Limits             `yaml:"limits,omitempty" json:"limits,omitzero"`
	Expires    string             `yaml:"expires_after,omitempty" json:"expires_after,omitempty"` // of messages, unless they say it themselves; empty: 24h

	Steps    []Step            `yaml:"steps,omitempty" json:"steps,omitempty"`       // one criterion that always holds
	Criteria []Criterion       `yaml:"criteria,omitempty" json:"criteria,omitempty"` // or these, in order
	Move     map[string]string `yaml:"move,omitempty" json:"move,omitempty"`         // runs of earlier versions that wait at a step go on at one of this version
}

// Trigger says what starts a run: exactly one of the fields before Where.
type Trigger struct {
	Events   []string            `yaml:"events,omitempty" json:"events,omitempty"` // types of a CRM's events; order.* is all that begin so
	Keywords *Keywords           `yaml:"keywords,omitempty" json:"keywords,omitempty"`
	Inbound  []string            `yaml:"inbound,omitempty" json:"inbound,omitempty"` // message, postback, referral, optin, reaction
	Comment  bool                `yaml:"comment,omitempty" json:"comment,omitempty"` // on a post
	Label    *LabelChange        `yaml:"label,omitempty" json:"label,omitempty"`
	Segment  *broadcast.Audience `yaml:"segment,omitempty" json:"segment,omitempty"` // the contact begins to match
	Date     *Date               `yaml:"date,omitempty" json:"date,omitempty"`       // a date of the contact comes near

	Where string `yaml:"where,omitempty" json:"where,omitempty"` // expression; absent: always
}

// Keywords are words that a contact writes. Words that mean stop, start or
// help are never keywords.
type Keywords struct {
	Match     string              `yaml:"match,omitempty" json:"match,omitempty"` // exact (also ""), word, prefix
	Words     []string            `yaml:"words,omitempty" json:"words,omitempty"`
	Languages map[string][]string `yaml:"languages,omitempty" json:"languages,omitempty"` // words by language, such as nb
}

// LabelChange is a label that is put on, or taken off.
type LabelChange struct {
	Added   string `yaml:"added,omitempty" json:"added,omitempty"`
	Removed string `yaml:"removed,omitempty" json:"removed,omitempty"`
}

// Date is a moment reckoned from a date that an expression gives: a timestamp,
// RFC 3339, or a day as 2026-11-22, which is taken on the contact's clock.
type Date struct {
	Field  string `yaml:"field" json:"field"`                       // expression over event and contact
	Offset string `yaml:"offset,omitempty" json:"offset,omitempty"` // duration; -1d is a day before
	At     string `yaml:"at,omitempty" json:"at,omitempty"`         // HH:MM on that day by the contact's clock; absent: the date's own time
}

// Reentry says when a contact may go through the flow again. The zero value
// is: once for each event.
type Reentry struct {
	Never bool   `yaml:"never,omitempty" json:"never,omitempty"` // once for each contact, ever
	Key   string `yaml:"key,omitempty" json:"key,omitempty"`     // expression over event: once for each value; the same again while its run goes on is news for that run, by which criteria may begin that did not hold before
	After string `yaml:"after,omitempty" json:"after,omitempty"` // duration since the last run of the contact, or of its key, began
}

// Condition ends a run: by an event about its contact, or as soon as it holds
// when the run is looked at.
type Condition struct {
	Events []string `yaml:"events,omitempty" json:"events,omitempty"` // also message, postback, comment and the other kinds of platforms
	Where  string   `yaml:"where,omitempty" json:"where,omitempty"`
}

// Frequency bounds how many runs of a contact begin in a rolling time.
type Frequency struct {
	AtMost int    `yaml:"at_most" json:"at_most"`
	Per    string `yaml:"per" json:"per"`
}

// Limits bound a flow as a whole; 0: it has none.
type Limits struct {
	StartsPerMinute int `yaml:"starts_per_minute,omitempty" json:"starts_per_minute,omitempty"` // the rest waits
}

// Criterion is a node of the criteria: where its condition holds, its steps are
// taken at once and its schedules begin to wait.
type Criterion struct {
	ID       string     `yaml:"id,omitempty" json:"id,omitempty"`
	When     string     `yaml:"when,omitempty" json:"when,omitempty"` // expression; changed(event.data.stage) and changed(event.data.stage, "new", "won") compare with the event before; absent: always
	Do       []Step     `yaml:"do,omitempty" json:"do,omitempty"`
	Schedule []Schedule `yaml:"schedule,omitempty" json:"schedule,omitempty"`
	Then     string     `yaml:"then,omitempty" json:"then,omitempty"` // stop (also ""), next: what follows where it held
}

// Schedule are steps for later: some time after now, or by a date, which is
// reckoned anew whenever what it is reckoned from changes.
type Schedule struct {
	After string `yaml:"after,omitempty" json:"after,omitempty"` // duration
	Date  *Date  `yaml:"date,omitempty" json:"date,omitempty"`
	Do    []Step `yaml:"do" json:"do"`
}

// Step is one thing to do: exactly one of the fields after ID.
type Step struct {
	ID string `yaml:"id,omitempty" json:"id,omitempty"` // a-z 0-9 -; how expressions, move and people name it; absent: its place, such as steps-2

	Send     *Send     `yaml:"send,omitempty" json:"send,omitempty"`
	Wait     *Wait     `yaml:"wait,omitempty" json:"wait,omitempty"`
	Branch   []Case    `yaml:"branch,omitempty" json:"branch,omitempty"` // the first that holds
	Split    []Part    `yaml:"split,omitempty" json:"split,omitempty"`   // at random, the same for a contact whenever it comes here
	Repeat   *Repeat   `yaml:"repeat,omitempty" json:"repeat,omitempty"`
	Set      *Set      `yaml:"set,omitempty" json:"set,omitempty"`
	Webhook  *Webhook  `yaml:"webhook,omitempty" json:"webhook,omitempty"`
	Start    string    `yaml:"start,omitempty" json:"start,omitempty"` // id of a Flow, for the same contact and event
	Stop     string    `yaml:"stop,omitempty" json:"stop,omitempty"`   // id of a Flow: its runs of the contact end
	Notify   *Notify   `yaml:"notify,omitempty" json:"notify,omitempty"`
	Handover *Handover `yaml:"handover,omitempty" json:"handover,omitempty"`
	End      bool      `yaml:"end,omitempty" json:"end,omitempty"`
}

// Send sends a message and goes on once it has an outcome. Where it was
// blocked or failed, and the outcome is not unknown, the next of Otherwise is
// sent instead.
type Send struct {
	message.Message `yaml:",inline"`
	Sender          string `yaml:"sender,omitempty" json:"sender,omitempty"` // absent: the flow's
	Expires         string `yaml:"expires_after,omitempty" json:"expires_after,omitempty"`
	Otherwise       []Send `yaml:"otherwise,omitempty" json:"otherwise,omitempty"` // each without an Otherwise of its own
}

// Wait waits: exactly one of For, Until, Date and Events.
type Wait struct {
	For     string   `yaml:"for,omitempty" json:"for,omitempty"`     // duration
	Until   string   `yaml:"until,omitempty" json:"until,omitempty"` // HH:MM by the contact's clock: the next time that it is so
	Date    *Date    `yaml:"date,omitempty" json:"date,omitempty"`   // past dates don't wait
	Events  []string `yaml:"events,omitempty" json:"events,omitempty"`
	Where   string   `yaml:"where,omitempty" json:"where,omitempty"`     // of events
	Timeout string   `yaml:"timeout,omitempty" json:"timeout,omitempty"` // with events: duration, 1s to 365d
	Then    []Step   `yaml:"then,omitempty" json:"then,omitempty"`       // with events: when one came
	Else    []Step   `yaml:"else,omitempty" json:"else,omitempty"`       // with events: when none came
}

// Case is one way of a branch.
type Case struct {
	When string `yaml:"when,omitempty" json:"when,omitempty"` // expression; absent, in the last only: otherwise
	Do   []Step `yaml:"do,omitempty" json:"do,omitempty"`
}

// Part is one way of a split.
type Part struct {
	Weight int    `yaml:"weight" json:"weight"` // 1 to 10,000
	Do     []Step `yaml:"do,omitempty" json:"do,omitempty"`
}

// Repeat takes steps again and again.
type Repeat struct {
	AtMost int    `yaml:"at_most" json:"at_most"`                 // 1 to 100 times
	While  string `yaml:"while,omitempty" json:"while,omitempty"` // expression, looked at before each time
	Do     []Step `yaml:"do" json:"do"`
}

// Set puts labels on (true) or takes them off, and sets attributes by
// expressions; null unsets.
type Set struct {
	Labels     map[string]bool   `yaml:"labels,omitempty" json:"labels,omitempty"`
	Attributes map[string]string `yaml:"attributes,omitempty" json:"attributes,omitempty"`
}

// Webhook tells an Endpoint and goes on once it took it, or was given up.
type Webhook struct {
	Endpoint string            `yaml:"endpoint" json:"endpoint"`
	Data     map[string]string `yaml:"data,omitempty" json:"data,omitempty"` // expressions
}

// Notify writes to people of one's own: contacts of Sender, or an Endpoint.
type Notify struct {
	Sender   string   `yaml:"sender,omitempty" json:"sender,omitempty"`
	To       []string `yaml:"to,omitempty" json:"to,omitempty"` // their ids, such as numbers
	Text     string   `yaml:"text,omitempty" json:"text,omitempty"`
	Endpoint string   `yaml:"endpoint,omitempty" json:"endpoint,omitempty"`
}

// Handover leaves the contact to a person: it ends the run.
type Handover struct {
	Label string  `yaml:"label,omitempty" json:"label,omitempty"` // absent: handover
	Tell  *Notify `yaml:"tell,omitempty" json:"tell,omitempty"`
}
