package e2e

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// late is a person who is written to among the last, since they wrote last.
const late = 1

// TestChaosDoorKilled kills everything, in one process, at every point of what
// comes in, in the middle of a broadcast. Whoever told it tells it again: what
// was told is in force once, and who opted out gets nothing more.
func TestChaosDoorKilled(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl, "HOOK_SECRET="+hookSecret, "HOOK_TOKEN=t", at(killpoint.WebhookKept, 1))
	if _, err := p.api.Apply(t.Context(), "hook.yaml", strings.NewReader("kind: Hook\nid: shop\ntype: meta\nsecrets: [env:HOOK_SECRET]\nverify_token: env:HOOK_TOKEN\n")); err != nil {
		t.Fatal(err)
	}
	d := &doors{&killing{office: &p.office, pl: pl}, p}
	// The repeat of what this one dies of passes once before.
	d.door("door killed: a webhook kept, and not in force", killpoint.WebhookApplied, 2, d.stop)
	d.door("door killed: a webhook in force, and not answered", killpoint.OptOutRecorded, 1, d.stop)
	// Its broadcast's own import passes three times before.
	d.door("door killed: an opt-out kept, and not in force", killpoint.ImportKept, 5, d.optOut)
	d.door("door killed: an import kept in part", "", 0, d.importing)
	for _, sender := range []string{single, batched} {
		s := d.strike("process killed: at random moments", sender, people(2000, time.Now()), more(2, 6)*mostUnknown)
		s.injected = 0
		d.launch(s.id)
		for range more(2, 6) {
			d.some(s.pl, min(s.pl.count()+50+rand.IntN(350), sendables(t, s.ps)-400))
			d.amid(s)
			p.stop(syscall.SIGKILL)
			d.dead(p.child)
			s.injected++
			d.restarted(s, time.Now(), "", 0)
		}
	}
	d.weighed()
}

// doors strikes one process after the other on the same data.
type doors struct {
	*killing
	p *process
}

// restarted starts the process again, to die at its next point, and waits
// until a stroke's broadcast goes on.
func (d *doors) restarted(s *stroke, died time.Time, next killpoint.Point, n int) {
	d.t.Helper()
	was := s.pl.count()
	d.p.env = slices.DeleteFunc(d.p.env, func(v string) bool { return strings.HasPrefix(v, "CARILLON_KILL=") })
	if next != "" {
		d.p.env = append(d.p.env, at(next, n))
	}
	d.p.start()
	d.again(s, died, was)
}

// door has something told in the middle of a broadcast, of which the process
// dies, starts it again, to die of the next, and has it told again.
func (d *doors) door(fault string, next killpoint.Point, n int, tell func(*stroke) (again func())) {
	d.t.Helper()
	s := d.strike(fault, "rate: {per_second: 200}", people(1500, time.Now()), mostUnknown)
	d.launch(s.id)
	d.some(s.pl, 100)
	again := tell(s)
	died := d.dies(d.p.child, fault)
	d.amid(s)
	d.restarted(s, died, next, n)
	again()
}

// stop has a person write STOP, which the platform tells until it is answered.
func (d *doors) stop(s *stroke) func() {
	d.t.Helper()
	hook := sandbox.Webhook{URL: "http://" + d.p.addr + "/hooks/meta/shop", AppSecret: hookSecret, VerifyToken: "t", Account: s.pl.only, Fields: []string{"messages"}}
	if _, err := s.pl.Subscribe(d.t.Context(), hook); err != nil {
		d.t.Fatal(err)
	}
	person := s.ps[late].id
	if _, err := s.pl.Happen(sandbox.Happening{Account: s.pl.only, Person: person, Text: "STOP"}); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		var line time.Time
		d.until("the platform's repeat is answered", func() bool {
			for _, h := range lines[happening](d.t, s.pl, "told") {
				if h.Person == person && !h.Answered.IsZero() {
					line = h.Answered
				}
			}
			return !line.IsZero()
		})
		s.out(d, late, line)
	}
}

// optOut has an operator record an opt-out, and ask again since there was no
// answer. It was durable: nothing may leave by what was known before.
func (d *doors) optOut(s *stroke) func() {
	d.t.Helper()
	r := client.OptOutRequest{Contact: s.ps[late].id, Scope: "all", Source: "a letter"}
	if out, err := d.api.OptOut(d.t.Context(), s.id, r); err == nil {
		d.t.Errorf("it was answered: %+v", out)
	}
	d.until("the process is dead", func() bool { return !d.p.running() })
	line := time.Now()
	return func() {
		s.out(d, late, line)
		if out, err := d.api.OptOut(d.t.Context(), s.id, r); err != nil || !out.InForce {
			d.t.Errorf("asked again: %+v, %v", out, err)
		}
	}
}

// out checks that somebody has opted out, and got nothing since. What they got
// before is a message like any other.
func (s *stroke) out(d *doors, i int, line time.Time) {
	d.t.Helper()
	c, err := d.api.Contact(d.t.Context(), s.id, s.ps[i].id)
	if err != nil || c.Contact == nil || len(c.Contact.OptOuts) == 0 {
		d.t.Errorf("%s: the opt-out is not known: %+v, %v", s.fault, c.Contact, err)
	}
	d.ended(s.id)
	got := slices.IndexFunc(s.pl.books(d.t), func(a accepted) bool { return a.Person == s.ps[i].id })
	if got < 0 {
		s.ps[i].out = "all"
		return
	}
	if a := s.pl.books(d.t)[got]; a.Time.After(line) {
		d.t.Errorf("%s: a message was accepted %v after the line", s.fault, a.Time.Sub(line))
	}
}

// importing imports more people, of whom some are stored when the process
// dies, and all once the file is imported again; one who opted out stays so.
func (d *doors) importing(s *stroke) func() {
	d.t.Helper()
	all := people(len(s.ps)+1600, time.Now())
	file := csv(all[len(s.ps):])
	imports := func() (client.ImportDone, error) {
		return d.api.ImportContacts(d.t.Context(), s.id, strings.NewReader(file), false, func(client.ImportEvent) {})
	}
	if done, err := imports(); err == nil {
		d.t.Errorf("it was answered: %+v", done)
	}
	return func() {
		done, err := imports()
		if err != nil || done.Bad != 0 || !done.InForce || done.Unchanged == 0 || done.Written == 0 || done.Unchanged+done.Written != len(all)-len(s.ps) {
			d.t.Errorf("imported again: %+v, %v", done, err)
		}
		for i := len(s.ps); i < len(all); i += 97 {
			c, err := d.api.Contact(d.t.Context(), s.id, all[i].id)
			if err != nil || c.Contact == nil || (len(c.Contact.OptOuts) > 0) != (all[i].out != "") {
				d.t.Errorf("contact %d: %+v, %v", i, c.Contact, err)
			}
		}
	}
}
