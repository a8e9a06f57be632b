package deliver

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// flows says one thing for every flow's job.
type flows struct {
	says *message.Wording
	err  error
}

// Plan says it.
func (f flows) Plan(_ context.Context, s job.Source) (*definition.Planned, error) {
	return &definition.Planned{Says: f.says}, f.err
}

// step is a planned job of flow "order" for a contact, and how a lane releases
// it.
type step struct {
	*world
	id  job.ID
	ref job.Ref
}

// newStep is a world with a running flow and a planned job of it.
func newStep(t *testing.T, batch bool) *step {
	t.Helper()
	w := newWorld(t, 1, batch)
	says, err := message.NewWording(message.Author{Origin: "flow", FlowType: flow.AutoReply}, message.Message{Text: "Hello {{.name}}, {{.event.order}}"}, nil)
	rig.Must(t, err)
	w.worker.Flows = flows{says: says.About(map[string]any{"order": "A-1"})}
	w.control(facts.Running)
	run := flow.ID{Flow: "order", Contact: w.keys[0], Slot: flow.SlotOf("x")}
	p := errand.New(w.Ledger, w.Commits, w.Facts.Key)
	id, err := p.Place(t.Context(), time.Now().UTC().Format("200601"), "bakery", rig.Address(0), run.Source(flow.Place{Version: 1, At: 1, Visit: 1}))
	rig.Must(t, err)
	rig.Must(t, p.Plan(t.Context(), id, time.Now().Add(time.Hour), ""))
	e, _, err := w.Ledger.Last(t.Context(), id)
	rig.Must(t, err)
	return &step{w, id, job.Ref{Contact: id.Contact, Seq: e.Seq, Ends: e.Record.Expires}}
}

// control says how the flow stands, and waits until the gate sees it.
func (w *world) control(state string) {
	w.t.Helper()
	w.Seen(w.t, w.Control(w.t, facts.SourceControl, "order", facts.Control{State: state}))
}

func (s *step) deliver() {
	s.worker.Deliver(s.t.Context(), job.Envelope{Source: s.id.Source, Jobs: []job.Ref{s.ref}})
}

func (s *step) history(want ...job.State) ledger.Record {
	s.t.Helper()
	var got []job.State
	var last ledger.Entry
	rig.Must(s.t, s.Ledger.History(s.t.Context(), s.id, func(e ledger.Entry) error {
		if err := ledger.CheckNext(s.id.Source, last, e.Record); err != nil {
			s.t.Error(err)
		}
		got, last = append(got, e.Record.State), e
		return nil
	}))
	if !slices.Equal(got, want) {
		s.t.Fatalf("history: %v, want %v; the last is %+v", got, want, last.Record)
	}
	return last.Record
}

// TestFlowJobIsSent asserts that a flow's message says what its run was begun
// by, goes out once, and tells the platform when nobody wants it any more.
func TestFlowJobIsSent(t *testing.T) {
	for _, batch := range []bool{false, true} {
		s := newStep(t, batch)
		var got channel.Message
		s.answer = func(m channel.Message) channel.Result { got = m; return accept(m) }
		s.deliver()
		s.deliver() // the task comes twice
		r := s.history(job.Pending, job.Claimed, job.Sent)
		if got.Text != "Hello N0, A-1" || !got.Expires.Equal(s.ref.Ends) || s.sent[rig.Address(0)] != 1 || r.Attempt != 1 {
			t.Errorf("sent %+v, as %+v", got, r)
		}
		if s.worker.Stats.Lost.Load() == 0 {
			t.Error("the second task lost no claim")
		}
	}
}

// TestFlowJobsPromises holds P3 to P7 for a flow's job: what is stopped, opted
// out of or ended is not sent, whether that is before the claim or between it
// and the wire, and each says why.
func TestFlowJobsPromises(t *testing.T) {
	optOutOne := func(s *step) { s.Update(s.t, "bakery", optOut(0)) }
	for _, c := range []struct {
		name   string
		do     func(*step)
		before []job.State // history where it happens before the worker looks
		after  []job.State // where it happens right after the claim
		why    reason.Code
	}{
		{"opted out", optOutOne, []job.State{job.Pending, job.Blocked}, []job.State{job.Pending, job.Claimed, job.Blocked}, reason.OptedOut},
		{"flow deleted", func(s *step) { s.control(facts.Cancelled) }, []job.State{job.Pending, job.Cancelled}, []job.State{job.Pending, job.Claimed, job.Cancelled}, reason.Cancelled},
		{"flow paused", func(s *step) { s.control(facts.Paused) }, []job.State{job.Pending}, []job.State{job.Pending, job.Claimed, job.Pending}, reason.SenderPaused},
		{"sender paused", func(s *step) {
			s.Seen(s.t, s.Control(s.t, facts.SenderControl, "bakery", facts.Control{State: facts.Paused}))
		}, []job.State{job.Pending}, []job.State{job.Pending, job.Claimed, job.Pending}, reason.SenderPaused},
		{"ended", func(s *step) { s.ref.Ends = time.Now() }, []job.State{job.Pending, job.Expired}, nil, reason.Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStep(t, false)
			c.do(s)
			s.deliver()
			if r := s.history(c.before...); r.State != job.Pending {
				rig.Reason(t, r.Reason, c.why)
			} else if len(s.back) != 1 || s.why[0] != c.why {
				t.Errorf("given back: %v for %v", s.back, s.why)
			}
			if c.after == nil {
				return
			}
			s = newStep(t, false)
			s.claimed = func() { c.do(s) }
			s.deliver()
			rig.Reason(t, s.history(c.after...).Reason, c.why)
			if s.sent[rig.Address(0)] != 0 {
				t.Error("it was sent")
			}
		})
	}
}

// TestFlowJobIsCancelled asserts that a job which its run cancels before the
// claim is not sent, though a worker has it.
func TestFlowJobIsCancelled(t *testing.T) {
	s := newStep(t, false)
	rig.Must(t, errand.New(s.Ledger, s.Commits, s.Facts.Key).Cancel(t.Context(), s.id, "the run ended"))
	s.deliver()
	s.history(job.Pending, job.Cancelled)
	if s.sent[rig.Address(0)] != 0 {
		t.Error("it was sent")
	}
}

// TestFlowJobIsLost asserts that a job of which nobody knows what it says ends
// with a reason, and one that can't be read now goes back.
func TestFlowJobIsLost(t *testing.T) {
	s := newStep(t, false)
	s.worker.Flows = flows{err: errors.New("no answer")}
	s.deliver()
	s.history(job.Pending)
	if len(s.back) != 1 || s.why[0] != reason.FactsUnavailable {
		t.Errorf("given back: %v for %v", s.back, s.why)
	}
	s.worker.Flows = flows{err: &errand.Lost{Reason: reason.Internal, Why: "its run is not there any more"}}
	s.deliver()
	r := s.history(job.Pending, job.Blocked)
	rig.Reason(t, r.Reason, reason.Internal)
	if r.Evidence != "its run is not there any more" {
		t.Errorf("blocked as %+v", r)
	}
}

// TestFlowJobHasNoSender asserts that a job of a sender that is not defined
// any more ends.
func TestFlowJobHasNoSender(t *testing.T) {
	s := newStep(t, false)
	s.id.Sender = "gone"
	s.ref.Seq = s.Record(t, s.id, ledger.Record{State: job.Pending, Planned: true})
	s.deliver()
	rig.Reason(t, s.history(job.Pending, job.Blocked).Reason, reason.Internal)
}
