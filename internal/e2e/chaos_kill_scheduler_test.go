package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/sandbox"
)

// slowly is a sender that is in the middle of its broadcast for long.
const slowly = "rate: {per_second: 20}"

// TestChaosSchedulerKilled kills the only scheduler at every point of what a
// leader does, one after the other, in the middle of broadcasts, while two
// workers live on: nothing is unknown, since whoever claimed is there to say
// what came of it.
func TestChaosSchedulerKilled(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	l := ground(t, pl)
	hot := redisServer(t, l.dir)
	l.env = append(l.env, "CARILLON_NATS_URL="+natsServer(t, l.dir), "CARILLON_REDIS_URL="+hot)
	l.run(1, 2)
	k := &killing{office: &l.office, pl: pl}
	ways := []struct {
		point killpoint.Point
		n     int
		fault string
	}{
		{"", 0, "at a random moment"},
		{killpoint.AfterLease, 1, "with the lease, before anything else"},
		{killpoint.BetweenReleases, 20, "between envelopes"},
		{killpoint.WhilePlanning, 1, "before a ledger is read"},
		{killpoint.TallyKept, 1, "after the counts, before how far they go"},
		{killpoint.WhileRebuilding, 2, "while an empty Redis is filled"},
		{killpoint.DeadLetterKept, 1, "after dead letters, before how far they go"},
		{killpoint.WhileFreezing, 1, "between an audience and its broadcast"},
		{killpoint.AfterFreeze, 2, "after an audience is frozen"}, // the one before is frozen first
	}
	for _, w := range ways {
		s := k.strike("scheduler killed: "+w.fault, slowly, people(1200, time.Now()), 0)
		if !freezing(w.point) {
			l.launch(s.id)
			l.some(s.pl, 1)
		}
	}
	leads := l.schedulers[0]
	var last *stroke // with whose death the current scheduler goes on
	var died time.Time
	for i, w := range ways {
		s := k.strokes[i]
		if last != nil {
			if w.point == killpoint.WhileRebuilding {
				flush(t, hot)
			}
			l.of["scheduler"] = []string{at(w.point, w.n)}
			l.start(leads)
			l.led(leads)
			last.recovery = time.Since(died)
		}
		switch {
		case w.point == "":
			leads.end(t, syscall.SIGKILL)
		case freezing(w.point):
			l.until("the broadcast is launched", func() bool {
				_, err := l.api.Launch(t.Context(), s.id, "bulk_discouraged")
				return err == nil || !leads.running()
			})
		}
		died, last = k.dies(leads.child, string(w.point)), s
		if !freezing(w.point) {
			k.amid(s)
		}
	}
	l.of["scheduler"] = nil
	l.start(leads)
	l.led(leads)
	last.recovery = time.Since(died)
	l.ready()
	l.quicken(k)
	k.weighed()
}

// freezing tells the points at which only a broadcast that is being launched is
// struck.
func freezing(p killpoint.Point) bool {
	return p == killpoint.WhileFreezing || p == killpoint.AfterFreeze
}

// led waits until a scheduler leads, or has and died of it.
func (l *layout) led(s *sideProcess) {
	l.t.Helper()
	l.until("another leads", func() bool {
		v, ok := s.figure("carillon_leading")
		return ok && v == 1 || !s.running()
	})
}

// flush empties a Redis.
func flush(t *testing.T, url string) {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(t, o).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// quicken has the senders of all strokes go at full rate: what is left of their
// broadcasts is not what the test is about.
func (o *office) quicken(k *killing) {
	o.t.Helper()
	var docs []string
	for _, s := range k.strokes {
		docs = append(docs, fmt.Sprintf("kind: Sender\nid: %s\nchannel: messenger\naccount: %q\ncredential: env:BAKERY_TOKEN\n%s\n", s.id, s.pl.only, single))
	}
	if _, err := o.api.Apply(o.t.Context(), "quick.yaml", strings.NewReader(strings.Join(docs, "---\n"))); err != nil {
		o.t.Fatal(err)
	}
}
