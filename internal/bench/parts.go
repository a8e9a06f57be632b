package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/app"
	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func (b *bench) evaluate(context.Context) error {
	book := policy.Default()
	at := time.Now().UTC()
	text := "Hello Kari, the spring menu is here."
	s := policy.Sender{Channel: policy.Messenger, Capabilities: []string{"human_agent"}}
	for _, c := range []struct {
		what string
		m    policy.Message
		ago  time.Duration
	}{
		{"policy.Evaluate, a send inside the window", policy.Message{Origin: "broadcast", Text: text}, time.Hour},
		{"policy.Evaluate, a send under a tag", policy.Message{Origin: "agent", Tag: "HUMAN_AGENT", Text: text}, 30 * time.Hour},
	} {
		f := policy.Facts{LastInbound: at.Add(-c.ago)}
		r := testing.Benchmark(func(tb *testing.B) {
			tb.ReportAllocs()
			for tb.Loop() {
				if v := policy.Evaluate(book, at, &c.m, &f, &s); v.Kind != policy.Send {
					tb.Fatal(v)
				}
			}
		})
		verdict := "ok"
		if r.NsPerOp() >= 1000 || r.AllocsPerOp() > 0 {
			verdict = "missed"
		}
		b.add(c.what, fmt.Sprintf("%d ns, %d allocations", r.NsPerOp(), r.AllocsPerOp()), "", verdict, "< 1000 ns, 0")
	}
	return nil
}

// streams holds the committer and the import against bare atomic batches of
// the same records.
func (b *bench) streams(ctx context.Context) error {
	e, err := engine.Start(ctx, engine.Config{Data: b.sub("streams"), Log: b.log})
	if err != nil {
		return err
	}
	defer func() { _ = e.Stop() }()
	names, err := subject.New("bench")
	if err != nil {
		return err
	}
	if err := b.committer(ctx, e, names); err != nil {
		return err
	}
	return b.imports(ctx, e, names)
}

