package ledger

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/job"
)

// The committer against a map: whatever groups meet at a time, with right and
// wrong expectations, of all that expect a job where it is one is written, of
// the others none, and nobody else's record is touched.
func TestCommitterModel(t *testing.T) {
	t.Parallel()
	h := open(t)
	committers := []*Committer{h.committer(t), h.committer(t)}
	const jobs = 4
	rapid.Check(t, func(rt *rapid.T) {
		s := source()
		model := make([][]uint64, jobs) // sequences of each job's records
		for range rapid.IntRange(1, 2).Draw(rt, "rounds") {
			groups := rapid.SliceOfN(drawGroup(s, model), 1, 3).Draw(rt, "groups")
			together(t, committers, groups)
			checkRound(rt, model, groups)
		}
		for i := range jobs {
			var got []uint64
			for _, e := range h.history(t, s.Job(contactKey(i))) {
				got = append(got, e.Seq)
			}
			if !slices.Equal(got, model[i]) {
				rt.Fatalf("job %d has records at %v, want %v", i, got, model[i])
			}
		}
	})
}

func last1(seqs []uint64) uint64 {
	if len(seqs) == 0 {
		return 0
	}
	return seqs[len(seqs)-1]
}

// drawGroup draws appends to different jobs, most of them where the job is.
func drawGroup(s job.Source, model [][]uint64) *rapid.Generator[[]*Append] {
	return rapid.Custom(func(rt *rapid.T) []*Append {
		var out []*Append
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(model)-1), 1, len(model), rapid.ID).Draw(rt, "jobs") {
			prev := last1(model[i])
			if n := len(model[i]); n > 0 && rapid.IntRange(0, 9).Draw(rt, "stale") == 0 {
				prev = last1(model[i][:rapid.IntRange(0, n-1).Draw(rt, "before")])
			}
			out = append(out, claim(s, i, prev))
		}
		return out
	})
}

func together(t *testing.T, committers []*Committer, groups [][]*Append) {
	var wg sync.WaitGroup
	for n, g := range groups {
		wg.Go(func() { committers[n%len(committers)].Commit(t.Context(), Priority(n%2), g) })
	}
	wg.Wait()
}

func checkRound(rt *rapid.T, model [][]uint64, groups [][]*Append) {
	written := map[job.Key]uint64{}
	right := map[job.Key]bool{}
	var all []uint64
	for _, g := range groups {
		clean := true
		for _, e := range g {
			was := last1(model[int(e.ID.Contact[1])])
			right[e.ID.Contact] = right[e.ID.Contact] || e.Record.Prev == was
			if e.Err == nil && e.Record.Prev != was {
				rt.Fatalf("%s was written behind %d although it was at %d", e.ID, e.Record.Prev, was)
			}
			if e.Err == nil {
				if written[e.ID.Contact] != 0 {
					rt.Fatalf("%s was written twice", e.ID)
				}
				written[e.ID.Contact], all = e.Written, append(all, e.Written)
				continue
			}
			clean = false
			if c, ok := errors.AsType[*Conflict](e.Err); !ok || c.Last.Seq == e.Record.Prev || c.Last.Seq < was {
				rt.Fatalf("%s, at %d, expected at %d: %v", e.ID, was, e.Record.Prev, e.Err)
			}
		}
		if seqs := sequences(g); clean && !ascending(seqs) {
			rt.Fatalf("a group without a conflict was written at %v", seqs)
		}
	}
	for k := range right {
		if right[k] != (written[k] != 0) {
			rt.Fatalf("job %d: expected rightly %v, written at %d", k[1], right[k], written[k])
		}
	}
	if !unique(all) {
		rt.Fatalf("sequences %v", all)
	}
	for k, seq := range written {
		model[k[1]] = append(model[k[1]], seq)
	}
}

// ascending: a group that had to be written one by one beside others may have
// gaps, but keeps its order.
func ascending(seqs []uint64) bool {
	return slices.IsSorted(seqs) && unique(seqs)
}
