package steering

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Under is how many runs of a version are in a state.
type Under struct {
	run.Kind
	Count int
}

// Count returns how many runs a flow has, the newest versions first; those that
// ended as long as they are kept.
func (d *Desk) Count(ctx context.Context, id string) ([]Under, error) {
	counts, err := d.Runs.Count(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make([]Under, 0, len(counts))
	for k, n := range counts {
		out = append(out, Under{k, n})
	}
	slices.SortFunc(out, func(a, b Under) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), cmp.Compare(a.State, b.State))
	})
	return out, nil
}

// Going returns how many of some runs go on.
func Going(us []Under) (n int) {
	for _, u := range us {
		if !u.State.Over() {
			n += u.Count
		}
	}
	return n
}

// maxLooked is how many runs are looked at to say which a new version takes
// over; of more it is said of those alone.
const maxLooked = 50_000

var errEnough = errors.New("enough")

// Impact says in words what a new version of a flow does to runs that go on:
// how many stay on which version, and how many are taken over.
func (d *Desk) Impact(ctx context.Context, old *flow.Flow, n *flow.Spec) ([]string, error) {
	us, err := d.Count(ctx, n.ID)
	if err != nil || Going(us) == 0 {
		return nil, err
	}
	moves, looked := map[int]int{}, 0
	if len(n.Move) > 0 {
		if moves, looked, err = d.moves(ctx, old, n); err != nil {
			return nil, err
		}
	}
	var out []string
	if looked == maxLooked && looked < Going(us) {
		out = append(out, fmt.Sprintf("of the first %s runs alone it was looked at whether they move", strconv.Itoa(looked)))
	}
	stay := map[int]int{}
	for _, u := range us {
		if !u.State.Over() {
			stay[u.Version] += u.Count
		}
	}
	for v := old.Version; v > 0; v-- {
		if moves[v] > 0 {
			out = append(out, fmt.Sprintf("%s of version %d will go on in the new one, as move says", runs(moves[v]), v))
		}
		if left := stay[v] - moves[v]; left > 0 {
			out = append(out, fmt.Sprintf("%s that began with version %d will stay on it to the end", runs(left), v))
		}
	}
	return out, nil
}

func runs(n int) string {
	if n == 1 {
		return "1 run"
	}
	return strconv.Itoa(n) + " runs"
}

// moves counts the runs, by version, that a new one takes over, and how many
// were looked at.
func (d *Desk) moves(ctx context.Context, old *flow.Flow, n *flow.Spec) (map[int]int, int, error) {
	to, err := flow.Compile(n, old.Version+1)
	if err != nil {
		return nil, 0, err
	}
	moves, looked := map[int]int{}, 0
	versions := programs{d.Defs, map[int]*flow.Program{}}
	w := flow.World{Now: d.Now(), Senders: func(string) *sender.Spec { return nil }, Zone: func(name string) *time.Location {
		l, _ := time.LoadLocation(name) // nil where there is none
		return l
	}}
	err = d.Runs.Each(ctx, n.ID, func(r run.Stored) error {
		if r.Run.State.Over() {
			return nil
		}
		if looked++; looked > maxLooked {
			return errEnough
		}
		from, err := versions.of(ctx, n.ID, r.Run.Version)
		if err != nil {
			return err
		}
		if _, ok := to.Moved(r.ID, r.Run, from, w); ok {
			moves[r.Run.Version]++
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return moves, min(looked, maxLooked), err
}
