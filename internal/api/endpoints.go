package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/pkg/client"
)

// seesEndpoint tells whether an endpoint concerns only senders that a caller
// may know of.
func seesEndpoint(caller access.Principal, e *endpoint.Spec) bool {
	if len(e.Events.Senders) == 0 {
		return caller.SeesAll(nil)
	}
	return caller.SeesAll(e.Events.Senders)
}

func (s *Server) endpoints(a *answer, r *http.Request) error {
	ids, err := s.Defs.Endpoints(r.Context())
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	return s.list(a, r, func(emit func(any) error) error {
		for _, id := range ids {
			e, _, err := s.Defs.Endpoint(r.Context(), id)
			if err != nil {
				return err
			}
			if !seesEndpoint(caller, e) {
				continue
			}
			st, _, err := s.Outlets.State(r.Context(), id)
			if err != nil {
				return err
			}
			v, err := s.wireEndpoint(r.Context(), e, st)
			if err != nil {
				return err
			}
			if err := emit(v); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) endpoint(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	e, _, err := s.Defs.Endpoint(r.Context(), id)
	if err != nil {
		return err
	}
	st, _, err := s.Outlets.State(r.Context(), id)
	if err != nil {
		return err
	}
	return s.answerEndpoint(a, r, e, st)
}

// maxDeadPushes bounds how many pushes that were given up an answer names.
const maxDeadPushes = 100

func (s *Server) answerEndpoint(a *answer, r *http.Request, e *endpoint.Spec, st outlet.State) error {
	v, err := s.wireEndpoint(r.Context(), e, st)
	if err != nil {
		return err
	}
	dead, err := s.Outlets.Dead(r.Context(), e.ID)
	if err != nil {
		return err
	}
	v.Dead = wirePushes(dead[:min(len(dead), maxDeadPushes)])
	return writeJSON(a, http.StatusOK, v)
}

func (s *Server) enableEndpoint(a *answer, r *http.Request) error {
	return s.orderEndpoint(a, r, nil, s.Outlets.TurnOn)
}

func (s *Server) disableEndpoint(a *answer, r *http.Request) error {
	return s.orderEndpoint(a, r, nil, func(ctx context.Context, id string) (outlet.State, error) {
		return s.Outlets.TurnOff(ctx, id, "turned off by an operator")
	})
}

func (s *Server) replayEndpoint(a *answer, r *http.Request) error {
	req, err := decode[client.ReplayRequest](a, r)
	if err != nil {
		return err
	}
	if req.Since.IsZero() != req.Dead {
		return badRequest("want either since, from when on to push again, or dead: true, for what was given up")
	}
	if req.Since.After(time.Now()) {
		return badRequest("since: want a moment that has been")
	}
	details := map[string]string{"picked": "given up"}
	if !req.Dead {
		details["picked"] = "since " + timestamp(req.Since)
	}
	return s.orderEndpoint(a, r, details, func(ctx context.Context, id string) (outlet.State, error) {
		return s.Outlets.Replay(ctx, id, req.Since)
	})
}

// orderEndpoint changes where an endpoint stands; whoever leads carries it out.
func (s *Server) orderEndpoint(a *answer, r *http.Request, details map[string]string, order func(context.Context, string) (outlet.State, error)) error {
	ctx, cancel := detached(r)
	defer cancel()
	e, _, err := s.Defs.Endpoint(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	d := deed{object: e.ID, details: details}
	if len(e.Events.Senders) == 1 {
		d.sender = e.Events.Senders[0]
	}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	st, err := order(ctx, e.ID)
	if err != nil {
		return err
	}
	return s.answerEndpoint(a, r, e, st)
}

func (s *Server) wireEndpoint(ctx context.Context, e *endpoint.Spec, st outlet.State) (client.Endpoint, error) {
	v := client.Endpoint{
		ID: e.ID, Host: e.Host(), State: client.EndpointOn, Waiting: wirePushes(st.Waiting), Failures: st.Failures, Error: st.Error, Taken: st.Taken,
	}
	if st.Off != "" {
		v.State, v.Why, v.Since = client.EndpointOff, st.Off, st.OffAt
	}
	if st.Cursor == nil {
		return v, nil
	}
	v.Cursor = st.Cursor.String()
	var err error
	v.Behind, err = s.Feed.Behind(ctx, st.Cursor)
	return v, err
}

func wirePushes(ps []outlet.Push) []client.EndpointPush {
	out := make([]client.EndpointPush, len(ps))
	for i, p := range ps {
		out[i] = client.EndpointPush{ID: p.ID, Outcomes: p.Count, Attempts: p.Attempts, First: p.First, Next: p.Next, Status: p.Status, Error: p.Error}
	}
	return out
}

// endpointWithin answers for an endpoint that is out of the caller's scope as
// for one that is not there.
func (s *Server) endpointWithin(caller access.Principal, r *http.Request) error {
	id := r.PathValue("id")
	e, _, err := s.Defs.Endpoint(r.Context(), id)
	if err == nil && !seesEndpoint(caller, e) {
		err = fmt.Errorf("endpoint %s: %w", id, definition.ErrNotFound)
	}
	return err
}
