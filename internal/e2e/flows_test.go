package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/flow"
	kept "github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/client"
)

// orders is a flow that sends three messages, on whichever way.
const orders = `
kind: Flow
id: orders
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [order.placed]}
reentry: {key: event.data.order}
exit: [{events: [order.cancelled]}]
steps:
  - {id: thanks, send: {text: "thanks {{.event.order}}"}}
  - id: pay
    wait:
      events: [order.paid]
      timeout: 12s
      then: [{id: receipt, send: {text: "receipt {{.event.order}}"}}]
      else: [{id: remind, send: {text: "remind {{.event.order}}"}}]
  - {id: bye, send: {text: "bye {{.event.order}}"}}
`

// shop is who sends, freely in flows.
const shop = "kind: Sender\nid: shop\nchannel: messenger\naccount: \"" + account + "\"\ncredential: env:BAKERY_TOKEN\nrate: {per_second: 400}\nrelax_flow_templates: true\n"

// storm is a CRM that tells everything several times, in any order, and again
// where it got no answer.
type storm struct {
	*layout
	pl   *platform
	dice *rand.Rand
	runs *kept.Store

	mu   sync.Mutex
	told int
}

// TestFlowsInAStorm has a CRM tell 4,900 times of 600 orders, while the leader
// and a worker are killed, and the flow gets another version in the middle of
// its runs. Each order's run begins once, stays on its version, goes
// the way that its document says, and sends each message at most once.
func TestFlowsInAStorm(t *testing.T) {
	t.Parallel()
	const n = 600
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	s := newStorm(t, pl, n, 2)
	begun := time.Now()
	early, late := slices.Collect(span(0, n/2)), slices.Collect(span(n/2, n))
	told := make(chan struct{})
	go func() { defer close(told); s.tell("placed", early, 3) }()
	s.some(pl, s.dice.IntN(n/4))
	s.killLeader()
	<-told
	s.waits(early)
	t.Logf("%v: the first half waits", time.Since(begun).Round(time.Second))

	if _, err := s.api.Apply(t.Context(), "orders.yaml", strings.NewReader(orders+"  - {id: more, send: {text: \"more {{.event.order}}\"}}\n")); err != nil {
		t.Fatal(err)
	}
	told = make(chan struct{})
	go func() {
		defer close(told)
		s.tell("paid", kind(early, paid), 4)
		s.tell("cancelled", kind(early, cancelled), 5)
		s.tell("placed", early, 2) // once more, now that there is another version
		s.tell("placed", late, 5)
	}()
	s.some(pl, pl.count()+s.dice.IntN(n/4))
	s.workers[0].end(t, syscall.SIGKILL)
	s.start(s.workers[0])
	<-told
	s.waits(late)
	t.Logf("%v: the second half waits", time.Since(begun).Round(time.Second))
	s.tell("paid", kind(late, paid), 5)
	s.tell("cancelled", kind(late, cancelled), 5)
	s.over(n)
	t.Logf("%v: all is over", time.Since(begun).Round(time.Second))
	s.compare(n, func(i int) bool { return i*2 >= n })
	t.Logf("told %d times, %d messages", s.told, pl.count())
}

// What becomes of an order, by its number.
const (
	paid = iota
	forgotten
	cancelled
	kinds
)

func span(from, to int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := from; i < to && yield(i); i++ {
		}
	}
}

func kind(of []int, k int) (out []int) {
	for _, i := range of {
		if i%kinds == k {
			out = append(out, i)
		}
	}
	return out
}

func newStorm(t *testing.T, pl *platform, n, schedulers int) *storm {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &storm{pl: pl, dice: rand.New(rand.NewPCG(seed, 1)), layout: ground(t, pl)}
	at := natsServer(t, s.dir)
	s.env = append(s.env, "CARILLON_NATS_URL="+at, "CARILLON_REDIS_URL="+redisServer(t, s.dir))
	s.layout.run(schedulers, 2)
	if _, err := s.api.Apply(t.Context(), "orders.yaml", strings.NewReader(shop+"---"+orders)); err != nil {
		t.Fatal(err)
	}
	ps := make([]person, n)
	for i := range ps {
		ps[i] = person{id: psid(i), name: fmt.Sprint("Person ", i), inbound: time.Now().Add(-time.Minute)}
	}
	if _, err := pl.LoadPeople(account, strings.NewReader(csv(ps))); err != nil {
		t.Fatal(err)
	}
	if done, err := s.api.ImportContacts(t.Context(), "shop", strings.NewReader(csv(ps)), false, func(client.ImportEvent) {}); err != nil || done.Bad != 0 {
		t.Fatalf("import %+v, %v", done, err)
	}
	s.runs = runsAt(t, at)
	return s
}

