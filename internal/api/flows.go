package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/pkg/client"
)

func (s *Server) flows(a *answer, r *http.Request) error {
	ids, err := s.Defs.Flows(r.Context())
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	return s.list(a, r, func(emit func(any) error) error {
		for _, id := range ids {
			f, spec, err := s.newest(r.Context(), id)
			if err != nil {
				return err
			}
			if !definition.SeesFlow(caller.Sees, spec) {
				continue
			}
			if err := emit(wireFlow(f, spec)); err != nil {
				return err
			}
		}
		return nil
	})
}

// newest returns a flow with its newest version.
func (s *Server) newest(ctx context.Context, id string) (*flow.Flow, *flow.Spec, error) {
	f, _, err := s.Defs.Flow(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	spec, err := s.Defs.FlowSpec(ctx, id, f.Version)
	return f, spec, err
}

func (s *Server) flow(a *answer, r *http.Request) error {
	f, newest, err := s.newest(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	out := client.FlowDetail{Flow: wireFlow(f, newest), Shown: f.Version}
	spec := newest
	if v := r.URL.Query().Get("version"); v != "" {
		if out.Shown, err = strconv.Atoi(v); err != nil || out.Shown < 1 {
			return badRequest(fmt.Sprintf("version %q: want a number from 1 to %d", v, f.Version))
		}
		if spec, err = s.Defs.FlowSpec(r.Context(), f.ID, out.Shown); err != nil {
			return err
		}
		if !definition.SeesFlow(access.Of(r.Context()).Sees, spec) {
			return fmt.Errorf("flow %s.%d: %w", f.ID, out.Shown, definition.ErrNotFound)
		}
	}
	out.Drawing = spec.Draw()
	b, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(b, &out.Document)
	}
	if err != nil {
		return err
	}
	us, err := s.Steering.Count(r.Context(), f.ID)
	if err != nil {
		return err
	}
	out.Runs = make([]client.RunCount, len(us))
	for i, u := range us {
		out.Runs[i] = client.RunCount{Version: u.Version, State: string(u.State), Count: u.Count}
	}
	return writeJSON(a, http.StatusOK, out)
}

func wireFlow(f *flow.Flow, s *flow.Spec) client.Flow {
	return client.Flow{ID: f.ID, State: string(f.State), Version: f.Version, At: f.At, Type: s.Type, Sender: s.Sender, Trigger: s.Trigger.Words()}
}

func (s *Server) pauseFlow(a *answer, r *http.Request) error { return s.steer(a, r, s.Steering.Pause) }

func (s *Server) resumeFlow(a *answer, r *http.Request) error {
	return s.steer(a, r, s.Steering.Resume)
}

func (s *Server) deleteFlow(a *answer, r *http.Request) error {
	return s.steer(a, r, s.Steering.Delete)
}

// steer changes how a flow stands, and says how many runs that concerns.
func (s *Server) steer(a *answer, r *http.Request, verb func(context.Context, string) (steering.Moved, error)) error {
	req, err := decodeIfAny[client.SteerRequest](a, r)
	if err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	f, spec, err := s.newest(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	us, err := s.Steering.Count(ctx, f.ID)
	if err != nil {
		return err
	}
	out := client.SteeredFlow{Flow: wireFlow(f, spec), DryRun: req.DryRun, Going: steering.Going(us)}
	if req.DryRun {
		return writeJSON(a, http.StatusOK, out)
	}
	if err := s.act(a, r, deed{object: f.ID, sender: definition.Document{Flow: spec}.Of(), details: map[string]string{"going": strconv.Itoa(out.Going)}}); err != nil {
		return err
	}
	m, err := verb(ctx, f.ID)
	if errors.Is(err, steering.ErrIllegal) {
		return refuse(http.StatusConflict, err.Error())
	}
	if err != nil {
		return err
	}
	out.Flow, out.InForce = wireFlow(&m.Flow, spec), m.InForce
	return writeJSON(a, statusIf(m.InForce), out)
}

// whyStopped stands in the path of a run that was stopped by this API.
const whyStopped = "stopped by an operator"

func (s *Server) stopRuns(a *answer, r *http.Request) error {
	req, err := decode[client.StopRunsRequest](a, r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	pick, said, err := s.picked(id, req)
	if err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	_, spec, err := s.newest(ctx, id)
	if err != nil {
		return err
	}
	if !req.DryRun {
		if err := s.act(a, r, deed{object: id, sender: definition.Document{Flow: spec}.Of(), details: map[string]string{"picked": said}}); err != nil {
			return err
		}
	}
	done, err := s.Steering.Stop(ctx, id, pick, whyStopped, req.DryRun)
	if a.partly = err != nil && done.Done > 0; err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, client.StoppedRuns{Flow: id, DryRun: req.DryRun, Matched: done.Matched, Stopped: done.Done, Over: done.Over})
}

// picked reads which runs of a flow are meant, with that in words that name
// nobody.
func (s *Server) picked(id string, req client.StopRunsRequest) (steering.Pick, string, error) {
	byContact := req.Sender != "" || req.Contact != ""
	n := 0
	for _, given := range []bool{req.Run != "", byContact, req.All} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return steering.Pick{}, "", badRequest("want one of run, sender with contact, and all: true, for every run of the flow")
	case req.All:
		return steering.Pick{}, "all", nil
	case byContact:
		key, err := s.contactKey(req.Sender, req.Contact)
		return steering.Pick{Contact: &key}, "of contact " + key.String(), err
	}
	run, err := flow.ParseID(req.Run)
	if err != nil || run.Flow != id {
		return steering.Pick{}, "", badRequest(fmt.Sprintf("run %q: want one of flow %s, as flow runs prints it", req.Run, id))
	}
	return steering.Pick{Run: &run}, "run " + run.String(), nil
}

// flowWithin answers for a flow that is out of the caller's scope as for one
// that is not there.
func (s *Server) flowWithin(caller access.Principal, r *http.Request, id string) error {
	_, spec, err := s.newest(r.Context(), id)
	if err == nil && !definition.SeesFlow(caller.Sees, spec) {
		err = fmt.Errorf("flow %s: %w", id, definition.ErrNotFound)
	}
	return err
}
