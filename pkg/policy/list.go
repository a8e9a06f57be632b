package policy

import (
	"slices"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Listed is one entry of the rulebook as it stands on a day.
type Listed struct {
	Rule         string         `json:"rule"`
	Group        string         `json:"group"` // check, opener, not_opener, permission, hours, advice, ten_dlc, note, contradiction
	State        string         `json:"state"` // in_force, not_yet, ended
	Row          string         `json:"row,omitempty"`
	Channels     []Channel      `json:"channels,omitempty"` // empty: all
	Ending       reason.Ending  `json:"ending,omitempty"`   // of what a check refuses
	Asked        string         `json:"asked,omitempty"`    // how a message asks for it: by tag, via, template, window
	Names        []string       `json:"names,omitempty"`    // the tags, via or template kind that ask for it
	Uses         map[string]Use `json:"uses,omitempty"`     // by tag
	Promotional  bool           `json:"promotional,omitempty"`
	Authors      []string       `json:"authors,omitempty"` // origins; empty: any
	Capability   string         `json:"capability,omitempty"`
	Template     string         `json:"template,omitempty"` // kind required
	Since        string         `json:"since,omitempty"`    // fact that Limit is measured from
	Limit        Duration       `json:"limit,omitzero"`     // on the day
	Max          Duration       `json:"max,omitzero"`       // that a sender may raise Limit to
	Cooldown     []DatedLimit   `json:"cooldown,omitempty"` // every wait between two messages; Limit is that of the day
	OpenedBy     []string       `json:"opened_by,omitempty"`
	Parameters   []Parameter    `json:"parameters,omitempty"`
	Webhook      string         `json:"webhook,omitempty"` // that shows an action
	Announced    Date           `json:"announced,omitzero"`
	From         Date           `json:"from,omitzero"`
	To           Date           `json:"to,omitzero"` // first day without it
	EndAnnounced Date           `json:"end_announced,omitzero"`
	EndPlanned   Date           `json:"end_planned,omitzero"`   // end first announced, where it moved
	ClosedToNew  Date           `json:"closed_to_new,omitzero"` // first day on which nobody new is admitted
	About        string         `json:"about,omitempty"`        // the question of a contradiction
	Says         string         `json:"says"`
	Source       []string       `json:"source"`
	Decided      string         `json:"decided,omitempty"`
	Configure    string         `json:"configure,omitempty"`   // where another reading is set
	Acknowledge  bool           `json:"acknowledge,omitempty"` // advice that a launch asks for
}

// List is every entry of the rulebook as it stands at a moment. Rules are in
// the order in which they are tried.
func List(rb *Rulebook, at time.Time) []Listed {
	var out []Listed
	for i := range rb.Checks {
		out = append(out, rb.Checks[i].list(at))
	}
	for i := range rb.Openers {
		out = append(out, rb.Openers[i].list("opener", at))
	}
	for i := range rb.NotOpenedBy {
		out = append(out, rb.NotOpenedBy[i].list("not_opener", at))
	}
	for i := range rb.Permissions {
		out = append(out, rb.Permissions[i].list(at))
	}
	for i := range rb.Hours {
		l := rb.Hours[i].listed("hours", at)
		l.Parameters = rb.Hours[i].parameters()
		out = append(out, l)
	}
	for i := range rb.Advice {
		l := rb.Advice[i].listed("advice", at)
		l.Parameters, l.Acknowledge = rb.Advice[i].parameters(), rb.Advice[i].Acknowledge
		out = append(out, l)
	}
	return append(out, rb.papers(at)...)
}

// papers is what no case is judged by.
func (rb *Rulebook) papers(at time.Time) []Listed {
	var out []Listed
	for i := range rb.TenDLC {
		l := rb.TenDLC[i].listed("ten_dlc", at)
		l.Parameters = rb.TenDLC[i].parameters()
		out = append(out, l)
	}
	for i := range rb.Notes {
		out = append(out, rb.Notes[i].listed("note", at))
	}
	for i := range rb.Contradictions {
		l := rb.Contradictions[i].listed("contradiction", at)
		l.About, l.Configure = rb.Contradictions[i].About, rb.Contradictions[i].Configure
		out = append(out, l)
	}
	return out
}

func (c *Clause) listed(group string, at time.Time) Listed {
	return Listed{
		Rule: c.ID, Group: group, State: c.state(at), Row: c.Row, Channels: c.Channels,
		Announced: c.Announced, From: c.From, To: c.To,
		EndAnnounced: c.EndAnnounced, EndPlanned: c.EndPlanned, Says: c.Says, Source: c.Source, Decided: c.Decided,
	}
}

func (c *Clause) state(at time.Time) string {
	switch t := c.term(); {
	case t.notYet(at.Unix()):
		return "not_yet"
	case !t.inForce(at.Unix()):
		return "ended"
	default:
		return "in_force"
	}
}

func (c *Check) list(at time.Time) Listed {
	l := c.listed("check", at)
	entry, _ := reason.Lookup(reason.Code(c.ID)) // every check of a parsed rulebook has one
	l.Ending, l.Capability, l.Limit, l.Parameters = entry.Ending, c.Capability, c.Limit, c.settings()
	return l
}

func (a *Action) list(group string, at time.Time) Listed {
	l := a.listed(group, at)
	l.Webhook = a.Webhook
	return l
}

func (p *Permission) list(at time.Time) Listed {
	l := p.listed("permission", at)
	l.Asked, l.Names, l.Uses = p.By, p.names(), p.Uses
	l.Promotional, l.Authors, l.Capability, l.Template = p.Promotional, p.Authors, p.Capability, p.Template
	l.Since, l.Limit, l.Max, l.Cooldown, l.OpenedBy = p.Since, p.Limit, p.Max, p.Cooldown, p.OpenedBy
	l.ClosedToNew, l.Parameters = p.ClosedToNew, p.parameters()
	if len(p.Cooldown) > 0 {
		l.Limit = Duration(p.cooldown(at.Unix()))
	}
	return l
}

// names is what a message writes to ask for p.
func (p *Permission) names() []string {
	switch p.By {
	case "tag":
		return p.Tags
	case "via":
		return []string{p.Via}
	case "template":
		return []string{p.Kind}
	default:
		return nil
	}
}

// Needs is what a permission asks for beside the right moment and author, in
// a few words each: what the sender must have, and what the contact gave.
func (l *Listed) Needs() []string {
	var out []string
	if l.Capability != "" {
		out = append(out, "capability "+l.Capability)
	}
	if l.Template != "" {
		out = append(out, "template "+l.Template)
	}
	gave := map[string]string{sinceComment: "a comment or post", sinceToken: "a one-time token", sinceNotification: "a subscription"}[l.Since]
	if gave == "" && (l.Asked == "tag" || l.Asked == "template" || l.Asked == "plus_one") {
		gave = "the person wrote before"
	}
	if l.Asked == "consent" {
		gave = "consent"
	}
	if gave != "" {
		out = append(out, gave)
	}
	return out
}

// Bound is the limit of the day in a few words: how long it lasts, or how
// far apart two messages must be.
func (l *Listed) Bound() string {
	switch {
	case l.Limit == 0:
		return "none"
	case len(l.Cooldown) > 0:
		return "1 in " + l.Limit.String()
	case l.Max > 0:
		return l.Limit.String() + ", up to " + l.Max.String()
	default:
		return l.Limit.String()
	}
}

// Capabilities returns what rules ask a sender to have, whatever the day; nil
// from a rulebook that Parse did not make.
func (rb *Rulebook) Capabilities() []string { return slices.Clone(rb.made().capabilities) }

// Window is how long after a contact wrote the longest window of any day is
// open, ads aside.
func (rb *Rulebook) Window() time.Duration {
	var longest time.Duration
	for i := range rb.Permissions {
		if p := &rb.Permissions[i]; p.By == "window" && p.Since == "last_inbound" {
			longest = max(longest, time.Duration(p.Limit))
		}
	}
	return longest
}
