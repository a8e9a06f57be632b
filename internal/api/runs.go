package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
)

// How many runs a page has.
const (
	defaultRuns = 100
	maxRuns     = 1000
)

// runQuery is which runs of a flow are asked for.
type runQuery struct {
	state   flow.State
	contact *job.Key
	after   uint64 // revision of the last run of the page before
	limit   int
}

func (s *Server) runQuery(q url.Values) (runQuery, error) {
	out := runQuery{state: flow.State(q.Get("state")), limit: defaultRuns}
	states := []flow.State{"", flow.Gathering, flow.Waiting, flow.Done, flow.Goal, flow.Exited, flow.HandedOff, flow.Stopped, flow.Failed}
	if !slices.Contains(states, out.state) {
		return out, badRequest(fmt.Sprintf("state %q: want gathering, waiting, done, goal, exited, handed_over, stopped or failed", out.state))
	}
	limit, err := parseLimit(q.Get("limit"))
	if err != nil || limit > maxRuns {
		return out, badRequest(fmt.Sprintf("limit %q: want a number from 1 to %d", q.Get("limit"), maxRuns))
	}
	if limit > 0 {
		out.limit = limit
	}
	if v := q.Get("after"); v != "" {
		if out.after, err = strconv.ParseUint(v, 10, 64); err != nil {
			return out, badRequest("after: want what an earlier answer gave as cursor")
		}
	}
	if q.Get("sender") != "" || q.Get("contact") != "" {
		key, err := s.contactKey(q.Get("sender"), q.Get("contact"))
		out.contact = &key
		return out, err
	}
	return out, nil
}

// contactKey is the key of a person as a sender knows them.
func (s *Server) contactKey(of, contact string) (job.Key, error) {
	if !sender.ValidID(of) {
		return job.Key{}, badRequest(fmt.Sprintf("sender %q: want the id of a sender", of))
	}
	return s.Facts.Key(of, contact), checkContact("contact", contact)
}

var errPageFull = errors.New("the page is full")

func (s *Server) runs(a *answer, r *http.Request) error {
	q, err := s.runQuery(r.URL.Query())
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if _, _, err := s.Defs.Flow(r.Context(), id); err != nil {
		return err
	}
	out := client.Runs{Runs: []client.Run{}, Cursor: strconv.FormatUint(q.after, 10)}
	err = s.eachRun(r.Context(), id, q, func(v run.Stored) error {
		if v.Rev <= q.after || q.state != "" && v.Run.State != q.state {
			return nil
		}
		if len(out.Runs) == q.limit {
			out.More = true
			return errPageFull
		}
		out.Runs = append(out.Runs, wireRun(&v))
		out.Cursor = strconv.FormatUint(v.Rev, 10)
		return nil
	})
	if err != nil && !errors.Is(err, errPageFull) {
		return err
	}
	return writeJSON(a, http.StatusOK, out)
}

// eachRun calls fn with runs of a flow, those that changed longest ago first.
func (s *Server) eachRun(ctx context.Context, id string, q runQuery, fn func(run.Stored) error) error {
	if q.contact == nil {
		return s.Steering.Runs.Each(ctx, id, fn)
	}
	rs, err := s.Steering.Runs.Of(ctx, id, *q.contact)
	if err != nil {
		return err
	}
	slices.SortFunc(rs, func(a, b run.Stored) int { return int(int64(a.Rev) - int64(b.Rev)) })
	for _, r := range rs {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) oneRun(a *answer, r *http.Request) error {
	id, err := flow.ParseID(r.PathValue("run"))
	if err != nil {
		return badRequest(err.Error())
	}
	v, rev, found, err := s.Steering.Runs.Get(r.Context(), id)
	if err == nil && !found {
		err = fmt.Errorf("run %s: %w", id, definition.ErrNotFound)
	}
	if err != nil {
		return err
	}
	spec, err := s.Defs.FlowSpec(r.Context(), id.Flow, v.Version)
	if err != nil {
		return err
	}
	out := wireRun(&run.Stored{ID: id, Run: v, Rev: rev})
	out.Path, out.Cut, out.Drawing = wirePath(v.Path), v.Cut, spec.DrawPath(v.Path)
	return writeJSON(a, http.StatusOK, out)
}

// runWithin is flowWithin for the flow of a run.
func (s *Server) runWithin(caller access.Principal, r *http.Request) error {
	id, err := flow.ParseID(r.PathValue("run"))
	if err != nil {
		return nil //nolint:nilerr // it is told what a run looks like, whatever it may see
	}
	if s.flowWithin(caller, r, id.Flow) != nil {
		return fmt.Errorf("run %s: %w", id, definition.ErrNotFound)
	}
	return nil
}

// wireRun is a run without its path. What the event says of people stays out.
func wireRun(r *run.Stored) client.Run {
	v := &r.Run
	out := client.Run{
		ID: r.ID.String(), Flow: r.ID.Flow, Version: v.Version, State: string(v.State), Why: v.Why, Sender: v.Sender,
		Contacts: make([]client.RunContact, len(v.Identities)), StartedAt: v.StartedAt, EndedAt: v.EndedAt, Due: v.Due, Trace: v.Trace,
	}
	for i, who := range v.Identities {
		out.Contacts[i] = client.RunContact{Sender: who.Sender, ID: who.Person}
	}
	_ = json.Unmarshal(v.Event, &out.Event) // of a contact that was erased nothing is left
	return out
}

func wirePath(path []flow.Visit) []client.RunVisit {
	out := make([]client.RunVisit, len(path))
	for i, v := range path {
		out[i] = client.RunVisit{At: v.At, Step: v.Step, Did: v.Did, What: v.What, Until: v.Until, Job: v.Job, State: string(v.State), Reason: v.Reason}
	}
	return out
}
