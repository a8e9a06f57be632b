package model

import (
	"fmt"

	"github.com/carillon-dev/carillon/internal/job"
)

// states is how many states a job has.
const states = 11

// place is a state's row in a tally.
func place(s job.State) int {
	switch s {
	case job.Pending:
		return 0
	case job.Held:
		return 1
	case job.Claimed:
		return 2
	case job.Sent:
		return 3
	case job.Delivered:
		return 4
	case job.Read:
		return 5
	case job.Blocked:
		return 6
	case job.Failed:
		return 7
	case job.Unknown:
		return 8
	case job.Cancelled:
		return 9
	case job.Expired:
		return 10
	}
	panic("model: no state " + string(s))
}

func (w *World) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

// count takes one record into the running tally, as the real one does: by
// what stands in the record alone.
func (s *source) count(r Record) {
	if r.Discarded {
		return
	}
	if r.Prev != 0 {
		s.tally[place(r.From)]--
	}
	s.tally[place(r.State)]++
}

// checkRecord is P1 and P5: every move is legal, and says why.
func (w *World) checkRecord(j int, last, r Record) {
	switch {
	case r.From != last.State:
		w.fail("P1: job %d: a record says that it follows %s, and %s came before it", j, r.From, last.State)
	case r.Discarded && r.State == last.State && last.State.Dead():
	case last.Seq == 0 && r.State == job.Sent:
		w.fail("P1: job %d was never claimed and is sent", j)
	default:
		if err := job.CheckMove(last.State, r.State); err != nil {
			w.fail("P1: job %d: %v", j, err)
		}
	}
	if r.State.Ended() && r.State.Told() == 0 && r.Reason == "" {
		w.fail("P5: job %d is %s without a reason", j, r.State)
	}
	if r.State == job.Sent && w.fates[j].accepted == 0 {
		w.fail("P1: job %d is sent, and the platform never had it", j)
	}
}

// checkOutcome is P1 of what a claim led to: what the platform took by it is
// sent, or nobody knows.
func (w *World) checkOutcome(j, claim int, s job.State) {
	if f := w.fates[j]; f.accepted > 0 && f.by == claim && s != job.Sent && s != job.Unknown {
		w.fail("P1: job %d is %s by claim %d, and the platform has it", j, s, claim)
	}
}

// checkLapse is P1 and P5 of what nobody settled: that takes a worker that
// died, or one that is held up with its claim.
func (w *World) checkLapse(j, claim int) {
	if w.holder(claim) == nil && w.fates[j].died != claim {
		w.fail("P5: job %d becomes unknown for nothing: whoever claimed it just left it", j)
	}
}

// checkLeaving is P2, P3 and P4 at the platform's door.
func (w *World) checkLeaving(k *worker) {
	j := k.task.Job
	f := &w.fates[j]
	switch {
	case f.spent:
		w.fail("P2: the platform takes job %d again, and nobody said so", j)
	case k.claim == 0:
		w.fail("P2: job %d left without a claim", j)
	case k.lapsed:
		w.fail("P2: job %d left by a claim that others call unknown", j)
	case w.contacts[ContactOf(j)] == answered:
		w.fail("P3: job %d leaves after its contact's opt-out was answered", j)
	case w.sources[SourceOf(j)].line == answered:
		w.fail("P3: job %d leaves after its source was stopped", j)
	case k.sight < k.won:
		w.fail("P3: job %d was not looked at since it was claimed", j)
	case k.blind:
		w.fail("P4: job %d leaves, and nobody could see whether it may", j)
	}
	f.accepted, f.by, f.spent = f.accepted+1, k.claim, true
}

// checkCounts is P1 at any time: the running tally is what a full count finds.
func (w *World) checkCounts() {
	var full [Sources][states]int
	for j := range Jobs {
		if r := w.Last(j); r.Seq != 0 {
			full[SourceOf(j)][place(r.State)]++
		}
	}
	for s := range full {
		if full[s] != w.sources[s].tally {
			w.fail("P1: source %d is counted as %v, and is %v", s, w.sources[s].tally, full[s])
		}
	}
}

// CheckEnd is P1 and P5 once nothing is left to do: everybody has an outcome,
// or a source that was closed.
func (w *World) CheckEnd() {
	for j := range Jobs {
		if w.Bucket(j) == job.InPending {
			w.fail("P1: job %d is %s at the end, and nothing moves it", j, w.Last(j).State)
		}
		if f := w.fates[j]; f.accepted > 0 && !f.doubt && w.Bucket(j) != job.InSent {
			w.fail("P1: the platform has job %d, which counts as %s", j, w.Bucket(j))
		}
	}
}
