package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// strict is a stream of the strictest kind, as the ledger is.
func strict(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".>"}, Discard: jetstream.DiscardNew, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		DenyDelete: true, DenyPurge: true, AllowAtomicPublish: true,
	}
}

// loose is one of the newest message of each subject, as the facts are.
func loose(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, MaxMsgsPerSubject: 1, AllowDirect: true, AllowAtomicPublish: true}
}

func TestReplicas(t *testing.T) {
	for _, c := range []struct {
		set       int
		clustered bool
		want      int
	}{{0, false, 1}, {0, true, 3}, {1, true, 1}, {5, true, 5}, {3, false, 3}} {
		if got := Replicas(c.set, c.clustered); got != c.want {
			t.Errorf("Replicas(%d, %t) = %d, want %d", c.set, c.clustered, got, c.want)
		}
	}
}

func TestOpenMakesWhatIsMissingOnce(t *testing.T) {
	nc, js := open(t)
	p := Provider{JS: js, Create: true}
	var wg sync.WaitGroup
	for range 4 { // several schedulers that start at once
		wg.Go(func() {
			if _, err := p.Open(t.Context(), strict("L")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := Publish(t.Context(), nc, Expect("L.1", nil, 0)); err != nil {
		t.Fatal(err)
	}
	s, err := p.Open(t.Context(), strict("L"))
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("opened again: %v; want the one message", err)
	}
}

// What an operator may do to a stream is neither refused nor undone.
func TestOpenLeavesAnOperatorsSettings(t *testing.T) {
	_, js := open(t)
	p := Provider{JS: js, Create: true}
	for what, alter := range map[string]func(*jetstream.StreamConfig){
		"more denied":          func(c *jetstream.StreamConfig) { c.DenyDelete, c.DenyPurge = true, true },
		"compression":          func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression },
		"a description":        func(c *jetstream.StreamConfig) { c.Description = "the shop's" },
		"a bound that refuses": func(c *jetstream.StreamConfig) { c.MaxMsgSize, c.MaxConsumers = 1<<20, 100 },
		"metadata":             func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"owner": "shop"} },
		"republishing": func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: "L.>", Destination: "copy.>"}
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := loose("L")
			alter(&c)
			made, err := js.CreateStream(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Open(t.Context(), loose("L"))
			if err != nil {
				t.Fatal(err)
			}
			if is, was := text(t, s.CachedInfo().Config), text(t, made.CachedInfo().Config); is != was {
				t.Errorf("settings are now %s, were %s", is, was)
			}
			if err := js.DeleteStream(t.Context(), "L"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every setting that was changed is named with both values, and the command
// in the error restores it, or the error says that none can.
func TestOpenRefusesChangedSettings(t *testing.T) {
	nc, js := open(t)
	for _, c := range []struct {
		name  string
		want  jetstream.StreamConfig
		alter func(*jetstream.StreamConfig)
		said  []string
		anew  bool // no command can restore it
	}{
		{name: "deletes", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.DenyDelete = false }, said: []string{"deny_delete is false, want true"}},
		{name: "purges", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.DenyPurge = false }, said: []string{"deny_purge is false, want true"}},
		{name: "direct reads", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.AllowDirect = true }, said: []string{"allow_direct is true, want false"}},
		{name: "no direct reads", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.AllowDirect = false }, said: []string{"allow_direct is false, want true"}},
		{name: "no batches", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, said: []string{"allow_atomic is false, want true"}},
		{name: "discard", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, said: []string{"discard is old, want new"}},
		{name: "age", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, said: []string{"max_age is 1h0m0s, want none"}},
		{name: "one per subject", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, said: []string{"max_msgs_per_subject is 1, want none"}},
		{name: "any per subject", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = -1 }, said: []string{"max_msgs_per_subject is none, want 1"}},
		{name: "bounds that forget", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.MaxMsgs, c.MaxBytes = 7, 1<<20 }, said: []string{"max_msgs is 7, want none", "max_bytes is 1048576, want none"}},
		{name: "other subjects", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.Subjects = []string{"L.a", "M"} }, said: []string{"subjects is L.a M, want L.>"}},
		{name: "silence", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.NoAck, c.AllowAtomicPublish = true, false }, said: []string{"no_ack is true, want false", "allow_atomic is false"}},
		{name: "a transform", want: loose("L"), alter: func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "L.>", Destination: "L.x.>"}
		}, said: []string{"subject_transform is true, want false"}},
		{name: "a source", want: loose("L"), alter: func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "S"}} }, said: []string{"sources is true, want false"}},
		{name: "several at once", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.MaxAge, c.DenyPurge, c.Description = time.Hour, false, "it's ours" }, said: []string{"max_age is", "deny_purge is"}},
		{name: "a bucket without roll-ups", want: Bucket("L", "", 3), alter: func(c *jetstream.StreamConfig) { c.AllowRollup = false }, said: []string{"allow_rollup_hdrs is false, want true"}},
		{name: "a bucket's history", want: Bucket("L", "", 64), alter: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, said: []string{"max_msgs_per_subject is 5, want 64"}},
		{name: "record's age", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, said: []string{"allow_msg_ttl is true, want false"}, anew: true},
		{name: "memory", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, said: []string{"storage is memory, want file"}, anew: true},
		{name: "read once", want: strict("L"), alter: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, said: []string{"retention is workqueue, want limits"}, anew: true},
		{name: "lazily synced", want: strict("L"), alter: func(c *jetstream.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		}, said: []string{"persist_mode is async, want default"}, anew: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := c.want
			c.alter(&cfg)
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = js.DeleteStream(context.Background(), cfg.Name) }()
			for _, p := range []Provider{{JS: js, Create: true}, {JS: js}} {
				_, err := p.Open(t.Context(), c.want)
				if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "stream "+cfg.Name) {
					t.Fatalf("Open: %v, want one line that names the stream", err)
				}
				for _, s := range c.said {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%v lacks %q", err, s)
					}
				}
				if c.anew != strings.Contains(err.Error(), "nats stream rm "+cfg.Name) {
					t.Errorf("%v: by a new stream %t", err, c.anew)
				}
				if !c.anew {
					run(t, nc, err.Error())
					if _, err := p.Open(t.Context(), c.want); err != nil {
						t.Errorf("after the command: %v", err)
					}
					if _, err := js.UpdateStream(t.Context(), cfg); err != nil && p.Create && !cannotAgain(c.want) {
						t.Fatal(err)
					}
				}
				if cannotAgain(c.want) {
					break // what was denied stays denied, so that there is nothing to try for the other side
				}
			}
		})
	}
}

