package receipt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Both sides of what makes a message likely not sent.
func TestLikelyNotSent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const clocks = 2 * time.Second
	for name, c := range map[string]struct {
		left, now, after time.Duration // since at
		never            bool
		want             bool
		text             string
	}{
		"others came, and it was waited for": {clocks + 1, 10 * time.Minute, 10 * time.Minute, false, true, "likely not sent: no echo of it has come in 10m0s"},
		"1 ns before it was waited for":      {clocks + 1, 10*time.Minute - 1, 10 * time.Minute, false, false, "its echo may still come: it is waited for until 2026-11-22 12:10:00Z"},
		"the other left with it":             {clocks, time.Hour, 10 * time.Minute, false, false, "nothing is known of it yet: no echo has come of a message that left after it"},
		"the other left before it":           {-time.Hour, time.Hour, 10 * time.Minute, false, false, "nothing is known of it yet"},
		"no echo ever came":                  {0, time.Hour, 10 * time.Minute, true, false, "nothing is known of it: no echo of this sender has ever come"},
		"its claim has just ended":           {clocks + 1, receipt.Settled, 0, false, true, "likely not sent"},
		"its claim may stand":                {clocks + 1, receipt.Settled - 1, 0, false, false, "its echo may still come"},
	} {
		e := receipt.Evidence{Come: receipt.Come{Left: at.Add(c.left)}, Now: at.Add(c.now), After: c.after}
		if c.never {
			e.Come = receipt.Come{}
		}
		if got := e.LikelyNotSent(at); got != c.want || !strings.HasPrefix(e.Text(at), c.text) {
			t.Errorf("%s: %t, %q", name, got, e.Text(at))
		}
	}
}

// No redrive before the claim's deadline and margin, whoever asks.
func TestTooSoon(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for wait, want := range map[time.Duration]bool{0: true, receipt.Settled - 1: true, receipt.Settled: false} {
		if until, soon := receipt.TooSoon(at, at.Add(wait)); soon != want || !until.Equal(at.Add(deliver.ClaimDeadline+deliver.ClaimMargin)) {
			t.Errorf("after %s: %t, until %s", wait, soon, until)
		}
	}
	if sender.MinLikelyAfter < receipt.Settled {
		t.Error("a sender may ask for less than a claim stands")
	}
}

// How far echoes have come: only by jobs that were named, never back, and for
// every process alike.
func TestEchoesCome(t *testing.T) {
	t.Parallel()
	w := open(t)
	spec := &sender.Spec{ID: "bakery"}
	come := func() receipt.Evidence {
		t.Helper()
		e, err := w.desk.Echoes.Evidence(t.Context(), spec, w.noon)
		rig.Must(t, err)
		return e
	}
	if e := come(); !e.Come.Left.IsZero() || e.After != sender.DefaultLikelyAfter {
		t.Errorf("before any echo: %+v", e)
	}
	a := rig.Address(1)
	unknown := w.job(t, a, job.Claimed, job.Unknown)
	w.apply(t, w.echo(a, unknown)) // nobody knows when it left
	if e := come(); !e.Come.Left.IsZero() {
		t.Errorf("after the echo of an unknown one: %+v", e)
	}
	sent := w.job(t, a, job.Claimed, job.Sent)
	foreign := w.echo(a, sent)
	foreign.Person = rig.Address(2)
	w.apply(t, foreign)
	if e := come(); !e.Come.Left.IsZero() {
		t.Errorf("after a foreign echo: %+v", e)
	}
	w.apply(t, w.echo(a, sent))
	first := w.noon.Add(time.Second - deliver.ClaimDeadline)
	if e := come(); !e.Come.Left.Equal(first) {
		t.Errorf("after the echo of a sent one: %s, want %s", e.Come.Left, first)
	}
	w.noon = w.noon.Add(time.Hour)
	claimed := w.job(t, a, job.Claimed)
	w.apply(t, w.echo(a, claimed))
	if e := come(); !e.Come.Left.Equal(w.noon) {
		t.Errorf("after the echo of a claimed one: %s, want %s", e.Come.Left, w.noon)
	}
	w.noon = w.noon.Add(-2 * time.Hour)
	older := w.job(t, a, job.Claimed, job.Sent)
	var err error // another process does not know what this one has noted
	w.desk.Echoes, err = receipt.OpenEchoes(t.Context(), w.Streams, w.Names)
	rig.Must(t, err)
	w.apply(t, w.echo(a, older))
	if e := come(); !e.Come.Left.Equal(w.noon.Add(2 * time.Hour)) {
		t.Errorf("after an older echo in another process: %s", e.Come.Left)
	}
}
