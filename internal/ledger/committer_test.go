package ledger

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
)

// line is a committer that does not work yet, so that what waits can be laid
// out.
func (h house) line() *Committer {
	return &Committer{nc: h.nc, js: h.js, names: h.names, wake: make(chan struct{}, 1), stopped: make(chan struct{}), nonce: "line"}
}

// wait commits in the background and returns once the group waits.
func (c *Committer) wait(t *testing.T, ctx context.Context, p Priority, entries []*Append) (done <-chan struct{}) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waiting[p])
	}
	before, ch := count(), make(chan struct{})
	go func() { c.Commit(ctx, p, entries); close(ch) }()
	eventually(t, "the group waits", func() bool { return count() > before })
	return ch
}

// work lets a line go to work until the test ends.
func (c *Committer) work(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	go c.run(ctx)
	t.Cleanup(func() { cancel(); c.Wait() })
}

// However many want a job, in one process or in several, one gets it and the
// others learn who did.
func TestOneWinnerPerClaim(t *testing.T) {
	t.Parallel()
	h := open(t)
	committers := []*Committer{h.committer(t), h.committer(t), h.committer(t)}
	s := source()
	const jobs, racers = 20, 12
	entries := make([][]*Append, racers)
	var wg sync.WaitGroup
	for r := range racers {
		entries[r] = claims(s, 0, jobs)
		for _, e := range entries[r] {
			e.Record.By = strconv.Itoa(r)
		}
		wg.Go(func() {
			for _, e := range entries[r] {
				committers[r%len(committers)].Commit(t.Context(), Priority(r%2), []*Append{e})
			}
		})
	}
	wg.Wait()
	for i := range jobs {
		var winner *Append
		for r := range racers {
			if e := entries[r][i]; e.Err == nil {
				if winner != nil {
					t.Fatalf("job %d has two winners, %s and %s", i, winner.Record.By, e.Record.By)
				}
				winner = e
			}
		}
		if winner == nil {
			t.Fatalf("job %d has no winner", i)
		}
		for r := range racers {
			if e := entries[r][i]; e != winner {
				lost(t, e, winner)
			}
		}
		if all := h.history(t, winner.ID); len(all) != 1 || all[0].Seq != winner.Written || all[0].Record.By != winner.Record.By {
			t.Errorf("job %d: %d records, want the winner's alone", i, len(all))
		}
	}
}

// lost fails the test unless an entry lost against another.
func lost(t *testing.T, e, winner *Append) {
	t.Helper()
	c, ok := errors.AsType[*Conflict](e.Err)
	if !ok || !errors.Is(e.Err, ErrConflict) {
		t.Fatalf("%s: %v, want a conflict", e.ID, e.Err)
	}
	if e.Written != 0 || c.Last.ID != e.ID || c.Last.Seq != winner.Written || c.Last.Record.By != winner.Record.By || c.Last.Record.State != winner.Record.State {
		t.Fatalf("lost against %+v, want against %s at %d", c.Last, winner.Record.By, winner.Written)
	}
}

func TestBatchFallsBackToItsRecords(t *testing.T) {
	h := open(t)
	c, s := h.committer(t), source()
	taken := claim(s, 4, 0)
	commit(t, c, taken)
	entries := claims(s, 0, 10)
	c.Commit(t.Context(), Bulk, entries)
	for i, e := range entries {
		if i == 4 {
			lost(t, e, taken)
			continue
		}
		last, found, err := h.ledger.Last(t.Context(), e.ID)
		if e.Err != nil || err != nil || !found || last.Seq != e.Written || last.Record.Nonce != e.Record.Nonce {
			t.Errorf("job %d: written at %d, %v; the ledger has %d, %v", i, e.Written, e.Err, last.Seq, err)
		}
	}
}

// One group's conflict costs the groups that shared its batch nothing but the
// batch: each is still written in one piece.
func TestBatchFallsBackToItsGroups(t *testing.T) {
	h := open(t)
	s := source()
	taken := claim(s, 7, 0)
	commit(t, h.committer(t), taken)
	c := h.line()
	var groups [][]*Append
	var done []<-chan struct{}
	for i := range 3 {
		g := claims(s, i*5, i*5+5)
		groups, done = append(groups, g), append(done, c.wait(t, t.Context(), Bulk, g))
	}
	c.work(t)
	for _, d := range done {
		received(t, "the group's results", d)
	}
	contiguous(t, groups[0])
	contiguous(t, groups[2])
	lost(t, groups[1][2], taken)
	for i, e := range groups[1] {
		if i != 2 && e.Err != nil {
			t.Errorf("beside the conflict: %v", e.Err)
		}
	}
}

