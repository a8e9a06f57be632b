package automation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
)

const vips = `
kind: Flow
id: vips
type: automation
sender: bakery
trigger: {label: {added: vip}}
steps: [{set: {labels: {seen: true}}}]
---
kind: Flow
id: gone
type: automation
sender: bakery
trigger: {label: {removed: vip}}
steps: [{end: true}]
---
kind: Flow
id: oslo
type: automation
sender: bakery
trigger: {segment: {where: 'attributes.city == "Oslo"'}}
steps: [{end: true}]
`

// abreastOf waits until a driver has followed every change of contacts, what
// flows do to them too, and looked at everybody for those flows.
func (h *house) abreastOf(d *Driver, flows ...string) {
	h.t.Helper()
	rig.Until(h.t, "changes of contacts are followed", func() bool {
		head, err := stream.Head(h.t.Context(), engines.JetStream, h.Names.FactsStream())
		rig.Must(h.t, err)
		d.follower.mu.Lock()
		defer d.follower.mu.Unlock()
		for _, id := range flows {
			if d.follower.is.Known[id].IsZero() {
				return false
			}
		}
		return d.follower.is.Seq >= head
	})
}

// begun counts how often a flow began for the i-th contact.
func (h *house) begun(flowID string, i int) int {
	n := 0
	for _, r := range h.of(flowID, i) {
		n += r.Run.Round + 1
	}
	return n
}

// says has the facts learn something of the i-th contact.
func (h *house) says(i int, c contact.Change) {
	h.t.Helper()
	_, err := h.Facts.Merge(h.t.Context(), "bakery", []contact.Update{c.Update(rig.Address(i))})
	rig.Must(h.t, err)
}

// TestFollows has imports, CRM systems and flows change contacts at random,
// while leaders come and go: each time that somebody comes to have what a
// trigger is about begins one run, and nothing else does.
func TestFollows(t *testing.T) {
	t.Parallel()
	h := open(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 7))
	type known struct {
		vip  bool
		city string
	}
	const people = 4
	is, want := [people]known{}, map[string]*[people]int{"vips": {}, "gone": {}, "oslo": {}}
	imports := func(i int) {
		p := contact.Profile{At: time.Now(), Attributes: map[string]string{}}
		if is[i].vip {
			p.Labels = []string{"vip"}
		}
		if is[i].city != "" {
			p.Attributes["city"] = is[i].city
		}
		_, err := h.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(i), Profile: &p}})
		rig.Must(t, err)
	}
	is[0], is[1] = known{true, "Oslo"}, known{city: "Bergen"} // before there are flows; the others are not known at all
	imports(0)
	imports(1)
	h.Apply(t, vips)
	d, stop := h.leads()
	h.abreastOf(d, "vips", "gone", "oslo")
	for range 60 {
		i := dice.IntN(people)
		was := is[i]
		switch dice.IntN(6) {
		case 0, 1: // an import says everything, and since when nothing is so
			is[i] = known{dice.IntN(2) == 0, []string{"", "Oslo", "Bergen"}[dice.IntN(3)]}
			imports(i)
		case 2, 3:
			is[i].vip = !is[i].vip
			h.says(i, contact.Change{At: time.Now(), Labels: map[string]bool{"vip": is[i].vip}})
		case 4:
			is[i].city = []string{"Oslo", "Bergen"}[dice.IntN(2)]
			h.says(i, contact.Change{At: time.Now(), Attributes: map[string]*string{"city": &is[i].city}})
		case 5: // it is nothing to any flow
			_, err := h.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(i), LastInbound: time.Now()}})
			rig.Must(t, err)
		}
		for flowID, came := range map[string]bool{"vips": is[i].vip && !was.vip, "gone": was.vip && !is[i].vip, "oslo": is[i].city == "Oslo" && was.city != "Oslo"} {
			if came {
				want[flowID][i]++
			}
		}
		switch dice.IntN(10) {
		case 0: // in the middle of it
			stop()
			d, stop = h.leads()
		case 1: // another leads for a while, and neither knows
			_, end := h.drive()
			h.abreastOf(d)
			end()
		}
		h.abreastOf(d)
	}
	for flowID, counts := range want {
		for i, n := range counts {
			if got := h.begun(flowID, i); got != n {
				t.Errorf("seed %d: %s began %d times for contact %d, want %d", seed, flowID, got, i, n)
			}
		}
	}
}

