package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func (s *Server) senders(a *answer, r *http.Request) error {
	ids, err := s.Defs.Senders(r.Context())
	if err != nil {
		return err
	}
	loads, err := s.Scheduler.LaneLoads(r.Context(), "")
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !access.Of(r.Context()).Sees(id) })
	specs := make([]*sender.Spec, len(ids))
	for i, id := range ids {
		if specs[i], _, err = s.Defs.Sender(r.Context(), id); err != nil {
			return err
		}
	}
	paces := s.paces(r.Context(), specs)
	return s.list(a, r, func(emit func(any) error) error {
		for i, spec := range specs {
			v, err := s.senderOf(r.Context(), spec, loads, paces[i])
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

func (s *Server) sender(a *answer, r *http.Request) error {
	v, err := s.loadedSender(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, v)
}

// loadedSender is a sender with what its lane has in hand.
func (s *Server) loadedSender(ctx context.Context, id string) (client.Sender, error) {
	loads, err := s.Scheduler.LaneLoads(ctx, id)
	if err != nil {
		return client.Sender{}, err
	}
	spec, _, err := s.Defs.Sender(ctx, id)
	if err != nil {
		return client.Sender{}, err
	}
	return s.senderOf(ctx, spec, loads, s.paces(ctx, []*sender.Spec{spec})[0])
}

func (s *Server) senderOf(ctx context.Context, spec *sender.Spec, loads []lane.Load, pace int) (client.Sender, error) {
	c, _, err := s.Facts.Control(ctx, facts.SenderControl, spec.ID)
	if err != nil {
		return client.Sender{}, err
	}
	out := wireSender(spec, c, loads, pace)
	st, err := s.Labels.State(ctx, spec.ID)
	if err == nil && st != (label.State{}) {
		told := wireLabels(st)
		out.Labels = &told
	}
	return out, err
}

// paceTimeout is how long a list of senders waits for Redis, which may be away.
const paceTimeout = time.Second

// paces are the senders' paces below the full one, in percent; 0: full, or
// Redis could not be asked, in which case nothing goes out anyway.
func (s *Server) paces(ctx context.Context, of []*sender.Spec) []int {
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	paces, err := s.Gate.Paces(ctx, of)
	if err != nil {
		s.Log.WarnContext(ctx, "the pace of senders could not be read", "error", err)
		return make([]int, len(of))
	}
	for i, p := range paces {
		if p == gate.FullPace {
			paces[i] = 0
		}
	}
	return paces
}

// pullLabels orders a pull; whoever leads carries it out.
func (s *Server) pullLabels(a *answer, r *http.Request) error {
	ctx, cancel := detached(r)
	defer cancel()
	id := r.PathValue("id")
	spec, _, err := s.Defs.Sender(ctx, id)
	if err != nil {
		return err
	}
	if !spec.HasLabels() {
		return badRequest(fmt.Sprintf("sender %s is of channel %s: only a Page has custom labels", id, spec.Channel))
	}
	if err := s.act(a, r, deed{object: id, sender: id}); err != nil {
		return err
	}
	st, err := s.Labels.Order(ctx, id, time.Now())
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusAccepted, wireLabels(st))
}

func (s *Server) pauseSender(a *answer, r *http.Request) error {
	return s.moveSender(a, r, facts.Control{State: facts.Paused, Reason: reason.SenderPaused, Why: "paused by an operator"})
}

func (s *Server) resumeSender(a *answer, r *http.Request) error {
	return s.moveSender(a, r, facts.Control{State: facts.Running})
}

// moveSender writes the control that every recheck sees, and answers once it
// is in force. A sender that is paused already keeps its reason.
func (s *Server) moveSender(a *answer, r *http.Request, to facts.Control) error {
	ctx, cancel := detached(r)
	defer cancel()
	id := r.PathValue("id")
	if _, _, err := s.Defs.Sender(ctx, id); err != nil {
		return err
	}
	if err := s.act(a, r, deed{object: id, sender: id}); err != nil {
		return err
	}
	seq, err := s.Facts.EditControl(ctx, facts.SenderControl, id, func(old facts.Control) (facts.Control, bool) {
		to.Rev, to.At = old.Rev+1, s.now().UTC()
		return to, old.State != to.State
	})
	if err != nil {
		return err
	}
	out := client.MovedSender{InForce: s.inForce(ctx, seq)}
	if to.State == facts.Paused {
		var counted bool
		out.InFlight, counted = s.Scheduler.SenderLine(ctx, id)
		out.Uncounted = !counted
	}
	if out.Sender, err = s.loadedSender(ctx, id); err != nil {
		return err
	}
	return writeJSON(a, statusIf(out.InForce && !out.Uncounted && out.InFlight == 0), out)
}

// inForce waits for as long as a pause may take.
func (s *Server) inForce(ctx context.Context, seq uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, scheduler.LineTimeout)
	defer cancel()
	return s.Facts.InForce(ctx, seq) == nil
}

// statusIf is 200 for what is done, 202 for what is recorded and will be.
func statusIf(done bool) int {
	if done {
		return http.StatusOK
	}
	return http.StatusAccepted
}

// The bounds of what an opt-out says, in bytes.
const (
	maxContact = 256
	maxWords   = 256
)

func (s *Server) optOut(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
		return err
	}
	req, err := decode[client.OptOutRequest](a, r)
	if err != nil {
		return err
	}
	if err := checkOptOut(&req); err != nil {
		return err
	}
	d := deed{object: s.Facts.Key(id, req.Contact).String(), sender: id, details: map[string]string{"scope": req.Scope}}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	ctx, cancel := detached(r) // who hangs up has opted out all the same
	defer cancel()
	rec, err := s.Consent.OptOut(ctx, id, req.Contact, contact.OptOut{Scope: contact.Scope(req.Scope), At: s.now(), Source: req.Source})
	if err != nil {
		return err
	}
	out := client.OptOutResult{InForce: rec.InForce, InFlight: make([]string, len(rec.InFlight))}
	for i, j := range rec.InFlight {
		out.InFlight[i] = j.String()
	}
	return writeJSON(a, statusIf(out.InForce && len(out.InFlight) == 0), out)
}

func checkOptOut(o *client.OptOutRequest) error {
	if o.Scope == "" {
		o.Scope = string(contact.All)
	}
	if err := checkContact("contact", o.Contact); err != nil {
		return err
	}
	if o.Scope != string(contact.All) && o.Scope != string(contact.Marketing) {
		return badRequest(fmt.Sprintf("scope %q: want all or marketing", o.Scope))
	}
	if strings.TrimSpace(o.Source) == "" || len(o.Source) > maxWords || strings.ContainsFunc(o.Source, isControl) {
		return badRequest(fmt.Sprintf("source: say in 1 to %d bytes where the opt-out was made", maxWords))
	}
	return nil
}

// checkContact refuses ids that no import would take: what is recorded under
// them would protect nobody.
func checkContact(field, id string) error {
	if id == "" || len(id) > maxContact || strings.ContainsAny(id, " \t\r\n/") || !utf8.ValidString(id) {
		return badRequest(fmt.Sprintf("%s: want the platform's id of a contact, 1 to %d bytes without spaces or slashes", field, maxContact))
	}
	return nil
}
