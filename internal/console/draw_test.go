package console

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata/*.golden")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update if it should):\n%s\nwant:\n%s", path, got, want)
	}
}

func outcomes(sent, blocked, failed, pending int) []Segment {
	return []Segment{
		{"sent", sent, "█", Green}, {"blocked", blocked, "▓", Yellow}, {"failed", failed, "▒", Red}, {"pending", pending, "░", Dim},
	}
}

func TestBar(t *testing.T) {
	var b strings.Builder
	for _, p := range [][]Segment{
		outcomes(0, 0, 0, 0), outcomes(0, 0, 0, 1000), outcomes(1, 0, 0, 999_999), outcomes(500, 250, 0, 250),
		outcomes(999_997, 1, 1, 1), outcomes(1000, 0, 0, 0),
	} {
		for _, width := range []int{10, 40} {
			fmt.Fprintf(&b, "%3d [%s]\n", width, Fixed(nil, 80, true, false).Bar(p, 1000, width))
		}
	}
	golden(t, "bar", b.String())
}

// TestBarKeepsItsWidth holds for any counts: the bar is as wide as asked, and
// no part that is not zero is lost while there is room for all.
func TestBarKeepsItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(-1, 2_000_000)
		parts := outcomes(n.Draw(t, "sent"), n.Draw(t, "blocked"), n.Draw(t, "failed"), n.Draw(t, "pending"))
		width := rapid.IntRange(5, 100).Draw(t, "width")
		bar := Fixed(nil, 80, true, false).Bar(parts, n.Draw(t, "total"), width)
		if Width(bar) != width {
			t.Fatalf("%q takes %d columns, want %d", bar, Width(bar), width)
		}
		for _, p := range parts {
			if p.N > 0 && !strings.Contains(bar, p.Glyph) {
				t.Fatalf("%q lost %s %d", bar, p.Name, p.N)
			}
		}
	})
}

func TestLegendWrapsAndColours(t *testing.T) {
	parts := outcomes(1_000_000, 12_000, 0, 387_655)
	plain := Fixed(nil, 80, true, false).Legend(parts, 30)
	want := "█ sent 1,000,000|▓ blocked 12,000|░ pending 387,655"
	if got := strings.Join(plain, "|"); got != want {
		t.Errorf("got %q", got)
	}
	colored := strings.Join(Fixed(nil, 80, true, true).Legend(parts, 80), "|")
	if want := "\x1b[32m█ sent 1,000,000\x1b[0m   \x1b[33m▓ blocked 12,000\x1b[0m   \x1b[2m░ pending 387,655\x1b[0m"; colored != want {
		t.Errorf("got %q", colored)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	for _, width := range []int{40, 80} {
		tab := NewTable(Fixed(&b, width, true, false), Column{Title: "RULE"}, Column{Title: "SENT", Right: true}, Column{Title: "WHY"}, Column{Title: "JOB", Whole: true})
		tab.Row("standard_window", "1,204", "the contact wrote four minutes ago", "202611.0.bakery.5kPq0cVYtB3n1xW7uR2mJg.s~1")
		tab.Row("utility", "7", "a\x1b[2Jline\nbreak", "short")
		tab.Row("", "", "", "")
		if err := tab.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "table", b.String())
}

// TestTableFits holds for any cells: without a column that must stay whole,
// no line is wider than the terminal.
func TestTableFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		width := rapid.IntRange(minWidth, maxWidth).Draw(t, "width")
		tab := NewTable(Fixed(&b, width, true, false), Column{Title: "A"}, Column{Title: "B", Right: true}, Column{})
		for range rapid.IntRange(0, 300).Draw(t, "rows") {
			tab.Row(rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b"), rapid.String().Draw(t, "c"))
		}
		if err := tab.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if w := Width(strings.TrimSuffix(line, "\n")); w > width {
				t.Fatalf("%q takes %d of %d columns", line, w, width)
			}
		}
	})
}

// TestTableIsBounded writes on before the end of a long list is known.
func TestTableIsBounded(t *testing.T) {
	var b bytes.Buffer
	tab := NewTable(Fixed(&b, 80, false, false), Column{Title: "N", Right: true})
	for i := range sizingRows - 1 {
		tab.Row(Count(i))
	}
	if b.Len() != 0 {
		t.Fatal("written before the widths were known")
	}
	tab.Row("199")
	if n := bytes.Count(b.Bytes(), []byte("\n")); n != sizingRows+1 {
		t.Fatalf("%d lines, want %d", n, sizingRows+1)
	}
	tab.Row("123456789")
	if err := tab.Flush(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "199\n12…\n") {
		t.Errorf("ends with %q", b.String()[b.Len()-20:])
	}
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

func TestTableReportsWriteError(t *testing.T) {
	tab := NewTable(Fixed(refusing{os.ErrClosed}, 80, false, false), Column{Title: "N"})
	tab.Row("1")
	if err := tab.Flush(); err != os.ErrClosed {
		t.Errorf("got %v", err)
	}
}

func TestLive(t *testing.T) {
	var b bytes.Buffer
	l := NewLive(Fixed(&b, 80, true, false))
	for _, lines := range [][]string{{"one", "two"}, {"three"}} {
		if err := l.Draw(lines...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Clear(); err != nil {
		t.Fatal(err)
	}
	if err := l.Clear(); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[?7l\x1b[Kone\n\x1b[Ktwo\n\x1b[J\x1b[?7h" +
		"\x1b[?7l\x1b[2F\x1b[Kthree\n\x1b[J\x1b[?7h" +
		"\x1b[1F\x1b[J"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestOpenOnWhatIsNoScreen(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, term := range []*Terminal{Open(file, os.Getenv), Open(&bytes.Buffer{}, os.Getenv)} {
		if term.Screen() || term.Paint(Red, "x") != "x" || term.Width() != maxWidth {
			t.Errorf("screen %v, painted %q, width %d", term.Screen(), term.Paint(Red, "x"), term.Width())
		}
	}
}

func TestWidthHasBounds(t *testing.T) {
	for size, want := range map[int]int{1: 40, 39: 40, 40: 40, 41: 41, 80: 80, 100: 100, 101: 100, 300: 100, 0: 100} {
		if got := Fixed(nil, size, true, true).Width(); got != want {
			t.Errorf("a terminal of %d gives %d, want %d", size, got, want)
		}
	}
}
