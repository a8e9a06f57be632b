package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Listed is one rule as it stands on a day.
type Listed struct {
	Rule         string         `json:"rule"`
	Group        string         `json:"group"` // check, permission, hours, advice, note
	State        string         `json:"state"` // in_force, not_yet, ended
	Row          string         `json:"row,omitempty"`
	Channels     []Channel      `json:"channels,omitempty"` // empty: all
	Asked        string         `json:"asked,omitempty"`    // how a message asks for it: by tag, via, template, window
	Names        []string       `json:"names,omitempty"`    // the tags, via or template kind that ask for it
	Uses         map[string]Use `json:"uses,omitempty"`     // by tag
	Promotional  bool           `json:"promotional,omitempty"`
	Authors      []string       `json:"authors,omitempty"`
	Capability   string         `json:"capability,omitempty"`
	Template     string         `json:"template,omitempty"` // kind required
	Limit        Duration       `json:"limit,omitzero"`     // on the day
	Max          Duration       `json:"max,omitzero"`
	Announced    Date           `json:"announced,omitzero"`
	From         Date           `json:"from,omitzero"`
	To           Date           `json:"to,omitzero"` // first day without it
	EndAnnounced Date           `json:"end_announced,omitzero"`
	EndPlanned   Date           `json:"end_planned,omitzero"` // end first announced, where it moved
	Says         string         `json:"says"`
	Source       []string       `json:"source"`
	Decided      string         `json:"decided,omitempty"`
}

// List is every rule of the rulebook as it stands at a moment, in the order
// in which they are tried.
func List(rb *Rulebook, at time.Time) []Listed {
	var out []Listed
	for i := range rb.Checks {
		c := &rb.Checks[i]
		l := c.listed("check", at)
		l.Capability, l.Limit = c.Capability, c.Limit
		out = append(out, l)
	}
	for i := range rb.Permissions {
		out = append(out, rb.Permissions[i].list(at))
	}
	for i := range rb.Hours {
		out = append(out, rb.Hours[i].listed("hours", at))
	}
	for i := range rb.Advice {
		out = append(out, rb.Advice[i].listed("advice", at))
	}
	for i := range rb.Notes {
		out = append(out, rb.Notes[i].listed("note", at))
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

func (p *Permission) list(at time.Time) Listed {
	l := p.listed("permission", at)
	l.Asked, l.Names, l.Uses = p.By, p.names(), p.Uses
	l.Promotional, l.Authors, l.Capability, l.Template = p.Promotional, p.Authors, p.Capability, p.Template
	l.Limit, l.Max = p.Limit, p.Max
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

// Change is what becomes different on one day.
type Change struct {
	Date     Date      `json:"date"`
	Rule     string    `json:"rule"`
	What     string    `json:"what"` // begins, ends, limit
	Names    []string  `json:"names,omitempty"`
	Channels []Channel `json:"channels,omitempty"` // empty: all
	Detail   string    `json:"detail"`
	Source   []string  `json:"source"`
}

// Diff is what changes after the moment from, up to and with the moment to,
// by day. It is empty where to is not after from.
func Diff(rb *Rulebook, from, to time.Time) []Change {
	var out []Change
	within := func(d Date) bool { return !d.IsZero() && d.After(from) && !d.After(to) }
	for _, l := range List(rb, to) {
		c := Change{Rule: l.Rule, Names: l.Names, Channels: l.Channels, Detail: l.Says, Source: l.Source}
		if within(l.From) {
			c.Date, c.What = l.From, "begins"
			out = append(out, c)
		}
		if within(l.To) {
			c.Date, c.What = l.To, "ends"
			out = append(out, c)
		}
	}
	for i := range rb.Permissions {
		out = append(out, rb.Permissions[i].limitChanges(within)...)
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	return out
}

// limitChanges is the changes of the wait between two messages. The first
// limit begins with the rule and is no change.
func (p *Permission) limitChanges(within func(Date) bool) []Change {
	var out []Change
	for i, l := range p.Cooldown {
		if i == 0 || !within(l.From) || !p.From.Before(l.From.Time) || !p.To.IsZero() && !l.From.Before(p.To.Time) {
			continue
		}
		out = append(out, Change{
			Date: l.From, Rule: p.ID, What: "limit", Names: p.names(), Channels: p.Channels, Source: p.Source,
			Detail: fmt.Sprintf("from %s to %s between two messages", p.Cooldown[i-1].Limit, l.Limit),
		})
	}
	return out
}
