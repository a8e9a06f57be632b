package story_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// order is a flow of which one run is known.
type order struct {
	program *flow.Program
	runs    map[flow.ID]flow.Run
}

func (o order) Get(_ context.Context, id flow.ID) (flow.Run, uint64, bool, error) {
	r, ok := o.runs[id]
	return r, 1, ok, nil
}

func (o order) Program(context.Context, string, int) (*flow.Program, error) {
	if o.program == nil {
		return nil, definition.ErrNotFound
	}
	return o.program, nil
}

func (w *world) order(t *testing.T) (*order, flow.ID, job.ID) {
	t.Helper()
	p, err := flow.Compile(&flow.Spec{
		ID: "order", Type: flow.AutoReply, Sender: "bakery", Trigger: flow.Trigger{Inbound: []string{"message"}},
		Steps: []flow.Step{{ID: "told", Send: &flow.Send{Message: message.Message{Text: "Hello"}}}},
	}, 3)
	rig.Must(t, err)
	run := flow.ID{Flow: "order", Contact: w.keys[0], Slot: flow.SlotOf("x")}
	o := &order{p, map[flow.ID]flow.Run{run: {Version: 3, State: flow.Waiting, Event: []byte(`{}`), StartedAt: time.Now().Add(-time.Minute)}}}
	w.teller.Runs, w.teller.Programs, w.teller.Says = o, o, errand.NewReader(o, o, w.Defs, w.Facts)
	at := -1
	for i := range 10 {
		if _, err := p.Message(flow.Place{Version: 3, At: i, Visit: 1}); err == nil {
			at = i
		}
	}
	return o, run, job.Source{Month: time.Now().UTC().Format("200601"), Sender: "bakery", Name: run.Source(flow.Place{Version: 3, At: at, Visit: 1})}.Job(w.keys[0])
}

// TestFlowJob tells what became of a flow's message, which run and step asked
// for it, and what keeps it waiting.
func TestFlowJob(t *testing.T) {
	w := newWorld(t)
	o, run, id := w.order(t)
	if _, err := w.teller.Job(t.Context(), id); !errors.Is(err, story.ErrUnknownJob) {
		t.Errorf("a job that nobody planned: %v", err)
	}
	gone := id
	gone.Month = "209901"
	if _, err := w.teller.Job(t.Context(), gone); !errors.Is(err, story.ErrUnknownJob) {
		t.Errorf("a job of a month that never was: %v", err)
	}
	w.Record(t, id, ledger.Record{State: job.Pending, Planned: true, Expires: time.Now().Add(time.Hour)})
	tell := func(want, now string) story.Story {
		t.Helper()
		s, err := w.teller.Job(t.Context(), id)
		rig.Must(t, err)
		if got := told(s); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		if verdict := verdictOf(s); verdict != now {
			t.Errorf("now %q, want %q", verdict, now)
		}
		return s
	}
	s := tell("began|planned|waiting|pending|pending|", "send")
	if e := s.Errand; e == nil || e.Flow != "order" || e.Run != run.String() || e.Step != "told" {
		t.Errorf("asked for by %+v", s.Errand)
	}
	if text := s.Steps[1].Text; !strings.HasPrefix(text, "step told of version 3 asked for it; nobody wants it after ") {
		t.Errorf("planned: %s", text)
	}
	w.Control(t, facts.SourceControl, "order", facts.Control{State: facts.Paused})
	if s = tell("began|planned|waiting|pending|pending|", "send"); !strings.HasSuffix(s.Steps[2].Text, "carillon flow resume order") {
		t.Errorf("waits: %s", s.Steps[2].Text)
	}
	w.Record(t, id, ledger.Record{State: job.Blocked, Reason: reason.Internal, Evidence: "its run is not there any more"})
	delete(o.runs, run)
	o.program = nil
	w.teller.Says = errand.NewReader(o, o, w.Defs, w.Facts)
	s = tell("planned|blocked|blocked|blocked|internal", "")
	if !strings.HasPrefix(s.Steps[0].Text, "a step of version 3") || s.Errand.Step != "" {
		t.Errorf("without its flow: %+v, %s", s.Errand, s.Steps[0].Text)
	}
	c, err := w.teller.Contact(t.Context(), "bakery", rig.Address(0))
	rig.Must(t, err)
	if len(c.Stories) != 2 || c.Stories[0].Errand == nil && c.Stories[1].Errand == nil {
		t.Errorf("a contact's stories: %+v", c.Stories)
	}
}

func verdictOf(s story.Story) string {
	if s.Now == nil {
		return ""
	}
	return s.Now.Verdict
}
