package facts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/stream"
)

func date(day int) time.Time { return time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC) }

// Whoever else writes a contact at the same time, nothing that was recorded
// is lost, and an older webhook undoes nothing.
func TestMergeLosesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	const contacts = 5
	writers := []func(i int) contact.Update{
		func(int) contact.Update {
			return contact.Update{OptOut: &contact.OptOut{Scope: contact.All, At: date(3)}}
		},
		func(int) contact.Update {
			return contact.Update{OptOut: &contact.OptOut{Scope: contact.Marketing, At: date(4)}}
		},
		func(int) contact.Update { return contact.Update{LastInbound: date(9), OpenedBy: "postback"} },
		func(int) contact.Update { return contact.Update{LastInbound: date(2), OpenedBy: "message"} },
		func(int) contact.Update { return contact.Update{BlockedAt: date(5)} },
		func(int) contact.Update { return contact.Update{AdMessageAt: date(6), SMSConsent: true} },
		func(i int) contact.Update { return named(i, "Ada") },
	}
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() {
			var us []contact.Update
			for i := range contacts {
				u := w(i)
				u.Address = address(i)
				us = append(us, u)
			}
			if _, err := h.store.Merge(t.Context(), bakery, us); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range contacts {
		r := h.contact(t, i)
		if !r.OptedOut(contact.All) || !r.OptedOut(contact.Marketing) || !r.LastInbound.Equal(date(9)) || r.OpenedBy != "postback" ||
			!r.BlockedAt.Equal(date(5)) || !r.AdMessageAt.Equal(date(6)) || !r.SMSConsent || r.Name != "Ada" {
			t.Errorf("contact %d: %+v", i, r)
		}
	}
}

func TestMergeRepeated(t *testing.T) {
	t.Parallel()
	h := open(t)
	first := h.people(t, 700) // more than a batch
	if first.Written != 700 || first.Unchanged != 0 || first.Seq != h.head(t) {
		t.Errorf("first: %+v, head %d", first, h.head(t))
	}
	again := h.people(t, 700)
	if again.Written != 0 || again.Unchanged != 700 || again.Seq != first.Seq || h.head(t) != first.Seq {
		t.Errorf("again: %+v, head %d", again, h.head(t))
	}
	// Of one contact, the last word counts; what comes back to where it was is
	// no change.
	if m := h.merge(t, named(0, "x"), named(1, "y"), named(0, "p0")); m.Written != 1 || m.Unchanged != 2 || h.contact(t, 0).Name != "p0" {
		t.Errorf("there and back: %+v, %q", m, h.contact(t, 0).Name)
	}
}

func TestContactAndEach(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.people(t, 20)
	_, err := h.store.Merge(t.Context(), "another", []contact.Update{named(3, "other")})
	noError(t, err)
	if _, found, err := h.store.Contact(t.Context(), bakery, h.key(99)); found || err != nil {
		t.Errorf("a contact that nobody knows: %v, %v", found, err)
	}
	names := map[job.Key]string{}
	head, err := h.store.Each(t.Context(), bakery, func(k job.Key, r contact.Record) error { names[k] = r.Name; return nil })
	if err != nil || head != 21 || len(names) != 20 || names[h.key(3)] != "p3" {
		t.Errorf("%d contacts up to %d, %v; the fourth is %q", len(names), head, err, names[h.key(3)])
	}
}

func TestControlRevisions(t *testing.T) {
	t.Parallel()
	h := open(t)
	if c, seq, err := h.store.Control(t.Context(), SenderControl, bakery); err != nil || seq != 0 || c.State != "" {
		t.Errorf("of nothing: %+v at %d, %v", c, seq, err)
	}
	set := func(rev uint64, state string) uint64 {
		t.Helper()
		seq, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: state, Rev: rev, At: date(1)})
		noError(t, err)
		return seq
	}
	at := set(5, Paused)
	for _, rev := range []uint64{1, 4, 5} {
		if seq := set(rev, Running); seq != at {
			t.Errorf("revision %d moved the record to %d", rev, seq)
		}
	}
	if c, _, err := h.store.Control(t.Context(), SenderControl, bakery); err != nil || c.State != Paused || c.Rev != 5 {
		t.Errorf("%+v, %v; want the newest", c, err)
	}
	if seq := set(6, Running); seq <= at {
		t.Errorf("a newer revision is at %d", seq)
	}
	var wg sync.WaitGroup
	for rev := uint64(7); rev < 15; rev++ {
		wg.Go(func() {
			if _, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: Paused, Rev: rev}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, _, err := h.store.Control(t.Context(), SenderControl, bakery); err != nil || c.Rev != 14 {
		t.Errorf("%+v, %v; want revision 14", c, err)
	}
}

func TestEditControl(t *testing.T) {
	t.Parallel()
	h := open(t)
	edit := func(yes bool) {
		_, err := h.store.EditControl(t.Context(), SourceControl, "menu~1", func(old Control) (Control, bool) {
			return Control{State: Running, Rev: old.Rev + 1}, yes
		})
		if err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { edit(true) })
	}
	wg.Wait()
	edit(false)
	if c, _, err := h.store.Control(t.Context(), SourceControl, "menu~1"); err != nil || c.Rev != 8 {
		t.Errorf("%+v, %v; want revision 8", c, err)
	}
}

