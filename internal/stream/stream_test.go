package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// open starts a server of its own with one stream, S, of the subjects s.>.
func open(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func subj(i int) string { return "s." + strconv.Itoa(i) }

// fresh returns messages to the subjects [from, to) that must have none.
func fresh(from, to int) []*nats.Msg {
	var ms []*nats.Msg
	for i := from; i < to; i++ {
		ms = append(ms, Expect(subj(i), []byte(strconv.Itoa(i)), 0))
	}
	return ms
}

func store(t *testing.T, nc *nats.Conn, ms ...*nats.Msg) uint64 {
	t.Helper()
	first, err := Batch(t.Context(), nc, ms)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func head(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	h, err := Head(t.Context(), js, "S")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestBatchStoresAllInOrder(t *testing.T) {
	nc, js := open(t)
	at := 0
	for _, n := range []int{1, 2, MaxBatch} {
		if first := store(t, nc, fresh(at, at+n)...); first != uint64(at+1) {
			t.Errorf("batch of %d: first sequence %d, want %d", n, first, at+1)
		}
		at += n
	}
	if h := head(t, js); h != uint64(at) {
		t.Errorf("head %d, want %d", h, at)
	}
}

func TestBatchRefusesItsSize(t *testing.T) {
	nc, js := open(t)
	for _, n := range []int{0, MaxBatch + 1} {
		if _, err := Batch(t.Context(), nc, fresh(0, n)); err == nil {
			t.Errorf("batch of %d: no error", n)
		}
	}
	if h := head(t, js); h != 0 {
		t.Errorf("something was stored: head %d", h)
	}
}

// A batch with one member whose expectation fails stores none of it, whatever
// the member's place, and says that the server refused it.
func TestBatchStoresAllOrNone(t *testing.T) {
	nc, js := open(t)
	store(t, nc, Expect(subj(0), nil, 0))
	for _, place := range []int{0, 3, 9} {
		ms := fresh(100, 110)
		ms[place] = Expect(subj(0), nil, 7)
		_, err := Batch(t.Context(), nc, ms)
		if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.Code != 400 {
			t.Errorf("conflict at %d: error %v, want the server's refusal", place, err)
		}
		if h := head(t, js); h != 1 {
			t.Fatalf("conflict at %d: head %d, want 1", place, h)
		}
	}
}

// A message that a batch refused can be published alone: nothing of the batch
// sticks to it.
func TestPublishAfterABatch(t *testing.T) {
	nc, _ := open(t)
	store(t, nc, Expect(subj(0), nil, 0))
	ms := append(fresh(1, 3), Expect(subj(0), nil, 0))
	if _, err := Batch(t.Context(), nc, ms); err == nil {
		t.Fatal("the batch was not refused")
	}
	for i, want := range []uint64{2, 3} {
		if seq, err := Publish(t.Context(), nc, ms[i]); err != nil || seq != want {
			t.Errorf("message %d: %d, %v; want %d", i, seq, err, want)
		}
	}
	if _, err := Publish(t.Context(), nc, ms[2]); err == nil {
		t.Error("the conflicting message was stored")
	}
}

func TestPublishWithoutAStream(t *testing.T) {
	nc, _ := open(t)
	if _, err := Publish(t.Context(), nc, Expect("elsewhere", nil, 0)); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("error %v, want no responders", err)
	}
}

func TestNewest(t *testing.T) {
	nc, _ := open(t)
	const n = maxNewest + 200 // more than one request
	for i := 0; i < n; i += MaxBatch {
		store(t, nc, fresh(i, min(i+MaxBatch, n))...)
	}
	store(t, nc, Expect(subj(3), []byte("newer"), 4))
	subjects := []string{"s.none"}
	for i := range n {
		subjects = append(subjects, subj(i))
	}
	got, err := Newest(t.Context(), nc, "S", subjects)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Errorf("%d subjects, want %d", len(got), n)
	}
	for i, want := range map[int]Message{
		3:     {Subject: subj(3), Data: []byte("newer"), Seq: n + 1},
		n - 1: {Subject: subj(n - 1), Data: []byte(strconv.Itoa(n - 1)), Seq: n},
	} {
		if m := got[subj(i)]; m.Subject != want.Subject || string(m.Data) != string(want.Data) || m.Seq != want.Seq {
			t.Errorf("subject %d: %s %q at %d, want %q at %d", i, m.Subject, m.Data, m.Seq, want.Data, want.Seq)
		}
	}
}

// TestNewestOfMuch asserts that an answer which the server cuts short is never
// taken for all there is.
func TestNewestOfMuch(t *testing.T) {
	t.Parallel()
	nc, js := open(t)
	const n = 12
	data := make([]byte, 1000<<10)
	var subjects []string
	for i := range n {
		subjects = append(subjects, subj(i))
		if _, err := js.Publish(t.Context(), subj(i), data); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Newest(t.Context(), nc, "S", subjects)
	if err != nil || len(got) != n {
		t.Errorf("%d messages, want %d: %v", len(got), n, err)
	}
	if _, err := Newest(t.Context(), nc, "S", []string{"s.*"}); !errors.Is(err, ErrTooMany) {
		t.Errorf("more than one answer holds by one wildcard: %v", err)
	}
}

// TestNewestSince asserts that no answer is taken from who does not have what
// is known to be there.
func TestNewestSince(t *testing.T) {
	t.Parallel()
	nc, js := open(t)
	for i := range 3 {
		if _, err := js.Publish(t.Context(), subj(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		since Mark
		ask   int
		want  error
	}{
		{Mark{subj(2), 3}, 1, nil},
		{Mark{subj(2), 3}, 9, nil},
		{Mark{subj(2), 4}, 1, ErrBehind},
		{Mark{subj(8), 3}, 1, nil},
		{Mark{subj(8), 3}, 9, ErrBehind}, // nothing says how far it is
	} {
		if _, err := NewestSince(t.Context(), nc, "S", c.since, []string{subj(c.ask)}); !errors.Is(err, c.want) {
			t.Errorf("%+v, asking for %d: %v, want %v", c.since, c.ask, err, c.want)
		}
	}
}

func TestNewestOfNothing(t *testing.T) {
	nc, _ := open(t)
	for _, subjects := range [][]string{nil, {"s.none"}} {
		got, err := Newest(t.Context(), nc, "S", subjects)
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("Newest(%v) = %v, %v; want an empty map", subjects, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Newest(ctx, nc, "S", []string{"s.none"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestLast(t *testing.T) {
	nc, _ := open(t)
	store(t, nc, fresh(0, 3)...)
	store(t, nc, Expect(subj(1), []byte("newer"), 2))
	m, found, err := Last(t.Context(), nc, "S", subj(1))
	if err != nil || !found || m.Subject != subj(1) || string(m.Data) != "newer" || m.Seq != 4 || m.At.IsZero() {
		t.Errorf("%+v, %t, %v", m, found, err)
	}
	if m, found, err := Last(t.Context(), nc, "S", "s.none"); err != nil || found {
		t.Errorf("a subject without messages: %+v, %t, %v", m, found, err)
	}
	if _, _, err := Last(t.Context(), nc, "NONE", "s.none"); err == nil {
		t.Error("a stream that is not there was read")
	}
}

func TestEach(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 10)...)                     // 1 to 10
	store(t, nc, Expect(subj(2), []byte("again"), 3)) // 11
	for _, c := range []struct {
		name string
		q    Query
		want []uint64
	}{
		{"all", Query{}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"from", Query{From: 9}, []uint64{9, 10, 11}},
		{"from the head", Query{From: 11}, []uint64{11}},
		{"from beyond", Query{From: 12}, nil},
		{"up to", Query{UpTo: 2}, []uint64{1, 2}},
		{"up to beyond", Query{From: 10, UpTo: 99}, []uint64{10, 11}},
		{"one subject", Query{Subject: subj(2)}, []uint64{3, 11}},
		{"one subject up to between", Query{Subject: subj(2), UpTo: 10}, []uint64{3}},
		{"no such subject", Query{Subject: "s.none"}, nil},
		{"newest", Query{Newest: true}, []uint64{1, 2, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"newest of one", Query{Newest: true, Subject: subj(2)}, []uint64{11}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Stream = "S"
			var got []uint64
			err := Each(t.Context(), js, c.q, func(m Message) error { got = append(got, m.Seq); return nil })
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestEachGivesTheWholeMessage(t *testing.T) {
	nc, js := open(t)
	before := time.Now()
	m := Expect("s.x", []byte("data"), 0)
	m.Header["traceparent"] = []string{"00-trace"}
	store(t, nc, m)
	var got Message
	if err := Each(t.Context(), js, Query{Stream: "S"}, func(m Message) error { got = m; return nil }); err != nil {
		t.Fatal(err)
	}
	if got.Subject != "s.x" || string(got.Data) != "data" || got.Seq != 1 || got.Trace != "00-trace" || got.At.Before(before.Add(-time.Second)) {
		t.Errorf("%+v", got)
	}
}

// TestEachSince begins with the first message stored at that moment or later.
func TestEachSince(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 3)...)
	var at []time.Time
	if err := Each(t.Context(), js, Query{Stream: "S"}, func(m Message) error { at = append(at, m.At); return nil }); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		since time.Time
		want  int // how many
	}{{at[0], 3}, {at[2], 1}, {at[2].Add(1), 0}, {at[0].Add(-time.Hour), 3}} {
		n := 0
		if err := Each(t.Context(), js, Query{Stream: "S", Since: c.since}, func(Message) error { n++; return nil }); err != nil || n != c.want {
			t.Errorf("case %d: %d, %v; want %d", i, n, err, c.want)
		}
	}
}

func TestEachEndsWithTheFirstError(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 5)...)
	enough, n := errors.New("enough"), 0
	err := Each(t.Context(), js, Query{Stream: "S"}, func(Message) error {
		if n++; n == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 2 {
		t.Errorf("%v after %d, want the second's error", err, n)
	}
	if err := Each(t.Context(), js, Query{Stream: "T"}, nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of no stream: %v", err)
	}
	for info := range must(js.Stream(t.Context(), "S"))(t).ListConsumers(t.Context()).Info() {
		t.Errorf("consumer %s was left behind", info.Name)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// follow follows S and ends with the test; the channel tells how it ended.
func follow(t *testing.T, js jetstream.JetStream, from uint64) (<-chan Message, <-chan error, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	to, ended := make(chan Message), make(chan error, 1)
	go func() { ended <- Follow(ctx, js, "S", from, to) }()
	t.Cleanup(cancel)
	return to, ended, cancel
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(60 * time.Second):
		t.Fatal("nothing came within 60 s")
		panic("unreachable")
	}
}

func TestFollow(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 10)...)
	for _, from := range []uint64{0, 1, 2, 10} {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			to, ended, cancel := follow(t, js, from)
			for want := max(from, 1); want <= 10; want++ {
				if m := receive(t, to); m.Seq != want {
					t.Fatalf("sequence %d, want %d", m.Seq, want)
				}
			}
			cancel()
			if err := receive(t, ended); err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestFollowWaitsForWhatIsToCome(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 3)...)
	to, _, _ := follow(t, js, 5) // beyond the head: 4 is not wanted either
	store(t, nc, fresh(3, 6)...)
	for _, want := range []uint64{5, 6} {
		if m := receive(t, to); m.Seq != want {
			t.Errorf("sequence %d, want %d", m.Seq, want)
		}
	}
}

// TestFollowGoesOnWithAnotherReader takes the reader away, with messages on
// the way and with none.
func TestFollowGoesOnWithAnotherReader(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 10)...)
	to, _, _ := follow(t, js, 0)
	for want := uint64(1); want <= 15; want++ {
		if m := receive(t, to); m.Seq != want {
			t.Fatalf("sequence %d, want %d", m.Seq, want)
		}
		switch want {
		case 3:
			deleteReaders(t, js)
		case 10:
			deleteReaders(t, js)
			store(t, nc, fresh(10, 15)...)
		}
	}
}

// deleteReaders deletes all there are, once there is one.
func deleteReaders(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	s := must(js.Stream(t.Context(), "S"))(t)
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		n := 0
		for info := range s.ListConsumers(t.Context()).Info() {
			if err := s.DeleteConsumer(t.Context(), info.Name); err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody reads")
}

// A follower that nobody receives from can still be stopped.
func TestFollowStopsWhileBlocked(t *testing.T) {
	nc, js := open(t)
	store(t, nc, fresh(0, 10)...)
	to, ended, cancel := follow(t, js, 0)
	receive(t, to)
	cancel()
	if err := receive(t, ended); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestFollowSaysWhenItCannotGoOn(t *testing.T) {
	nc, js := open(t)
	if err := Follow(t.Context(), js, "T", 0, nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of no stream: %v", err)
	}
	store(t, nc, fresh(0, 1)...)
	to, ended, _ := follow(t, js, 0)
	receive(t, to)
	nc.Close()
	if err := receive(t, ended); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("after the connection was closed: %v", err)
	}
}
