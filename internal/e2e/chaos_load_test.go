package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

const burstHook = "kind: Hook\nid: shop\ntype: meta\nsecrets: [env:HOOK_SECRET]\nverify_token: env:HOOK_TOKEN\n"

// busy is how late a test's own timers fire on a machine that is too busy with
// other things for any answer to be in time.
const busy = 100 * time.Millisecond

// TestChaosWebhookBurst tells of 5,000 things a second while a broadcast runs:
// nothing told is lost, everything is answered in the time that a platform
// waits, and after the answer to an opt-out nothing reaches that person.
func TestChaosWebhookBurst(t *testing.T) {
	const perSecond = 5000
	seconds := 4
	if *long {
		seconds = 30
	}
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl, "HOOK_SECRET="+hookSecret, "HOOK_TOKEN=t")
	ps := people(750*seconds, time.Now())
	p.define(pl, "spring", "rate: {per_second: 300}", ps)
	if _, err := p.api.Apply(t.Context(), "hook.yaml", strings.NewReader(burstHook)); err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(6, uint64(time.Now().UnixNano())))
	stops := map[string]bool{}
	var stopping []string
	for _, i := range dice.Perm(len(ps))[:len(ps)/10] {
		stops[ps[i].id], stopping = true, append(stopping, ps[i].id)
	}
	n := perSecond * seconds
	strangers := (n - len(stopping) + 1) / 2 // who say two things each
	calls := compose(account, dice, n, func(i int) string { return fmt.Sprintf("777%09d", (i-len(stopping))/2) }, stopping)
	b := newBurst(t, "http://"+p.addr+"/hooks/meta/shop")
	p.launch("spring")
	p.some(pl, 100)
	begun := time.Now()
	b.tell(calls, perSecond)
	t.Logf("%d events in %d calls: answered in %s, %d tellings not answered well, the slowest after %s; told up to %s late", n, len(calls),
		b.last.Sub(begun).Round(time.Millisecond), b.refused, b.slowest.Round(time.Millisecond), b.late.Round(time.Millisecond))
	// In time is asked where nothing else runs beside it.
	if alone() && b.refused > 0 && b.late < busy {
		t.Errorf("%d of %d calls were not answered well within %s", b.refused, len(calls), platformWaits)
	}
	p.ended("spring")
	row := p.weigh(pl, "spring", ps)
	row.lost = p.missed(ps, stops) + p.unheard(ps, stops, strangers)
	for _, a := range pl.books(t) {
		if line, out := b.lines[a.Person]; out && a.Time.After(line) {
			t.Errorf("%s got a message %s after the opt-out was answered", a.Person, a.Time.Sub(line))
		}
	}
	for name, n := range pl.Summary("").Violations {
		if n != 0 {
			t.Errorf("%d violations: %s", n, name)
		}
	}
	row.fault, row.injected, row.recovery = "load: 5,000 webhooks a second", 1, b.slowest
	faults.add(t, row)
}

// missed counts who might be written to, did not opt out, and was not.
func (p *process) missed(ps []person, stops map[string]bool) (n int) {
	p.t.Helper()
	got := map[string]bool{}
	for _, bucket := range []string{"sent", "unknown"} {
		for m, err := range p.api.AuditMembers(p.t.Context(), "spring", bucket) {
			if err != nil {
				p.t.Fatal(err)
			}
			got[m.ID] = true
		}
	}
	for _, x := range ps {
		if x.sendable(ps[0].inbound) && !stops[x.id] && !got[x.id] {
			n++
		}
	}
	return n
}

// unheard counts what was told and is not known: strangers whose words opened
// no window, and people who opted out and are not opted out.
func (p *process) unheard(ps []person, stops map[string]bool, strangers int) int {
	p.t.Helper()
	const all = "kind: Broadcast\nid: everybody\nsender: spring\nmessage: {text: \"The spring menu is here.\"}\n"
	if _, err := p.api.Apply(p.t.Context(), "everybody.yaml", strings.NewReader(all)); err != nil {
		p.t.Fatal(err)
	}
	f, err := p.api.Forecast(p.t.Context(), "everybody")
	if err != nil {
		p.t.Fatal(err)
	}
	open, out := strangers, 0
	for _, x := range ps {
		switch x.name = "any"; {
		case stops[x.id] || x.out != "":
			out++
		case x.sendable(ps[0].inbound):
			open++
		}
	}
	for _, k := range f.Send {
		open -= k
	}
	return max(0, open) + max(0, out-f.Block["opted_out"])
}

