package steering_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/steering"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

// controls keeps what rechecks would see; they see it at once, or never.
type controls struct {
	*facts.Store
	blind atomic.Bool
}

func (c *controls) InForce(ctx context.Context, _ uint64) error {
	if c.blind.Load() {
		return errors.New("not in force")
	}
	return ctx.Err()
}

type office struct {
	*steering.Desk
	r        *rig.Rooms
	controls *controls
}

func open(t *testing.T) *office {
	t.Helper()
	r := rig.Open(t, engines)
	runs, err := run.Open(t.Context(), engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	timers, err := run.OpenTimers(t.Context(), engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	c := &controls{Store: r.Facts}
	return &office{&steering.Desk{Defs: r.Defs, Controls: c, Runs: runs, Timers: timers, Key: r.Facts.Key, Now: time.Now}, r, c}
}

const (
	bakery = "kind: Sender\nid: bakery\nchannel: messenger\naccount: \"1\"\ncredential: env:X\n---\n"
	first  = "kind: Flow\nid: order\ntype: automation\nsender: bakery\ncontact: event.data.psid\nalso: {phone: event.data.phone}\ntrigger: {events: [order]}\nsteps:\n  - wait: {for: 1d}\n  - send: {template: t}\n"
	phone  = "kind: Sender\nid: phone\nchannel: sms\naccount: \"+15550100\"\ncredential: env:X\naccount_sid: AC" + "0123456789abcdef0123456789abcdef\n---\nkind: Template\nid: t\ntype: standard\ntext: Hello\n---\n"
)

func (o *office) apply(t *testing.T, file string) {
	t.Helper()
	docs, err := definition.Decode("f", []byte(file))
	rig.Must(t, err)
	_, err = o.r.Defs.Apply(t.Context(), "f", docs, definition.Check{})
	rig.Must(t, err)
}

// begin begins a run of a person by an event, as whoever leads would.
func (o *office) begin(t *testing.T, version int, person, event_ string) flow.ID {
	t.Helper()
	spec, err := o.r.Defs.FlowSpec(t.Context(), "order", version)
	rig.Must(t, err)
	p, err := flow.Compile(spec, version)
	rig.Must(t, err)
	told := &flow.Told{Seq: 1, Event: event.Event{Source: "crm", ID: event_, Type: "order", Time: time.Now(), Data: []byte(`{"psid":"` + person + `","phone":"+1555` + person + `"}`)}}
	ids := []flow.Identity{{Sender: "bakery", Person: person}, {Sender: "phone", Person: "+1555" + person}}
	id := flow.ID{Flow: "order", Contact: o.r.Facts.Key("bakery", person), Slot: flow.SlotOf("crm", event_)}
	w := flow.World{Now: time.Now(), Senders: func(id string) *sender.Spec { return &sender.Spec{ID: id, Channel: "messenger"} }, Zone: func(string) *time.Location { return time.UTC }}
	res, err := p.Begin(id, nil, nil, ids, told, w)
	if err != nil || res.Run == nil {
		t.Fatalf("it did not begin: %+v, %v", res, err)
	}
	also := o.r.Facts.Key("phone", "+1555"+person)
	rig.Must(t, o.Runs.Save(t.Context(), &run.Change{Whom: run.WhomOf(id), Runs: []*run.Entry{{ID: id, Run: res.Run, Also: []job.Key{also}}}}))
	return id
}

func TestAFlowIsSteered(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.apply(t, bakery+phone+first)
	for _, c := range []struct {
		do    func(context.Context, string) (steering.Moved, error)
		state flow.Life
		told  string // to rechecks
	}{
		{o.Resume, flow.Active, facts.Running}, {o.Pause, flow.Paused, facts.Paused}, {o.Pause, flow.Paused, facts.Paused}, {o.Resume, flow.Active, facts.Running},
		{o.Pause, flow.Paused, facts.Paused}, {o.Delete, flow.Deleted, facts.Cancelled}, {o.Delete, flow.Deleted, facts.Cancelled},
	} {
		m, err := c.do(t.Context(), "order")
		if err != nil || m.Flow.State != c.state || !m.InForce {
			t.Fatalf("%+v, %v; want %s", m, err, c.state)
		}
		f, _, err := o.r.Defs.Flow(t.Context(), "order")
		ctl, _, cerr := o.r.Facts.Control(t.Context(), facts.SourceControl, "order")
		if err != nil || cerr != nil || f.State != c.state || ctl.State != c.told {
			t.Errorf("%+v, %v; rechecks see %+v, %v", f, err, ctl, cerr)
		}
	}
	for _, do := range []func(context.Context, string) (steering.Moved, error){o.Resume, o.Pause} {
		if _, err := do(t.Context(), "order"); !errors.Is(err, steering.ErrIllegal) {
			t.Errorf("a deleted flow: %v", err)
		}
	}
	if _, err := o.Pause(t.Context(), "other"); !errors.Is(err, definition.ErrNotFound) {
		t.Errorf("a flow that is none: %v", err)
	}
	o.controls.blind.Store(true)
	if m, err := o.Delete(t.Context(), "order"); err != nil || m.InForce {
		t.Errorf("in force before it is: %+v, %v", m, err)
	}
}

// What is told again is what is defined now, whatever was told before.
func TestRechecksAreTold(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.apply(t, bakery+phone+first)
	told := func(want string) {
		t.Helper()
		rig.Must(t, o.Tell(t.Context(), "order"))
		if c, _, err := o.r.Facts.Control(t.Context(), facts.SourceControl, "order"); err != nil || c.State != want {
			t.Errorf("rechecks see %+v, %v; want %s", c, err, want)
		}
	}
	told(facts.Running)
	told(facts.Running)
	_, err := o.Pause(t.Context(), "order")
	rig.Must(t, err)
	told(facts.Paused)
	if err := o.Tell(t.Context(), "other"); !errors.Is(err, definition.ErrNotFound) {
		t.Errorf("of a flow that is none: %v", err)
	}
}

func TestRunsAreStopped(t *testing.T) {
	t.Parallel()
	o := open(t)
	ctx := t.Context()
	o.apply(t, bakery+phone+first)
	var ids []flow.ID
	for i := range 3 {
		for j := range 2 {
			ids = append(ids, o.begin(t, 1, fmt.Sprint(100+i), fmt.Sprint(j)))
		}
	}
	going := func() (out []flow.ID) {
		rig.Must(t, o.Runs.Each(ctx, "order", func(r run.Stored) error {
			if !r.Run.State.Over() {
				out = append(out, r.ID)
			} else if r.Run.State != flow.Stopped || r.Run.Why != "by hand" || r.Run.EndedAt.IsZero() {
				t.Errorf("%s ended as %+v", r.ID, r.Run)
			}
			return nil
		}))
		return out
	}
	bySMS := o.r.Facts.Key("phone", "+1555101")
	nobody := o.r.Facts.Key("bakery", "9")
	none := flow.ID{Flow: "order", Contact: nobody, Slot: flow.SlotOf("x")}
	for _, c := range []struct {
		name string
		pick steering.Pick
		dry  bool
		want steering.Stopped
		left int
	}{
		{"all, dry", steering.Pick{}, true, steering.Stopped{Matched: 6}, 6},
		{"one", steering.Pick{Run: &ids[0]}, false, steering.Stopped{Matched: 1, Done: 1}, 5},
		{"one again", steering.Pick{Run: &ids[0]}, false, steering.Stopped{}, 5},
		{"none", steering.Pick{Run: &none}, false, steering.Stopped{}, 5},
		{"of a contact by another identity", steering.Pick{Contact: &bySMS}, false, steering.Stopped{Matched: 2, Done: 2}, 3},
		{"of nobody", steering.Pick{Contact: &nobody}, false, steering.Stopped{}, 3},
		{"all", steering.Pick{}, false, steering.Stopped{Matched: 3, Done: 3}, 0},
	} {
		got, err := o.Stop(ctx, "order", c.pick, "by hand", c.dry)
		if err != nil || got != c.want || len(going()) != c.left {
			t.Errorf("%s: %+v, %v, and %d go on; want %+v and %d", c.name, got, err, len(going()), c.want, c.left)
		}
	}
	minutes, err := o.Timers.Minutes(ctx, time.Now().Add(time.Minute))
	if err != nil || len(minutes) == 0 {
		t.Errorf("nobody is told of it: %v, %v", minutes, err)
	}
}

// TestNothingOwedIsLost: what a run owed when it was stopped is owed still,
// but for messages, which nobody plans any more.
func TestNothingOwedIsLost(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.apply(t, bakery+phone+first)
	id := o.begin(t, 1, "100", "1")
	r, rev, _, err := o.Runs.Get(t.Context(), id)
	rig.Must(t, err)
	r.Owes = []flow.Effect{{Kind: flow.Change, ID: "1-0-1-0", Labels: map[string]bool{"late": true}}, {Kind: flow.Plan, ID: "1-1-1-0"}}
	rig.Must(t, o.Runs.Save(t.Context(), &run.Change{Whom: run.WhomOf(id), Runs: []*run.Entry{{ID: id, Run: &r, Rev: rev}}}))
	if _, err := o.Stop(t.Context(), "order", steering.Pick{}, "by hand", false); err != nil {
		t.Fatal(err)
	}
	r, _, _, err = o.Runs.Get(t.Context(), id)
	if err != nil || r.State != flow.Stopped || len(r.Owes) != 1 || r.Owes[0].Kind != flow.Change {
		t.Errorf("it owes %+v, %v", r.Owes, err)
	}
}

func TestWhatANewVersionDoesIsSaidFirst(t *testing.T) {
	t.Parallel()
	o := open(t)
	o.apply(t, bakery+phone+first)
	said := func(file string) []string {
		t.Helper()
		docs, err := definition.Decode("f", []byte(file))
		rig.Must(t, err)
		as, err := o.r.Defs.Try(t.Context(), "f", docs, definition.Check{Impact: o.Impact})
		rig.Must(t, err)
		return as[len(as)-1].Impact
	}
	second := strings.Replace(first, "for: 1d", "for: 2d", 1)
	moving := second + "move: {steps-1: steps-1}\n"
	if got := said(second); got != nil {
		t.Errorf("nothing goes on: %q", got)
	}
	for i := range 3 {
		o.begin(t, 1, fmt.Sprint(100+i), "1")
	}
	if got := said(second); !slices.Equal(got, []string{"3 runs that began with version 1 will stay on it to the end"}) {
		t.Errorf("%q", got)
	}
	o.apply(t, second)
	o.begin(t, 2, "200", "1")
	third := strings.Replace(moving, "2d", "3d", 1)
	if got := said(third); !slices.Equal(got, []string{"1 run of version 2 will go on in the new one, as move says", "3 runs of version 1 will go on in the new one, as move says"}) {
		t.Errorf("%q", got)
	}
	if got := said(strings.Replace(third, "move: {steps-1:", "move: {other:", 1)); !slices.Equal(got, []string{"1 run that began with version 2 will stay on it to the end", "3 runs that began with version 1 will stay on it to the end"}) {
		t.Errorf("%q", got)
	}
	if us, err := o.Count(t.Context(), "order"); err != nil || steering.Going(us) != 4 || us[0].Version != 2 || us[0].Count != 1 {
		t.Errorf("%+v, %v", us, err)
	}
}