// runsAt reads runs where they are kept.
func runsAt(t *testing.T, url string) *kept.Store {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	names, err := subject.New("")
	if err != nil {
		t.Fatal(err)
	}
	runs, err := kept.Open(t.Context(), nc, stream.Provider{JS: js}, names)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func psid(i int) string { return fmt.Sprintf("4521529%09d", i) }

// tell tells of orders, each so many times, the last time under another id,
// shuffled.
func (s *storm) tell(what string, of []int, times int) {
	var all []json.RawMessage
	for _, i := range of {
		for k := range times {
			id := fmt.Sprintf("%s-%d", what, i)
			if k == times-1 && what == "placed" {
				id += "-again"
			}
			all = append(all, json.RawMessage(fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"shop","type":"order.%s","data":{"psid":%q,"order":"o%d"}}`, id, what, psid(i), i)))
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for some := range slices.Chunk(all, 100) {
		body, err := json.Marshal(some)
		if err != nil {
			s.t.Error(err)
			return
		}
		for late := time.Now().Add(patience); ; {
			if _, err = s.caller().SendEvents(s.t.Context(), body); err == nil {
				break
			}
			if time.Now().After(late) || s.t.Context().Err() != nil {
				s.t.Errorf("events are not taken: %v", err)
				return
			}
		}
		s.mu.Lock()
		s.told += len(some)
		s.mu.Unlock()
	}
}

func (s *storm) caller() *client.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api
}

func (s *storm) killLeader() {
	s.t.Helper()
	leads := s.leader()
	leads.end(s.t, syscall.SIGKILL)
	s.mu.Lock()
	s.open(s.other(leads))
	s.mu.Unlock()
	s.start(leads)
	s.leader()
}

// each calls fn for every run, by the number of its order.
func (s *storm) each(fn func(i int, r *flow.Run)) {
	s.t.Helper()
	err := s.runs.Each(s.t.Context(), "orders", func(st kept.Stored) error {
		var i int
		if _, err := fmt.Sscanf(st.Run.Identities[0].Person, "4521529%09d", &i); err != nil {
			return err
		}
		fn(i, &st.Run)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// waits waits until orders have a run that waits to be paid, or waited.
func (s *storm) waits(of []int) {
	s.t.Helper()
	s.until("orders wait to be paid", func() bool {
		n := 0
		s.each(func(i int, r *flow.Run) {
			if slices.Contains(of, i) && (r.State.Over() || slices.ContainsFunc(r.Path, func(v flow.Visit) bool { return v.Step == "pay" })) {
				n++
			}
		})
		return n == len(of)
	})
}

func (s *storm) over(n int) {
	s.t.Helper()
	s.until("all runs are over", func() bool {
		ended := 0
		s.each(func(_ int, r *flow.Run) {
			if r.State.Over() && len(r.Owes) == 0 {
				ended++
			}
		})
		return ended == n
	})
}

// compare holds runs, messages and audit against the document and one another.
// Orders of which second says so began at its second version.
func (s *storm) compare(n int, second func(i int) bool) {
	s.t.Helper()
	texts, jobs := map[string]int{}, map[string]int{}
	for _, a := range s.pl.books(s.t) {
		jobs[a.Metadata]++
		texts[a.Person+" "+a.Text]++
	}
	for job, times := range jobs {
		if times > 1 {
			s.t.Errorf("%s was taken %d times", job, times)
		}
	}
	planned, runs, receipts := 0, map[int]int{}, 0
	s.each(func(i int, r *flow.Run) {
		runs[i]++
		planned += len(r.Outcomes)
		if (r.Version == 2) != second(i) || r.Round != 0 {
			s.t.Errorf("order %d: version %d, round %d", i, r.Version, r.Round)
		}
		if _, ok := r.Outcomes["receipt"]; ok {
			receipts++
		}
		s.path(i, r, second(i))
		for step, o := range r.Outcomes {
			text := fmt.Sprintf("%s %s o%d", psid(i), step, i)
			if got := texts[text]; got > 1 || got == 1 != (o.State == "sent") && o.State != "unknown" {
				s.t.Errorf("%q is %s, and was taken %d times", text, o.State, got)
			}
			delete(texts, text)
		}
	})
	for text := range texts {
		s.t.Errorf("%q was taken, and no run knows of it", text)
	}
	for i := range n {
		if runs[i] != 1 {
			s.t.Errorf("order %d has %d runs", i, runs[i])
		}
	}
	if receipts == 0 {
		s.t.Error("no order was paid in time")
	}
	a, err := s.api.FlowAudit(s.t.Context(), "orders")
	if err != nil || !a.Balanced || a.Audience != planned || a.Pending != 0 || a.Sent > s.pl.count() || s.pl.count() > a.Sent+a.Unknown {
		s.t.Errorf("%d planned, %d taken; the audit says %+v, %v", planned, s.pl.count(), a, err)
	}
	s.t.Logf("%d receipts; sent %d, unknown %d, cancelled %d", receipts, a.Sent, a.Unknown, a.Cancelled)
}

// path checks which messages an order's run asked for, and how it ended.
func (s *storm) path(i int, r *flow.Run, second bool) {
	s.t.Helper()
	got := slices.Sorted(maps.Keys(r.Outcomes))
	ways := [][]string{{"bye", "remind", "thanks"}}
	switch i % kinds {
	case paid:
		ways = append(ways, []string{"bye", "receipt", "thanks"})
	case cancelled: // told too late for some on a slow machine
		if r.State == flow.Exited {
			return
		}
	}
	for _, w := range ways {
		if second {
			w = slices.Sorted(slices.Values(append(w, "more")))
		}
		if slices.Equal(got, w) && r.State == flow.Done {
			return
		}
	}
	s.t.Errorf("order %d, of kind %d, ended %s (%s) after %q", i, i%kinds, r.State, r.Why, got)
}
