package e2e

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// batched is a sender that sends Graph batches, single one that does not.
const (
	single  = "rate: {per_second: 400}"
	batched = "rate: {per_second: 400}\nbatch: true"
)

func TestBroadcastReachesWhoItMay(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 500})
	p := boot(t, pl)
	for id, sender := range map[string]string{"singles": single, "batches": batched} {
		ps := people(900, time.Now())
		p.define(pl, id, sender, ps)
		p.launch(id)
		p.ended(id)
	}
	ps := people(900, time.Now())
	for _, id := range []string{"singles", "batches"} {
		audit, err := p.api.Audit(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want := sendables(t, ps); audit.Sent != want {
			t.Errorf("%s: %d sent, want %d", id, audit.Sent, want)
		}
	}
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}

func TestTermDrains(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(1500, time.Now())
	p.define(pl, "spring", single, ps)
	p.launch("spring")
	p.some(pl, 200)
	p.stop(syscall.SIGTERM)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	p.start()
	p.ended("spring")
	if a := p.reconcile(pl, "spring", ps); a.Unknown != 0 {
		t.Errorf("%d unknown after an orderly stop", a.Unknown)
	}
}

// TestOptOutsInTheMiddle is promise P3: once an opt-out was acknowledged the
// platform receives nothing more for that contact.
func TestOptOutsInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, sender := range map[string]string{"singles": single, "batches": batched} {
		t.Run(name, func(t *testing.T) {
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000})
			p := boot(t, pl)
			ps := people(2000, time.Now())
			p.define(pl, "spring", sender, ps)
			if _, err := pl.AddFault(sandbox.Fault{Kind: sandbox.FaultLatency, Probability: 0.3, LatencyMS: 80}); err != nil {
				t.Fatal(err)
			}
			p.launch("spring")
			p.some(pl, 50)
			lines := map[string]time.Time{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := w; i < len(ps); i += 60 {
						r, err := p.api.OptOut(context.Background(), "spring", client.OptOutRequest{Contact: ps[i].id, Scope: "all", Source: "test"})
						if err != nil {
							t.Error(err)
							return
						}
						if r.InForce && len(r.InFlight) == 0 {
							mu.Lock()
							lines[ps[i].id] = time.Now()
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if len(lines) < 100 {
				t.Fatalf("only %d opt-outs drew the line", len(lines))
			}
			p.ended("spring")
			p.reconcile(pl, "spring", ps)
			for _, a := range pl.books(t) {
				if line, out := lines[a.Person]; out && a.Time.After(line) {
					t.Errorf("%s got a message %s after the opt-out was acknowledged", a.Person, a.Time.Sub(line))
				}
			}
			// A later import must not undo an opt-out.
			if _, err := p.api.ImportContacts(t.Context(), "spring", strings.NewReader(csv(ps)), false, func(client.ImportEvent) {}); err != nil {
				t.Fatal(err)
			}
			for id := range lines {
				c, err := p.api.Contact(t.Context(), "spring", id)
				if err != nil {
					t.Fatal(err)
				}
				if len(c.Contact.OptOuts) == 0 {
					t.Errorf("the import undid the opt-out of %s", id)
				}
			}
		})
	}
}

// line returns the moment after which nothing of a stopped broadcast may
// arrive: when it was answered. Only an answer that has waited as long as it
// may can name claims that outlast it, as it must on a machine that is busy
// with other things; then the line is where the last of them has an outcome.
func (p *process) line(id string, s client.Stopped, took time.Duration) time.Time {
	p.t.Helper()
	const wait = 5 * time.Second // scheduler.LineTimeout
	if !s.InForce || s.InFlight != 0 && took < wait {
		p.t.Fatalf("answered after %s: in force %v, in flight %d", took, s.InForce, s.InFlight)
	}
	if s.InFlight != 0 {
		p.still(id)
	}
	return time.Now()
}