func TestTwoGroupsWithOneJob(t *testing.T) {
	h := open(t)
	c, s := h.line(), source()
	first, second := claims(s, 0, 3), claims(s, 2, 5)
	d1 := c.wait(t, t.Context(), Bulk, first)
	d2 := c.wait(t, t.Context(), Bulk, second)
	c.work(t)
	received(t, "the first", d1)
	received(t, "the second", d2)
	contiguous(t, first)
	lost(t, second[0], first[2])
	for _, e := range second[1:] {
		if e.Err != nil {
			t.Errorf("%s: %v", e.ID, e.Err)
		}
	}
}

// Groups that are more than a batch together are written in several, none of
// them torn.
func TestMoreThanABatch(t *testing.T) {
	h := open(t)
	c, s := h.line(), source()
	var all []*Append
	var done []<-chan struct{}
	for i := 0; i < stream.MaxBatch+100; i += 60 {
		g := claims(s, i, i+60)
		all, done = append(all, g...), append(done, c.wait(t, t.Context(), Bulk, g))
	}
	c.work(t)
	for _, d := range done {
		received(t, "the group's results", d)
	}
	contiguous(t, all) // nobody else writes, so that the batches follow each other
}

func TestGroupLargerThanABatch(t *testing.T) {
	h := open(t)
	entries := claims(source(), 0, stream.MaxBatch+1)
	commit(t, h.committer(t), entries...)
	if !unique(sequences(entries)) {
		t.Error("a sequence stands twice")
	}
}

func TestCommitOfNothing(t *testing.T) {
	h := open(t)
	h.committer(t).Commit(t.Context(), Bulk, nil)
}

func TestUrgentBeforeBulk(t *testing.T) {
	h := open(t)
	c, s, urgent := h.line(), source(), source()
	var bulk, first []*Append
	var done []<-chan struct{}
	for i := 0; i < 700; i += 100 {
		g := claims(s, i, i+100)
		bulk, done = append(bulk, g...), append(done, c.wait(t, t.Context(), Bulk, g))
	}
	for i := range 3 {
		g := claims(urgent, i, i+1)
		first, done = append(first, g...), append(done, c.wait(t, t.Context(), Urgent, g))
	}
	c.work(t)
	for _, d := range done {
		received(t, "the group's results", d)
	}
	contiguous(t, append(first, bulk...))
}

// A group of another month's ledger can't share a batch. It must not wait for
// as long as urgent ones keep coming.
func TestUrgentDoesNotStarveBulk(t *testing.T) {
	c := &Committer{}
	group := func(month string) *group {
		s := job.Source{Month: month, Sender: "bakery", Name: "x"}
		return &group{name: c.names.Ledger(month, 0), entries: claims(s, 0, 1)}
	}
	c.waiting[Bulk] = append(c.waiting[Bulk], group("202610"))
	for n := range patience + 1 {
		c.waiting[Urgent] = append(c.waiting[Urgent][:0], group("202611"))
		picked := c.take()
		if len(picked) != 1 {
			t.Fatalf("batch %d has %d groups, want 1", n, len(picked))
		}
		if bulk := picked[0].name == c.names.Ledger("202610", 0); bulk != (n == patience) {
			t.Fatalf("batch %d took the bulk group: %v", n, bulk)
		}
	}
}

func TestAbandonedGroupIsNotWritten(t *testing.T) {
	h := open(t)
	c, s := h.line(), source()
	ctx, cancel := context.WithCancel(t.Context())
	gone, stays := claims(s, 0, 3), claims(s, 3, 6)
	d1, d2 := c.wait(t, ctx, Bulk, gone), c.wait(t, t.Context(), Bulk, stays)
	cancel()
	c.work(t)
	received(t, "the abandoned group", d1)
	received(t, "the other", d2)
	contiguous(t, stays)
	for _, e := range gone {
		if !errors.Is(e.Err, context.Canceled) || e.Written != 0 {
			t.Errorf("written at %d, %v", e.Written, e.Err)
		}
	}
	if got := h.records(t, s); len(got) != len(stays) {
		t.Errorf("%d records, want %d", len(got), len(stays))
	}
}

func TestStoppedWhileWaiting(t *testing.T) {
	h := open(t)
	c := h.line()
	entries := claims(source(), 0, 2)
	done := c.wait(t, t.Context(), Bulk, entries)
	<-c.wake // the committer is told to stop before it is told to work
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.run(ctx)
	received(t, "the group", done)
	late := claims(source(), 0, 1)
	c.Commit(t.Context(), Urgent, late)
	for _, e := range append(entries, late...) {
		if !errors.Is(e.Err, errStopped) || e.Written != 0 {
			t.Errorf("at %d, %v; want that the committer has stopped", e.Written, e.Err)
		}
	}
}

