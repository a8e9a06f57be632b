package model_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/model"
)

// rounds is how often rapid walks its hundred histories, or as many as
// -rapid.checks says.
const rounds = 1000

// The promises hold in every history. One that breaks a promise is printed as
// a script, which MODEL_SCRIPT plays again (TestHistory).
func TestPromisesHoldInEveryHistory(t *testing.T) {
	t.Parallel()
	walked, steps := 0, 0
	n := rounds
	if testing.Short() || raced {
		n /= 10
	}
	began := time.Now()
	draw := histories(model.None, nil)
	quiet := &silent{TB: t}
	for range n {
		rapid.Check(quiet, func(rt *rapid.T) {
			h := draw.Draw(rt, "history")
			walked, steps = walked+1, steps+len(h)
			if why := play(model.None, h).Broken(); why != "" {
				rt.Fatalf("%s\n%s", why, model.Script(h))
			}
		})
	}
	t.Logf("%d histories of %.0f actions, %.0f a second", walked, float64(steps)/float64(walked), float64(walked)/time.Since(began).Seconds())
}

// silent says nothing of rounds that passed.
type silent struct{ testing.TB }

// Logf says nothing.
func (s *silent) Logf(string, ...any) {}

// Every mistake that can be planted breaks a promise in some history, soon.
// A mistake that is not found is a promise that nobody checks.
func TestEveryMistakeIsFound(t *testing.T) {
	t.Parallel()
	for _, m := range model.Mistakes() {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			draw := histories(m, nil)
			broken := func(h []model.Action) bool { return play(m, h).Broken() != "" }
			const most = 200_000
			for seed := range most {
				h := draw.Example(seed)
				if !broken(h) {
					continue
				}
				h = shortest(h, 1000, broken)
				if why := play(model.None, h).Broken(); why != "" {
					t.Fatalf("without the mistake: %s", why)
				}
				t.Logf("in history %d: %s\n%s", seed+1, play(m, h).Broken(), model.Script(h))
				return
			}
			t.Errorf("%d histories did not find it", most)
		})
	}
}
