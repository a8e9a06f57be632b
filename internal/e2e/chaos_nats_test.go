package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// wave is how many messages of a sender of 200 a second can be between claim
// and outcome in one process, slow machines included.
const wave = 100

// TestChaosEmbeddedKilled kills the process with the embedded server in it, at
// moments of no choosing, in the middle of a start too: what the API
// acknowledged is there afterwards, and the broadcast ends as if nothing had
// happened but for what was on the wire.
func TestChaosEmbeddedKilled(t *testing.T) {
	t.Parallel()
	kills, n := 6, 2400
	if *long {
		kills, n = 40, 12_000
	}
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(n, time.Now())
	p.define(pl, "spring", "rate: {per_second: 200}", ps)
	token, err := os.ReadFile(filepath.Join(p.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	p.launch("spring")
	c := hire(t, ps, client.New("http://"+p.addr, strings.TrimSpace(string(token))))
	seed := uint64(time.Now().UnixNano())
	dice := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	var back time.Duration
	step := sendables(t, ps) / (kills + 2)
	for k := range kills {
		sent, acked := pl.count()+1+dice.IntN(step), c.count()+dice.IntN(10)
		p.until("some is sent, or some acknowledged", func() bool { return pl.count() >= sent || c.count() > acked })
		p.stop(syscall.SIGKILL)
		at := time.Now()
		if k%3 == 2 { // and once more while it starts
			p.child = spawn(t, p.environ(), p.path, "dev", "--verbose", "--sample=false")
			said := dice.IntN(1500)
			p.until("it has begun to start", func() bool { return len(p.log.String()) > said || !p.running() })
			p.stop(syscall.SIGKILL)
		}
		p.start()
		back = max(back, time.Since(at))
	}
	if left := sendables(t, ps) - pl.count(); left < step/2 {
		t.Errorf("only %d messages were left when the last kill came", left)
	}
	p.ended("spring")
	c.check(p.api, pl)
	row := p.weigh(pl, "spring", ps)
	row.fault, row.injected, row.recovery = "nats: embedded, killed at any moment", kills, back
	if row.unknown > kills*wave {
		t.Errorf("%d unknown after %d kills", row.unknown, kills)
	}
	faults.add(t, row)
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}
