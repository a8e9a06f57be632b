package flow

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Why no run begins, in words.
const (
	whyOnce     = "once for each contact: there was one"
	whyKey      = "once for each value of the key: there was one"
	whyEvent    = "the event had its run"
	whyGoesOn   = "the run before goes on"
	whySeen     = "it was taken in before"
	whyNothing  = "no criterion holds"
	whyFrequent = "the contact had as many runs as frequency allows"
)

// beginning is the taking in of what may start a run.
type beginning struct {
	p      *Program
	id     ID
	m      *Memory // a copy; nil where nothing is remembered
	t      *Told
	w      World
	ids    []Identity
	event  map[string]any
	before *Last     // what changed() compares with; nil: nothing was seen before
	facts  uint64    // of a change of the contact
	due    time.Time // of a trigger by date: when the run is to begin
}

// Begin takes in an event that the trigger is for. old is the run of that slot,
// nil where there is none: one that goes on takes the event in as news, by the
// program of its own version.
func (p *Program) Begin(id ID, old *Run, m *Memory, ids []Identity, t *Told, w World) (Result, error) {
	if old != nil && t.Seq <= old.Seen || m != nil && !t.Asked && t.Seq <= m.Seq {
		return Result{Run: old, Memory: m, Why: whySeen}, nil
	}
	if old != nil && !old.State.Over() && old.Version != p.Version {
		return Result{}, fmt.Errorf("run %s is of version %d, and goes on by that one", id, old.Version)
	}
	b := &beginning{p: p, id: id, t: t, w: w, ids: ids, event: input(t)}
	p.triggered(t, b.event) // for the keyword
	b.recall(m)
	return b.take(old), nil
}

// recall copies the memory and notes what is seen now.
func (b *beginning) recall(m *Memory) {
	if !b.p.Remembers() {
		return
	}
	b.m = m.clone()
	if !b.t.Asked {
		b.m.Seq = b.t.Seq
	}
	if len(b.p.paths) == 0 {
		return
	}
	key := b.group()
	if l, seen := b.m.Values[key]; seen {
		b.before = &l
	}
	c := b.p.compare(b.scope(nil), b.before, b.t.Time)
	if !c.late {
		b.m.remember(key, Last{At: b.t.Time.UTC(), Seq: b.t.Seq, Of: c.now})
	}
}

// group is what values are compared within: a key, else what the event says
// that it is about, else the contact.
func (b *beginning) group() string {
	switch r := b.p.Spec.Reentry; {
	case r.Key != "":
		return b.id.Slot
	case b.t.Subject != "":
		return SlotOf("subject", b.t.Source, b.t.Subject)
	default:
		return SlotOf()
	}
}

func (b *beginning) scope(r *Run) *scope {
	s := &scope{event: b.event, run: r, id: b.id, w: &b.w, code: b.p.code}
	if len(b.ids) > 0 {
		s.who = b.ids[0]
	}
	return s
}

// take decides what becomes of the event.
func (b *beginning) take(old *Run) Result {
	if old != nil && !old.State.Over() {
		return b.news(old)
	}
	if why := b.refused(old); why != "" {
		return b.nothing(old, why)
	}
	return b.start(old)
}

// refused says why what is over does not begin again, or why there are too many.
func (b *beginning) refused(old *Run) string {
	if old != nil && !old.idle() {
		r := &b.p.Spec.Reentry
		switch {
		case r.Never:
			return whyOnce
		case b.p.followed() && r.After == "": // each time that it comes to be so
		case r.After != "":
			if b.w.Now.Sub(old.StartedAt) < b.p.after {
				return fmt.Sprintf("the run before began less than %s ago", r.After)
			}
		case r.Key != "":
			return whyKey
		default:
			return whyEvent
		}
	}
	if f := b.p.Spec.Frequency; f != nil {
		b.m.Starts = slices.DeleteFunc(b.m.Starts, func(at time.Time) bool { return b.w.Now.Sub(at) >= b.p.per })
		if len(b.m.Starts) >= f.AtMost {
			return whyFrequent
		}
	}
	return ""
}

// idle tells whether a run ended before it did anything: it does not count as
// one that there was.
func (r *Run) idle() bool { return r.State == Done && r.Why == whyNothing }

// nothing begins no run. What was seen is remembered all the same, and where
// a later moment would say otherwise the run before notes that the event came.
func (b *beginning) nothing(old *Run, why string) Result {
	out := Result{Run: old, Memory: b.m, Changed: b.m != nil, Why: why}
	if old != nil && b.p.after > 0 && b.t.Seq > old.Seen {
		r := *old
		r.Seen, r.Owes = b.t.Seq, unsettled(old.Owes)
		out.Run, out.Changed = &r, true
	}
	return out
}

// start makes the run, which begins at once unless it gathers.
func (b *beginning) start(old *Run) Result {
	r := Run{Version: b.p.Version, State: Waiting, Identities: b.ids, Event: stored(b.event), Seen: b.t.Seq, Facts: b.facts, StartedAt: b.w.Now.UTC(), Trace: b.t.Trace}
	if old != nil {
		r.Round = old.Round + 1
		if r.Visits = maps.Clone(old.Visits); old.Version != r.Version {
			r.Visits = nil // places have the version in them
		}
	}
	s := b.scope(&r)
	r.Sender, r.Choice = b.p.sender(s, b.t, b.ids)
	x := b.p.turn(b.id, r, b.w)
	if !b.due.IsZero() {
		x.r.State, x.r.Due = Gathering, b.due
		x.visit(Visit{Did: "gather", What: string(b.t.Type), Until: b.due})
		return b.began(x)
	}
	if due := b.w.Now.Add(b.p.coalesce); b.p.coalesce > 0 || b.w.Wait.After(due) {
		if b.w.Wait.After(due) {
			due = b.w.Wait
		}
		x.r.State, x.r.Due, x.r.Before = Gathering, due.UTC(), b.before
		x.visit(Visit{Did: "gather", What: string(b.t.Type), Until: x.r.Due})
		return b.began(x)
	}
	if !x.begin(b.before) {
		return b.nothing(old, whyNothing)
	}
	return b.began(x)
}

