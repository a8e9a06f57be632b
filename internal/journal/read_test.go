package journal

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/stream"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func message(t interface{ Fatal(...any) }, seq uint64, at time.Time, r record) stream.Message {
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return stream.Message{Seq: seq, At: at, Data: b}
}

// TestResultIsNotWaitedForEver: what a crash left without a result keeps
// those behind it for a day of the log, and not for longer.
func TestResultIsNotWaitedForEver(t *testing.T) {
	for _, c := range []struct {
		later time.Duration
		want  int
	}{{ResultWithin, 0}, {ResultWithin + 1, 1}} {
		var got []Entry
		p := &pairing{fn: func(e Entry) error { got = append(got, e); return nil }, waiting: map[uint64]*Entry{}}
		for _, m := range []stream.Message{
			message(t, 1, noon, record{Entry: &Entry{Verb: "crashed"}}),
			message(t, 2, noon.Add(c.later), record{Entry: &Entry{Verb: "later"}}),
		} {
			if err := p.take(m); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != c.want || len(p.queue) != 2-c.want || len(p.waiting) != 2-c.want {
			t.Errorf("after %s: %d given out, %d kept", c.later, len(got), len(p.queue))
		}
	}
}

// TestWaitingIsBounded: one more than fits gives out the first without a
// result, and with it whatever behind it has one.
func TestWaitingIsBounded(t *testing.T) {
	var got []Entry
	p := &pairing{fn: func(e Entry) error { got = append(got, e); return nil }, waiting: map[uint64]*Entry{}}
	take := func(seq uint64, r *Result) {
		if err := p.take(message(t, seq, noon, record{Entry: &Entry{Verb: "v"}, Result: r})); err != nil {
			t.Fatal(err)
		}
	}
	take(1, nil) // a crash
	for seq := uint64(2); seq <= MaxWaiting; seq++ {
		take(seq, &Result{Status: 200})
	}
	if len(got) != 0 || len(p.queue) != MaxWaiting {
		t.Fatalf("%d given out, %d kept", len(got), len(p.queue))
	}
	take(MaxWaiting+1, nil)
	if len(got) != MaxWaiting || got[0].Seq != 1 || got[0].Result != nil || got[1].Result == nil || len(p.queue) != 1 || len(p.waiting) != 1 {
		t.Errorf("%d given out, %d kept, %d wait", len(got), len(p.queue), len(p.waiting))
	}
}

// TestPairing: whatever the order of results, every entry comes once, in its
// order, with its own result.
func TestPairing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "entries")
		status := map[uint64]int{} // by entry
		var open []uint64
		var got []Entry
		p := &pairing{fn: func(e Entry) error { got = append(got, e); return nil }, waiting: map[uint64]*Entry{}}
		var seqs []uint64
		for seq := uint64(1); len(seqs) < n || len(open) > 0; seq++ {
			var r record
			if len(seqs) < n && (len(open) == 0 || rapid.Bool().Draw(t, "begin")) {
				r.Entry = &Entry{Verb: "v"}
				seqs, open = append(seqs, seq), append(open, seq)
			} else {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "whose")
				r.Of = open[i]
				open = slices.Delete(open, i, i+1)
				if rapid.IntRange(0, 4).Draw(t, "crash") == 0 {
					continue
				}
				status[r.Of] = int(seq)
				r.Result = &Result{Status: int(seq)}
			}
			if err := p.take(message(t, seq, noon.Add(time.Duration(seq)), r)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.release(func(*Entry) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if len(got) != n || len(p.waiting) != 0 {
			t.Fatalf("%d of %d came, %d wait", len(got), n, len(p.waiting))
		}
		for i, e := range got {
			have := 0
			if e.Result != nil {
				have = e.Result.Status
			}
			if e.Seq != seqs[i] || have != status[e.Seq] {
				t.Fatalf("place %d: entry %d with %d, want %d with %d", i, e.Seq, have, seqs[i], status[seqs[i]])
			}
		}
	})
}

// FuzzTake: a record that can't be read is an error and never a panic.
func FuzzTake(f *testing.F) {
	for _, s := range []string{`{}`, `{"of":1,"result":{"status":200}}`, `{"entry":{"caller":{"id":"root"},"verb":"launch"}}`, `{"entry":null,"of":-1}`, `[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		p := &pairing{fn: func(Entry) error { return nil }, waiting: map[uint64]*Entry{}}
		_ = p.take(stream.Message{Seq: 1, At: noon, Data: b})
		_ = p.take(stream.Message{Seq: 2, At: noon, Data: b})
	})
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24", "127.0.0.1": "127.0.0.0/24",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48", "::1": "::/48",
	} {
		if got := Network(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}
