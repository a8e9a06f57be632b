package receipt_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
)

// histories are those that a job may have when receipts of it come.
func histories() [][]job.State {
	return [][]job.State{
		nil, {job.Claimed}, {job.Claimed, job.Sent}, {job.Claimed, job.Unknown}, {job.Claimed, job.Unknown, job.Pending},
		{job.Claimed, job.Unknown, job.Pending, job.Held}, {job.Claimed, job.Unknown, job.Pending, job.Blocked}, {job.Claimed, job.Failed},
		{job.Claimed, job.Pending, job.Claimed, job.Sent},
	}
}

// person is one contact with its jobs, and everything that is told of them.
type person struct {
	jobs []job.ID
	was  []job.State // the last of each, "" for none
	told []event.Event
}

func (w *world) person(t *testing.T, rt *rapid.T, n int) person {
	a := rig.Address(n)
	var p person
	for range rapid.IntRange(1, 3).Draw(rt, "jobs") {
		h := rapid.SampledFrom(histories()).Draw(rt, "history")
		id := w.job(t, a, h...)
		p.jobs = append(p.jobs, id)
		last := job.State("")
		if len(h) > 0 {
			last = h[len(h)-1]
		}
		p.was = append(p.was, last)
		for _, make := range []func() event.Event{
			func() event.Event { return w.echo(a, id) }, func() event.Event { return w.told(event.Delivered, a, mid(id)) },
			func() event.Event { return w.told(event.Read, a, mid(id)) }, func() event.Event { return w.naming(event.Failed)(a, id) },
			func() event.Event { return w.told(event.Failed, a, mid(id)) },
		} {
			for range rapid.IntRange(0, 2).Draw(rt, "times") {
				p.told = append(p.told, make())
			}
		}
	}
	for _, typ := range []event.Type{event.Delivered, event.Read} {
		if rapid.Bool().Draw(rt, "watermark") {
			p.told = append(p.told, w.upTo(typ, a, w.noon.Add(rapid.SampledFrom([]time.Duration{-time.Minute, time.Minute}).Draw(rt, "mark"))))
		}
	}
	return p
}

// ends is where a job must end, whatever the order of what is told.
func (w *world) ends(p person, i int) job.State {
	id, end := p.jobs[i], p.was[i]
	if end == "" || end == job.Failed || end == job.Blocked {
		return end
	}
	if end.Told() == 0 {
		for _, e := range p.told {
			if e.Job == id.String() {
				end = job.Sent
			}
		}
	}
	if end.Told() == 0 {
		return end
	}
	to := map[event.Type]job.State{event.Echo: job.Sent, event.Delivered: job.Delivered, event.Read: job.Read, event.Failed: job.Failed}
	for _, e := range p.told {
		about := e.Job == id.String() || len(e.MessageIDs) == 1 && e.MessageIDs[0] == mid(id) || e.Watermark.After(w.noon)
		if s := to[e.Type]; about && s.Told() > end.Told() {
			end = s
		}
	}
	return end
}

// Whatever order receipts come in, however often, and however they are put
// together, the ledger ends in the same state, no job ever goes down, and
// every history is a legal one.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	w := open(t)
	people := 100
	rapid.Check(t, func(rt *rapid.T) {
		people++
		p := w.person(t, rt, people)
		left := rapid.Permutation(p.told).Draw(rt, "order")
		var later []event.Event
		for len(left) > 0 {
			n := rapid.IntRange(1, len(left)).Draw(rt, "together")
			later = append(later, w.apply(t, left[:n]...)...)
			left = left[n:]
		}
		for range len(later) + 1 { // one of them may wait for another
			later = w.apply(t, later...)
		}
		for i, id := range p.jobs {
			if got, want := w.last(t, id).Record.State, w.ends(p, i); got != want {
				rt.Fatalf("%s was %q and is %q, want %q; told %s, left %s", id.Name, p.was[i], got, want, say(p.told), say(later))
			}
			w.legal(rt, id)
			w.rises(t, rt, id)
		}
	})
}

// rises fails the test where a job went down in what was told of it.
func (w *world) rises(t *testing.T, rt *rapid.T, id job.ID) {
	told := 0
	for _, s := range w.States(t, id) {
		if s.Told() < told {
			rt.Fatalf("%s went down to %s", id, s)
		}
		told = s.Told()
	}
}

func say(events []event.Event) (out []string) {
	for _, e := range events {
		out = append(out, fmt.Sprint(e.Type, " ", e.Job, e.MessageIDs, e.Watermark))
	}
	return out
}
