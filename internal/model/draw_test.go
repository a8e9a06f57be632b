package model_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/model"
)

// longest is how many actions a history has at the most, before it is wound
// to its end.
const longest = 60

// histories draws what may happen to a world with a mistake in it: at every
// step one of the actions that are possible there, and that may be chosen.
func histories(m model.Mistake, may func(*model.World, model.Action) bool) *rapid.Generator[[]model.Action] {
	shorter, salts, kind, pick := rapid.IntRange(0, longest-1), rapid.Uint64(), rapid.Uint64(), rapid.Uint64()
	return rapid.Custom(func(t *rapid.T) []model.Action {
		w := model.New(m)
		n := longest - shorter.Draw(t, "shorter by")
		salt := salts.Draw(t, "salt")
		kinds, heavy := alphabet(spread(salt, 0)), [...]int{work, others, orders, orders}[spread(salt, 1)%4]
		out, can := make([]model.Action, 0, n), make([]model.Action, 0, 32)
		for _, a := range opening(spread(salt, 2)) {
			w.Do(a)
			out = append(out, a)
		}
		for len(out) < n {
			// rapid draws small numbers more often than large ones. Here none is
			// simpler than another.
			n := kind.Draw(t, "kind") + spread(salt, 2*len(out)+4)
			stale := n>>32%8 == 0
			for _, k := range []int{weigh(heavy, n), work, others, orders} {
				if can = possible(can[:0], w, kinds[k], stale, may); len(can) > 0 {
					break
				}
			}
			if len(can) == 0 {
				break
			}
			a := choose(can, pick.Draw(t, "action")+spread(salt, 2*len(out)+5))
			w.Do(a)
			out = append(out, a)
		}
		return out
	})
}

// The kinds of actions.
const (
	work   = iota // a worker goes on
	others        // somebody else moves a job
	harm          // a worker or Redis dies
	orders        // people and operators say stop
)

// weigh picks a kind of action: mostly what goes on by itself, and as often
// again the one that a history has much of.
func weigh(heavy int, n uint64) int {
	weights := [...]int{work, work, work, work, work, others, others, harm, orders, heavy, heavy, heavy, heavy, heavy}
	return weights[n%uint64(len(weights))]
}

// choose picks one kind of action, each as likely as the others, and then one
// of that kind: that many old tasks could be delivered says nothing about how
// often that happens.
func choose(can []model.Action, n uint64) model.Action {
	first := make([]int, 0, 32)
	for i, a := range can {
		if i == 0 || a.Op != can[i-1].Op {
			first = append(first, i)
		}
	}
	kind := int(n % uint64(len(first)))
	from, to := first[kind], len(can)
	if kind+1 < len(first) {
		to = first[kind+1]
	}
	return can[from+int(n>>32)%(to-from)]
}

