package flow

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// The bounds of a run: what it may do at one look, so that a loop that waits
// for nothing ends, and how much of its path it keeps.
const (
	maxAtOnce = 1000
	maxPath   = 200
)

// turn is one look at a run, on a copy of it.
type turn struct {
	p       *Program
	id      ID
	r       *Run
	w       World
	s       *scope
	owed    []Effect
	left    int // instructions that may still be carried out
	changed bool
}

// turn begins a look. What the run owed is known to be done, but for calls,
// which are owed until they are settled.
func (p *Program) turn(id ID, r Run, w World) *turn {
	r.Threads, r.Path = slices.Clone(r.Threads), slices.Clone(r.Path)
	for i := range r.Threads {
		r.Threads[i].Rounds = slices.Clone(r.Threads[i].Rounds)
	}
	r.Outcomes, r.Visits = maps.Clone(r.Outcomes), maps.Clone(r.Visits)
	x := &turn{p: p, id: id, r: &r, w: w, owed: r.Owes, left: maxAtOnce}
	r.Owes = unsettled(x.owed)
	x.s = &scope{id: id, run: x.r, w: &x.w, code: p.code}
	if len(r.Identities) > 0 {
		x.s.who = r.Identities[0]
	}
	x.s.raw = r.Event
	return x
}

// unsettled are the calls among what a run owes.
func unsettled(owed []Effect) (out []Effect) {
	for _, e := range owed {
		if e.Kind == Call {
			out = append(out, e)
		}
	}
	return out
}

// unchanged is the run as it was.
func (x *turn) unchanged() Result {
	x.r.Owes = x.owed
	return Result{Run: x.r}
}

// result is the run as it is now.
func (x *turn) result() Result {
	if !x.changed {
		return x.unchanged()
	}
	x.r.Due = x.due()
	return Result{Run: x.r, Changed: true}
}

// due is when the run is to be looked at next.
func (x *turn) due() (due time.Time) {
	switch {
	case x.r.State.Over():
		return due
	case x.r.State == Gathering:
		return x.r.Due
	}
	for i := range x.r.Threads {
		if d := x.r.Threads[i].Due; !d.IsZero() && (due.IsZero() || d.Before(due)) {
			due = d
		}
	}
	return due
}

// owe asks for an effect.
func (x *turn) owe(e Effect) {
	e.At = x.w.Now.UTC()
	x.r.Owes = append(x.r.Owes, e)
}

// visit adds a line to the path.
func (x *turn) visit(v Visit) {
	v.At = x.w.Now.UTC()
	x.r.Path = append(x.r.Path, v)
	if n := len(x.r.Path) - maxPath; n > 0 {
		x.r.Path = slices.Delete(x.r.Path, 0, n)
		x.r.Cut += n
	}
	x.changed = true
}

// end ends the run. What it planned and nobody sent is not wanted any more.
func (x *turn) end(s State, why string) {
	for i := range x.r.Threads {
		if th := &x.r.Threads[i]; th.Job != "" {
			x.owe(Effect{Kind: Cancel, ID: "cancel-" + th.Job, Identity: th.To, Month: month(th.Since)})
		}
	}
	x.r.State, x.r.Why, x.r.EndedAt, x.r.Threads = s, why, x.w.Now.UTC(), nil
	x.visit(Visit{Did: string(s), What: why})
}

// fail ends a run that can't go on.
func (x *turn) fail(format string, args ...any) { x.end(Failed, fmt.Sprintf(format, args...)) }

// look goes on where a time has come, after ends and dates.
func (x *turn) look() {
	if x.ends(nil) {
		return
	}
	x.redate()
	x.advance()
}

// hear goes on where an event was waited for, and begins what more holds by it.
func (x *turn) hear(t *Told, more []criterion) {
	told := input(t)
	if x.ends(&hearingOf{t, told}) || x.r.State == Gathering {
		return
	}
	for i := range x.r.Threads {
		th := &x.r.Threads[i]
		if th.Event && x.inTime(th, t) && x.takes(&x.p.code[th.At], t, told) {
			x.visit(Visit{Step: x.p.code[th.At].step, Did: "event", What: string(t.Type)})
			x.leave(th, x.p.code[th.At].then)
		}
	}
	x.take(more)
	x.redate()
	x.advance()
}

// hearingOf is an event that is being taken in.
type hearingOf struct {
	t    *Told
	told map[string]any
}

// inTime tells whether an event came no later than the line's waiting ended,
// though nobody may have woken the run then. A teller's clock that is ahead of ours
// makes nothing late.
func (x *turn) inTime(th *Thread, t *Told) bool {
	at := t.Time
	if at.After(x.w.Now) {
		at = x.w.Now
	}
	return !at.After(th.Due)
}

func (x *turn) takes(in *instruction, t *Told, told map[string]any) bool {
	if !names(in.events, t.Type, t.Channel) {
		return false
	}
	ok, err := x.s.about(told).holds(in.where)
	return ok && err == nil // what can't be compared is another event
}

