package app

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/internal/use"
)

// TestWhatIsOverIsNotMissed: a stream from which records go by age, or are taken,
// has fewer at the next start although nothing was lost.
func TestWhatIsOverIsNotMissed(t *testing.T) {
	t.Parallel()
	n, err := subject.New("")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		adds   bool
	}{
		"ledger":  {ledger.Config(n, "202611", 0), true},
		"facts":   {facts.Config(n), true},
		"journal": {journal.Config(n), true},
		"uses":    {use.Config(n), false},
		"events":  {ingest.Events(n), false},
		"timers":  {run.TimersConfig(n), false},
	} {
		if got := adds(n, c.config.Name); got != c.adds || got && c.config.MaxAge != 0 {
			t.Errorf("%s (%s): records are only added: %t, kept for %v", name, c.config.Name, got, c.config.MaxAge)
		}
	}
}
