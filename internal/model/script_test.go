package model_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/model"
)

func TestScriptRoundTrip(t *testing.T) {
	t.Parallel()
	draw := histories(model.None, nil)
	rapid.Check(t, func(rt *rapid.T) {
		h := draw.Draw(rt, "history")
		got, err := model.Parse(model.Script(h))
		if err != nil || !slices.Equal(got, h) {
			rt.Fatalf("%v, read as %v, %v", h, got, err)
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	h, err := model.Parse("# a comment\n\n  take 1 3 # another\nblind\n")
	if want := []model.Action{{Op: model.Take, N: 1, Task: 3}, {Op: model.Blind}}; err != nil || !slices.Equal(h, want) {
		t.Errorf("%v, %v; want %v", h, err, want)
	}
	for text, want := range map[string]string{
		"take 1":         `line 1: "take 1": want an action and its numbers, as in "take 1 3"`,
		"blind\nblind 0": `line 2: "blind 0"`,
		"fly 1":          `line 1: "fly 1"`,
		"claim x":        `line 1: "x": want a number from 0 to 99`,
		"claim -1":       `want a number`,
		"claim 100":      `want a number`,
	} {
		if _, err := model.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What is not possible where it stands changes nothing, whatever it names.
func TestImpossibleActionsChangeNothing(t *testing.T) {
	t.Parallel()
	w := model.New(model.None)
	for _, line := range []string{"claim 0", "take 0 0", "take 9 0", "release 3", "claim 2", "optout 2", "pause 2", "sight", "lapse 0", "redrive 0", "echo 0", "force 0", "stopped 0"} {
		h, err := model.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if w.Can(h[0]) || w.Do(h[0]) {
			t.Errorf("%q is possible in a world where nothing has happened", line)
		}
	}
}