// spread is the n-th of a salt's numbers that look random (SplitMix64).
func spread(salt uint64, n int) uint64 {
	x := salt + uint64(n+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// opening is how a history begins, most times from nothing. The others are a
// long way for chance: the platform has job 0, nobody knows, and an operator
// sent it out again; or worker 0 has yet to say that nothing left, and an
// operator was quicker, so that it goes out by worker 1.
func opening(n uint64) []model.Action {
	switch n % 8 {
	case 0, 1:
		return []model.Action{
			{Op: model.Release}, {Op: model.Take, N: 1}, {Op: model.Claim, N: 1}, {Op: model.Recheck, N: 1}, {Op: model.Accept, N: 1}, {Op: model.Lose, N: 1},
			{Op: model.Settle, N: 1}, {Op: model.Redrive}, {Op: model.Release},
		}
	case 2:
		return []model.Action{
			{Op: model.Release}, {Op: model.Take}, {Op: model.Claim}, {Op: model.Recheck}, {Op: model.Unsent}, {Op: model.Lapse}, {Op: model.Redrive}, {Op: model.Release},
			{Op: model.Take, N: 1, Task: 1}, {Op: model.Claim, N: 1}, {Op: model.Recheck, N: 1},
		}
	default:
		return nil
	}
}

// idle tells whether an action changes nothing: tasks that lose their claims are
// there for ever, and what was echoed may be echoed again.
func idle(w *model.World, a model.Action) bool {
	switch a.Op {
	case model.Take:
		t := w.Tasks()[a.Task]
		return w.Last(t.Job).Seq != t.Seq || w.Holds(t.Job)
	case model.Echo:
		return w.Last(a.N).State.Told() > 0
	default:
		return false
	}
}

// possible are those actions that can be; those that change nothing are among
// them when stale says so.
func possible(to []model.Action, w *model.World, of []model.Action, stale bool, may func(*model.World, model.Action) bool) []model.Action {
	for _, a := range of {
		if !w.Can(a) || may != nil && !may(w, a) {
			continue
		}
		if stale || !idle(w, a) {
			to = append(to, a)
		}
	}
	return to
}

// maxTask is how many of the tasks a history delivers, from the first.
const maxTask = 8

// alphabet returns the actions that one history is made of, by their kind.
// About half of what may disturb is left out, another half each time, and all
// jobs but one most times, and one worker may stand still at one step until the
// end: what takes many rare things in a row is found where little else happens.
func alphabet(mask uint64) (kinds [4][]model.Action) {
	coin := func() bool {
		mask = mask>>1 | mask<<63
		return mask&1 != 0
	}
	slow := slowness(mask >> 48)
	add := func(kind int, op model.Op, n int) {
		for i := range n {
			if i == 0 && slices.Contains(slow, op) {
				continue
			}
			kinds[kind] = append(kinds[kind], model.Action{Op: op, N: i})
		}
	}
	jobs := model.Jobs
	if mask>>40%4 != 0 {
		jobs = 1
	}
	add(work, model.Release, jobs)
	for _, op := range []model.Op{model.Claim, model.Recheck, model.Accept, model.Answer, model.Settle} {
		add(work, op, model.Workers)
	}
	for k := range model.Workers {
		for t := range maxTask {
			kinds[work] = append(kinds[work], model.Action{Op: model.Take, N: k, Task: t})
		}
	}
	for _, d := range []struct {
		kind, n int
		op      model.Op
	}{
		{work, model.Workers, model.Refuse}, {work, model.Workers, model.Busy}, {work, model.Workers, model.Unsent},
		{work, model.Workers, model.Vanish}, {work, model.Workers, model.Lose},
		{others, jobs, model.Lapse}, {others, jobs, model.Redrive}, {others, jobs, model.Discard}, {others, jobs, model.Echo},
		{harm, model.Workers, model.LetGo}, {harm, model.Workers, model.Die}, {harm, 1, model.Blind}, {harm, 1, model.Sight},
		{orders, model.Contacts, model.OptOut}, {orders, model.Contacts, model.Force}, {orders, model.Contacts, model.Ack},
		{orders, model.Sources, model.Pause}, {orders, model.Sources, model.Stopped}, {orders, model.Sources, model.Resume},
		{orders, model.Sources, model.Cancel}, {orders, model.Sources, model.Expire},
	} {
		if coin() {
			add(d.kind, d.op, d.n)
		}
	}
	return kinds
}

// slowness returns what a worker never does by itself that stands still.
func slowness(n uint64) []model.Op {
	switch n % 8 {
	case 0:
		return []model.Op{model.Claim}
	case 1:
		return []model.Op{model.Recheck, model.LetGo}
	case 2, 3:
		return []model.Op{model.Accept, model.Refuse, model.Busy, model.Unsent, model.Vanish}
	case 4:
		return []model.Op{model.Answer, model.Lose}
	case 5:
		return []model.Op{model.Settle}
	default:
		return nil
	}
}

// play plays a history to its end and returns the world that it leaves.
func play(m model.Mistake, h []model.Action) *model.World {
	w := model.New(m)
	for _, a := range h {
		w.Do(a)
	}
	w.Finish()
	return w
}

// shortest returns a history with nothing in it that the failure does not
// need. It tries each once more as long as any can be left out, and no more
// often than tries.
func shortest(h []model.Action, tries int, fails func([]model.Action) bool) []model.Action {
	for n := len(h) / 2; n > 0; {
		shorter := false
		for i := 0; i+n <= len(h) && tries > 0; {
			tries--
			without := append(append([]model.Action{}, h[:i]...), h[i+n:]...)
			if fails(without) {
				h, shorter = without, true
			} else {
				i += n
			}
		}
		if !shorter {
			n /= 2
		}
	}
	return h
}
