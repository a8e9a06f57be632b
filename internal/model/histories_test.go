package model_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/model"
)

// long is the flag of all tests of faults.
var long = flag.Bool("chaos.long", false, "the longer form of the faults")

// players is how many histories are played side by side: they mostly wait.
const players = 8

// The histories that the model is walked through, played by the real worker,
// lanes, desks and scheduler on real engines: after every action every job is
// where the model has it, and the platform's books say the same. One that does
// not is shortened and printed as a script (TestHistory).
func TestChaosHistories(t *testing.T) {
	s := newStage(t)
	n := 300
	switch {
	case *long:
		n = 5000
	case testing.Short(), raced:
		n = 50
	}
	draw := histories(model.None, playable)
	var next, held, steps, slow atomic.Int64
	seed, began := rand.IntN(1<<30), time.Now()
	var wg sync.WaitGroup
	for range players {
		wg.Go(func() {
			for i := next.Add(1); int(i) <= n && !t.Failed(); i = next.Add(1) {
				h := draw.Example(seed + int(i))
				h2, err := s.real(h)
				held.Add(int64(h2))
				steps.Add(int64(len(h)))
				switch {
				case errors.Is(err, errSlow):
					slow.Add(1)
				case err != nil:
					short := s.shorter(h)
					_, again := s.real(short)
					t.Errorf("seed %d: %v\nshortened: %v\n%s", seed+int(i), err, again, model.Script(short))
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d histories of %.0f actions in %.1f s from seed %d; %d times the real one was more careful, %d were cut off by a slow machine",
		n, float64(steps.Load())/float64(n), time.Since(began).Seconds(), seed, held.Load(), slow.Load())
	if slow.Load() > int64(n/2) { // else a busy machine leaves enough to be worth something
		t.Errorf("%d of %d histories could not be played to their end", slow.Load(), n)
	}
}

// shorter returns a history that fails too, with as much left out as a minute
// finds.
func (s *stage) shorter(h []model.Action) []model.Action {
	limit := time.Now().Add(time.Minute)
	return shortest(h, 200, func(h []model.Action) bool {
		if time.Now().After(limit) {
			return false
		}
		_, err := s.real(h)
		return err != nil && !errors.Is(err, errSlow)
	})
}

// Histories that are kept as scripts, and the one that MODEL_SCRIPT names, are
// played by the model and by the real rooms.
func TestHistory(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.script")
	if name := os.Getenv("MODEL_SCRIPT"); name != "" {
		scripts = []string{name}
	}
	if err != nil || len(scripts) == 0 {
		t.Fatalf("scripts %v, %v", scripts, err)
	}
	s := newStage(t)
	for _, name := range scripts {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			h, err := model.Parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w := play(model.None, h)
			for j := range model.Jobs {
				t.Logf("job %d: %s, accepted %d times: %+v", j, w.Bucket(j), w.Accepted(j), w.Log(j))
			}
			if why := w.Broken(); why != "" {
				t.Errorf("the model: %s", why)
			}
			if _, err := s.real(h); err != nil {
				t.Errorf("the real rooms: %v", err)
			}
		})
	}
}
