package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// long asks for the longer form of the faults: more of each, at more moments.
var long = flag.Bool("chaos.long", false, "the longer form of the faults")

// readme writes the table of faults into the README.
var readme = flag.Bool("chaos.readme", false, "write the table of faults into README.md")

// figures are what a fault did to a broadcast or a flow.
type figures struct {
	fault      string // what was done, as the table says it
	injected   int    // how many times
	sent       int
	duplicates int // accepted by the platform beyond the first of a job
	lost       int // people who may be written to and have neither message nor reason
	unknown    int // jobs whose answer nobody will ever know
	held       int // messages that waited because of the fault at most; 0: not counted
	recovery   time.Duration
}

// table collects what the faults of one run did.
type table struct {
	mu   sync.Mutex
	rows []figures
}

var faults table

// add tells of one fault. A broken promise fails the test that tells of it.
func (f *table) add(t *testing.T, row figures) {
	t.Helper()
	if row.duplicates != 0 || row.lost != 0 {
		t.Errorf("%s: %d duplicates, %d lost", row.fault, row.duplicates, row.lost)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rows {
		if old := &f.rows[i]; old.fault == row.fault {
			old.injected += row.injected
			old.sent += row.sent
			old.duplicates += row.duplicates
			old.lost += row.lost
			old.unknown += row.unknown
			old.held, old.recovery = max(old.held, row.held), max(old.recovery, row.recovery)
			return
		}
	}
	f.rows = append(f.rows, row)
	if testing.Verbose() || alone() {
		fmt.Fprintf(os.Stderr, "%s\n", strings.Join(row.cells(), "  "))
	}
}

// alone tells whether this run is of faults and nothing else.
func alone() bool { return strings.HasPrefix(flag.Lookup("test.run").Value.String(), "^TestChaos") }

var titles = []string{"fault", "times", "sent", "duplicates", "lost", "unknown", "held", "recovery"}

func (r figures) cells() []string {
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	took := ""
	if r.recovery > 0 {
		took = strconv.FormatFloat(r.recovery.Seconds(), 'f', 1, 64) + " s"
	}
	return []string{r.fault, strconv.Itoa(r.injected), strconv.Itoa(r.sent), strconv.Itoa(r.duplicates), strconv.Itoa(r.lost), strconv.Itoa(r.unknown), count(r.held), took}
}

// print writes the table so that a terminal and a Markdown page show it.
func (f *table) print(w io.Writer) {
	rows := [][]string{titles}
	for _, r := range f.rows {
		rows = append(rows, r.cells())
	}
	width := make([]int, len(titles))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], len(c), 3)
		}
	}
	for n, r := range rows {
		for i, c := range r {
			if i == 0 {
				fmt.Fprintf(w, "| %-*s |", width[i], c)
			} else {
				fmt.Fprintf(w, " %*s |", width[i], c)
			}
		}
		fmt.Fprintln(w)
		if n > 0 {
			continue
		}
		for i := range r {
			if i == 0 {
				fmt.Fprintf(w, "|%s|", strings.Repeat("-", width[i]+2))
			} else {
				fmt.Fprintf(w, "%s:|", strings.Repeat("-", width[i]+1))
			}
		}
		fmt.Fprintln(w)
	}
}

// The README has the table between these lines.
const (
	readmePath = "../../README.md"
	tableFrom  = "<!-- faults: written by make chaos README=1 -->\n"
	tableTo    = "<!-- end of faults -->\n"
)

// report prints the table, and holds the README's against it: figures differ
// from run to run, the faults don't.
func (f *table) report() error {
	if len(f.rows) == 0 {
		return nil
	}
	slices.SortFunc(f.rows, func(a, b figures) int { return cmp.Compare(a.fault, b.fault) })
	var b strings.Builder
	f.print(&b)
	fmt.Print("\n", b.String())
	if path := os.Getenv("FAULTS_TABLE"); path != "" { // go test shows nothing of what passes
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	page, err := os.ReadFile(readmePath)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(page), tableFrom)
	was, tail, ok2 := strings.Cut(rest, tableTo)
	if !ok || !ok2 {
		return errors.New("README.md has no place for the table of faults")
	}
	if *readme {
		return os.WriteFile(readmePath, []byte(head+tableFrom+"\n"+b.String()+"\n"+tableTo+tail), 0o600)
	}
	for _, r := range f.rows {
		if was != "\n" && !strings.Contains(was, "| "+r.fault+" ") {
			return fmt.Errorf("README.md does not tell of the fault %q: make chaos README=1", r.fault)
		}
	}
	if n := strings.Count(was, "\n| ") - 1; was != "\n" && alone() && n != len(f.rows) {
		return fmt.Errorf("README.md tells of %d faults, and there are %d: make chaos README=1", n, len(f.rows))
	}
	return nil
}

// weigh holds a broadcast that has ended against the platform's books, as
// reconcile does, and returns what the table says of it.
func (o *office) weigh(pl *platform, id string, ps []person) figures {
	o.t.Helper()
	a := o.reconcile(pl, id, ps)
	got := map[string]int{}
	for _, m := range pl.books(o.t) {
		if m.Account == first(pl.only, account) { // as in reconcile
			got[m.Metadata]++
		}
	}
	out := figures{sent: a.Sent, unknown: a.Unknown, lost: max(0, sendables(o.t, ps)-a.Sent-a.Unknown)}
	for _, n := range got {
		out.duplicates += n - 1
	}
	return out
}