// TestStoppedAtRandom pauses, resumes and cancels at random moments: after an
// answer nothing more arrives until the next one.
func TestStoppedAtRandom(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(4000, time.Now())
	p.define(pl, "spring", single, ps)
	p.launch("spring")
	rnd := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	for range 4 {
		p.some(pl, pl.count()+rnd.IntN(120))
		asked := time.Now()
		s, err := p.api.Pause(t.Context(), "spring")
		if err != nil {
			t.Fatal(err)
		}
		line := p.line("spring", s, time.Since(asked))
		p.still("spring")
		p.reconcile(pl, "spring", ps)
		for _, a := range pl.books(t) {
			if a.Time.After(line) {
				t.Errorf("%s arrived after the pause was acknowledged", a.Metadata)
			}
		}
		if _, err := p.api.Resume(t.Context(), "spring"); err != nil {
			t.Fatal(err)
		}
	}
	p.some(pl, pl.count()+100)
	asked := time.Now()
	s, err := p.api.Cancel(t.Context(), "spring")
	if err != nil {
		t.Fatal(err)
	}
	line := p.line("spring", s, time.Since(asked))
	p.still("spring")
	a := p.reconcile(pl, "spring", ps)
	if a.Cancelled == 0 || a.Pending != 0 {
		t.Errorf("%+v", a)
	}
	if last := slices.MaxFunc(pl.books(t), func(x, y accepted) int { return x.Time.Compare(y.Time) }); last.Time.After(line) {
		t.Errorf("%s arrived after the cancellation was acknowledged", last.Metadata)
	}
	if _, err := p.api.Resume(t.Context(), "spring"); err == nil {
		t.Error("a cancelled broadcast can be resumed")
	}
}

// TestAnswersLost drops connections after the platform accepted: those jobs
// are unknown, each of them, and none is sent again.
func TestAnswersLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sender string
		kind   sandbox.FaultKind
	}{
		"singles": {single, sandbox.FaultDropAfter},
		"batches": {batched, sandbox.FaultBatchDropAfter},
		"halves":  {batched, sandbox.FaultBatchHalf},
	} {
		t.Run(name, func(t *testing.T) {
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000, Seed: 7})
			p := boot(t, pl)
			ps := people(1500, time.Now())
			p.define(pl, "spring", c.sender, ps)
			if _, err := pl.AddFault(sandbox.Fault{Kind: c.kind, Probability: 0.1}); err != nil {
				t.Fatal(err)
			}
			p.launch("spring")
			p.ended("spring")
			a := p.reconcile(pl, "spring", ps)
			if a.Unknown == 0 || a.Sent+a.Unknown != sendables(t, ps) {
				t.Errorf("%+v; %d may be written to", a, sendables(t, ps))
			}
		})
	}
}

// TestRefusalsAreTriedOrTold injects what the platform may take back, and what
// it never got: nobody is lost and nobody gets it twice.
func TestRefusalsAreTriedOrTold(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(800, time.Now())
	p.define(pl, "spring", single, ps)
	for _, kind := range []sandbox.FaultKind{sandbox.FaultDropBefore, sandbox.FaultRateLimit} {
		if _, err := pl.AddFault(sandbox.Fault{Kind: kind, Count: 5}); err != nil {
			t.Fatal(err)
		}
	}
	p.launch("spring")
	p.ended("spring")
	a := p.reconcile(pl, "spring", ps)
	// A connection that breaks after the request was written may have been
	// accepted, for all that the sender can know.
	if a.Sent+a.Unknown != sendables(t, ps) || a.Unknown > 5 {
		t.Errorf("%+v; %d may be written to", a, sendables(t, ps))
	}
}

