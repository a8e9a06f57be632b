// Command bench measures Carillon against the bare engines that it stands on,
// everything in one run on one machine, and prints ratios. Figures of another
// run or machine say nothing; a ratio of one run does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	var b bench
	flag.IntVar(&b.messages, "messages", 20_000, "messages of each throughput measurement")
	flag.IntVar(&b.recipients, "recipients", 1_000_000, "recipients of the large launch; 0 leaves it out")
	flag.IntVar(&b.waiting, "waiting", 1_000_000, "messages that wait for one sender beside 200 with one each; 0 leaves it out")
	flag.IntVar(&b.runs, "runs", 100_000, "runs of a flow that wait for the same second; 0 leaves it out")
	flag.StringVar(&b.only, "only", "", "the one part to run, by its first words")
	flag.StringVar(&b.dir, "dir", "", "where the engines keep their data (default: a new temporary directory)")
	flag.StringVar(&b.profile, "profile", "", "where to write profiles of the sending: FILE.singles, FILE.batches, and FILE.allocs of both")
	verbose := flag.Bool("v", false, "log what the engines say")
	flag.Parse()
	b.log = slog.New(slog.DiscardHandler)
	if *verbose {
		b.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	messages, recipients, waiting int
	runs                          int
	dir, profile, only            string
	log                           *slog.Logger
	rows                          []row
}

// row is one line of the table.
type row struct{ what, figure, reference, ratio, aim string }

func (b *bench) run(ctx context.Context) (err error) {
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "carillon-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"the rulebook", b.evaluate},
		{"ledger and facts against bare atomic batches", b.streams},
		{"sending against a bare loop of HTTP posts", b.sending},
		{"a sender's rate as the bottleneck", b.pacing},
		{"a large launch", b.launch},
		{"many small senders beside a large one", b.fairness},
		{"a flow beside a large broadcast", b.flow},
		{"many waiting runs", b.runsWaiting},
		{"durability: what each choice costs", b.durability},
	} {
		if !strings.HasPrefix(part.name, b.only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", part.name)
		began := time.Now()
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", part.name, time.Since(began).Round(time.Millisecond))
	}
	b.print()
	return nil
}

func (b *bench) add(what, figure, reference, ratio, aim string) {
	b.rows = append(b.rows, row{what, figure, reference, ratio, aim})
}

// compare adds a line for a figure beside its reference, both per second.
func (b *bench) compare(what string, perSecond float64, reference string, bare, aim float64) {
	r := perSecond / bare
	verdict := fmt.Sprintf("%.2f  ok", r)
	if r < aim {
		verdict = fmt.Sprintf("%.2f  missed by %.0f %%", r, 100*(aim-r)/aim)
	}
	b.add(what, fmt.Sprintf("%.0f/s", perSecond), fmt.Sprintf("%s %.0f/s", reference, bare), verdict, fmt.Sprintf("≥ %.2g", aim))
}

func (b *bench) print() {
	width := [5]int{}
	head := row{"what", "figure", "beside", "ratio", "aim"}
	cells := func(r row) [5]string { return [5]string{r.what, r.figure, r.reference, r.ratio, r.aim} }
	for _, r := range append([]row{head}, b.rows...) {
		for i, c := range cells(r) {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for _, r := range append([]row{head}, b.rows...) {
		for i, c := range cells(r) {
			fmt.Printf("%-*s  ", width[i], c)
		}
		fmt.Println()
	}
}

func (b *bench) sub(name string) string { return filepath.Join(b.dir, name) }