// An older version merges into a contact that a newer one wrote: what it
// can't read stays, and comes along in every look, by which the gate holds.
func TestFactOfANewerVersionStays(t *testing.T) {
	h := open(t)
	p := h.project(t, nil)
	p.opens(t)
	_, err := h.store.js.Publish(t.Context(), h.store.names.Facts(bakery, h.key(1)), []byte(`{"a":"1000001","q":true}`))
	noError(t, err)
	h.shows(t, h.merge(t, named(1, "Ada")).Seq)
	if r := h.contact(t, 1); r.Name != "Ada" || string(r.Newer) != `{"q":true}` {
		t.Errorf("in the stream: %+v", r)
	}
	l, err := h.look(h.key(1))
	noError(t, err)
	if r := l.Contacts[0]; r == nil || r.Name != "Ada" || string(r.Newer) != `{"q":true}` {
		t.Errorf("in Redis: %+v", r)
	}
}

// A control's field that this version does not know may forbid what it would
// do: nothing may be sent by such a look.
func TestControlOfANewerVersion(t *testing.T) {
	h := open(t)
	h.project(t, nil).opens(t)
	seq, err := h.store.js.Publish(t.Context(), h.store.names.Control(SenderControl, bakery), []byte(`{"state":"running","rev":1,"only":"vip"}`))
	noError(t, err)
	eventually(t, "the look is refused", func() bool {
		_, err := h.look()
		return err != nil && strings.Contains(err.Error(), "only")
	})
	// Pausing and cancelling must work all the same.
	if paused, err := h.store.SetControl(t.Context(), SenderControl, bakery, Control{State: Paused, Rev: 2}); err != nil || paused <= seq.Sequence {
		t.Errorf("paused at %d, %v", paused, err)
	}
}

func TestOpenFindsTheSameStream(t *testing.T) {
	t.Parallel()
	h := open(t)
	again, err := Open(t.Context(), h.NATS, stream.Provider{JS: h.JetStream, Create: true}, h.names, contact.NewKeyer(make([]byte, 32)))
	noError(t, err)
	if again.Identity() != h.store.Identity() {
		t.Errorf("%s and %s", again.Identity(), h.store.Identity())
	}
	noError(t, again.Close())
	noError(t, h.JetStream.DeleteStream(t.Context(), h.names.FactsStream()))
	other, err := Open(t.Context(), h.NATS, stream.Provider{JS: h.JetStream, Create: true}, h.names, contact.NewKeyer(make([]byte, 32)))
	noError(t, err)
	if other.Identity() == h.store.Identity() {
		t.Error("another stream has the same identity")
	}
}

func (h house) importCSV(t *testing.T, r io.Reader) (Imported, []contact.BadRow, error) {
	t.Helper()
	var bad []contact.BadRow
	n, err := h.store.Import(t.Context(), bakery, r, date(22), func(b contact.BadRow) error { bad = append(bad, b); return nil }, func(Imported) {})
	return n, bad, err
}

// rows returns a CSV of n rows.
func rows(n int, row func(i int) string) string {
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range n {
		b.WriteString(row(i) + "\n")
	}
	return b.String()
}

func TestImportRepeated(t *testing.T) {
	t.Parallel()
	h := open(t)
	file := rows(1300, func(i int) string { return address(i) + ",p" })
	n, bad, err := h.importCSV(t, strings.NewReader(file))
	if err != nil || n.Rows != 1300 || n.Written != 1300 || n.Unchanged != 0 || len(bad) != 0 || n.Seq != h.head(t) {
		t.Fatalf("%+v, %v, head %d", n, err, h.head(t))
	}
	again, _, err := h.importCSV(t, strings.NewReader(file))
	if err != nil || again.Written != 0 || again.Unchanged != 1300 || again.Seq != n.Seq || h.head(t) != n.Seq {
		t.Errorf("again: %+v, %v, head %d", again, err, h.head(t))
	}
}

// Of rows with one id the last one counts, however far they are apart and
// whatever was known before.
func TestImportTakesTheLastRow(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.merge(t, named(0, "last"), named(1, "last"))
	for _, apart := range []int{1, 499, 500, 501, 1000, 1500} {
		n, _, err := h.importCSV(t, strings.NewReader(rows(2*apart+2, func(i int) string {
			switch i {
			case 0:
				return address(0) + ",first"
			case apart:
				return address(0) + ",last"
			case 2 * apart:
				return address(1) + ",first"
			case 2*apart + 1:
				return address(1) + ",last"
			}
			return address(i+10) + ",p"
		})))
		if err != nil || n.Rows != 2*apart+2 {
			t.Errorf("%d apart: %+v, %v", apart, n, err)
		}
		for i := range 2 {
			if name := h.contact(t, i).Name; name != "last" {
				t.Errorf("%d apart: contact %d is %q", apart, i, name)
			}
		}
	}
}

