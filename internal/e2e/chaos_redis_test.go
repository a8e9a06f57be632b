package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// siege is an installation whose Redis something is done to, while a broadcast
// is in its middle, runs of a flow wait, and messages of that flow are queued.
type siege struct {
	*office
	pl     *platform
	ps     []person
	before int       // pending when it was struck
	lifted time.Time // when Redis was as it should be again; recovery counts from here
	settle func([]accepted, time.Time) time.Duration

	mu   sync.Mutex
	outs map[string]time.Time // who opted out, and when that was answered
}

const (
	besieged = 2000 // contacts of the broadcast
	parties  = 10   // a third of the orders of the flow beside it
	// shopAccount has books of its own beside those of the broadcast.
	shopAccount = "1062540011225566"
)

// besiege starts both, and returns when a quarter of the broadcast is sent, a
// third of the orders wait to be paid, and a third are on their way.
func besiege(t *testing.T, o *office, pl *platform, sender string) *siege {
	t.Helper()
	s := &siege{office: o, pl: pl, ps: people(besieged, time.Now()), outs: map[string]time.Time{}, settle: recovery}
	o.define(pl, "spring", sender, s.ps)
	flow := strings.NewReplacer(account, shopAccount, "per_second: 400", "per_second: 20", "timeout: 12s", "timeout: 1h").Replace(shop + "---" + orders)
	if _, err := o.api.Apply(t.Context(), "orders.yaml", strings.NewReader(flow)); err != nil {
		t.Fatal(err)
	}
	guests := make([]person, 3*parties)
	for i := range guests {
		guests[i] = person{id: psid(i), name: "Guest", inbound: time.Now().Add(-time.Minute)}
	}
	if _, err := pl.LoadPeople(shopAccount, strings.NewReader(csv(guests))); err != nil {
		t.Fatal(err)
	}
	if done, err := o.api.ImportContacts(t.Context(), "shop", strings.NewReader(csv(guests)), false, func(client.ImportEvent) {}); err != nil || done.Bad != 0 {
		t.Fatalf("import %+v, %v", done, err)
	}
	s.tell("placed", 0)
	s.waiting(parties, 0)
	o.launch("spring")
	s.some(pl, besieged/4)
	s.tell("placed", 1)
	return s
}

// tell tells of a third of the orders. The CRM tells again until it is heard.
func (s *siege) tell(what string, third int) {
	s.t.Helper()
	var all []json.RawMessage
	for i := third * parties; i < (third+1)*parties; i++ {
		all = append(all, json.RawMessage(fmt.Sprintf(`{"specversion":"1.0","id":"%s-%d","source":"shop","type":"order.%[1]s","data":{"psid":%[3]q,"order":"o%[2]d"}}`, what, i, psid(i))))
	}
	body, err := json.Marshal(all)
	if err != nil {
		s.t.Fatal(err)
	}
	s.until("events are taken", func() bool {
		_, err := s.api.SendEvents(s.t.Context(), body)
		return err == nil
	})
}

// waiting waits until so many orders wait to be paid, and as many others are
// over: who pays before that is not heard.
func (s *siege) waiting(n, others int) {
	s.t.Helper()
	s.until(fmt.Sprint(n, " orders wait to be paid"), func() bool {
		page, err := s.api.Runs(s.t.Context(), "orders", client.RunQuery{Limit: 1000})
		late := time.Now().Add(30 * time.Minute) // those that wait for a message are looked at before
		waits, done := 0, 0
		for _, r := range page.Runs {
			switch {
			case r.State == "done":
				done++
			case r.State == "waiting" && r.Due.After(late):
				waits++
			}
		}
		return err == nil && waits == n && done == others
	})
}

// strike notes what waits, and does something to Redis.
func (s *siege) strike(do func()) {
	s.t.Helper()
	a, err := s.api.Audit(s.t.Context(), "spring")
	if err != nil {
		s.t.Fatal(err)
	}
	s.before = max(s.before, a.Pending)
	do()
	s.lifted = time.Now()
}

