package flow

import (
	"fmt"
	"slices"
)

// Moved takes a run of an earlier version over to this one where the document
// says how; it reports false where it does not, and the run stays where it is:
// each of its lines must wait at a step that move names. A line that waits for
// a time, for events or for an outcome goes on to wait at a step that does the
// same, by what that says, reckoned from when it came; any other step is taken
// from its beginning.
func (p *Program) Moved(id ID, r Run, from *Program, w World) (Result, bool) {
	if r.State.Over() || r.Version != from.Version || p.Version <= from.Version || len(p.Spec.Move) == 0 {
		return Result{Run: &r}, false
	}
	at := make([]int, len(r.Threads))
	for i := range r.Threads {
		to, named := p.Spec.Move[from.code[r.Threads[i].At].step]
		at[i] = slices.IndexFunc(p.code, func(in instruction) bool { return in.step == to })
		if !named || at[i] < 0 {
			return Result{Run: &r}, false
		}
	}
	x := p.turn(id, r, w)
	x.r.Version, x.r.Visits = p.Version, map[int]int{}
	x.visit(Visit{Did: "version", What: fmt.Sprintf("from %d to %d", from.Version, p.Version)})
	for i := range x.r.Threads {
		x.move(&x.r.Threads[i], &from.code[x.r.Threads[i].At], at[i])
	}
	if x.r.State != Gathering {
		x.look()
	}
	return x.result(), true
}

// move takes one line over.
func (x *turn) move(th *Thread, was *instruction, at int) {
	in := &x.p.code[at]
	waited := *th
	x.leave(th, at)
	th.Rounds = rounds(th.Rounds, in)
	if in.kind != was.kind {
		return
	}
	since := waited.Since
	switch {
	case in.kind == hearing:
		th.Event, th.Due = true, since.Add(in.length)
	case waited.Job != "":
		th.Job, th.Try, th.To = waited.Job, waited.Try, waited.To
	case waited.Hook != "":
		th.Hook = waited.Hook
	case in.kind == pausing && in.until != nil:
		th.Due = next(since, *in.until, x.zone())
	case in.kind == pausing && in.date != nil:
		th.Dated = true
		th.Due, _ = in.date.reckon(x.s, x.zone())
	case in.kind == pausing:
		th.Due = since.Add(in.length)
	default:
		return
	}
	th.Since = since
	x.r.Visits[at] = 1
}

// rounds fits the loops that a line is in to those around an instruction: a
// loop that it comes into this way is in its first round.
func rounds(have []int, in *instruction) []int {
	depth := in.depth
	if in.kind == repeating { // it counts the round when it begins
		depth--
	}
	have = slices.Clone(have[:min(len(have), depth)])
	for len(have) < depth {
		have = append(have, 1)
	}
	return have
}
