package idempotency

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// open returns two stores of one installation, as two schedulers have them.
func open(t *testing.T) (a, b *Store, names subject.Names) {
	t.Helper()
	names = rig.Open(t, engines).Names
	a, err := Open(t.Context(), stream.Provider{JS: engines.JetStream, Create: true}, names)
	rig.Must(t, err)
	b, err = Open(t.Context(), stream.Provider{JS: engines.JetStream, Create: true}, names)
	rig.Must(t, err)
	return a, b, names
}

func sum(k Key, body string) []byte {
	h := k.Body()
	h.Write([]byte(body))
	return h.Sum(nil)
}

func claim(t *testing.T, s *Store, k Key, line string) *Claim {
	t.Helper()
	c, d, err := s.Begin(t.Context(), k, line)
	if err != nil || c == nil || d != nil {
		t.Fatalf("%v, %v, %v: want a claim", c, d, err)
	}
	t.Cleanup(c.stop)
	return c
}

const line = "POST /v1/broadcasts/menu/launch"

func TestAnswerIsGivenAgain(t *testing.T) {
	a, b, _ := open(t)
	k := NewKey("t1", "bearer", "key-1")
	want := Answer{Status: 202, Type: "application/json", Body: []byte(`{"state":"running"}` + "\n")}
	c := claim(t, a, k, line)
	for name, s := range map[string]*Store{"here": a, "elsewhere": b} {
		if _, _, err := s.Begin(t.Context(), k, line); !errors.Is(err, ErrAtWork) {
			t.Errorf("%s, while at work: %v", name, err)
		}
	}
	rig.Must(t, c.Keep(t.Context(), sum(k, "body"), want))
	again, err := Open(t.Context(), stream.Provider{JS: engines.JetStream, Create: true}, subjectOf(t, a))
	rig.Must(t, err)
	for name, s := range map[string]*Store{"here": a, "elsewhere": b, "after a restart": again} {
		_, d, err := s.Begin(t.Context(), k, line)
		if err != nil || d == nil {
			t.Fatalf("%s: %v, %v", name, d, err)
		}
		got, err := d.Answer(sum(k, "body"))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		if _, err := d.Answer(sum(k, "another")); !errors.Is(err, ErrOther) {
			t.Errorf("%s, with another body: %v", name, err)
		}
		if _, _, err := s.Begin(t.Context(), k, line+"?x"); !errors.Is(err, ErrOther) {
			t.Errorf("%s, with another path: %v", name, err)
		}
	}
}

// subjectOf returns the names under which a store was opened.
func subjectOf(t *testing.T, s *Store) subject.Names {
	t.Helper()
	prefix, _, _ := strings.Cut(s.kv.Bucket(), "_")
	n, err := subject.New(prefix)
	rig.Must(t, err)
	return n
}

// TestScopeIsTheCaller: one key of two callers is two keys, and so it is for
// another token of the same name.
func TestScopeIsTheCaller(t *testing.T) {
	a, _, _ := open(t)
	for _, k := range []Key{NewKey("t1", "b1", "key"), NewKey("t2", "b1", "key"), NewKey("t1", "b2", "key"), NewKey("t1", "b1", "KEY")} {
		rig.Must(t, claim(t, a, k, line).Keep(t.Context(), sum(k, ""), Answer{Status: 200}))
	}
}

func TestFreeKeyServesAgain(t *testing.T) {
	a, b, _ := open(t)
	k := NewKey("t1", "bearer", "key")
	for _, s := range []*Store{a, b, a} {
		rig.Must(t, claim(t, s, k, line).Free(t.Context()))
	}
	rig.Must(t, claim(t, b, k, "POST /v1/apply").Keep(t.Context(), nil, Answer{Status: 200})) // for anything
}

