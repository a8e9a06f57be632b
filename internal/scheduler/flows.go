package scheduler

import (
	"context"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// errands is what the leader has of flows: nobody launches them, so their jobs
// come to the lanes by the ledger alone. Its fields are the leader's lock's.
type errands struct {
	known    bool // which flows have open jobs is known: their ledgers may be read
	senders  map[string]*errander
	controls map[string]facts.Control // of flows, as heard last
	asked    map[string]bool          // flows whose control was asked for
}

func newErrands() errands {
	return errands{senders: map[string]*errander{}, controls: map[string]facts.Control{}, asked: map[string]bool{}}
}

// errander is a sender with jobs of flows.
type errander struct {
	fed   bool                // its lane takes records as they come
	busy  bool                // its lane is being opened
	open  map[ledgerPart]bool // where jobs were open when this term began
	later []ledger.Entry      // records that came meanwhile
}

// ledgerPart is one stream of the ledger.
type ledgerPart struct {
	month string
	part  int
}

// recordedErrand follows one record of a flow's job.
func (l *Leader) recordedErrand(e ledger.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.errander(e.ID.Sender)
	if !s.fed {
		s.later = append(s.later, e)
		l.feedErrands(e.ID.Sender, s)
		return
	}
	l.askFlow(e.ID.Flow())
	l.lanes[e.ID.Sender].Recorded(e)
}

func (l *Leader) errander(sender string) *errander {
	s := l.errands.senders[sender]
	if s == nil {
		s = &errander{open: map[ledgerPart]bool{}}
		l.errands.senders[sender] = s
	}
	return s
}

// resume lets the jobs of flows go on that are open when a term begins. The
// tally has caught up: what it does not know of is told from now on.
func (l *Leader) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.Tally.OpenFlows() {
		l.errander(w.Sender).open[ledgerPart{w.Month, w.Part}] = true
	}
	l.errands.known = true
	for id, s := range l.errands.senders {
		l.feedErrands(id, s)
	}
}

// rest ends what begins by records, which are still told then.
func (l *Leader) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errands.known = false
}

// feedErrands gives the jobs of flows of one sender to its lane, in the
// background, until that is done.
func (l *Leader) feedErrands(sender string, s *errander) {
	if !l.errands.known || s.busy || s.fed {
		return
	}
	s.busy = true
	l.insist(func(ctx context.Context) bool {
		err := l.openErrands(ctx, sender, s)
		if err != nil && ctx.Err() == nil {
			l.Log.ErrorContext(ctx, "the messages of flows can't go on; trying again", "sender", sender, "error", err)
		}
		return err == nil
	})
}

func (l *Leader) openErrands(ctx context.Context, sender string, s *errander) error {
	n, err := l.openLane(ctx, sender)
	if err != nil {
		return err
	}
	for at := range s.open { // nobody else touches it from now on
		open, upTo := map[job.ID]lane.Standing{}, uint64(0)
		err := l.Ledger.OfFlows(ctx, at.month, at.part, sender, 0, func(e ledger.Entry) error {
			lane.Stand(open, e)
			upTo = e.Seq
			return nil
		})
		if err != nil {
			return err
		}
		n.Adopt(at.month, at.part, upTo, open)
		l.mu.Lock()
		delete(s.open, at)
		for id := range open {
			l.askFlow(id.Flow())
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range s.later {
		l.askFlow(e.ID.Flow())
		n.Recorded(e)
	}
	s.fed, s.later = true, nil
	return nil
}

// askFlow reads how a flow stands that nothing was heard of in this term.
func (l *Leader) askFlow(flow string) {
	if _, heard := l.errands.controls[flow]; heard || l.errands.asked[flow] || !l.errands.known {
		return
	}
	l.errands.asked[flow] = true
	l.insist(func(ctx context.Context) bool {
		c, _, err := l.Facts.Control(ctx, facts.SourceControl, flow)
		if err != nil && ctx.Err() == nil {
			l.Log.ErrorContext(ctx, "how a flow stands can't be read; trying again", "flow", flow, "error", err)
		}
		if err == nil {
			l.Controlled(facts.SourceControl, flow, c)
		}
		return err == nil
	})
}

// insist does something beside everything else, again and again until it is
// done.
func (l *Leader) insist(done func(context.Context) bool) {
	l.wg.Go(func() {
		for !done(l.life) {
			select {
			case <-l.life.Done():
				return
			case <-time.After(restAfter):
			}
		}
	})
}

// controlledFlow tells the lanes how a flow stands.
func (l *Leader) controlledFlow(flow string, c facts.Control) {
	if old, heard := l.errands.controls[flow]; heard && c.Rev < old.Rev {
		return
	}
	l.errands.controls[flow] = c
	for _, n := range l.lanes {
		n.SetFlow(flow, flowState(c))
	}
}

// flowState is how a flow stands by its control. One without is not known:
// what is sent of it would find none at its recheck.
func flowState(c facts.Control) lane.FlowState {
	switch c.State {
	case facts.Running:
		return lane.FlowRunning
	case facts.Paused:
		return lane.FlowPaused
	case facts.Cancelled, facts.Ended:
		return lane.FlowClosed
	}
	return lane.FlowUnknown
}

// isFlow tells the name of a whole flow from that of a broadcast's source.
func isFlow(name string) bool { return !strings.Contains(name, "~") }