// TestSurveyed: who had the label when the flow was applied, or got it while it
// was paused, does not begin it; a version that asks for another label looks
// again.
func TestSurveyed(t *testing.T) {
	t.Parallel()
	h := open(t)
	on := func(i int, label string, at time.Time) {
		h.says(i, contact.Change{At: at, Labels: map[string]bool{label: true}})
	}
	on(0, "vip", time.Now().Add(-time.Hour))
	on(0, "gold", time.Now().Add(-time.Hour))
	h.Apply(t, vips)
	d, _ := h.leads()
	h.abreastOf(d, "vips")
	on(1, "vip", time.Now())
	h.until("vips", flow.Done, 1)
	stands := func(s flow.Life) {
		t.Helper()
		f, rev, err := h.Defs.Flow(t.Context(), "vips")
		rig.Must(t, err)
		f.State, f.At = s, time.Now()
		_, err = h.Defs.PutFlow(t.Context(), f, rev)
		rig.Must(t, err)
	}
	again := func() {
		t.Helper()
		f, _, err := h.Defs.Flow(t.Context(), "vips")
		rig.Must(t, err)
		rig.Until(t, "everybody is looked at again", func() bool { return d.follower.knows(&live{Flow: Flow{Flow: *f}}) })
		h.abreastOf(d)
	}
	stands(flow.Paused)
	on(2, "vip", time.Now())
	stands(flow.Active)
	again()
	h.says(2, contact.Change{At: time.Now(), Labels: map[string]bool{"other": true}})
	on(3, "gold", time.Now())
	h.Apply(t, "kind: Flow\nid: vips\ntype: automation\nsender: bakery\ntrigger: {label: {added: gold}}\nsteps: [{set: {labels: {seen: true}}}]\n")
	again()
	on(4, "gold", time.Now())
	on(0, "gold", time.Now())
	h.until("vips", flow.Done, 2)
	h.abreastOf(d)
	for i, want := range []int{0, 1, 0, 0, 1} {
		if got := h.begun("vips", i); got != want {
			t.Errorf("contact %d: %d runs, want %d", i, got, want)
		}
	}
}

// TestDateMoves: a run that waits for a date of its contact waits for the new
// one once that is another.
func TestDateMoves(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Apply(t, `
kind: Flow
id: visits
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [visit.booked]}
steps:
  - wait: {date: {field: contact.attributes.visit, offset: -1d}}
  - set: {labels: {reminded: true}}
`)
	visit := func(in time.Duration) {
		at := time.Now().Add(in).UTC().Format(time.RFC3339)
		h.says(1, contact.Change{At: time.Now(), Attributes: map[string]*string{"visit": &at}})
	}
	visit(10 * 24 * time.Hour)
	d, _ := h.leads()
	h.tell(order("visit.booked", "1", 1, about(1)))
	h.waiting("visits", 1, 9*24*time.Hour)
	visit(20 * 24 * time.Hour)
	h.waiting("visits", 1, 19*24*time.Hour)
	visit(time.Hour)
	h.until("visits", flow.Done, 1)
	h.abreastOf(d)
	if r, _, err := h.Facts.Contact(context.WithoutCancel(t.Context()), "bakery", h.Facts.Key("bakery", rig.Address(1))); err != nil || !slices.Contains(r.Labels, "reminded") {
		t.Errorf("%s, %v", fmt.Sprint(r.Labels), err)
	}
}
