package plan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func key(i int) (k job.Key) {
	binary.BigEndian.PutUint64(k[8:], uint64(i))
	return k
}

func member(k job.Key, inbound, at time.Time) Member {
	return NewMember(k, contact.Record{LastInbound: inbound}, at, day)
}

// TestOrderOfSending writes the order down, each moment one tick from the
// next where it matters.
func TestOrderOfSending(t *testing.T) {
	t.Parallel()
	inbounds := []time.Time{
		noon.Add(-day + 1),                  // its window closes in 1 ns
		noon.Add(-day + time.Microsecond),   // later
		noon.Add(-day + 2*time.Microsecond), // later still
		noon,                                // wrote now
		noon.Add(time.Hour),                 // a clock ahead
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), // a clock astray
		noon.Add(-day),                                   // closes now: closed
		noon.Add(-day - time.Microsecond),                // closed before
		noon.Add(-day - 2*time.Microsecond),              // the tick before that
		noon.Add(-400 * day),                             // long ago
		time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC),      // before the epoch
		time.Date(1, 1, 1, 0, 0, 0, 1_000_000, time.UTC), // the first that is not "never"
		{}, // never wrote
	}
	var ms []Member
	for i, in := range inbounds {
		ms = append(ms, member(key(len(inbounds)-i), in, noon)) // keys against the order
	}
	want := slices.Clone(ms)
	slices.Reverse(ms)
	Order(ms)
	for i := range ms {
		if ms[i] != want[i] {
			t.Errorf("place %d: key %v, want %v (%v)", i, ms[i].Key, want[i].Key, inbounds[i])
		}
	}
}

func drawMembers(t *rapid.T) []Member {
	times := []time.Time{{}, noon, noon.Add(-time.Hour), noon.Add(-day), noon.Add(-day + 1), noon.Add(-30 * day)}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Member {
		return member(key(rapid.IntRange(0, 50).Draw(t, "key")), rapid.SampledFrom(times).Draw(t, "inbound"), noon)
	}), 0, 60).Draw(t, "members")
}

func TestOrderOfAnyInput(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := drawMembers(t)
		b := rapid.Permutation(a).Draw(t, "in another order")
		Order(a)
		Order(b)
		if !slices.Equal(a, b) {
			t.Fatalf("%v\nand %v", a, b)
		}
		if !slices.IsSortedFunc(a, func(x, y Member) int {
			if x.rank != y.rank {
				return int(min(max(x.rank-y.rank, -1), 1))
			}
			return bytes.Compare(x.Key[:], y.Key[:])
		}) {
			t.Fatalf("not in order: %v", a)
		}
	})
}

func digest(ms []Member) (d Digest) {
	for _, m := range ms {
		d.Add(m.Key)
	}
	return d
}

func TestDigest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := drawMembers(t)
		d := digest(ms)
		if got := digest(rapid.Permutation(ms).Draw(t, "in another order")); got != d {
			t.Fatalf("in another order %s, was %s", got, d)
		}
		if len(ms) == 0 {
			return
		}
		i := rapid.IntRange(0, len(ms)-1).Draw(t, "place")
		if digest(append(slices.Clone(ms), ms[i])) == d {
			t.Fatal("a contact that stands twice does not show")
		}
		if digest(append(slices.Clone(ms), ms[i], ms[i])) == d {
			t.Fatal("a contact that stands three times does not show")
		}
		if digest(slices.Delete(slices.Clone(ms), i, i+1)) == d {
			t.Fatal("a contact that is missing does not show")
		}
		other := slices.Clone(ms)
		other[i].Key[0]++
		if digest(other) == d {
			t.Fatal("another contact does not show")
		}
	})
}

// TestDigestValue fixes the digest: it is compared with stored ones. The
// second is the sum of two hashes, carried from byte to byte.
func TestDigestValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		want string
	}{
		{0, "0000000000000000000000000000000000000000000000000000000000000000"},
		{1, "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb"},
		{2, "b383d610b2f06150de72419c83cf464eee6db72c9ae09003a80a40531c1c3ce4"},
	} {
		var d Digest
		for i := range c.n {
			d.Add(key(i))
		}
		if d.String() != c.want {
			t.Errorf("of %d: %s, want %s", c.n, d, c.want)
		}
	}
}

func TestChunkRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := append(drawMembers(t), Member{Key: key(1)})
		got, err := DecodeChunk(EncodeChunk(ms))
		if err != nil || !slices.EqualFunc(got, ms, func(k job.Key, m Member) bool { return k == m.Key }) {
			t.Fatalf("decoded %v, %v; want %v", got, err, ms)
		}
	})
}

func TestDecodeChunk(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{
		0: 0, 1: 0, 15: 0, 16: 1, 17: 0, 32: 2, ChunkSize * 16: ChunkSize, ChunkSize*16 + 1: 0, ChunkSize*16 + 16: 0,
	} {
		got, err := DecodeChunk(make([]byte, size))
		if len(got) != want || (err == nil) != (want > 0) || err != nil && !errors.Is(err, errChunk) {
			t.Errorf("%d bytes: %d contacts, %v; want %d", size, len(got), err, want)
		}
	}
}

func FuzzDecodeChunk(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 15))
	f.Add(EncodeChunk([]Member{{Key: key(1)}, {Key: key(2)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ks, err := DecodeChunk(b)
		if err != nil {
			return
		}
		ms := make([]Member, len(ks))
		for i, k := range ks {
			ms[i].Key = k
		}
		if !bytes.Equal(EncodeChunk(ms), b) {
			t.Errorf("%x decoded and encoded is %x", b, EncodeChunk(ms))
		}
	})
}

// TestCollect asserts that everybody is counted once: in, out or undecided.
func TestCollect(t *testing.T) {
	t.Parallel()
	s, err := NewSelector(broadcast.Audience{Labels: []string{"in"}, Where: "int(attributes.age) > 17"})
	if err != nil {
		t.Fatal(err)
	}
	var ms []Member
	var log broadcast.FreezeLog
	collect := s.Collect(&ms, &log, day, noon)
	for i, r := range []contact.Record{
		{Labels: []string{"in"}, Attributes: map[string]string{"age": "18"}},
		{Labels: []string{"in"}, Attributes: map[string]string{"age": "17"}},
		{Labels: []string{"in"}, Attributes: map[string]string{"age": "old"}},
		{Labels: []string{"in"}, Attributes: map[string]string{"age": "older"}},
		{Labels: []string{"in"}},
		{Attributes: map[string]string{"age": "18"}},
		{Labels: []string{"in"}, Attributes: map[string]string{"age": "99"}, LastInbound: noon},
	} {
		if err := collect(key(i), r); err != nil {
			t.Fatal(err)
		}
	}
	if len(ms) != 2 || ms[0] != member(key(0), time.Time{}, noon) || ms[1] != member(key(6), noon, noon) {
		t.Errorf("members %v", ms)
	}
	if log.Seen != 7 || log.NotMatch != 3 || log.Errors != 2 || log.Example == "" || log.Seen != len(ms)+log.NotMatch+log.Errors {
		t.Errorf("log %+v", log)
	}
}
