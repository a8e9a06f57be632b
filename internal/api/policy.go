package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
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
	from, to, err := req.Span()
	if err != nil {
		return badRequest(err.Error())
	}
	g, err := s.rulesOf(req.Rulebook)
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
		return s.Scheduler.Impacts(r.Context(), g, from, to, access.Of(r.Context()).Sees, func(i scheduler.Impact) error {
			return emit(client.PolicyDiffEvent{Broadcast: wireImpact(i, since)})
		})
	})
}

// rulesOf judges by the rulebook of a request, "" for the gate's own.
func (s *Server) rulesOf(text string) (gate.Rules, error) {
	if text == "" {
		return s.Gate.Rules, nil
	}
	if len(text) > maxRulebook {
		return gate.Rules{}, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("rulebook: longer than %d bytes", maxRulebook))
	}
	rb, err := policy.Parse([]byte(text))
	if err != nil {
		return gate.Rules{}, err
	}
	return s.Gate.Under(rb), nil
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
		Audience: i.Audience, BrokenBy: i.Broken, AllowedBy: i.Allowed, Blocked: i.Blocked,
	}
	for _, n := range i.Broken {
		out.Broken += n
	}
	for _, n := range i.Allowed {
		out.Allowed += n
	}
	return out
}
