package store_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/store"
)

func opened(t *testing.T, path string) *store.Marks {
	t.Helper()
	m, err := store.OpenMarks(path)
	must(t, err)
	return m
}

func TestWhatIsLackedIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "marks")
	m := opened(t, path)
	defer m.Close()
	m.Acked("L", 10)
	m.Counted("L", 10, true)
	m.Acked("T", 5)
	m.Counted("T", 5, false)
	for name, c := range map[string]struct {
		last, counts map[string]uint64
		want         string
	}{
		"the same":         {map[string]uint64{"L": 10, "T": 5}, map[string]uint64{"L": 10, "T": 5}, ""},
		"more":             {map[string]uint64{"L": 11, "T": 5}, map[string]uint64{"L": 11, "T": 0}, ""},
		"one record less":  {map[string]uint64{"L": 9, "T": 5}, nil, "stream L ends at record 9, and went on to 10; "},
		"nothing of it":    {map[string]uint64{"L": 10, "T": 0}, nil, "stream T ends at record 0, and went on to 5; "},
		"one in between":   {map[string]uint64{"L": 10, "T": 5}, map[string]uint64{"L": 9, "T": 5}, "stream L has 9 records, and had 10; "},
		"a stream is gone": {map[string]uint64{"L": 10}, nil, "stream T is gone: it had 5 records; "},
	} {
		err := m.Behind(store.Report{Last: c.last})
		if err == nil && c.counts != nil {
			err = m.Fewer(c.counts)
		}
		if (err == nil) != (c.want == "") || err != nil && (!strings.HasPrefix(err.Error(), c.want) || !strings.HasSuffix(err.Error(), path)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What nobody has marked is marked as it is.
	must(t, m.Behind(store.Report{Last: map[string]uint64{"L": 12, "T": 5, "N": 3}}))
	if got := m.All(); got["N"].Last != 3 || got["L"].Last != 10 {
		t.Errorf("%+v", got)
	}
}

// TestMarksOutliveTheirProcess: whatever was noted is read again, by who opens
// the file without its having been closed.
func TestMarksOutliveTheirProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, strings.Repeat("m", n%200+1))
		_ = os.Remove(path)
		m, err := store.OpenMarks(path)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]store.Mark{}
		for range rapid.IntRange(0, 60).Draw(t, "times") {
			name := rapid.SampledFrom([]string{"L", "KV_DEFS", strings.Repeat("x", 255), "LEDGER_202611_0"}).Draw(t, "stream")
			mark := want[name]
			if rapid.Bool().Draw(t, "acked") {
				last := rapid.Uint64().Draw(t, "last")
				m.Acked(name, last)
				mark.Last = max(mark.Last, last)
			} else {
				mark.Messages, mark.Adds = rapid.Uint64().Draw(t, "messages"), rapid.Bool().Draw(t, "adds")
				m.Counted(name, mark.Messages, mark.Adds)
			}
			if _, noted := want[name]; noted || mark != (store.Mark{}) {
				want[name] = mark
			}
		}
		again, err := store.OpenMarks(path)
		if err != nil || !maps.Equal(again.All(), want) {
			t.Fatalf("%+v, want %+v, %v", again.All(), want, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMarksOfTheFormBefore: they are read, and from then on stand in the new one.
func TestMarksOfTheFormBefore(t *testing.T) {
	t.Parallel()
	const body = `{"L":{"last":10,"messages":10,"adds":true},"T":{"last":5,"messages":2}}`
	sum := sha256.Sum256([]byte(body))
	path := filepath.Join(t.TempDir(), "marks")
	want := map[string]store.Mark{"L": {Last: 10, Messages: 10, Adds: true}, "T": {Last: 5, Messages: 2}}
	must(t, os.WriteFile(path, fmt.Appendf(nil, "%s\n%x\n", body, sum), 0o600))
	for range 2 {
		m := opened(t, path)
		if got := m.All(); !maps.Equal(got, want) {
			t.Errorf("%+v", got)
		}
		m.Acked("T", 6)
		want["T"] = store.Mark{Last: 6, Messages: 2}
		must(t, m.Close())
	}
	must(t, os.WriteFile(path, fmt.Appendf(nil, "%s\n%x\n", strings.Replace(body, "10", "11", 1), sum), 0o600))
	if _, err := store.OpenMarks(path); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("changed by hand: %v", err)
	}
}

func TestDamagedMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "marks")
	m := opened(t, path)
	m.Acked("L", 10)
	m.Acked("T", 5)
	must(t, m.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	at := bytes.Index(b, []byte("L 10"))
	for name, bad := range map[string][]byte{
		"empty":         {},
		"half":          b[:len(b)/2],
		"another head":  append([]byte("C"), b[1:]...),
		"a number":      bytes.Replace(b, []byte("L 10"), []byte("L 11"), 1),
		"a blank":       bytes.Replace(b, []byte("  \n"), []byte(" x\n"), 1),
		"zeros, then 1": append(append(bytes.Clone(b), make([]byte, 511)...), 1),
	} {
		must(t, os.WriteFile(path, bad, 0o600))
		if _, err := store.OpenMarks(path); err == nil || !strings.Contains(err.Error(), path+" is damaged; ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Room that the disk gave and nobody wrote is no damage.
	must(t, os.WriteFile(path, append(append(bytes.Clone(b[:at]), make([]byte, 512)...), b[at+512:]...), 0o600))
	m = opened(t, path)
	defer m.Close()
	if got := m.All(); len(got) != 1 || got["T"].Last != 5 {
		t.Errorf("%+v", got)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside it there are %v, %v", left, err)
	}
}

// TestWhatCanNotBeNotedIsSaid once, and nothing of it is in the file.
func TestWhatCanNotBeNotedIsSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "marks")
	m := opened(t, path)
	defer m.Close()
	m.Acked(strings.Repeat("x", 256), 1)
	if err := m.Sync(); err == nil || !strings.Contains(err.Error(), "name is too long") {
		t.Errorf("%v", err)
	}
	if err := m.Sync(); err != nil || len(m.All()) != 0 {
		t.Errorf("%v, %v", err, m.All())
	}
}
