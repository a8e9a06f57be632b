package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// replicas waits until every stream is kept by so many servers, none of them
// behind, and returns who leads the ledger.
func replicas(l *layout, js jetstream.JetStream, want int) (leader string) {
	l.t.Helper()
	var last string
	l.until(fmt.Sprintf("%d servers keep every stream", want), func() bool {
		list, n := js.ListStreams(l.t.Context()), 0
		last = ""
		for i := range list.Info() {
			if n++; i.Config.Replicas != want {
				l.t.Fatalf("%s has %d replicas, want %d", i.Config.Name, i.Config.Replicas, want)
			}
			if i.Cluster == nil || i.Cluster.Leader == "" || len(i.Cluster.Replicas) != want-1 {
				last = i.Config.Name + " has no leader"
				continue
			}
			for _, r := range i.Cluster.Replicas {
				if r.Offline || !r.Current {
					last = fmt.Sprintf("%s of %s is behind", r.Name, i.Config.Name)
				}
			}
			if strings.HasPrefix(i.Config.Name, "LEDGER_") {
				leader = i.Cluster.Leader
			}
		}
		return list.Err() == nil && n > 5 && last == ""
	})
	return leader
}

// TestServerOfClusterKilled kills the NATS server that leads the ledger in the
// middle of a broadcast, and starts it again: the two others go on within
// seconds, nothing is lost and nothing goes out twice.
func TestServerOfClusterKilled(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	l := ground(t, pl)
	servers, url := natsCluster(t, l.dir, 3)
	js := operator(t, url)
	l.until("the servers have elected a leader", func() bool { _, err := js.AccountInfo(t.Context()); return err == nil })
	l.env = append(l.env, "CARILLON_NATS_URL="+url, "CARILLON_REDIS_URL="+redisServer(t, l.dir))
	l.run(2, 2)
	ps := people(3000, time.Now())
	l.define(pl, "spring", "rate: {per_second: 400}\nbatch: true", ps)
	l.launch("spring")
	l.some(pl, 400)
	leads := replicas(l, js, 3)
	for _, s := range servers {
		if s.name != leads {
			continue
		}
		at := time.Now()
		s.end(t, syscall.SIGKILL)
		// What had its claim before may still go out.
		l.some(pl, pl.count()+400)
		t.Logf("%s, which led the ledger, was killed: 400 more after %v", leads, time.Since(at).Round(time.Millisecond))
		s.start()
	}
	l.ended("spring")
	replicas(l, js, 3)
	a := l.reconcile(pl, "spring", ps)
	if a.Sent != sendables(t, ps) || a.Unknown != 0 || a.Pending != 0 {
		t.Errorf("%d sent of %d, %d unknown, %d pending", a.Sent, sendables(t, ps), a.Unknown, a.Pending)
	}
}