func cannotAgain(c jetstream.StreamConfig) bool { return c.DenyDelete || c.DenyPurge }

// run runs the command that an error ends with, as a shell and the nats tool
// would.
func run(t *testing.T, nc *nats.Conn, text string) {
	t.Helper()
	_, cmd, ok := strings.Cut(text, "restore them with: nats request '")
	subj, body, ok2 := strings.Cut(cmd, "' '")
	if !ok || !ok2 {
		t.Fatalf("no command in %q", text)
	}
	body = strings.ReplaceAll(strings.TrimSuffix(body, "'"), `'\''`, "'")
	m, err := nc.RequestWithContext(t.Context(), subj, []byte(body))
	if err != nil || strings.Contains(string(m.Data), `"error"`) {
		t.Fatalf("%s: %v %s", subj, err, m.Data)
	}
}

// A bucket of one replica that an earlier version made with direct reads is
// taken as it is; with several replicas they would be read out of date.
func TestBucketsOfAnEarlierVersion(t *testing.T) {
	_, js := open(t)
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "B", History: 64}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "B"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []jetstream.StreamConfig{Bucket("B", "", 64), Objects("B", "")} {
		if _, err := (Provider{JS: js}).Open(t.Context(), want); err != nil {
			t.Error(err)
		}
		_, err := Provider{JS: js, Replicas: 3}.Open(t.Context(), want)
		if err == nil || !strings.Contains(err.Error(), "num_replicas is 1, want at least 3") || !strings.Contains(err.Error(), "allow_direct is true, want false") {
			t.Errorf("where three replicas are wanted: %v", err)
		}
	}
}