// TestOneAtATime: of many that come at once exactly one is carried out, and
// all others wait or get its answer.
func TestOneAtATime(t *testing.T) {
	a, b, _ := open(t)
	k := NewKey("t1", "bearer", "key")
	var claims, answers atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		s := []*Store{a, b}[i%2]
		wg.Go(func() {
			for {
				c, d, err := s.Begin(context.Background(), k, line)
				switch {
				case c != nil:
					claims.Add(1)
					if err := c.Keep(context.Background(), nil, Answer{Status: 200}); err != nil {
						t.Error(err)
					}
					return
				case d != nil:
					answers.Add(1)
					return
				case !errors.Is(err, ErrAtWork):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if claims.Load() != 1 || answers.Load() != 19 {
		t.Errorf("%d carried out, %d answered", claims.Load(), answers.Load())
	}
}

// newest returns how the server holds the newest message of a key.
func newest(t *testing.T, s *Store, k Key) *jetstream.RawStreamMsg {
	t.Helper()
	st, err := engines.JetStream.Stream(t.Context(), "KV_"+s.kv.Bucket())
	rig.Must(t, err)
	m, err := st.GetLastMsgForSubject(t.Context(), "$KV."+s.kv.Bucket()+"."+k.name)
	rig.Must(t, err)
	return m
}

// TestLease: a key that is taken has the life of a lease, each renewal begins
// it anew, and an answer has the bucket's.
func TestLease(t *testing.T) {
	a, _, _ := open(t)
	k := NewKey("t1", "bearer", "key")
	c := claim(t, a, k, line)
	for i := range 3 {
		m := newest(t, a, k)
		if ttl := m.Header.Get("Nats-TTL"); ttl != Lease.String() {
			t.Errorf("after %d renewals the life is %q, want %s", i, ttl, Lease)
		}
		if m.Sequence != c.rev {
			t.Errorf("after %d renewals the newest is %d, the claim's %d", i, m.Sequence, c.rev)
		}
		c.renew(t.Context())
	}
	rig.Must(t, c.Keep(t.Context(), nil, Answer{Status: 200}))
	if ttl := newest(t, a, k).Header.Get("Nats-TTL"); ttl != "" {
		t.Errorf("an answer's life is %q", ttl)
	}
	st, err := a.kv.Status(t.Context())
	rig.Must(t, err)
	if st.TTL() < Kept {
		t.Errorf("the bucket keeps for %s", st.TTL())
	}
}

// TestCrashFreesTheKey: what nobody renews ends by itself, and whoever was
// thought dead can't keep an answer any more.
func TestCrashFreesTheKey(t *testing.T) {
	a, b, _ := open(t)
	k := NewKey("t1", "bearer", "key")
	crashed := &Claim{store: a, key: k, rec: record{Owner: "crashed", Line: k.digest("line", []byte(line))}, stop: func() {}}
	var err error
	crashed.rev, err = a.put(t.Context(), k, crashed.rec, 0, time.Second)
	rig.Must(t, err)
	var c *Claim
	rig.Until(t, "the lease ends", func() bool {
		c, _, err = b.Begin(t.Context(), k, line)
		if err != nil && !errors.Is(err, ErrAtWork) {
			t.Fatal(err)
		}
		return c != nil
	})
	if err := crashed.Keep(t.Context(), nil, Answer{Status: 500}); err == nil {
		t.Error("it kept an answer to what another was carrying out")
	}
	if err := crashed.Free(t.Context()); err == nil {
		t.Error("it freed what another had taken")
	}
	rig.Must(t, c.Keep(t.Context(), nil, Answer{Status: 200}))
}

// TestLostAcknowledgement: a renewal that was stored without our knowing does
// not cost us the key.
func TestLostAcknowledgement(t *testing.T) {
	a, b, _ := open(t)
	k := NewKey("t1", "bearer", "key")
	c := claim(t, a, k, line)
	_, err := a.put(t.Context(), k, c.rec, c.rev, Lease)
	rig.Must(t, err)
	rig.Must(t, c.Keep(t.Context(), nil, Answer{Status: 200}))
	if _, d, err := b.Begin(t.Context(), k, line); d == nil {
		t.Errorf("%v, want the answer", err)
	}
}

func TestRenewedUntilTheEnd(t *testing.T) {
	var n atomic.Int32
	stop := every(time.Millisecond, func(context.Context) { n.Add(1) })
	rig.Until(t, "three renewals", func() bool { return n.Load() >= 3 })
	stop()
	last := n.Load()
	stop()
	if n.Load() != last {
		t.Error("it went on")
	}
}

func TestLongAnswer(t *testing.T) {
	a, _, _ := open(t)
	for _, c := range []struct {
		n   int
		cut bool
	}{{MaxBody, false}, {MaxBody + 1, true}} {
		k := NewKey("t1", "bearer", string(rune('a'+c.n%2)))
		rig.Must(t, claim(t, a, k, line).Keep(t.Context(), nil, Answer{Status: 200, Body: bytes.Repeat([]byte{'x'}, c.n)}))
		_, d, err := a.Begin(t.Context(), k, line)
		rig.Must(t, err)
		got, err := d.Answer(nil)
		if err != nil || got.Cut != c.cut || got.Status != 200 || !c.cut && len(got.Body) != c.n {
			t.Errorf("%d bytes: cut %t, %d bytes, %v", c.n, got.Cut, len(got.Body), err)
		}
	}
}

// TestNothingReadableIsStored: neither what was asked nor what was answered
// can be found in the store.
func TestNothingReadableIsStored(t *testing.T) {
	a, _, _ := open(t)
	k := NewKey("caller-1", "the-bearer", "the-key")
	rig.Must(t, claim(t, a, k, "POST /v1/the-line").Keep(t.Context(), sum(k, "4712345678"), Answer{Status: 200, Body: []byte("the-secret")}))
	err := stream.Each(t.Context(), engines.JetStream, stream.Query{Stream: "KV_" + a.kv.Bucket()}, func(m stream.Message) error {
		for _, s := range []string{"caller-1", "the-bearer", "the-key", "the-line", "4712345678", "the-secret", "dGhlLXNlY3JldA"} {
			if strings.Contains(m.Subject, s) || bytes.Contains(m.Data, []byte(s)) {
				t.Errorf("%q lies in the store: %s %s", s, m.Subject, m.Data)
			}
		}
		return nil
	})
	rig.Must(t, err)
}
