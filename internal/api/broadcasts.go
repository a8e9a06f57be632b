package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
)

func (s *Server) broadcasts(a *answer, r *http.Request) error {
	ids, err := s.Defs.Broadcasts(r.Context())
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	return s.list(a, r, func(emit func(any) error) error {
		for _, id := range ids {
			b, _, err := s.Defs.Broadcast(r.Context(), id)
			if err != nil {
				return err
			}
			if !caller.Sees(b.Spec.Sender) {
				continue
			}
			if err := emit(s.wireBroadcast(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) broadcast(a *answer, r *http.Request) error {
	b, _, err := s.Defs.Broadcast(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, s.wireBroadcast(b))
}

// launch takes a body only from who has something to acknowledge.
func (s *Server) launch(a *answer, r *http.Request) error {
	req, err := decodeIfAny[client.LaunchRequest](a, r)
	if err != nil {
		return err
	}
	about := map[string]string{"acknowledged": strings.Join(req.Acknowledge, ",")}
	return s.move(a, r, about, func(ctx context.Context, id string) (*broadcast.Broadcast, error) {
		return s.Scheduler.Launch(ctx, id, scheduler.Acknowledge(s.Gate.Rules, req.Acknowledge))
	})
}

func (s *Server) resume(a *answer, r *http.Request) error {
	return s.move(a, r, nil, s.Scheduler.Resume)
}

// actOn is act for the broadcast of a path.
func (s *Server) actOn(a *answer, r *http.Request, about map[string]string) error {
	id := r.PathValue("id")
	b, _, err := s.Defs.Broadcast(r.Context(), id)
	if err != nil {
		return err
	}
	return s.act(a, r, deed{object: id, sender: b.Spec.Sender, details: about})
}

func (s *Server) move(a *answer, r *http.Request, about map[string]string, verb func(context.Context, string) (*broadcast.Broadcast, error)) error {
	if err := s.actOn(a, r, about); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	b, err := verb(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, s.wireBroadcast(b))
}

func (s *Server) pause(a *answer, r *http.Request) error { return s.stop(a, r, s.Scheduler.Pause) }

func (s *Server) cancel(a *answer, r *http.Request) error { return s.stop(a, r, s.Scheduler.Cancel) }

func (s *Server) stop(a *answer, r *http.Request, verb func(context.Context, string) (scheduler.Stopped, error)) error {
	if err := s.actOn(a, r, nil); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	st, err := verb(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	out := client.Stopped{Broadcast: s.wireBroadcast(st.Broadcast), InForce: st.InForce, InFlight: st.InFlight, Uncounted: !st.Counted}
	return writeJSON(a, statusIf(out.InForce && !out.Uncounted && out.InFlight == 0), out)
}

func (s *Server) progress(a *answer, r *http.Request) error {
	b, _, err := s.Defs.Broadcast(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, s.progressOf(b))
}

func (s *Server) forecast(a *answer, r *http.Request) error {
	f, err := s.Scheduler.Forecast(r.Context(), s.Gate.Rules, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireForecast(f))
}
