package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

// TestChaosDiskFull fills the disk of a single process in the middle of a
// broadcast. It says that it is not ready, sends nothing more, and goes on by
// itself once there is room.
func TestChaosDiskFull(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	d, ok := smallDisk(t, dir, "48")
	if !ok {
		return // TestFrozenServerIsStartedAgain of internal/engine needs none
	}
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := bootAt(t, pl, dir)
	ps := people(1500, time.Now())
	p.define(pl, "spring", single, ps)
	p.launch("spring")
	p.some(pl, 300)
	d.fill()
	p.until("it is not ready", func() bool { return p.api.Ready(t.Context()) != nil })
	a, err := p.api.Audit(t.Context(), "spring")
	if err != nil || a.Pending == 0 {
		t.Errorf("nothing is left to send: %+v, %v", a, err)
	}
	d.free()
	from := time.Now()
	p.until("it is ready", func() bool { return p.api.Ready(t.Context()) == nil })
	p.ended("spring")
	row := p.weigh(pl, "spring", ps)
	row.fault, row.injected, row.held, row.recovery = "data: disk full", 1, a.Pending, recovery(pl.books(t), from)
	faults.add(t, row)
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}
