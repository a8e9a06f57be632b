package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
)

func (s *Server) redrive(a *answer, r *http.Request) error {
	return s.handle(a, r, s.Scheduler.Redrive, s.Scheduler.RedriveLikely)
}

func (s *Server) discard(a *answer, r *http.Request) error {
	return s.handle(a, r, s.Scheduler.Discard, s.Scheduler.Discard)
}

type dealWith func(ctx context.Context, ids []job.ID, by string, dryRun bool) ([]scheduler.Handled, error)

// maxRefused is how many refusals an answer names.
const maxRefused = 1000

// handling is one request to redrive or discard, worked off in chunks.
type handling struct {
	do     dealWith
	by     string
	dryRun bool
	out    client.HandleResult
}

// handle works off a request; likely is what is done where only those are
// picked that are likely not sent.
func (s *Server) handle(a *answer, r *http.Request, do, likely dealWith) error {
	req, err := decode[client.HandleRequest](a, r)
	if err != nil {
		return err
	}
	h := &handling{do: do, by: req.By, dryRun: req.DryRun, out: client.HandleResult{Refused: []client.Refusal{}}}
	if h.by == "" {
		h.by = "api"
	}
	if len(h.by) > maxWords || strings.ContainsFunc(h.by, isControl) {
		return badRequest(fmt.Sprintf("by: want at most %d bytes in one line", maxWords))
	}
	switch {
	case (req.Jobs == nil) == (req.Filter == nil):
		return badRequest("want either jobs or filter; an empty filter picks every dead letter")
	case req.Filter != nil:
		if req.Filter.LikelyNotSent {
			h.do = likely
		}
		err = s.handleFilter(a, r, h, *req.Filter)
	default:
		err = s.handleJobs(a, r, h, req.Jobs)
	}
	a.outcome, a.partly = h.counts(), err != nil && h.out.Done > 0
	if err != nil {
		return h.after(err)
	}
	return writeJSON(a, http.StatusOK, h.out)
}

// counts are what was done, for the log.
func (h *handling) counts() map[string]string {
	return map[string]string{"matched": strconv.Itoa(h.out.Matched), "done": strconv.Itoa(h.out.Done)}
}

// begin is act, unless nothing is to be changed.
func (h *handling) begin(s *Server, a *answer, r *http.Request, sender, picked string) error {
	if h.dryRun {
		return nil
	}
	return s.act(a, r, deed{sender: sender, details: map[string]string{"picked": picked, "by": h.by}})
}

func (s *Server) handleFilter(a *answer, r *http.Request, h *handling, asked client.DeadFilter) error {
	f, err := filter(asked)
	if err != nil {
		return err
	}
	if err := s.current(r.Context()); err != nil {
		return err
	}
	if err := h.begin(s, a, r, f.Sender, sayFilter(f)); err != nil {
		return err
	}
	doubts, some, caller := s.doubts(), make([]job.ID, 0, chunk), access.Of(r.Context())
	err = s.Dead.Each(r.Context(), f.Filter, func(l deadletter.Letter) error {
		id, err := job.ParseID(l.Job)
		if err != nil || !caller.Sees(id.Sender) {
			return err
		}
		if d, err := doubts.of(r.Context(), l); err != nil || f.likely && !d.LikelyNotSent {
			return err
		}
		// A job that died again meanwhile may come again.
		if slices.Contains(some, id) {
			return nil
		}
		if some = append(some, id); len(some) < chunk {
			return nil
		}
		defer func() { some = some[:0] }()
		return h.chunk(r, some)
	})
	if err != nil {
		return err
	}
	return h.chunk(r, some)
}

// sayFilter is a filter in words.
func sayFilter(f picked) string {
	var words []string
	if f.likely {
		words = append(words, "likely not sent")
	}
	for _, w := range []struct{ name, is string }{
		{"reason", string(f.Reason)}, {"state", string(f.State)}, {"sender", f.Sender}, {"source", f.Source},
		{"since", timestamp(f.Since)}, {"until", timestamp(f.Until)},
	} {
		if w.is != "" {
			words = append(words, w.name+" "+w.is)
		}
	}
	if words == nil {
		return "all"
	}
	return strings.Join(words, ", ")
}

func (s *Server) handleJobs(a *answer, r *http.Request, h *handling, jobs []string) error {
	ids := make([]job.ID, len(jobs))
	seen, senders := make(map[job.ID]bool, len(jobs)), map[string]bool{}
	for i, j := range jobs {
		var err error
		if ids[i], err = job.ParseID(j); err != nil {
			return badRequest(err.Error())
		}
		if seen[ids[i]] {
			return badRequest(fmt.Sprintf("job %s stands twice", j))
		}
		seen[ids[i]], senders[ids[i].Sender] = true, true
	}
	if err := h.begin(s, a, r, only(senders), strconv.Itoa(len(ids))+" by job"); err != nil {
		return err
	}
	ids = h.inScope(access.Of(r.Context()), ids)
	for part := range slices.Chunk(ids, chunk) {
		if err := h.chunk(r, part); err != nil {
			return err
		}
	}
	return nil
}

// inScope refuses what a caller may not know of, without a look at whether it
// exists, and returns the rest.
func (h *handling) inScope(caller access.Principal, ids []job.ID) []job.ID {
	return slices.DeleteFunc(ids, func(id job.ID) bool {
		if caller.Sees(id.Sender) {
			return false
		}
		h.out.Matched++
		h.refused(id, story.ErrUnknownJob.Error())
		return true
	})
}

func (h *handling) refused(id job.ID, why string) {
	if h.out.RefusedCount++; len(h.out.Refused) < maxRefused {
		h.out.Refused = append(h.out.Refused, client.Refusal{Job: id.String(), Why: why})
	}
}

// chunk deals with some jobs. It ends between chunks when the caller hangs
// up, never in the middle of one.
func (h *handling) chunk(r *http.Request, ids []job.ID) error {
	if len(ids) == 0 {
		return nil
	}
	if r.Context().Err() != nil {
		return errGone
	}
	ctx, cancel := detached(r)
	defer cancel()
	done, err := h.do(ctx, ids, h.by, h.dryRun)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return refuse(http.StatusNotFound, "no ledger has one of these jobs: "+err.Error())
	}
	if err != nil {
		return err
	}
	h.out.Matched += len(done)
	for _, d := range done {
		if d.Refused == "" {
			h.out.Done++
			continue
		}
		h.refused(d.Job, d.Refused)
	}
	return nil
}

// after says what had been done before a failure.
func (h *handling) after(err error) error {
	if h.out.Matched == 0 || h.dryRun {
		return err
	}
	return fmt.Errorf("%w; %d had been dealt with before", err, h.out.Done)
}