// ends ends the run where its goal, or an exit, is reached: the goal first.
// Conditions without events are looked at whenever the run is.
func (x *turn) ends(h *hearingOf) bool {
	for _, of := range []struct {
		list  []ending
		state State
		what  string
	}{{x.p.goal, Goal, "goal"}, {x.p.exits, Exited, "exit"}} {
		for i, e := range of.list {
			if !x.reached(e, h) {
				continue
			}
			why := of.what
			if of.state == Exited {
				why = fmt.Sprintf("exit[%d]", i)
			}
			if len(e.events) > 0 {
				why += " by " + string(h.t.Type)
			}
			x.end(of.state, why)
			return true
		}
	}
	return false
}

// reached tells whether an ending is. One that can't be found out is not.
func (x *turn) reached(e ending, h *hearingOf) bool {
	s := x.s
	if len(e.events) > 0 {
		if h == nil || !names(e.events, h.t.Type, h.t.Channel) {
			return false
		}
		s = s.about(h.told)
	}
	ok, err := s.holds(e.where)
	return ok && err == nil
}

// redate reckons the dates that lines wait for anew.
func (x *turn) redate() {
	for i := range x.r.Threads {
		th := &x.r.Threads[i]
		if !th.Dated {
			continue
		}
		in := &x.p.code[th.At]
		due, _ := in.date.reckon(x.s, x.zone())
		if due.Equal(th.Due) {
			continue
		}
		th.Due = due
		x.visit(Visit{Step: in.step, Did: "moved", Until: due})
	}
}

// zone is that of the contact's clock.
func (x *turn) zone() *time.Location { return x.w.zone(x.r.Identities, x.r.Sender, x.s.who.Sender) }

// advance carries out what can be, line by line, the one that was due first
// before the others.
func (x *turn) advance() {
	for !x.r.State.Over() {
		th := x.ripe()
		if th == nil {
			break
		}
		x.wake(th)
		for th.At != done && !th.waits() && !x.r.State.Over() {
			x.carryOut(th)
		}
		x.r.Threads = slices.DeleteFunc(x.r.Threads, func(th Thread) bool { return th.At == done })
	}
	if !x.r.State.Over() && len(x.r.Threads) == 0 {
		x.end(Done, "")
	}
}

// ripe returns the line to go on with: of those that wait for nothing, or whose
// time has come, the one that was due first; of several, the first.
func (x *turn) ripe() (best *Thread) {
	for i := range x.r.Threads {
		th := &x.r.Threads[i]
		if th.waits() && (th.Due.IsZero() || th.Due.After(x.w.Now)) {
			continue
		}
		if best == nil || th.Due.Before(best.Due) {
			best = th
		}
	}
	return best
}

// waits tells whether the line waits for anything.
func (th *Thread) waits() bool {
	return !th.Due.IsZero() || th.Event || th.Dated || th.Job != "" || th.Hook != ""
}

// leave goes on at another instruction.
func (x *turn) leave(th *Thread, at int) {
	*th = Thread{At: at, Rounds: th.Rounds, Woke: th.Woke}
	x.changed = true
}

// wake goes on with a line whose time has come.
func (x *turn) wake(th *Thread) {
	if !th.waits() {
		return
	}
	in := &x.p.code[th.At]
	switch {
	case th.Quiet:
		try := th.Try
		x.leave(th, th.At)
		x.send(th, in, try)
	case th.Event:
		x.visit(Visit{Step: in.step, Did: "timeout"})
		x.leave(th, in.other)
	default:
		due := th.Due
		x.leave(th, in.next)
		th.Woke = due
	}
}

// carryOut carries out the instruction that a line came to.
func (x *turn) carryOut(th *Thread) {
	in := &x.p.code[th.At]
	if x.left--; x.left < 0 {
		x.fail("step %s: more than %d steps at one moment: a loop waits for nothing", in.step, maxAtOnce)
		return
	}
	if x.r.Visits == nil {
		x.r.Visits = map[int]int{}
	}
	x.r.Visits[th.At]++
	x.changed = true
	switch in.kind {
	case sending:
		x.send(th, in, 0)
	case pausing:
		x.pause(th, in)
	case hearing:
		th.Event, th.Since, th.Due = true, x.w.Now.UTC(), x.w.Now.Add(in.length).UTC()
		x.visit(Visit{Step: in.step, Did: "wait", Until: th.Due})
	case branching:
		x.branch(th, in)
	case splitting:
		x.split(th, in)
	case repeating:
		x.repeat(th, in)
	case setting:
		x.set(th, in)
	case calling:
		x.call(th, in)
	case starting, stopping:
		x.other(th, in)
	case notifying:
		x.notify(th, in)
	case handing:
		x.visit(Visit{Step: in.step, Did: in.kind.name()})
		x.end(HandedOff, "")
	case closing:
		x.visit(Visit{Step: in.step, Did: in.kind.name()})
		x.end(Done, "")
	}
}

// month is that of the ledger of jobs planned at a moment.
func month(t time.Time) string { return t.UTC().Format("200601") }

// quiet returns when the flow's hours are over, and false outside of them.
func (x *turn) quiet() (time.Time, bool) {
	if x.p.quiet == (policy.QuietHours{}) {
		return time.Time{}, false
	}
	until := x.p.quiet.Until(x.w.Now, x.zone())
	return until, until.After(x.w.Now)
}
