package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// maxRulebook bounds a rulebook that a request brings along, in bytes: some
// seven times the built-in one.
const maxRulebook = 256 << 10

func (s *Server) policy(a *answer, _ *http.Request) error {
	return writeJSON(a, http.StatusOK, s.Policy)
}

// policyDiff answers with what changes in the rules, then with what that does
// to the stored broadcasts.
func (s *Server) policyDiff(a *answer, r *http.Request) error {
	req, err := decode[client.PolicyDiffRequest](a, r)
	if err != nil {
		return err
	}
	from, to, err := between(req.From, req.To)
	if err != nil {
		return err
	}
	g, err := s.gateUnder(req.Rulebook)
	if err != nil {
		return err
	}
	return s.list(a, r, func(emit func(any) error) error {
		changes := policy.Diff(g.Rulebook(), from, to)
		for _, c := range changes {
			if err := emit(client.PolicyDiffEvent{Change: wireChange(c)}); err != nil {
				return err
			}
		}
		since := dayOf(changes, to)
		return s.Scheduler.Impacts(r.Context(), g, from, to, func(i scheduler.Impact) error {
			return emit(client.PolicyDiffEvent{Broadcast: wireImpact(i, since)})
		})
	})
}

// gateUnder is the gate that judges by the rulebook of a request.
func (s *Server) gateUnder(text string) (*gate.Gate, error) {
	if text == "" {
		return s.Gate, nil
	}
	if len(text) > maxRulebook {
		return nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("rulebook: longer than %d bytes", maxRulebook))
	}
	rb, err := policy.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return s.Gate.Under(rb), nil
}

func between(from, to string) (a, b time.Time, err error) {
	if a, err = dayOrTime("from", from); err != nil {
		return a, b, err
	}
	if b, err = dayOrTime("to", to); err != nil {
		return a, b, err
	}
	if b.Before(a) {
		return a, b, badRequest(fmt.Sprintf("to %s is before from %s", to, from))
	}
	return a, b, nil
}

func dayOrTime(name, s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	d, err := policy.ParseDate(s)
	if err != nil {
		return d.Time, badRequest(fmt.Sprintf("%s %.40q: want a day such as 2026-04-27, or a time in RFC 3339", name, s))
	}
	return d.Time, nil
}

// dayOf is the day on which a comparison's broadcasts are hit: the only one
// with a change, or the last one looked at where there are several.
func dayOf(changes []policy.Change, to time.Time) string {
	day := policy.Date{Time: to.UTC()}.String()
	for i, c := range changes {
		if i > 0 && !c.Date.Equal(changes[0].Date.Time) {
			return day
		}
	}
	if len(changes) > 0 {
		return changes[0].Date.String()
	}
	return day
}

func wireChange(c policy.Change) *client.RuleChange {
	out := &client.RuleChange{Date: c.Date.String(), Rule: c.Rule, What: c.What, Names: c.Names, Detail: c.Detail, Source: c.Source}
	for _, ch := range c.Channels {
		out.Channels = append(out.Channels, string(ch))
	}
	return out
}

func wireImpact(i scheduler.Impact, since string) *client.BroadcastImpact {
	out := &client.BroadcastImpact{
		Broadcast: i.ID, Sender: i.Sender, State: string(i.State), Since: since, Due: i.Due, Ends: i.Ends, Gone: i.Gone,
		Audience: i.Audience, BrokenBy: map[reason.Code]int{}, AllowedBy: i.Allowed, Blocked: i.Blocked,
	}
	for why, n := range i.Broken {
		out.BrokenBy[reason.Code(why)] = n
		out.Broken += n
	}
	for _, n := range i.Allowed {
		out.Allowed += n
	}
	return out
}