// What can't be decided holds up nobody else, and is written as soon as it
// can be.
func TestUndecidedStepsAside(t *testing.T) {
	h := open(t)
	c := h.committer(t)
	elsewhere := source()
	elsewhere.Month = "202612" // there is no such ledger yet
	for _, n := range []int{1, 3} {
		elsewhere.Name = name(n)
		stuck, done := claims(elsewhere, 0, n), make(chan struct{})
		go func() { c.Commit(t.Context(), Urgent, stuck); close(done) }()
		commit(t, c, claims(source(), 0, 3)...)
		select {
		case <-done:
			if n == 1 {
				t.Fatalf("decided without a ledger: %v", stuck[0].Err)
			}
		default:
		}
		if n == 1 {
			if err := h.ledger.Ensure(t.Context(), elsewhere.Month, 0); err != nil {
				t.Fatal(err)
			}
		}
		received(t, "the stuck group", done)
		for _, e := range stuck {
			if e.Err != nil {
				t.Error(e.Err)
			}
		}
	}
}

func TestUndecidedEndsWithItsContext(t *testing.T) {
	h := open(t)
	elsewhere := source()
	elsewhere.Month = "202612"
	for _, stop := range []string{"caller", "committer"} {
		t.Run(stop, func(t *testing.T) {
			life, kill := context.WithCancel(t.Context())
			c := NewCommitter(life, h.nc, h.js, h.names)
			defer func() { kill(); c.Wait() }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stuck, done := claims(elsewhere, 0, 2), make(chan struct{})
			go func() { c.Commit(ctx, Bulk, stuck); close(done) }()
			commit(t, c, claims(source(), 0, 1)...) // the line has been worked off
			want := context.Canceled
			if stop == "committer" {
				want = errStopped
				kill()
			} else {
				cancel()
			}
			received(t, "the stuck group", done)
			for _, e := range stuck {
				if !errors.Is(e.Err, want) || e.Written != 0 {
					t.Errorf("at %d, %v; want %v", e.Written, e.Err, want)
				}
			}
		})
	}
}

// A refusal may answer our own record: then the nonce says so.
func TestOwnRecordIsNotAConflict(t *testing.T) {
	h := open(t)
	for _, n := range []int{1, 4} {
		c, s := h.line(), source()
		entries := claims(s, 0, n)
		done := c.wait(t, t.Context(), Bulk, entries)
		m, err := c.message(entries[n-1]) // as if an earlier try had come through
		if err != nil {
			t.Fatal(err)
		}
		seq, err := stream.Publish(t.Context(), h.nc, m)
		if err != nil {
			t.Fatal(err)
		}
		c.work(t)
		received(t, "the group", done)
		if e := entries[n-1]; e.Err != nil || e.Written != seq {
			t.Errorf("of %d: at %d, %v; want %d", n, e.Written, e.Err, seq)
		}
		if got := h.records(t, s); len(got) != n {
			t.Errorf("%d records, want %d", len(got), n)
		}
	}
}

// deaf provides connections that break instead of delivering the next
// acknowledgement while armed.
type deaf struct {
	server *server.Server
	armed  atomic.Bool
}

func (d *deaf) InProcessConn() (net.Conn, error) {
	c, err := d.server.InProcessConn()
	return &deafConn{c, d}, err
}

type deafConn struct {
	net.Conn
	d *deaf
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte(`"seq":`)) && c.d.armed.CompareAndSwap(true, false) {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// A batch was stored and its acknowledgement lost with the connection. Its
// records are found to be ours and are not written again.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	h := open(t)
	d := &deaf{server: h.server}
	h.nc = connect(t, d)
	var err error
	if h.js, err = jetstream.New(h.nc); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		c, s := h.committer(t), source()
		entries := claims(s, 0, n)
		d.armed.Store(true)
		commit(t, c, entries...)
		if d.armed.Load() {
			t.Fatal("no acknowledgement was lost")
		}
		contiguous(t, entries)
		if got := h.records(t, s); len(got) != n {
			t.Errorf("%d records, want %d", len(got), n)
		}
	}
}

func TestNoncesDiffer(t *testing.T) {
	h := open(t)
	a, b, s := h.committer(t), h.committer(t), source()
	x, y := claims(s, 0, 50), claims(s, 50, 100)
	commit(t, a, x...)
	commit(t, b, y...)
	var nonces []string
	for _, e := range append(x, y...) {
		nonces = append(nonces, e.Record.Nonce)
	}
	slices.Sort(nonces)
	if len(slices.Compact(nonces)) != 100 {
		t.Error("a nonce stands twice")
	}
}

// A leader that was cut off knows less than whoever planned the job: what it
// shows does not say that the claim is lost.
func TestOlderRecordDecidesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	c, s := h.committer(t), source()
	first := claim(s, 0, 0)
	commit(t, c, first)
	ctx, cancel := context.WithTimeout(t.Context(), 4*retryPause)
	defer cancel()
	ahead := claim(s, 0, first.Written+1)
	c.Commit(ctx, Bulk, []*Append{ahead})
	if errors.Is(ahead.Err, ErrConflict) || !errors.Is(ahead.Err, context.DeadlineExceeded) || ahead.Written != 0 {
		t.Errorf("behind a record that is not there yet: at %d, %v", ahead.Written, ahead.Err)
	}
}
