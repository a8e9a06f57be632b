package killpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	p, err := Parse("after-write:3, before-claim:1")
	if err != nil || p.String() != "after-write:3,before-claim:1" {
		t.Errorf("%v, %v", p, err)
	}
	for text, want := range map[string]string{
		"":                                 `"": there is no such point; there are before-claim, after-claim`,
		"after-lunch:1":                    `"after-lunch": there is no such point`,
		"after-write":                      `"after-write": want POINT:N, such as after-write:3`,
		"after-write:0":                    "N counted from 1",
		"after-write:-1":                   "N counted from 1",
		"after-write:x":                    "want POINT:N",
		"after-write:1,after-write:2":      "after-write stands twice",
		"after-write:1,":                   "there is no such point",
		"after-write:99999999999999999999": "want POINT:N",
	} {
		if p, err := Parse(text); p != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, %v; want %q", text, p, err, want)
		}
	}
}

// TestPoints holds that every point can be asked for, by a name that reads as
// the others do, once.
func TestPoints(t *testing.T) {
	t.Parallel()
	seen := map[Point]bool{}
	for _, pt := range Points() {
		if _, err := Parse(string(pt) + ":1"); err != nil || seen[pt] || strings.Trim(string(pt), "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%s: %v, twice %t", pt, err, seen[pt])
		}
		seen[pt] = true
	}
}

// TestDocument holds the table of docs/testing.md against the points, in
// their order.
func TestDocument(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Kill points\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var named []Point
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section, -1) {
		named = append(named, Point(row[1]))
	}
	if !slices.Equal(named, Points()) {
		t.Errorf("docs/testing.md describes %q, want %q", named, Points())
	}
}

// TestPass dies at one pass, however many come at once: not before, not again,
// not at another point.
func TestPass(t *testing.T) {
	p, err := Parse("after-claim:500")
	if err != nil {
		t.Fatal(err)
	}
	var died atomic.Int64
	p.kill = func() { died.Add(1) }
	for range 499 {
		p.Pass(AfterClaim)
		p.Pass(BeforeClaim)
	}
	if died.Load() != 0 {
		t.Error("died before its time")
	}
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() { p.Pass(AfterClaim) })
	}
	wg.Wait()
	if died.Load() != 1 {
		t.Errorf("died %d times", died.Load())
	}
	var none *Plan // what production has
	if allocs := testing.AllocsPerRun(100, func() { none.Pass(AfterClaim) }); allocs != 0 || none.String() != "" {
		t.Errorf("without a plan a pass costs %v allocations; %q", allocs, none)
	}
}

// TestDies has a process of its own pass its point: it ends by SIGKILL, and
// nothing of it runs any more.
func TestDies(t *testing.T) {
	if plan := os.Getenv("CARILLON_KILL"); plan != "" {
		p, err := Parse(plan)
		if err != nil {
			t.Fatal(err)
		}
		p.Pass(AfterWrite)
		os.Stdout.WriteString("once\n")
		p.Pass(AfterWrite)
		os.Stdout.WriteString("alive\n")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDies$")
	cmd.Env = append(os.Environ(), "CARILLON_KILL=after-write:2")
	out, err := cmd.Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || !slices.Equal(strings.Fields(string(out)), []string{"once"}) {
		t.Errorf("%v, said %q", err, out)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "after-write:1", "after-write:1,run-kept:2", ":", "after-write:+1", ",,", "after-write:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q is %q, and that %v, %v", s, p, again, err)
		}
	})
}
