package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Change is what becomes different on one day.
type Change struct {
	Date     Date      `json:"date"`
	Rule     string    `json:"rule"`
	What     string    `json:"what"` // begins, ends, changes (another version follows), limit, closes (to whoever is new)
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
	list := List(rb, to)
	before, followed := versions(list)
	for i := range list {
		l := &list[i]
		c := Change{Rule: l.Rule, Names: l.Names, Channels: l.Channels, Detail: l.Says, Source: l.Source}
		if within(l.From) {
			c.Date, c.What = l.From, "begins"
			if k := before[i]; k >= 0 {
				c.What, c.Detail = "changes", difference(&list[k], l)
			}
			out = append(out, c)
		}
		if within(l.ClosedToNew) {
			out = append(out, Change{Date: l.ClosedToNew, Rule: l.Rule, What: "closes", Names: l.Names, Channels: l.Channels, Detail: "nobody new is admitted", Source: l.Source})
		}
		if within(l.To) && !followed[i] {
			c.Date, c.What, c.Detail = l.To, "ends", l.Says
			out = append(out, c)
		}
	}
	for i := range rb.Permissions {
		out = append(out, rb.Permissions[i].limitChanges(within)...)
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	return out
}

// versions says of each entry of a list which one it is the next version of,
// -1 for none, and whether it has a next one.
func versions(list []Listed) (before []int, followed []bool) {
	type beginning struct {
		group, rule, name string
		day               int64
	}
	by := map[beginning][]int{}
	for i := range list {
		l := &list[i]
		for _, name := range append([]string{""}, l.Names...) {
			k := beginning{l.Group, l.Rule, name, l.From.Unix()}
			by[k] = append(by[k], i)
		}
	}
	before, followed = slices.Repeat([]int{-1}, len(list)), make([]bool, len(list))
	for i := range list {
		l := &list[i]
		names := l.Names
		if len(names) == 0 {
			names = []string{""} // whatever the next one's names are
		}
		for _, name := range names {
			for _, k := range by[beginning{l.Group, l.Rule, name, l.To.Unix()}] {
				if !l.precedes(&list[k]) {
					continue
				}
				if followed[i] = true; before[k] < 0 {
					before[k] = i
				}
			}
		}
	}
	return before, followed
}

// precedes says whether next, of the same rule and names, follows l on the
// day on which l ends, on a channel of both.
func (l *Listed) precedes(next *Listed) bool {
	return !l.To.IsZero() && l.To.Equal(next.From.Time) && setOf(l.Channels)&setOf(next.Channels) != 0
}

// difference is what a rule's next version has changed.
func difference(old, next *Listed) string {
	was, is := old.traits(), next.traits()
	var out []string
	for _, p := range is {
		before := valueOf(was, p.Name)
		switch {
		case before == p.Value:
		case before == "":
			out = append(out, p.Name+" "+p.Value)
		default:
			out = append(out, fmt.Sprintf("%s from %s to %s", p.Name, before, p.Value))
		}
	}
	for _, p := range was {
		if valueOf(is, p.Name) == "" {
			out = append(out, "no "+p.Name+" any more")
		}
	}
	if len(out) == 0 {
		return "its clause: " + next.Says
	}
	return strings.Join(out, "; ")
}

// traits is everything of a rule that a verdict may depend on, in words.
func (l *Listed) traits() []Parameter {
	var channels []string
	for _, c := range l.Channels {
		channels = append(channels, string(c))
	}
	var s settings
	s.word("by", l.Asked)
	s.list("channels", channels)
	s.list("names", l.Names)
	s.flag("promotional", l.Promotional)
	return append(s, l.Parameters...)
}

func valueOf(list []Parameter, name string) string {
	for _, p := range list {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
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
