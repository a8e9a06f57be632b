package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// campaign is one broadcast that is hit again and again while it runs.
type campaign struct {
	*layout
	*cluster
	pl    *platform
	js    jetstream.JetStream // past every cable
	ps    []person
	rate  int
	blows []blow
}

// blow is one fault of a campaign.
type blow struct {
	fault string
	at    time.Time // when it began, or where everything held when it ended
}

// TestChaosCluster runs one broadcast over two schedulers, four workers and
// three NATS servers, and breaks them one by one in its middle: servers killed,
// cut off and filled up, then processes of our own. A clerk gives orders all
// the while, and what was acknowledged is there at the end.
func TestChaosCluster(t *testing.T) {
	t.Parallel()
	n, rate := 20_000, 250
	if *long {
		n, rate = 100_000, 1000
	}
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	s := &campaign{layout: ground(t, pl), pl: pl, ps: people(n, time.Now()), rate: rate}
	room, ok := smallDisk(t, filepath.Join(s.dir, "n2"), "512")
	s.cluster = natsCluster(t, s.dir, 3)
	s.js = operator(t, s.direct)
	s.until("the servers have elected a leader", func() bool { _, err := s.js.AccountInfo(t.Context()); return err == nil })
	s.env = append(s.env, "CARILLON_NATS_URL="+s.url, "CARILLON_REDIS_URL="+redisServer(t, s.dir))
	s.run(2, 4)
	s.define(pl, "spring", s.pace(rate), s.ps)
	c := hire(t, s.ps, s.door(0), s.door(1))
	s.launch("spring")
	s.some(pl, rate)

	s.hit("cluster: server that leads the ledger killed", func() {
		e := s.servers[s.number(replicas(s.layout, s.js, 3))]
		e.end(t, syscall.SIGKILL)
		s.goesOn()
		e.start()
	})
	s.hit("cluster: server that leads the ledger cut off", func() {
		i := s.number(replicas(s.layout, s.js, 3))
		s.cut(i)
		s.hide(i)
		s.goesOn()
		s.mend()
	})
	s.hit("cluster: minority cut off, with its clients", func() {
		s.cut(s.number(replicas(s.layout, s.js, 3)))
		s.goesOn()
		s.mend()
	})
	s.hit("cluster: majority cut off", func() {
		replicas(s.layout, s.js, 3)
		s.cut(0)
		s.cut(1)
		s.holds()
		s.blows[len(s.blows)-1].at = time.Now()
		s.mend()
		s.goesOn()
	})
	s.hit("cluster: disk of a server full", func() {
		replicas(s.layout, s.js, 3)
		if ok {
			room.fill()
		} else {
			s.squeeze(t, 2, true)
		}
		s.goesOn()
		if ok {
			room.free()
		}
		s.squeeze(t, 2, false)
	})
	s.sides()
	s.hastens(5 * rate)
	s.ended("spring")
	t.Logf("ended, %d sent", pl.count())
	replicas(s.layout, s.js, 3)
	c.check(s.api, pl)
	s.rows()
}

// pace is a sender that sends batches so fast.
func (s *campaign) pace(rate int) string {
	return fmt.Sprintf("rate: {per_second: %d}\nbatch: true", rate)
}

// hastens sends what is left faster, now that nothing breaks any more, and
// sees that it was not until then.
func (s *campaign) hastens(rate int) {
	s.t.Helper()
	for _, r := range s.pl.Rates(account) {
		if r.Peak > s.rate {
			s.t.Errorf("%d calls in one second, the rate is %d", r.Peak, s.rate)
		}
	}
	doc := fmt.Sprintf("kind: Sender\nid: spring\nchannel: messenger\naccount: %q\ncredential: env:BAKERY_TOKEN\n%s\n", account, s.pace(rate))
	if _, err := s.api.Apply(s.t.Context(), "faster.yaml", strings.NewReader(doc)); err != nil {
		s.t.Fatal(err)
	}
}

// door returns the API of one scheduler, to anybody who has root's token.
func (s *campaign) door(i int) *client.Client {
	was := s.api
	defer func() { s.api = was }()
	s.open(s.schedulers[i])
	return s.api
}

// hit strikes in the middle of the broadcast, and returns once that goes on.
func (s *campaign) hit(fault string, strike func()) {
	s.t.Helper()
	if left := sendables(s.t, s.ps) - s.pl.count(); left < 2*s.rate {
		s.t.Errorf("%s: only %d messages are left", fault, left)
	}
	s.blows = append(s.blows, blow{fault, time.Now()})
	strike()
	s.some(s.pl, s.pl.count()+s.rate)
	s.t.Logf("%s: over after %v, %d sent", fault, time.Since(s.blows[len(s.blows)-1].at).Round(time.Millisecond), s.pl.count())
}