// bare stores n messages in atomic batches of 500, one in flight.
func bare(ctx context.Context, e *engine.Engines, name string, n int, data func(int) []byte) (float64, error) {
	_, err := e.JetStream.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, AllowAtomicPublish: true, MaxMsgsPerSubject: -1})
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for i := 0; i < n; i += stream.MaxBatch {
		ms := make([]*nats.Msg, 0, stream.MaxBatch)
		for j := i; j < min(n, i+stream.MaxBatch); j++ {
			ms = append(ms, stream.Expect(fmt.Sprintf("%s.%022d", name, j), data(j), 0))
		}
		if _, err := stream.Batch(ctx, e.NATS, ms); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

func (b *bench) committer(ctx context.Context, e *engine.Engines, names subject.Names) error {
	n := 3 * b.messages
	sample := ledger.Record{State: job.Claimed, From: job.Pending, Nonce: "0123456789ABCDEFGHIJ.zzz", Attempt: 1, At: time.Now(), Rule: "standard_window", Deadline: 6 * time.Second, Trace: strings.Repeat("a", 32), By: "bench/1"}
	data, err := json.Marshal(sample)
	if err != nil {
		return err
	}
	reference, err := bare(ctx, e, "BARELEDGER", n, func(int) []byte { return data })
	if err != nil {
		return err
	}
	l := ledger.New(stream.Provider{JS: e.JetStream, Create: true}, names)
	if err := l.Ensure(ctx, "202601", 0); err != nil {
		return err
	}
	cctx, stop := context.WithCancel(ctx)
	c := ledger.NewCommitter(cctx, e.NATS, e.JetStream, names)
	defer func() { stop(); c.Wait() }()
	src := job.Source{Month: "202601", Sender: "bench", Name: "bench~1"}
	keyer := contact.NewKeyer(make([]byte, 32))
	var next, failed atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				first := int(next.Add(job.MaxJobs)) - job.MaxJobs
				if first >= n {
					return
				}
				entries := make([]*ledger.Append, 0, job.MaxJobs)
				for i := first; i < min(n, first+job.MaxJobs); i++ {
					entries = append(entries, &ledger.Append{Entry: ledger.Entry{ID: src.Job(keyer.Key("bench", fmt.Sprint(i))), Record: sample}})
				}
				c.Commit(ctx, ledger.Bulk, entries)
				for _, e := range entries {
					if e.Err != nil {
						failed.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		return fmt.Errorf("%d of %d claims failed", f, n)
	}
	b.compare("committer, envelopes of 50, synced", float64(n)/time.Since(began).Seconds(), "bare batches of 500", reference, 0.8)
	return nil
}

func (b *bench) imports(ctx context.Context, e *engine.Engines, names subject.Names) error {
	n := 3 * b.messages
	data, err := json.Marshal(contact.Record{Address: "4521529585631048", Name: "Kari Nordmann", Timezone: "Europe/Oslo", Labels: []string{"regular"}, Attributes: map[string]string{"city": "Oslo"}, LastInbound: time.Now().UTC()})
	if err != nil {
		return err
	}
	reference, err := bare(ctx, e, "BAREFACTS", n, func(int) []byte { return data })
	if err != nil {
		return err
	}
	st, err := facts.Open(ctx, e.NATS, stream.Provider{JS: e.JetStream, Create: true}, names, contact.NewKeyer(make([]byte, 32)))
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	began := time.Now()
	got, err := st.Import(ctx, "bench", contacts(n, time.Now()), time.Now(), func(r contact.BadRow) error { return &r }, func(facts.Imported) {})
	if err != nil {
		return err
	}
	if got.Written != n {
		return fmt.Errorf("%d of %d contacts written", got.Written, n)
	}
	b.compare("contacts import", float64(n)/time.Since(began).Seconds(), "the same in bare batches", reference, 0.5)
	return nil
}

// address is the i-th contact's.
func address(i int) string { return fmt.Sprintf("45215%011d", i) }

// contacts is a CSV of n contacts who wrote within the last hours.
func contacts(n int, now time.Time) io.Reader {
	r, w := io.Pipe()
	go func() {
		var b bytes.Buffer
		b.WriteString("id,name,last_inbound,labels,timezone,city\n")
		for i := range n {
			fmt.Fprintf(&b, "%s,Contact %d,%s,regular,Europe/Oslo,Oslo\n", address(i), i, now.Add(-time.Duration(i%36000)*time.Second).UTC().Format(time.RFC3339))
			if b.Len() > 64<<10 {
				if _, err := b.WriteTo(w); err != nil {
					return // the reader has gone
				}
			}
		}
		_, err := b.WriteTo(w)
		_ = w.CloseWithError(err)
	}()
	return r
}

// instance is a Carillon with a client.
type instance struct {
	dev *app.Dev
	api *client.Client
}

func (b *bench) start(ctx context.Context, name string) (*instance, error) {
	cfg := config.Local(b.sub(name))
	cfg.APIRate = 10_000 // hundreds of senders are asked after side by side
	dev, err := app.StartDev(ctx, app.Config{Config: cfg, SandboxRate: 1_000_000, Log: b.log})
	if err != nil {
		return nil, err
	}
	return &instance{dev: dev, api: client.New(dev.API(), dev.Token())}, nil
}

// broadcast defines a sender and a broadcast and imports n contacts.
func (in *instance) broadcast(ctx context.Context, id, extra string, n int) error {
	doc := fmt.Sprintf("kind: Sender\nid: %[1]s\nchannel: messenger\naccount: \"%[2]d\"\ncredential: env:NONE\n%[3]s\n---\nkind: Broadcast\nid: %[1]s\nsender: %[1]s\nmessage: {text: \"Hello {{.name}}, the spring menu is here.\"}\n",
		id, 1_000_000+len(id), extra)
	if _, err := in.api.Apply(ctx, "bench.yaml", strings.NewReader(doc)); err != nil {
		return err
	}
	_, err := in.api.ImportContacts(ctx, id, contacts(n, time.Now()), false, func(client.ImportEvent) {})
	return err
}

// bulkAdvice is what launching a broadcast over Messenger asks to acknowledge.
const bulkAdvice = "bulk_discouraged"

// send launches a broadcast and returns how long it took, from the frozen
// audience to the end.
func (in *instance) send(ctx context.Context, id string) (time.Duration, error) {
	if _, err := in.api.Launch(ctx, id, bulkAdvice); err != nil {
		return 0, err
	}
	b, err := in.over(ctx, id)
	if err != nil {
		return 0, err
	}
	return b.ClosedAt.Sub(b.Frozen.At), nil
}

func (b *bench) sending(ctx context.Context) (err error) {
	in, err := b.start(ctx, "sending")
	if err != nil {
		return err
	}
	defer func() {
		if serr := in.dev.Stop(); err == nil {
			err = serr
		}
	}()
	bare, err := posts(ctx, in.dev.Sandbox(), b.messages)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		id, extra, what string
		n               int
		aim             float64
	}{
		{"singles", "rate: {per_second: 100000}", "one HTTP call per message", b.messages, 0.5},
		{"batches", "rate: {per_second: 100000}\nbatch: true", "Graph batches of 50", 3 * b.messages, 1.5},
	} {
		if err := in.broadcast(ctx, kind.id, kind.extra, kind.n); err != nil {
			return err
		}
		stop, err := b.profiled(kind.id)
		if err != nil {
			return err
		}
		before := in.counts()
		took, err := in.send(ctx, kind.id)
		stop()
		if err != nil {
			return err
		}
		b.compare(kind.what, float64(kind.n)/took.Seconds(), "bare loop of posts", bare, kind.aim)
		b.perMessage(before, in.counts(), kind.n)
	}
	return b.allocations()
}

// profiled starts a CPU profile of one kind of sending where one is asked for,
// and returns what ends it.
func (b *bench) profiled(kind string) (stop func(), err error) {
	if b.profile == "" {
		return func() {}, nil
	}
	f, err := os.Create(b.profile + "." + kind)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

// allocations writes a profile of everything allocated so far.
func (b *bench) allocations() error {
	if b.profile == "" {
		return nil
	}
	f, err := os.Create(b.profile + ".allocs")
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

// posts sends n messages in a bare loop, with as many connections as pay.
func posts(ctx context.Context, base string, n int) (float64, error) {
	const loops = 16
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loops}}
	var next, failed atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for range loops {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				body := fmt.Sprintf(`{"recipient":{"id":"45215%011d"},"messaging_type":"UPDATE","message":{"text":"Hello Contact %d, the spring menu is here.","metadata":"bare-%d"}}`, i, i, i)
				if post(ctx, c, base+"/v25.0/999/messages", body) != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		return 0, fmt.Errorf("%d of %d bare posts failed", f, n)
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

func post(ctx context.Context, c *http.Client, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sandbox")
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return err
}

// counts is what this process has done so far.
type counts struct {
	allocations               uint64
	looks, takes, calls, back int64
	envelopes                 int64
}

func (in *instance) counts() counts {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := in.dev.Stats()
	return counts{
		allocations: m.Mallocs, looks: s.Looks.Load(), takes: s.Takes.Load(), calls: s.Calls.Load(), back: s.Requeued.Load(),
		envelopes: s.Envelopes.Load(),
	}
}

// perMessage adds what a message cost. asynq takes an envelope in one round
// trip and marks it done in another, and it was put there in a third.
func (b *bench) perMessage(was, is counts, n int) {
	per := func(v int64) float64 { return float64(v) / float64(n) }
	trips := is.looks - was.looks + is.takes - was.takes + 3*(is.envelopes-was.envelopes)
	b.add("  a message of these costs", fmt.Sprintf("%.3f Redis round trips, 2 ledger records, %.3f calls", per(trips), per(is.calls-was.calls)),
		fmt.Sprintf("%.0f allocations, engines and sandbox included", per(int64(is.allocations-was.allocations))), "", "")
}

// pacing counts how many jobs come back to their lane when the sender's rate
// is what limits them.
func (b *bench) pacing(ctx context.Context) (err error) {
	in, err := b.start(ctx, "pacing")
	if err != nil {
		return err
	}
	defer func() {
		if serr := in.dev.Stop(); err == nil {
			err = serr
		}
	}()
	for _, rate := range []int{5, 200} {
		id := fmt.Sprintf("rate-%d", rate)
		n := rate * 8
		if err := in.broadcast(ctx, id, fmt.Sprintf("rate: {per_second: %d}", rate), n); err != nil {
			return err
		}
		before := in.counts()
		took, err := in.send(ctx, id)
		if err != nil {
			return err
		}
		after := in.counts()
		back := float64(after.back-before.back) / float64(n)
		verdict := "ok"
		if back >= 0.1 {
			verdict = "missed"
		}
		b.add(fmt.Sprintf("requeues a message at %d/s", rate), fmt.Sprintf("%.3f", back), fmt.Sprintf("sent at %.0f/s", float64(n)/took.Seconds()), verdict, "< 0.1")
	}
	return nil
}

// launch freezes a large audience and lets it begin, and says how far this
// process grew by it.
func (b *bench) launch(ctx context.Context) (err error) {
	if b.recipients == 0 {
		return nil
	}
	in, err := b.start(ctx, "launch")
	if err != nil {
		return err
	}
	defer func() {
		if serr := in.dev.Stop(); err == nil {
			err = serr
		}
	}()
	began := time.Now()
	if err := in.broadcast(ctx, "large", "rate: {per_second: 300}", b.recipients); err != nil {
		return err
	}
	b.add(fmt.Sprintf("import of %d contacts by the API", b.recipients), fmt.Sprintf("%.0f/s", float64(b.recipients)/time.Since(began).Seconds()), "until in force", "", "")
	runtime.GC()
	base := live()
	if _, err := in.api.Launch(ctx, "large", bulkAdvice); err != nil {
		return err
	}
	began = time.Now()
	peak := base
	err = in.poll(ctx, func() (bool, error) {
		peak = max(peak, live())
		p, err := in.api.Progress(ctx, "large")
		return p.Counts.Sent > 0, err
	})
	if err != nil {
		return err
	}
	first := time.Since(began)
	if _, err := in.api.Cancel(ctx, "large"); err != nil {
		return err
	}
	grown := float64(int64(peak)-int64(base)) / (1 << 20)
	verdict := "ok"
	if grown >= 150 {
		verdict = "missed"
	}
	b.add(fmt.Sprintf("launch of %d recipients", b.recipients), fmt.Sprintf("live heap +%.0f MB at its peak", grown), fmt.Sprintf("first message after %s", first.Round(10*time.Millisecond)), verdict, "< 150 MB")
	return nil
}

// live is what lived at the last collection, bytes. What is allocated beside
// it is garbage that waits: as much again as lives, engines included.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