func TestImportNeverClearsAnOptOut(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.merge(t, contact.Update{Address: address(0), OptOut: &contact.OptOut{Scope: contact.All, At: date(1), Source: "phone"}})
	_, _, err := h.importCSV(t, strings.NewReader("id,name,opted_out\n"+address(0)+",Ada,\n"))
	noError(t, err)
	if r := h.contact(t, 0); !r.OptedOut(contact.All) || r.Name != "Ada" {
		t.Errorf("%+v", r)
	}
}

func TestImportReportsBadRows(t *testing.T) {
	t.Parallel()
	h := open(t)
	file := "id,sender,timezone\n" + address(0) + ",,\n,,\n" + address(1) + ",another,\n" + address(2) + ",bakery,Mars/Olympus\n" + address(3) + ",bakery,\n"
	n, bad, err := h.importCSV(t, strings.NewReader(file))
	if err != nil || n.Rows != 5 || n.Bad != 2 || n.Other != 1 || n.Written != 2 {
		t.Errorf("%+v, %v", n, err)
	}
	if len(bad) != 2 || bad[0].Line != 3 || bad[1].Line != 5 || !strings.Contains(bad[1].Reason, "Mars/Olympus") {
		t.Errorf("%+v", bad)
	}
	checked, err := Check(t.Context(), bakery, strings.NewReader(file), date(22), func(contact.BadRow) error { return nil })
	if err != nil || checked.Rows != 5 || checked.Bad != 2 || checked.Other != 1 || h.head(t) != 2 {
		t.Errorf("Check: %+v, %v; head %d", checked, err, h.head(t))
	}
	if _, _, err := h.importCSV(t, strings.NewReader("name\nAda\n")); err == nil {
		t.Error("a header without id was taken")
	}
}

// What was read before the file broke off, or the caller refused a row, is in.
func TestImportCutShort(t *testing.T) {
	t.Parallel()
	h := open(t)
	broken := errors.New("connection reset")
	good := rows(600, func(i int) string { return address(i) + ",p" })
	n, _, err := h.importCSV(t, io.MultiReader(strings.NewReader(good), failing{broken}))
	if !errors.Is(err, broken) || n.Rows != 600 || n.Written != 600 || h.head(t) != 600 {
		t.Errorf("broken off: %+v, %v; head %d", n, err, h.head(t))
	}
	refused := errors.New("strict")
	n, err = h.store.Import(t.Context(), bakery, strings.NewReader(good+",\nnever,read\n"), date(22),
		func(contact.BadRow) error { return refused }, func(Imported) {})
	if !errors.Is(err, refused) || n.Rows != 601 || n.Bad != 1 || n.Unchanged != 600 || h.head(t) != 600 {
		t.Errorf("refused: %+v, %v; head %d", n, err, h.head(t))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestImportCancelled(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	n, err := h.store.Import(ctx, bakery, endless(), date(22), nil, func(n Imported) {
		if n.Written >= 2*stream.MaxBatch {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || n.Written < 2*stream.MaxBatch || uint64(n.Written) > h.head(t) {
		t.Errorf("%+v, %v; head %d", n, err, h.head(t))
	}
}

// endless returns a CSV without an end of contacts that are all different.
func endless() io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, "id,name\n")
		for i := 0; err == nil; i++ {
			_, err = io.WriteString(w, address(i)+",p\n")
		}
	}()
	return r
}

// again reads a text any number of times over.
type again struct {
	text string
	at   int
}

func (a *again) Read(p []byte) (int, error) {
	n := copy(p, a.text[a.at:])
	a.at = (a.at + n) % len(a.text)
	return n, nil
}

// The heap does not grow with the file. The contacts repeat, so that the
// stream, whose server shares this process, does not grow either; most rows
// are another sender's, since they cost the race detector less.
func TestImportInConstantMemory(t *testing.T) {
	h := open(t)
	const all, ours, early = 200_000, 400, 40_000
	var block strings.Builder
	for i := range ours {
		fmt.Fprintf(&block, "%s,bakery,%s\n%s", address(i), strings.Repeat("n", 1000), strings.Repeat("1,another,\n", 9))
	}
	file := io.LimitReader(&again{text: block.String()}, int64(block.Len()*all/(10*ours)))
	var before uint64
	n, err := h.store.Import(t.Context(), bakery, io.MultiReader(strings.NewReader("id,sender,name\n"), file), date(22), nil, func(n Imported) {
		if n.Rows >= early && before == 0 {
			before = heap()
		}
	})
	if err != nil || n.Rows != all || n.Written != ours || n.Other != all*9/10 {
		t.Fatalf("%+v, %v", n, err)
	}
	// What is between the two moments is 16 MB of the file.
	if after := heap(); before == 0 || after > before+4<<20 {
		t.Errorf("the heap grew from %s to %s", mb(before), mb(after))
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func mb(n uint64) string { return strconv.FormatUint(n>>20, 10) + " MB" }