// The libraries' own views open what Bucket and Objects describe.
func TestBucketsServe(t *testing.T) {
	_, js := open(t)
	p := Provider{JS: js, Create: true}
	if _, err := p.Open(t.Context(), Objects("B", "objects")); err != nil {
		t.Fatal(err)
	}
	kv, err := p.KeyValue(t.Context(), Bucket("B", "keys", 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.KeyValue(t.Context(), Bucket("B", "keys", 3)); err == nil || !strings.Contains(err.Error(), "KV_B") {
		t.Errorf("with other settings: %v", err)
	}
	for range 3 {
		if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
	}
	if h, err := kv.History(t.Context(), "k"); err != nil || len(h) != 2 {
		t.Errorf("%d revisions, %v; want 2", len(h), err)
	}
	objects, err := js.ObjectStore(t.Context(), "B")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"one", "two"} {
		if _, err := objects.PutString(t.Context(), "o", v); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := objects.GetString(t.Context(), "o"); err != nil || v != "two" {
		t.Errorf("%q, %v", v, err)
	}
}

// Who may not create waits for the other side, says so once, and gives up in
// one line that says what to do.
func TestOpenWaits(t *testing.T) {
	_, js := open(t)
	var missing *Missing
	if _, err := (Provider{JS: js}).Open(t.Context(), strict("L")); !errors.As(err, &missing) || !strings.Contains(err.Error(), "stream L does not exist yet: start a scheduler first") {
		t.Errorf("without patience: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := Provider{JS: js, Patience: time.Hour}
	if _, err := p.Open(ctx, strict("L")); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	waiting := make(told, 10)
	p.Log = slog.New(waiting)
	opened := make(chan error, 1)
	go func() {
		_, err := p.Open(t.Context(), strict("L"))
		opened <- err
	}()
	if got := receive(t, waiting); !strings.Contains(got, "waiting for a scheduler") {
		t.Errorf("log: %s", got)
	}
	if _, err := (Provider{JS: js, Create: true}).Open(t.Context(), strict("L")); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, opened); err != nil || len(waiting) != 0 {
		t.Errorf("once it was made: %v, and %d more lines", err, len(waiting))
	}
}

// told is a log that hands its lines on.
type told chan string

func (c told) Enabled(context.Context, slog.Level) bool      { return true }
func (c told) Handle(_ context.Context, r slog.Record) error { c <- r.Message; return nil }
func (c told) WithAttrs([]slog.Attr) slog.Handler            { return c }
func (c told) WithGroup(string) slog.Handler                 { return c }

// cluster starts three servers that replicate, and connects to one.
func cluster(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	var servers []*server.Server
	var routes []string
	for i := range 3 {
		o := &server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
		}
		if i == 0 { // the others find it at the port that it was given
			o.Routes = server.RoutesFromStr("nats://127.0.0.1:1")
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("a server is not ready")
		}
		routes = append(routes, "nats://"+s.ClusterAddr().String())
		servers = append(servers, s)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !slices.ContainsFunc(servers, (*server.Server).JetStreamIsLeader) || !slices.ContainsFunc(servers, func(s *server.Server) bool { return len(s.JetStreamClusterPeers()) == 3 }); <-tick.C {
		if time.Now().After(limit) {
			t.Fatal("the servers found no leader within a minute")
		}
	}
	nc, err := nats.Connect(servers[0].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// On a cluster streams are made with three replicas, fewer are refused, and
// more are left.
func TestReplicasOnACluster(t *testing.T) {
	nc, js := cluster(t)
	if nc.ConnectedClusterName() == "" {
		t.Fatal("no cluster")
	}
	count := func(name string) int {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().Config.Replicas
	}
	three := Provider{JS: js, Create: true, Replicas: Replicas(0, true)}
	if _, err := three.Open(t.Context(), strict("THREE")); err != nil || count("THREE") != 3 {
		t.Fatalf("%v, %d replicas, want 3", err, count("THREE"))
	}
	one := Provider{JS: js, Create: true, Replicas: 1}
	if _, err := one.Open(t.Context(), strict("THREE")); err != nil || count("THREE") != 3 {
		t.Errorf("%v; %d replicas, want the 3 that there were", err, count("THREE"))
	}
	if _, err := one.Open(t.Context(), strict("ONE")); err != nil {
		t.Fatal(err)
	}
	_, err := three.Open(t.Context(), strict("ONE"))
	if err == nil || !strings.Contains(err.Error(), "num_replicas is 1, want at least 3 (CARILLON_NATS_REPLICAS)") {
		t.Fatalf("one replica of three: %v", err)
	}
	run(t, nc, err.Error())
	if _, err := three.Open(t.Context(), strict("ONE")); err != nil {
		t.Errorf("after the command: %v", err)
	}
	if _, err := (Provider{JS: js}).Open(t.Context(), strict("ONE")); err != nil {
		t.Errorf("by who only looks: %v", err)
	}
	five := Provider{JS: js, Create: true, Replicas: 5}
	if _, err := five.Open(t.Context(), strict("FIVE")); err == nil || !strings.Contains(err.Error(), "with 5 replicas (CARILLON_NATS_REPLICAS)") {
		t.Errorf("more replicas than servers: %v", err)
	}
}

// Where nothing is ever discarded a bound only makes the server refuse.
func TestBoundsThatRefuse(t *testing.T) {
	_, js := open(t)
	c := strict("L")
	c.MaxBytes, c.MaxMsgs = 1<<30, 1<<20
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := (Provider{JS: js}).Open(t.Context(), strict("L")); err != nil {
		t.Error(err)
	}
}

// Who is refused for what stands there is told so by one replica and by three,
// for a key of a bucket and for a message.
func TestConflict(t *testing.T) {
	nc, js := cluster(t)
	for name, replicas := range map[string]int{"ONE": 1, "THREE": 3} {
		p := Provider{JS: js, Create: true, Replicas: replicas}
		if _, err := p.Open(t.Context(), Bucket(name, "keys", 1)); err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		first, err := kv.Create(t.Context(), "k", []byte("1"))
		if err != nil || Conflict(err) {
			t.Fatal(err)
		}
		if _, err := kv.Create(t.Context(), "k", []byte("2")); !Conflict(err) {
			t.Errorf("%s: made twice: %v", name, err)
		}
		if _, err := kv.Update(t.Context(), "k", []byte("2"), first); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := kv.Update(t.Context(), "k", []byte("3"), first); !Conflict(err) {
			t.Errorf("%s: changed at a revision that has passed: %v", name, err)
		}
		if _, err := Publish(t.Context(), nc, Expect("$KV."+name+".k", nil, first)); !Conflict(err) {
			t.Errorf("%s: published at a sequence that has passed: %v", name, err)
		}
	}
	if _, err := js.KeyValue(t.Context(), "NONE"); err == nil || Conflict(err) {
		t.Errorf("no bucket: %v", err)
	}
}

// A server that has not heard of a bucket yet, which another has made, is asked
// again.
func TestBucketIsAskedForUntilItIsSeen(t *testing.T) {
	t.Parallel()
	for _, misses := range []int{0, 1, 3} {
		asked := 0
		got, err := seen(t.Context(), "KV_B", func(context.Context) (string, error) {
			if asked++; asked <= misses {
				return "", jetstream.ErrBucketNotFound
			}
			return "it", nil
		})
		if err != nil || got != "it" || asked != misses+1 {
			t.Errorf("%d misses: %q, %v after %d questions", misses, got, err, asked)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := seen(ctx, "KV_B", func(context.Context) (string, error) { return "", jetstream.ErrBucketNotFound }); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("let go: %v", err)
	}
	if _, err := seen(t.Context(), "KV_B", func(context.Context) (string, error) { return "", jetstream.ErrBadBucket }); !errors.Is(err, jetstream.ErrBadBucket) {
		t.Errorf("another refusal: %v", err)
	}
}