// goesOn waits until more is sent than can have been claimed before, and every
// process is ready, whichever server it was connected to.
func (s *campaign) goesOn() {
	s.t.Helper()
	defer func() {
		for _, p := range slices.Concat(s.schedulers, s.workers) {
			if s.t.Failed() && p.running() {
				s.t.Logf("the %s at %s: %s; the platform has %d", p.kind, p.health, p.get("/readyz"), s.pl.count())
			}
		}
	}()
	s.some(s.pl, s.pl.count()+2*s.rate)
	for _, p := range slices.Concat(s.schedulers, s.workers) {
		if p.running() {
			s.until("the "+p.kind+" is ready again", func() bool { return p.get("/readyz") == "ready" })
		}
	}
}

// holds waits until nothing leaves any more, and sees that it stays so for as
// long as the probes say why.
func (s *campaign) holds() {
	s.t.Helper()
	for _, w := range s.workers {
		s.until("a worker says that it is blind", func() bool { return w.get("/readyz") != "ready" })
	}
	n, looks := s.pl.count(), 0
	s.until("nothing leaves", func() bool {
		if now := s.pl.count(); now != n {
			n, looks = now, 0
		}
		looks++
		return looks > 100 // 20 ms apart: two seconds, in which hundreds would have left
	})
}

// sides takes processes of our own away: a worker that is told to end, a
// leader that is killed, a leader that is paused for longer than its lease and
// wakes up believing.
func (s *campaign) sides() {
	s.t.Helper()
	s.hit("two sides: worker told to end", func() {
		w := s.workers[0]
		w.end(s.t, syscall.SIGTERM)
		if code := w.cmd.ProcessState.ExitCode(); code != 0 {
			s.t.Errorf("exit code %d of a worker that was told to end", code)
		}
		s.worker()
	})
	first := s.leader()
	s.hit("two sides: leader killed", func() {
		first.end(s.t, syscall.SIGKILL)
		s.open(s.other(first))
		s.leader()
		s.goesOn()
		s.start(first)
		s.until("the one that was killed is ready", func() bool { return first.get("/readyz") == "ready" })
	})
	second := s.leader()
	s.hit("two sides: leader paused past its lease", func() {
		second.signal(syscall.SIGSTOP)
		s.open(first)
		s.until("the other leads", func() bool { v, ok := first.figure("carillon_leading"); return ok && v == 1 })
		s.some(s.pl, s.pl.count()+2*s.rate)
		second.signal(syscall.SIGCONT)
		s.until("the one that was paused is ready", func() bool { return second.get("/readyz") == "ready" })
		if s.leader() != first {
			s.t.Error("the one that woke up leads again")
		}
	})
	s.plannedAgain(float64((len(s.blows) + 1) * 2 * s.rate)) // each blow may change who leads
}

// rows holds the broadcast against the books, and tells of each blow by the
// messages that were accepted until the next.
func (s *campaign) rows() {
	s.t.Helper()
	all := s.weigh(s.pl, "spring", s.ps)
	if all.unknown != 0 {
		s.t.Errorf("%d unknown, and no worker was killed", all.unknown)
	}
	books := slices.SortedFunc(slices.Values(s.pl.books(s.t)), func(a, b accepted) int { return a.Time.Compare(b.Time) })
	seen := map[string]bool{}
	for i, b := range s.blows {
		row := figures{fault: b.fault, injected: 1, lost: all.lost, unknown: all.unknown}
		last := b.at
		for _, a := range books {
			if a.Time.Before(b.at) || i+1 < len(s.blows) && !a.Time.Before(s.blows[i+1].at) {
				continue
			}
			row.recovery, last = max(row.recovery, a.Time.Sub(last)), a.Time
			if row.sent++; seen[a.Metadata] {
				row.duplicates++
			}
			seen[a.Metadata] = true
		}
		faults.add(s.t, row)
	}
	for _, d := range s.schedulers {
		s.open(d)
		if a, err := s.api.Audit(s.t.Context(), "spring"); err != nil || !a.Balanced || a.Sent != all.sent {
			s.t.Errorf("one counts %d sent, another %+v, %v", all.sent, a, err)
		}
	}
	if v := s.pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		s.t.Errorf("violations: %v", v)
	}
}