func (b *beginning) began(x *turn) Result {
	if b.p.Spec.Frequency != nil {
		b.m.Starts = append(b.m.Starts, b.w.Now.UTC())
	}
	out := x.result()
	out.Memory, out.Started = b.m, true
	return out
}

// news is an event for a run that goes on: it moves it as any other would. By
// a key, and while triggers are gathered, it is what the run is about from now
// on, unless it is older; criteria that hold by it begin then, each once in a
// run.
func (b *beginning) news(old *Run) Result {
	if b.p.followed() {
		return b.nothing(old, whyGoesOn)
	}
	x := b.p.turn(b.id, *old, b.w)
	x.r.Seen, x.changed = b.t.Seq, true
	gathers := old.State == Gathering
	at, _ := x.s.happened()["time"].(time.Time)
	var more []criterion
	if (gathers || b.p.Spec.Reentry.Key != "") && !b.t.Time.Before(at) {
		x.r.Identities = b.ids
		x.s.event, x.r.Event = b.event, stored(b.event)
		x.visit(Visit{Did: "news", What: string(b.t.Type)})
		if !gathers {
			more = x.newly(b.before)
		}
	}
	if !gathers {
		x.hear(b.t, more)
	}
	out := x.result()
	out.Memory, out.Why = b.m, whyGoesOn
	return out
}

// gathered begins what was gathered, when its time has come.
func (x *turn) gathered() {
	if d := x.p.begins.date; d != nil {
		x.await(d.reckon(x.s, x.zone()))
	}
	if x.r.State.Over() || x.r.Due.After(x.w.Now) {
		return
	}
	x.r.StartedAt, x.r.Due, x.r.State, x.changed = x.w.Now.UTC(), time.Time{}, Waiting, true
	before := x.r.Before
	x.r.Before = nil
	if !x.begin(before) {
		x.end(Done, whyNothing)
	}
}

// begin asks the criteria and takes their steps; false: none of them holds.
func (x *turn) begin(before *Last) bool {
	typ, _ := x.s.happened()["type"].(string)
	held, err := x.holding(before, func(criterion, error) bool { return false })
	if err == nil && len(held) == 0 {
		return false
	}
	x.visit(Visit{Did: "start", What: typ})
	if err != nil {
		x.fail("%v", err)
		return true
	}
	x.take(held)
	if !x.ends(nil) {
		x.advance()
	}
	return true
}

// holding returns the criteria that hold, in order, up to one that says stop.
// What can't be decided is asked of pass; where that does not pass it over, it
// is an error.
func (x *turn) holding(before *Last, pass func(criterion, error) bool) (held []criterion, err error) {
	at, _ := x.s.happened()["time"].(time.Time)
	x.s.changes = x.p.compare(x.s, before, at)
	for _, k := range x.p.criteria {
		ok, err := x.s.holds(k.when)
		if err != nil && !pass(k, err) {
			return nil, err
		}
		if err == nil && ok {
			held = append(held, k)
			if !k.next {
				break
			}
		}
	}
	return held, nil
}

// newly returns the criteria that hold by news of the run and have not held in
// it before. News that lacks what a condition asks about leaves it where it is:
// the run goes on as it would without.
func (x *turn) newly(before *Last) []criterion {
	held, _ := x.holding(before, func(k criterion, err error) bool {
		if k.id != "" && !slices.Contains(x.r.Held, k.id) {
			x.visit(Visit{Step: k.id, Did: "undecided", What: err.Error()})
		}
		return true
	})
	return slices.DeleteFunc(held, func(k criterion) bool { return k.id == "" || slices.Contains(x.r.Held, k.id) })
}

// take begins the lines of criteria.
func (x *turn) take(held []criterion) {
	for _, k := range held {
		if k.id != "" {
			x.visit(Visit{Step: k.id, Did: "criterion"})
			x.r.Held = append(slices.Clip(x.r.Held), k.id)
		}
		for _, at := range k.lines {
			x.r.Threads = append(x.r.Threads, Thread{At: at})
		}
	}
}

// sender returns whom messages go out from, and how that was found.
func (p *Program) sender(s *scope, t *Told, ids []Identity) (id, choice string) {
	switch {
	case p.Spec.Sender == RecordOwner:
		id, _ = p.from(s)
		return id, RecordOwner
	case p.Spec.Sender == Auto && t.Channel != "":
		return t.Sender, Auto
	case p.Spec.Sender == Auto:
		return s.wroteLast(ids), Auto
	}
	return p.Spec.Sender, ""
}

// wroteLast returns where the contact wrote last, the first sender where it
// never did.
func (s *scope) wroteLast(ids []Identity) string {
	best, at := "", time.Time{}
	for _, id := range ids {
		if in := s.w.Contacts[id.Sender].LastInbound; best == "" || in.After(at) {
			best, at = id.Sender, in
		}
	}
	return best
}

func (m *Memory) clone() *Memory {
	if m == nil {
		return &Memory{}
	}
	out := *m
	out.Starts, out.Values = slices.Clone(m.Starts), maps.Clone(m.Values)
	return &out
}