// TestChaosLittleMemory gives a process less memory than it would take: it
// sends all the same, and takes hardly more than it was given.
func TestChaosLittleMemory(t *testing.T) {
	const given, beside = 96 << 20, 96 << 20 // beside: its code, which is mapped, and stacks of threads
	n := 8_000
	if *long {
		n = 100_000
	}
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 1_000_000})
	p := boot(t, pl, fmt.Sprintf("GOMEMLIMIT=%d", given))
	ps := people(n, time.Now())
	p.define(pl, "spring", "rate: {per_second: 100000}\nbatch: true", ps)
	p.launch("spring")
	p.ended("spring")
	peak := p.peak()
	t.Logf("%d recipients: %d MiB at its peak, given %d", n, peak>>20, given>>20)
	if peak > given+beside {
		t.Errorf("the process took %d MiB", peak>>20)
	}
	row := p.weigh(pl, "spring", ps)
	row.fault, row.injected = "load: little memory", 1
	faults.add(t, row)
}

// peak returns how much memory a child held at the most, in bytes, as the
// kernel counts it.
func (c *child) peak() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib := 0
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

// TestChaosSmallBesideLarge has many senders send one message each, alone and
// while another has far more waiting than the workers can do. The aim is twice
// the time, which the benchmark holds; the bound here is three times the aim, for the
// machine may be busy with other things in one of the halves, and one queue for
// all was beyond it by far.
func TestChaosSmallBesideLarge(t *testing.T) {
	small, large, bound := 60, 40_000, 6.0
	if *long {
		small, large = 200, 100_000
	}
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 1_000_000})
	p := boot(t, pl, "CARILLON_API_RATE=10000")
	ps := people(large, time.Now())
	p.define(pl, "spring", "rate: {per_second: 100000}", ps)
	alone := p.crowd(pl, "alone", small)
	p.launch("spring")
	p.some(pl, pl.count()+200)
	beside := p.crowd(pl, "beside", small)
	b, err := p.api.Progress(t.Context(), "spring")
	if err != nil || b.Counts.Pending == 0 {
		t.Fatalf("the large one was over too soon: %+v, %v", b.Counts, err)
	}
	ratio := beside.Seconds() / alone.Seconds()
	t.Logf("%d small ones: %s alone, %s beside a large one of %d, of which %d were sent: %.2f times", small,
		alone.Round(time.Millisecond), beside.Round(time.Millisecond), large, b.Counts.Sent, ratio)
	if ratio > bound {
		t.Errorf("the small ones took %.2f times what they take alone", ratio)
	}
	if _, err := p.api.Cancel(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	p.ended("spring")
	got := map[string]int{}
	for _, m := range pl.books(t) {
		got[m.Metadata]++
	}
	row := figures{fault: "load: many small senders beside a large one", injected: 1, sent: len(got), recovery: beside}
	for _, n := range got {
		row.duplicates += n - 1
	}
	faults.add(t, row)
}

// crowd has senders of one contact each send one message, and returns how long
// that took from the first launch to the last end.
func (p *process) crowd(pl *platform, name string, n int) time.Duration {
	p.t.Helper()
	var doc strings.Builder
	for i := range n {
		fmt.Fprintf(&doc, "---\nkind: Sender\nid: %[1]s-%[2]d\nchannel: messenger\naccount: \"%[3]d\"\ncredential: env:BAKERY_TOKEN\n"+
			"---\nkind: Broadcast\nid: %[1]s-%[2]d\nsender: %[1]s-%[2]d\nmessage: {text: \"Hello {{.name}}\"}\n", name, i, 2_000_000+1000*len(name)+i)
	}
	if _, err := p.api.Apply(p.t.Context(), "small.yaml", strings.NewReader(doc.String())); err != nil {
		p.t.Fatal(err)
	}
	for i := range n {
		one := person{id: fmt.Sprintf("888%09d", i), name: "Kari", inbound: time.Now()}
		if _, err := p.api.ImportContacts(p.t.Context(), fmt.Sprintf("%s-%d", name, i), strings.NewReader(csv([]person{one})), false, func(client.ImportEvent) {}); err != nil {
			p.t.Fatal(err)
		}
	}
	begun := time.Now()
	g, ctx := errgroup.WithContext(p.t.Context())
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			_, err := p.api.Launch(ctx, fmt.Sprintf("%s-%d", name, i), "bulk_discouraged")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		p.t.Fatal(err)
	}
	last := begun
	for i := range n {
		if a := p.ended(fmt.Sprintf("%s-%d", name, i)); a.Sent != 1 {
			p.t.Errorf("%s-%d: %+v", name, i, a)
		}
		b, err := p.api.Broadcast(p.t.Context(), fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			p.t.Fatal(err)
		}
		if b.ClosedAt.After(last) {
			last = b.ClosedAt
		}
	}
	return last.Sub(begun)
}