// meanwhile is what people and the CRM do while Redis is not as it should be:
// some opt out, some pay, and others order. It returns when that is answered.
func (s *siege) meanwhile() {
	s.t.Helper()
	out := s.optOuts(12)
	s.tell("paid", 0)
	s.tell("placed", 2)
	out()
}

// optOuts has people opt out who have no message yet. It returns what waits
// until all of them are answered: whether in force or not, nothing may reach
// them from then on.
func (s *siege) optOuts(n int) (answered func()) {
	s.t.Helper()
	has := map[string]bool{}
	for _, a := range s.pl.books(s.t) {
		has[a.Person] = true
	}
	var out []person
	s.mu.Lock()
	for _, p := range s.ps {
		if _, before := s.outs[p.id]; len(out) < n && !before && !has[p.id] && p.sendable(time.Now()) {
			out = append(out, p)
			s.outs[p.id] = time.Time{}
		}
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range out {
		wg.Go(func() {
			r, err := s.api.OptOut(context.Background(), "spring", client.OptOutRequest{Contact: p.id, Scope: "all", Source: "test"})
			if err != nil {
				s.t.Errorf("an opt-out was refused: %v", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(r.InFlight) == 0 {
				s.outs[p.id] = time.Now()
			}
		})
	}
	if len(out) < n {
		s.t.Errorf("everybody has a message: %d more should have opted out", n-len(out))
	}
	return wg.Wait
}

// end waits for the end of everything, and holds it against the platform's
// books.
func (s *siege) end(fault string, injected int) {
	s.t.Helper()
	s.ended("spring")
	s.waiting(2*parties, parties)
	s.tell("paid", 1)
	s.tell("paid", 2)
	books := s.pl.books(s.t)
	s.heeded(books)
	row := s.weigh(s.pl, "spring", s.ps)
	row.fault, row.injected, row.held, row.recovery = fault, injected, s.before, s.settle(books, s.lifted)
	faults.add(s.t, row)
	if row.unknown != 0 {
		s.t.Errorf("%d unknown, although no process died and no answer of the platform was lost", row.unknown)
	}
	s.ordersDone()
	if v := s.pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		s.t.Errorf("violations: %v", v)
	}
}

// heeded checks that nobody got a message whose opt-out was answered before, and
// notes who opted out in time, so that none is missed there.
func (s *siege) heeded(books []accepted) {
	s.t.Helper()
	got := map[string]time.Time{}
	for _, a := range books {
		if a.Account == account {
			got[a.Person] = a.Time
		}
	}
	for i := range s.ps {
		p := &s.ps[i]
		answered, out := s.outs[p.id]
		at, sent := got[p.id]
		switch {
		case !out:
		case !sent:
			p.out = "all"
		case !answered.IsZero() && at.After(answered):
			s.t.Errorf("%s got a message %v after the opt-out was answered", p.id, at.Sub(answered))
		}
	}
}

// recovery is how long after a moment the silence that followed was over: the
// longest one that began within a second of it. Later ones are those of a
// broadcast that comes to its end.
func recovery(books []accepted, from time.Time) time.Duration {
	times := []time.Time{from}
	for _, a := range books {
		if a.Account == account && a.Time.After(from) {
			times = append(times, a.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var longest, end time.Duration
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap > longest && times[i-1].Sub(from) <= time.Second {
			longest, end = gap, times[i].Sub(from)
		}
	}
	return end
}

// whole is how long after a moment the broadcast's last message was accepted.
func whole(books []accepted, from time.Time) time.Duration {
	last := from
	for _, a := range books {
		if a.Account == account && a.Time.After(last) {
			last = a.Time
		}
	}
	return last.Sub(from)
}

// ordersDone checks that each order got its three messages, once.
func (s *siege) ordersDone() {
	s.t.Helper()
	const n = 3 * parties
	var a client.FlowAudit
	s.until("the flow has sent everything", func() bool {
		var err error
		a, err = s.api.FlowAudit(s.t.Context(), "orders")
		return err == nil && a.Audience == 3*n && a.Pending == 0
	})
	if !a.Balanced || a.Sent != 3*n {
		s.t.Errorf("the flow's audit: %+v", a)
	}
	texts := map[string]int{}
	for _, b := range s.pl.books(s.t) {
		if b.Account == shopAccount {
			texts[b.Person+" "+b.Text]++
		}
	}
	for i := range n {
		for _, step := range []string{"thanks", "receipt", "bye"} {
			text := fmt.Sprintf("%s %s o%d", psid(i), step, i)
			if texts[text] != 1 {
				s.t.Errorf("%q was taken %d times", text, texts[text])
			}
			delete(texts, text)
		}
	}
	if len(texts) != 0 {
		s.t.Errorf("the flow sent what nobody asked for: %v", texts)
	}
}

// gated waits until every worker says that its gate is closed, and until what
// was on the wire is off it. It returns what the platform has by then.
func (l *layout) gated(pl *platform) int {
	l.t.Helper()
	for _, w := range l.workers {
		l.until("the gate is closed", func() bool { return strings.Contains(w.get("/readyz"), "gate") })
	}
	n, same := -1, 0
	l.until("nothing is on the wire", func() bool {
		if c := pl.count(); c != n {
			n, same = c, 0
		}
		same++
		return same > 60 // looks, 20 ms apart: longer than a busy machine keeps a call that was let go
	})
	return n
}

// apart is two workers and a scheduler on a Redis that the test has a hand on.
func apart(t *testing.T) (*layout, *platform, *engine, *redis.Client) {
	t.Helper()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	l := ground(t, pl)
	addr := freeAddr(t)
	e := redisAt(t, "redis", addr, l.dir)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL=redis://"+addr)
	l.run(1, 2)
	return l, pl, e, ask(t, &redis.Options{Addr: addr})
}

// TestChaosRedisFlushed takes everything out of Redis, twice.
func TestChaosRedisFlushed(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	p := boot(t, pl)
	s := besiege(t, &p.office, pl, single)
	flush := func() {
		if err := p.redis().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.strike(flush)
	s.meanwhile()
	s.some(pl, besieged/2)
	s.optOuts(12)()
	s.strike(flush)
	s.end("redis: FLUSHALL", 2)
}

// TestChaosRedisKilled kills the Redis that is a child of ours. It comes back
// empty by itself.
func TestChaosRedisKilled(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	p := boot(t, pl)
	s := besiege(t, &p.office, pl, single)
	s.strike(func() {
		info, err := p.redis().InfoMap(t.Context(), "server").Result()
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Sscan(info["Server"]["process_id"], &pid); err != nil || pid <= 1 {
			t.Fatalf("process %q: %v", info["Server"]["process_id"], err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	})
	s.meanwhile()
	s.end("redis: kill -9, comes back empty", 1)
}

// TestChaosRedisOldSnapshot kills Redis, and starts it with what it held a
// third of the broadcast earlier: facts without the opt-outs since, tasks that
// were delivered, rates and an epoch from then.
func TestChaosRedisOldSnapshot(t *testing.T) {
	t.Parallel()
	l, pl, e, rdb := apart(t)
	s := besiege(t, &l.office, pl, single)
	if err := rdb.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.optOuts(12)()
	s.some(pl, pl.count()+besieged/4)
	s.strike(func() {
		e.end(t, syscall.SIGKILL)
		e.start()
	})
	s.meanwhile()
	s.end("redis: kill -9, comes back with an old snapshot", 1)
}

// TestChaosRedisReplicaLags kills the primary under Sentinel while its replica
// has heard nothing for a while. Afterwards the old primary comes back, empty,
// and for a moment a primary that nobody should believe.
func TestChaosRedisReplicaLags(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	l := ground(t, pl)
	primary, replica, url := sentinels(t, l)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL="+url)
	l.run(2, 2)
	s := besiege(t, &l.office, pl, single)
	// A password that its primary does not have keeps it from coming back.
	if err := replica.ConfigSet(t.Context(), "masterauth", "wrong").Err(); err != nil {
		t.Fatal(err)
	}
	if err := replica.ClientKillByFilter(t.Context(), "TYPE", "master").Err(); err != nil {
		t.Fatal(err)
	}
	l.until("the replica hears nothing", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:down")
	})
	s.optOuts(12)()
	s.some(pl, pl.count()+besieged/8)
	s.strike(func() { primary.end(t, syscall.SIGKILL) })
	s.meanwhile()
	l.until("the replica is promoted", func() bool { return strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master") })
	primary.start()
	s.end("redis: a replica that lags takes over", 1)
}

// TestChaosRedisSilent stops Redis for a while, and wakes it.
func TestChaosRedisSilent(t *testing.T) {
	t.Parallel()
	silence := 8 * time.Second
	if *long {
		silence = time.Minute
	}
	l, pl, e, _ := apart(t)
	s := besiege(t, &l.office, pl, single)
	s.strike(func() {
		if err := e.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		from := time.Now()
		n := l.gated(pl)
		s.meanwhile()
		l.until("it was silent long enough", func() bool { return time.Since(from) >= silence })
		if c := pl.count(); c != n {
			t.Errorf("%d messages left while Redis was silent", c-n)
		}
		if err := e.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	})
	s.end("redis: silent", 1)
}

// blinded makes Redis useless to whoever vouches for facts, and then useful
// again: nothing leaves meanwhile.
func (s *siege) blinded(l *layout, takes, gives func() error) {
	s.t.Helper()
	s.strike(func() {
		if err := takes(); err != nil {
			s.t.Fatal(err)
		}
		n := l.gated(s.pl)
		s.meanwhile()
		if c := s.pl.count(); c != n {
			s.t.Errorf("%d messages left while nobody vouched for facts", c-n)
		}
		if err := gives(); err != nil {
			s.t.Fatal(err)
		}
	})
}

// TestChaosRedisFull leaves Redis no memory for anything new, and gives it
// back later.
func TestChaosRedisFull(t *testing.T) {
	t.Parallel()
	l, pl, _, rdb := apart(t)
	s := besiege(t, &l.office, pl, single)
	s.blinded(l, func() error { return rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err() }, func() error { return rdb.ConfigSet(t.Context(), "maxmemory", "0").Err() })
	s.end("redis: out of memory", 1)
}

// TestChaosRedisReadOnly makes the primary a replica of nobody, as a failover
// does that goes back on itself, and then a primary again: the same process,
// with the same run id.
func TestChaosRedisReadOnly(t *testing.T) {
	t.Parallel()
	l, pl, _, rdb := apart(t)
	s := besiege(t, &l.office, pl, single)
	s.blinded(l, func() error { return rdb.ReplicaOf(t.Context(), "127.0.0.1", "1").Err() }, func() error { return rdb.ReplicaOf(t.Context(), "NO", "ONE").Err() })
	s.end("redis: demoted, and promoted again", 1)
}

// service is one address in front of whichever Redis it leads to just now, as a
// cluster's service is. Connections stay with whom they were made to.
func service(t *testing.T, to string) (addr string, lead func(to string)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var target atomic.Value
	target.Store(to)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", target.Load().(string))
				if err != nil {
					return
				}
				defer context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })()
				wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
				_, _ = io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() { stop(); _ = ln.Close(); wg.Wait() })
	return ln.Addr().String(), func(to string) { target.Store(to) }
}

// TestChaosRedisMoved has a replica take over behind the address that
// everybody knows. Nobody cuts the connections to the old primary, which
// follows the new one and has whatever that says, a moment later.
func TestChaosRedisMoved(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 450})
	l := ground(t, pl)
	first, second := freeAddr(t), freeAddr(t)
	redisAt(t, "first", first, l.dir)
	redisAt(t, "second", second, l.dir, "--replicaof", "127.0.0.1 "+portOf(t, first), "--repl-diskless-sync-delay", "0")
	was, is := ask(t, &redis.Options{Addr: first}), ask(t, &redis.Options{Addr: second})
	l.until("the replica follows", func() bool {
		return strings.Contains(is.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	addr, lead := service(t, first)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL=redis://"+addr)
	l.run(1, 2)
	s := besiege(t, &l.office, pl, single)
	s.strike(func() {
		lead(second)
		if err := is.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		if err := was.ReplicaOf(t.Context(), "127.0.0.1", portOf(t, second)).Err(); err != nil {
			t.Fatal(err)
		}
	})
	s.meanwhile()
	s.end("redis: a replica takes over behind one address", 1)
}

// TestChaosRedisConnectionsCut cuts every connection, again and again.
func TestChaosRedisConnectionsCut(t *testing.T) {
	t.Parallel()
	l, pl, _, rdb := apart(t)
	s := besiege(t, &l.office, pl, single)
	times := 4
	if *long {
		times = 12
	}
	for i := range times {
		s.strike(func() {
			if err := rdb.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		})
		if i == 0 {
			s.meanwhile()
		}
		if c := pl.count() + besieged/12; i < times-1 && c < besieged*7/10 {
			s.some(pl, c)
		}
	}
	s.end("redis: all connections cut", times)
}

// mangleScript does to one task of a queue what asynq is known to do to tasks,
// where there is one to do it to. The names of its keys are asynq's.
//
//	KEYS  pending, active, lease, the channel of cancellations
//	ARGV  what, the prefix of a task's hash
func mangleScript() *redis.Script {
	return redis.NewScript(`
local from = KEYS[2]
if ARGV[1] == 'lost' or ARGV[1] == 'hash gone' then from = KEYS[1] end
local id = redis.call('LINDEX', from, -1)
if not id then return 0 end
if ARGV[1] == 'lost' then redis.call('LREM', KEYS[1], 1, id)
elseif ARGV[1] == 'hash gone' then redis.call('DEL', ARGV[2] .. id)
elseif ARGV[1] == 'lease gone' then redis.call('ZREM', KEYS[3], id)
elseif ARGV[1] == 'doubled' then redis.call('RPUSH', KEYS[1], id, id) -- it is the next to be taken
elseif ARGV[1] == 'end refused' then redis.call('LREM', KEYS[2], 0, id)
elseif ARGV[1] == 'cancelled' then redis.call('PUBLISH', KEYS[4], id) end
return 1`)
}

// mangle does everything to tasks of both queues in turn, at least so many
// times, while a broadcast runs.
func mangle(t *testing.T, rdb *redis.Client, times int) (done int) {
	t.Helper()
	script := mangleScript()
	for range times {
		for _, what := range []string{"lost", "hash gone", "lease gone", "doubled", "end refused", "cancelled"} {
			hit, late := false, time.Now().Add(patience)
			for turn := 0; !hit && time.Now().Before(late); turn++ { // a task is in its queue for milliseconds
				q := "asynq:{" + []string{"broadcasts", "flows"}[turn%2] + "}:"
				n, err := script.Run(t.Context(), rdb, []string{q + "pending", q + "active", q + "lease", "asynq:cancel"}, what, q+"t:").Int()
				if err != nil {
					t.Fatal(err)
				}
				hit = n == 1
				done += n
			}
			if !hit {
				t.Fatalf("no task could be made %q in %v", what, patience)
			}
		}
	}
	return done
}

// TestChaosTasksMangled does to tasks what asynq is known to do to them: it
// loses them, repeats them, runs them beside themselves, and forgets that they
// are done. What was lost is released again, and claims do the rest.
func TestChaosTasksMangled(t *testing.T) {
	t.Parallel()
	l, pl, _, rdb := apart(t)
	if _, err := pl.AddFault(sandbox.Fault{Kind: sandbox.FaultLatency, Probability: 1, LatencyMS: 100}); err != nil {
		t.Fatal(err)
	}
	s := besiege(t, &l.office, pl, "rate: {per_second: 150}")
	s.settle = whole // what was lost is as far behind as it can be
	times := 4
	if *long {
		times = 20
	}
	n := 0
	s.strike(func() {
		out := s.optOuts(12)
		n = mangle(t, rdb, times)
		out()
	})
	s.tell("paid", 0)
	s.tell("placed", 2)
	s.end("asynq: tasks lost, doubled, orphaned", n)
	var lost float64
	for _, w := range l.workers {
		v, _ := w.figure("carillon_claims_lost_total")
		lost += v
	}
	if lost == 0 {
		t.Error("no task ran twice: nothing was tested")
	}
}
