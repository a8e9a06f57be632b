package model

import (
	"github.com/carillon-dev/carillon/internal/job"
)

// Can tells whether an action is possible as things stand.
func (w *World) Can(a Action) bool {
	switch a.Op {
	case Release, Lapse, Redrive, Discard, Echo:
		return a.N < Jobs && w.canMove(a.Op, a.N)
	case Take:
		return a.N < Workers && a.Task < len(w.tasks) && w.workers[a.N].stage == idle
	case Claim, Recheck, LetGo, Accept, Refuse, Busy, Unsent, Vanish, Answer, Lose, Settle, Die:
		return a.N < Workers && w.workers[a.N].stage.allows(a.Op)
	case OptOut, Force, Ack:
		return a.N < Contacts && w.canOptOut(a.Op, a.N)
	case Pause, Cancel, Stopped, Resume, Expire:
		return a.N < Sources && w.canSteer(a.Op, a.N)
	case Blind:
		return !w.blind
	case Sight:
		return w.blind
	}
	return false
}

// canMove tells whether something other than a worker may move a job.
func (w *World) canMove(o Op, j int) bool {
	last, s := w.Last(j), w.sources[SourceOf(j)]
	switch o {
	case Release:
		return last.State == job.Pending && s.running() && !w.out(j, last.Seq)
	case Lapse:
		return last.State == job.Claimed
	case Redrive:
		return s.closing() == "" && (last.State.Dead() || w.mistake == RedrivesAnything && last.State == job.Sent)
	case Discard:
		return last.State.Dead() && !last.Discarded
	default: // Echo
		return w.fates[j].accepted > 0
	}
}

// out tells whether the queue has a task of a job as it is now. It delivers it
// as often as a history asks for, so that another one would add nothing.
func (w *World) out(j, seq int) bool {
	for _, t := range w.tasks {
		if t.Job == j && t.Seq == seq {
			return true
		}
	}
	return false
}

func (w *World) canOptOut(o Op, c int) bool {
	at := w.contacts[c]
	switch o {
	case OptOut:
		return at == open
	case Force:
		return at == kept
	default: // Ack
		return (at == inForce || at == kept && w.mistake == AnswersKept) && (w.mistake == AnswersOpen || !w.Open(ContactOf, c))
	}
}

func (w *World) canSteer(o Op, n int) bool {
	s := w.sources[n]
	switch o {
	case Pause:
		return s.running()
	case Resume:
		return s.state == job.Held
	case Cancel, Expire:
		return s.closing() == ""
	default: // Stopped
		return s.line == inForce && (w.mistake == StopsOpen || !w.Open(SourceOf, n))
	}
}

// Do plays one action and reports whether it was possible; else nothing
// changes.
func (w *World) Do(a Action) bool {
	if !w.Can(a) {
		return false
	}
	w.step++
	switch a.Op {
	case Release, Lapse, Redrive, Discard, Echo:
		w.move(a.Op, a.N)
	case Take:
		w.take(&w.workers[a.N], w.tasks[a.Task])
	case Claim, Recheck, LetGo, Accept, Refuse, Busy, Unsent, Vanish, Answer, Lose, Settle, Die:
		w.work(&w.workers[a.N], a.Op)
	case OptOut, Force, Ack:
		w.contacts[a.N]++
		if a.Op == Ack {
			w.contacts[a.N] = answered
		}
	case Pause, Cancel, Stopped, Resume, Expire:
		w.steer(&w.sources[a.N], a.Op)
	case Blind, Sight:
		w.blind = a.Op == Blind
	}
	w.checkCounts()
	return true
}

// Next returns what a worker does next if nothing happens to it. It reports
// false for one without a task.
func (w *World) Next(k int) (Op, bool) { return w.workers[k].stage.onwards() }

// steer moves a source. Its control is in force at once; what comes before
// that is the same as for an opt-out.
func (w *World) steer(s *source, o Op) {
	switch o {
	case Pause:
		s.state, s.line = job.Held, inForce
	case Cancel:
		s.state, s.line = job.Cancelled, inForce
	case Expire:
		s.state, s.line = job.Expired, open
	case Resume:
		s.state, s.line = "", open
	default: // Stopped
		s.line = answered
	}
}

// Wind returns the next action on the way to the end, where everything works
// and nobody asks for anything more. It reports false where the end is.
func (w *World) Wind() (Action, bool) {
	if w.blind {
		return Action{Op: Sight}, true
	}
	if a, ok := w.first(Force); ok {
		return a, true
	}
	for i := range w.workers {
		if o, ok := w.workers[i].stage.onwards(); ok {
			return Action{Op: o, N: i}, true
		}
	}
	if a, ok := w.first(Ack); ok {
		return a, true
	}
	if a, ok := w.first(Stopped); ok {
		return a, true
	}
	if a, ok := w.first(Resume); ok {
		return a, true
	}
	for j := range Jobs {
		if a, ok := w.finish(j); ok {
			return a, true
		}
	}
	return Action{}, false
}

// first returns the action for the first contact or source of which it is
// possible.
func (w *World) first(o Op) (Action, bool) {
	for i := range max(Contacts, Sources) {
		if a := (Action{Op: o, N: i}); w.Can(a) {
			return a, true
		}
	}
	return Action{}, false
}

// finish is what brings one job to its end. What the queue had it has lost, so
// that a job goes by a task of its own, which is the newest.
func (w *World) finish(j int) (Action, bool) {
	switch last := w.Last(j); {
	case last.State == job.Claimed:
		return Action{Op: Lapse, N: j}, true
	case last.State != job.Pending || !w.sources[SourceOf(j)].running():
		return Action{}, false
	case w.Can(Action{Op: Release, N: j}):
		return Action{Op: Release, N: j}, true
	}
	for i := len(w.tasks) - 1; i >= 0; i-- {
		if t := w.tasks[i]; t.Job == j && t.Seq == w.Last(j).Seq {
			return Action{Op: Take, Task: i}, w.mistake != ForgetsLost
		}
	}
	return Action{}, false
}

// windings bounds how many actions the end is away.
const windings = 400

// Finish winds the world to its end and checks it.
func (w *World) Finish() {
	for range windings {
		a, more := w.Wind()
		if !more {
			w.CheckEnd()
			return
		}
		if !w.Do(a) {
			w.fail("P1: on the way to the end %q is not possible", a)
			return
		}
	}
	w.fail("P1: it never ends")
}
