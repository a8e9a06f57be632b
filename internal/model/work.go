package model

import (
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// allows tells whether a worker at a stage can take a step.
func (s stage) allows(o Op) bool {
	switch o {
	case Claim:
		return s == peeked
	case Recheck, LetGo:
		return s == claimed
	case Accept, Refuse, Busy, Unsent, Vanish:
		return s == wire
	case Answer, Lose:
		return s == answering
	case Settle:
		return s == settling
	default: // Die
		return s != idle
	}
}

// onwards is the step of a worker to which nothing happens.
func (s stage) onwards() (Op, bool) {
	switch s {
	case peeked:
		return Claim, true
	case claimed:
		return Recheck, true
	case wire:
		return Accept, true
	case answering:
		return Answer, true
	case settling:
		return Settle, true
	case idle:
	}
	return 0, false
}

// verdict is what a look says of a job.
type verdict uint8

const (
	send  verdict = iota
	hold          // nothing is said of the job: it may go later
	block         // its contact opted out
	drop          // its source is closed
)

// look is the gate: what a job may do by what can be seen.
func (w *World) look(k *worker, j int) verdict {
	k.sight, k.blind = w.step, w.blind
	s := w.sources[SourceOf(j)]
	switch {
	case w.blind && w.mistake != SendsBlind:
		return hold
	case s.closing() != "":
		return drop
	case s.state == job.Held:
		return hold
	case w.contacts[ContactOf(j)] == inForce, w.contacts[ContactOf(j)] == answered && w.mistake != AnswersKept:
		return block
	}
	return send
}

// take is the peek: what is refused settles at once, what is held goes back.
func (w *World) take(k *worker, t Task) {
	*k = worker{stage: peeked, task: t}
	v := w.look(k, t.Job)
	if v == send {
		return
	}
	*k = worker{}
	if v == block && w.mistake != DropsQuietly {
		w.write(t.Job, Record{State: job.Blocked, From: job.Pending, Prev: t.Seq, Reason: w.because(reason.OptedOut), Attempt: t.Attempt})
	}
}

// because is the reason of a refusal.
func (w *World) because(why reason.Code) reason.Code {
	if w.mistake == NamesNoReason {
		return ""
	}
	return why
}

func (w *World) work(k *worker, o Op) {
	switch o {
	case Claim:
		w.claim(k)
	case Recheck:
		w.recheck(k)
	case LetGo:
		k.settles(Record{State: job.Pending, Reason: reason.RateCapped, Attempt: k.task.Attempt})
	case Accept, Refuse, Busy, Unsent, Vanish:
		w.call(k, o)
	case Answer:
		k.settles(k.answer)
	case Lose:
		w.lost(k)
	case Settle:
		w.settle(k)
	default: // Die
		f := &w.fates[k.task.Job]
		f.died = max(f.died, k.claim)
		*k = worker{}
	}
}

func (w *World) claim(k *worker) {
	t := k.task
	if w.mistake == SendsUnclaimed {
		k.stage = claimed
		return
	}
	r := Record{State: job.Claimed, From: job.Pending, Prev: t.Seq, Attempt: t.Attempt + 1}
	if w.mistake == IgnoresFence {
		r.Prev = w.Last(t.Job).Seq
	}
	if !w.write(t.Job, r) {
		*k = worker{} // somebody else has it
		return
	}
	k.stage, k.claim, k.won = claimed, w.seq, w.step
}

// recheck stands right before the wire. A claim that others may call unknown
// sends nothing.
func (w *World) recheck(k *worker) {
	v := send
	if w.mistake != SkipsRecheck {
		v = w.look(k, k.task.Job)
	}
	r := Record{State: job.Pending, Attempt: k.task.Attempt}
	switch v {
	case block:
		r.State, r.Reason = job.Blocked, w.because(reason.OptedOut)
	case drop:
		r.State, r.Reason = w.sources[SourceOf(k.task.Job)].state, reason.Cancelled
		if r.State == job.Expired {
			r.Reason = reason.Expired
		}
		if w.mistake == LeavesClaims {
			*k = worker{}
			return
		}
	case send:
		if !k.lapsed || w.mistake == SendsLapsed {
			k.stage = wire
			return
		}
	case hold:
	}
	k.settles(r)
}

func (k *worker) settles(r Record) { k.stage, k.outcome = settling, r }

// call is what becomes of a request, and what the worker will hear of it.
func (w *World) call(k *worker, o Op) {
	n := k.task.Attempt + 1
	k.stage = answering
	switch o {
	case Accept:
		w.checkLeaving(k)
		k.answer = Record{State: job.Sent, Attempt: n}
	case Refuse:
		k.answer = Record{State: job.Failed, Reason: w.because(reason.RecipientNotFound), Attempt: n}
	case Busy:
		k.answer = Record{State: job.Pending, Reason: reason.PlatformRejected, Attempt: n}
		if n >= maxAttempts {
			k.answer.State = job.Failed
		}
	case Unsent:
		k.settles(Record{State: job.Pending, Reason: reason.PlatformUnreachable, Attempt: n})
	default: // Vanish
		w.lost(k)
	}
}

// lost is that no answer will come: the platform may have the message.
func (w *World) lost(k *worker) {
	r := Record{State: job.Unknown, Reason: reason.OutcomeUnknown, Attempt: k.task.Attempt + 1}
	if w.mistake == RetriesUnknown {
		r = Record{State: job.Pending, Reason: reason.PlatformUnreachable, Attempt: k.task.Attempt + 1}
	}
	k.settles(r)
}

// settle records an outcome. A job that became unknown meanwhile moves on from
// there, if it is by the same claim.
func (w *World) settle(k *worker) {
	j, r := k.task.Job, k.outcome
	r.From, r.Prev = job.Claimed, k.claim
	claim := k.claim
	*k = worker{}
	if claim == 0 { // SendsUnclaimed: there is nothing to settle
		return
	}
	last := w.Last(j)
	switch {
	case last.Seq == claim:
	case w.mistake == LateOverwrites:
		r.From, r.Prev = last.State, last.Seq
	case last.State != job.Unknown || last.Discarded || job.CheckMove(job.Unknown, r.State) != nil, last.Prev != claim && w.mistake != LateOfAnother:
		w.write(j, r) // which is lost
		return
	default:
		r.From, r.Prev = job.Unknown, last.Seq
	}
	w.checkOutcome(j, claim, r.State)
	w.write(j, r)
}

// holder returns the worker that has a claim, nil where none has.
func (w *World) holder(claim int) *worker {
	for i := range w.workers {
		if k := &w.workers[i]; k.claim == claim && k.stage != idle {
			return k
		}
	}
	return nil
}

// Lapsed tells whether others call a worker's claim unknown.
func (w *World) Lapsed(k int) bool { return w.workers[k].lapsed }

// move is what lanes, operators and the platform's webhooks do to a job.
func (w *World) move(o Op, j int) {
	last := w.Last(j)
	r := Record{From: last.State, Prev: last.Seq, Attempt: last.Attempt}
	switch o {
	case Release:
		w.tasks = append(w.tasks, Task{j, last.Seq, last.Attempt})
		return
	case Lapse:
		w.lapse(j, last)
		return
	case Redrive:
		if r.State, r.Attempt = job.Pending, 0; last.State == job.Unknown {
			w.fates[j].spent = false // an operator says so
		}
	case Discard:
		r.State, r.Reason, r.Discarded = last.State, last.Reason, true
	default: // Echo
		if !w.believes(last) {
			return
		}
		r.State = job.Sent
	}
	w.write(j, r)
}

// believes tells whether an echo moves a job. One of a job that was tried
// before may be of the earlier attempt, while this one is still on its way.
func (w *World) believes(last Record) bool {
	switch last.State {
	case job.Unknown, job.Pending, job.Held:
		return last.Seq != 0
	case job.Claimed:
		return last.Prev == 0 || w.mistake == TrustsEcho
	default:
		return false
	}
}

// lapse is repair after the claim's deadline and margin. Whoever still has the
// claim has given up on its answer by then, and sends no more by it.
func (w *World) lapse(j int, claim Record) {
	w.checkLapse(j, claim.Seq)
	r := Record{State: job.Unknown, Reason: reason.OutcomeUnknown, From: job.Claimed, Prev: claim.Seq, Attempt: claim.Attempt}
	if w.mistake == LapseRetries {
		r.State, r.Reason = job.Pending, ""
	}
	if k := w.holder(claim.Seq); k != nil {
		k.lapsed = true
		if k.stage == wire || k.stage == answering {
			w.lost(k)
		}
	}
	w.write(j, r)
}
