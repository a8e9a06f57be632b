package audience

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

func open(t *testing.T) *Store {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), stream.Provider{JS: e.JetStream, Create: true}, subject.Names{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func members(n int) []plan.Member {
	ms := make([]plan.Member, n)
	for i := range ms {
		var k job.Key
		binary.BigEndian.PutUint64(k[:], uint64(i))
		ms[i] = plan.NewMember(k, contact.Record{}, time.Time{}, 0)
	}
	return ms
}

func all(t *testing.T, s *Store, snap broadcast.Snapshot) ([]job.Key, error) {
	t.Helper()
	var ks []job.Key
	err := s.Each(t.Context(), snap, func(k job.Key) error { ks = append(ks, k); return nil })
	return ks, err
}

func same(ks []job.Key, ms []plan.Member) bool {
	return slices.EqualFunc(ks, ms, func(k job.Key, m plan.Member) bool { return k == m.Key })
}

// TestStore saves audiences around the size of a chunk, all under one name,
// each of which stays what it was whatever is saved after it.
func TestStore(t *testing.T) {
	t.Parallel()
	s := open(t)
	sizes := []int{2*plan.ChunkSize + 1, plan.ChunkSize + 1, plan.ChunkSize, 1, 0}
	var saved []broadcast.Snapshot
	for _, n := range sizes {
		ms := members(n)
		snap, err := s.Save(t.Context(), "menu~1", ms)
		var d plan.Digest
		for _, m := range ms {
			d.Add(m.Key)
		}
		if want := (broadcast.Snapshot{Object: snap.Object, Count: n, Chunk: plan.ChunkSize, Digest: d.String()}); err != nil || snap != want || !strings.HasPrefix(snap.Object, "menu~1.") {
			t.Fatalf("Save of %d = %+v, %v; want %+v", n, snap, err, want)
		}
		saved = append(saved, snap)
		chunks := (n + plan.ChunkSize - 1) / plan.ChunkSize
		if ks, err := s.Chunk(t.Context(), snap, chunks); ks != nil || err != nil {
			t.Errorf("past the end of %d: %d contacts, %v", n, len(ks), err)
		}
	}
	for i, n := range sizes {
		if ks, err := all(t, s, saved[i]); err != nil || !same(ks, members(n)) {
			t.Errorf("of %d, %d came back in order, %v", n, len(ks), err)
		}
	}
}

// Two leaders freeze one audience: the second finished while the first was
// paused in the middle of its own, which is of other people, or of the same
// in another order. Each reads what it saved.
func TestTwoFreezesOfOneName(t *testing.T) {
	t.Parallel()
	s := open(t)
	late := members(plan.ChunkSize + 5)
	for name, early := range map[string][]plan.Member{"others": members(3), "another order": reversed(late)} {
		t.Run(name, func(t *testing.T) {
			second, err := s.Save(t.Context(), name, early)
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.Save(t.Context(), name, late)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				snap broadcast.Snapshot
				want []plan.Member
			}{{second, early}, {first, late}} {
				if ks, err := all(t, s, c.snap); err != nil || !same(ks, c.want) {
					t.Errorf("%s: %d contacts, %v; want the %d that were saved", c.snap.Object, len(ks), err, len(c.want))
				}
			}
		})
	}
}

func reversed(ms []plan.Member) []plan.Member {
	ms = slices.Clone(ms)
	slices.Reverse(ms)
	return ms
}

// A freeze begun again finds what it stored and writes nothing anew: whoever
// is reading it goes on undisturbed.
func TestSavedAgainIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap, err := s.Save(t.Context(), "menu~1", members(3))
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.objects.GetInfo(t.Context(), chunkName(snap.Object, 0))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Save(t.Context(), "menu~1", members(3))
	if err != nil || again != snap {
		t.Errorf("saved again: %+v, %v; want %+v", again, err, snap)
	}
	if after, err := s.objects.GetInfo(t.Context(), chunkName(snap.Object, 0)); err != nil || after.NUID != before.NUID {
		t.Errorf("written anew as %s, was %s; %v", after.NUID, before.NUID, err)
	}
}

// What an earlier version stored, under the bare name, stays readable.
func TestFormerNames(t *testing.T) {
	t.Parallel()
	s := open(t)
	ms := members(4)
	for i, part := range [][]plan.Member{ms[:3], ms[3:]} {
		if _, err := s.objects.PutBytes(t.Context(), "menu~1."+strconv.Itoa(i), plan.EncodeChunk(part)); err != nil {
			t.Fatal(err)
		}
	}
	snap := broadcast.Snapshot{Object: "menu~1", Count: 4, Chunk: 3}
	if ks, err := all(t, s, snap); err != nil || !same(ks, ms) {
		t.Errorf("%d contacts, %v", len(ks), err)
	}
}

// TestStoreRefuses asserts that a snapshot whose chunks are not what it says
// is an error, never a shorter audience.
func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap, err := s.Save(t.Context(), "menu~1", members(3))
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(*broadcast.Snapshot)) broadcast.Snapshot {
		c := snap
		edit(&c)
		return c
	}
	for _, c := range []struct {
		name string
		snap broadcast.Snapshot
		want string
	}{
		{"another name", edited(func(s *broadcast.Snapshot) { s.Object = "menu~2" }), "audience menu~2 chunk 0: "},
		{"more than there are", edited(func(s *broadcast.Snapshot) { s.Count = 4 }), "audience " + snap.Object + " chunk 0: 3 contacts, want 4"},
		{"fewer than there are", edited(func(s *broadcast.Snapshot) { s.Count = 2 }), "audience " + snap.Object + " chunk 0: 3 contacts, want 2"},
		{"a chunk that is missing", edited(func(s *broadcast.Snapshot) { s.Count, s.Chunk = 4, 3 }), "audience " + snap.Object + " chunk 1: "},
	} {
		if _, err := all(t, s, c.snap); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := s.objects.PutBytes(t.Context(), chunkName(snap.Object, 0), make([]byte, 47)); err != nil {
		t.Fatal(err)
	}
	if _, err := all(t, s, snap); err == nil || !strings.HasPrefix(err.Error(), "audience "+snap.Object+" chunk 0: audience chunk of 47 bytes: ") {
		t.Errorf("a chunk cut short: %v", err)
	}
}

// TestEachStops asserts that the caller's error ends it, and is what it gets.
func TestEachStops(t *testing.T) {
	t.Parallel()
	s := open(t)
	snap, err := s.Save(t.Context(), "menu~1", members(3))
	if err != nil {
		t.Fatal(err)
	}
	enough, calls := errors.New("enough"), 0
	err = s.Each(t.Context(), snap, func(job.Key) error {
		if calls++; calls == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 2 {
		t.Errorf("%d calls, %v; want 2, %v", calls, err, enough)
	}
}
