package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

// The orders that a clerk gives, in turn.
const (
	imports  = iota // of one contact
	optsOut         // one of those who are written to
	applies         // a broadcast, to the one who was imported last
	launches        // that broadcast
	tells           // of an event that begins a run
	deeds
)

// notes is a flow whose runs wait for longer than any test.
const notes = `kind: Flow
id: notes
type: automation
sender: spring
contact: event.data.psid
trigger: {events: [note.taken]}
reentry: {key: event.data.note}
steps:
  - {id: hold, wait: {for: 24h}}
`

// tries bounds one order. What takes longer may have been done, and nobody
// said so.
const tries = 10 * time.Second

// between lies between two orders at least: each is looked up at the end, and
// one in five is a broadcast, which every look at a contact goes through.
const between = 200 * time.Millisecond

// clerk gives orders one behind the other through whichever door opens, while
// everything breaks, and remembers what was acknowledged.
type clerk struct {
	t     *testing.T
	doors []*client.Client
	ps    []person // every thirteenth opts out

	stop func()

	mu    sync.Mutex
	acked map[int]time.Time // by the order's number: when
	lines map[string]bool   // by person: whether nothing may arrive from then on
}

// hire has a clerk work until stopped.
func hire(t *testing.T, ps []person, doors ...*client.Client) *clerk {
	t.Helper()
	c := &clerk{t: t, doors: doors, ps: ps, acked: map[int]time.Time{}, lines: map[string]bool{}}
	if _, err := doors[0].Apply(t.Context(), "notes.yaml", strings.NewReader(notes)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(between)
		defer tick.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			c.order(ctx, i)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	c.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(c.stop)
	return c
}

// order gives one order. Where nobody answered, the next one goes through the
// next door that opens.
func (c *clerk) order(ctx context.Context, i int) {
	one, cancel := context.WithTimeout(ctx, tries)
	defer cancel()
	line, err := c.give(one, c.doors[0], i)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acked[i], c.lines[c.out(i).id] = time.Now(), line
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ready := false; !ready && ctx.Err() == nil; ready = c.doors[0].Ready(ctx) == nil {
		c.doors = append(c.doors[1:], c.doors[0])
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// count returns how many orders were acknowledged.
func (c *clerk) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (c *clerk) out(i int) *person { return &c.ps[i/deeds*13%len(c.ps)] }

func newcomer(i int) string { return fmt.Sprintf("7700000%09d", i/deeds) }
func noteName(i int) string { return fmt.Sprintf("note-%d", i/deeds) }

// give gives the i-th order. It tells of an opt-out whether its line is drawn.
func (c *clerk) give(ctx context.Context, api *client.Client, i int) (line bool, err error) {
	switch i % deeds {
	case imports:
		p := person{id: newcomer(i), name: "Late", out: "all", inbound: time.Now()}
		row := strings.ReplaceAll(csv([]person{p}), "regular", noteName(i))
		_, err = api.ImportContacts(ctx, "spring", strings.NewReader(row), false, func(client.ImportEvent) {})
	case optsOut:
		var r client.OptOutResult
		r, err = api.OptOut(ctx, "spring", client.OptOutRequest{Contact: c.out(i).id, Scope: "all", Source: "test"})
		line = err == nil && r.InForce && len(r.InFlight) == 0
	case applies:
		doc := "kind: Broadcast\nid: %[1]s\nsender: spring\naudience: {labels: [%[1]s]}\nmessage: {text: \"A note.\"}\n"
		_, err = api.Apply(ctx, "note.yaml", strings.NewReader(fmt.Sprintf(doc, noteName(i))))
	case launches:
		_, err = api.Launch(ctx, noteName(i), "bulk_discouraged")
	case tells:
		e := `[{"specversion":"1.0","id":"n%[1]d","source":"notes","type":"note.taken","data":{"psid":%[2]q,"note":"n%[1]d"}}]`
		_, err = api.SendEvents(ctx, fmt.Appendf(nil, e, i, c.ps[0].id))
	}
	return line, err
}

// check holds what was acknowledged against what is there. Whoever is opted
// out, acknowledged or not, and was not written to is marked so.
func (c *clerk) check(api *client.Client, pl *platform) {
	c.t.Helper()
	c.stop()
	got := map[string]time.Time{}
	for _, a := range pl.books(c.t) {
		got[a.Person] = a.Time
	}
	told := c.told(api)
	each := [deeds]int{}
	for i, at := range c.acked {
		each[i%deeds]++
		if !c.kept(api, i, at, got, told) {
			c.t.Errorf("order %d was acknowledged and is not there", i)
		}
	}
	c.t.Logf("kept: %d imports, %d opt-outs, %d documents, %d launches, %d events", each[imports], each[optsOut], each[applies], each[launches], each[tells])
	for i, p := range c.ps {
		if _, ok := got[p.id]; !ok && p.sendable(c.ps[0].inbound) {
			if s, err := api.Contact(c.t.Context(), "spring", p.id); err != nil {
				c.t.Fatal(err)
			} else if len(s.Contact.OptOuts) > 0 {
				c.ps[i].out = "all"
			}
		}
	}
}

func (c *clerk) kept(api *client.Client, i int, at time.Time, got map[string]time.Time, told map[string]bool) bool {
	ctx := c.t.Context()
	switch i % deeds {
	case imports:
		s, err := api.Contact(ctx, "spring", newcomer(i))
		return err == nil && s.Known
	case optsOut:
		p := c.out(i)
		if c.lines[p.id] && got[p.id].After(at) {
			c.t.Errorf("%s got a message %v after the opt-out was acknowledged", p.id, got[p.id].Sub(at))
		}
		s, err := api.Contact(ctx, "spring", p.id)
		return err == nil && s.Contact != nil && len(s.Contact.OptOuts) > 0
	case applies:
		_, err := api.Broadcast(ctx, noteName(i))
		return err == nil
	case launches:
		o := office{t: c.t, api: api}
		o.until(noteName(i)+" has ended", func() bool {
			b, err := api.Broadcast(ctx, noteName(i))
			return err == nil && b.Over()
		})
		return true
	default:
		return told[fmt.Sprintf("n%d", i)]
	}
}

// told lists the events that began a run.
func (c *clerk) told(api *client.Client) map[string]bool {
	c.t.Helper()
	out := map[string]bool{}
	for page := (client.Runs{More: true}); page.More; {
		var err error
		if page, err = api.Runs(c.t.Context(), "notes", client.RunQuery{After: page.Cursor, Limit: 1000}); err != nil {
			c.t.Fatal(err)
		}
		for _, r := range page.Runs {
			if out[r.Event.ID] {
				c.t.Errorf("event %s began two runs", r.Event.ID)
			}
			out[r.Event.ID] = true
		}
	}
	return out
}