// TestTokenExpired pauses the sender; resumed, the broadcast goes on.
func TestTokenExpired(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(600, time.Now())
	p.define(pl, "spring", single, ps)
	if _, err := pl.AddFault(sandbox.Fault{Kind: sandbox.FaultTokenExpired, Probability: 1}); err != nil {
		t.Fatal(err)
	}
	p.launch("spring")
	p.until("the sender is paused", func() bool {
		s, err := p.api.Sender(t.Context(), "spring")
		return err == nil && s.State == client.SenderPaused && s.Reason == "credential_invalid"
	})
	pl.ClearFaults()
	if pl.count() != 0 {
		t.Error("messages were accepted with an expired token")
	}
	if _, err := p.api.ResumeSender(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	p.ended("spring")
	if a := p.reconcile(pl, "spring", ps); a.Sent != sendables(t, ps) {
		t.Errorf("%+v; %d may be written to", a, sendables(t, ps))
	}
}

// TestRateInEverySlidingSecond is promise P7, by the platform's own books. It
// runs alone: what arrives is counted, and a busy machine moves that.
func TestRateInEverySlidingSecond(t *testing.T) {
	for name, c := range map[string]struct {
		sender string
		rate   int
	}{
		"slow":    {"rate: {per_second: 20}", 20},
		"singles": {"rate: {per_second: 150}", 150},
		"batches": {"rate: {per_second: 150}\nbatch: true", 150},
	} {
		t.Run(name, func(t *testing.T) {
			pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000})
			p := boot(t, pl)
			ps := people(c.rate*6, time.Now())
			p.define(pl, "spring", c.sender, ps)
			p.launch("spring")
			p.ended("spring")
			p.reconcile(pl, "spring", ps)
			for _, r := range pl.Rates(account) {
				if r.Peak > c.rate {
					t.Errorf("%d calls in one second, the rate is %d", r.Peak, c.rate)
				}
			}
		})
	}
}

// TestRedrive sends again what may go now, through every check, and never
// what may have been accepted unless somebody says so.
func TestRedrive(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(500, time.Now())
	p.define(pl, "spring", single, ps)
	p.launch("spring")
	before := p.ended("spring")
	late := slices.IndexFunc(ps, func(x person) bool {
		return x.out == "" && x.name != "" && !x.sendable(time.Now()) && !x.inbound.IsZero()
	})
	ps[late].inbound = time.Now()
	if _, err := pl.LoadPeople(account, strings.NewReader(csv(ps[late:late+1]))); err != nil {
		t.Fatal(err)
	}
	if _, err := p.api.ImportContacts(t.Context(), "spring", strings.NewReader(csv(ps[late:late+1])), false, func(client.ImportEvent) {}); err != nil {
		t.Fatal(err)
	}
	dry, err := p.api.Redrive(t.Context(), client.HandleRequest{Filter: &client.DeadFilter{Source: "spring"}, DryRun: true})
	if err != nil || dry.Matched != before.Blocked {
		t.Fatalf("%+v, %v; want %d", dry, err, before.Blocked)
	}
	if now := p.reconcile(pl, "spring", ps); now.Blocked != before.Blocked {
		t.Fatal("a dry run changed something")
	}
	if _, err := p.api.Redrive(t.Context(), client.HandleRequest{Filter: &client.DeadFilter{Source: "spring"}}); err != nil {
		t.Fatal(err)
	}
	p.until("the redriven have an outcome", func() bool {
		a, err := p.api.Audit(t.Context(), "spring")
		return err == nil && a.Pending == 0 && a.State == "done"
	})
	if now := p.reconcile(pl, "spring", ps); now.Sent != before.Sent+1 || now.Blocked != before.Blocked-1 {
		t.Errorf("before %+v, after %+v: one contact wrote meanwhile", before, now)
	}
	var gone []string
	for l, err := range p.api.Dead(t.Context(), client.DeadFilter{Source: "spring"}, 3) {
		if err != nil {
			t.Fatal(err)
		}
		gone = append(gone, l.Job)
	}
	if _, err := p.api.Discard(t.Context(), client.HandleRequest{Jobs: gone, By: "test"}); err != nil {
		t.Fatal(err)
	}
	for l, err := range p.api.Dead(t.Context(), client.DeadFilter{Source: "spring"}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(gone, l.Job) {
			t.Errorf("%s was discarded and is still listed", l.Job)
		}
	}
	a, err := p.api.Audit(t.Context(), "spring")
	if err != nil || !a.Balanced || a.Blocked != before.Blocked-1 {
		t.Errorf("%+v, %v: a discard changes no outcome", a, err)
	}
}
