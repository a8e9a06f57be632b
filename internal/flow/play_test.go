package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// failer is a test, or one draw of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// stage plays one flow: it keeps runs and memories as a store would, as JSON,
// and a clock that only moves when it is told to.
type stage struct {
	t        failer
	p        *Program
	now      time.Time
	since    time.Time // when the flow was applied
	seq      uint64
	contacts map[string]contact.Record
	zone     string // of every sender
	runs     map[ID][]byte
	memories map[job.Key][]byte
	asked    []Effect // in the order in which they were asked for
	ids      map[ID]map[string]bool
	whys     []string
	starts   int
}

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// document reads a flow, with a head that tests need not repeat.
func document(t failer, text string) *Spec {
	t.Helper()
	s := &Spec{Kind: "Flow", ID: "f", Type: Automation, Sender: "shop", Contact: "event.data.psid"}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if s.Sender == Auto || len(s.Trigger.Events) == 0 {
		s.Contact = ""
	}
	if err := s.Validate(); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return s
}

func compiled(t failer, s *Spec, version int) *Program {
	t.Helper()
	p, err := Compile(s, version)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return p
}

func play(t failer, text string) *stage {
	t.Helper()
	return staged(t, compiled(t, document(t, text), 1))
}

func staged(t failer, p *Program) *stage {
	return &stage{
		t: t, p: p, now: noon(), contacts: map[string]contact.Record{}, runs: map[ID][]byte{}, memories: map[job.Key][]byte{}, ids: map[ID]map[string]bool{},
	}
}

func (s *stage) world() World {
	return World{
		Now: s.now, Since: s.since, Contacts: s.contacts,
		Senders: func(id string) *sender.Spec {
			return &sender.Spec{ID: id, Channel: map[bool]string{true: "sms", false: "messenger"}[strings.HasSuffix(id, "sms")], Timezone: s.zone}
		},
		Zone: func(name string) *time.Location {
			z, err := time.LoadLocation(name)
			if err != nil {
				return nil
			}
			return z
		},
	}
}

// deal is a CRM's event about contact 7.
func deal(typ, id, data string) event.Event {
	return event.Event{Source: "crm", ID: id, Type: event.Type(typ), Data: json.RawMessage(data)}
}

// of adds the contact to an event's data.
func of(psid, rest string) string {
	if rest != "" {
		rest = "," + rest
	}
	return fmt.Sprintf(`{"psid":%q%s}`, psid, rest)
}

// tell tells an event that happens now; its type alone is enough.
func (s *stage) tell(typ, data string) *Told {
	s.t.Helper()
	s.seq++
	e := deal(typ, fmt.Sprint("e", s.seq), data)
	e.Time = s.now
	return s.hear(&Told{Event: e, Seq: s.seq})
}

// hear takes in an event as the driver does: it may begin a run, and it may
// move those of its contact.
func (s *stage) hear(t *Told) *Told {
	s.t.Helper()
	w := s.world()
	who, ok, err := s.p.Main(t)
	if err != nil {
		s.t.Fatalf("main: %v", err)
	}
	if !ok {
		s.whys = append(s.whys, "nobody")
		return t
	}
	key := keyOf(who)
	rec, known := s.contacts[who.Sender]
	var about *contact.Record
	if known {
		about = &rec
	}
	others, err := s.p.Others(t, about)
	if err != nil {
		s.t.Fatalf("others: %v", err)
	}
	if begins, _ := s.p.Hears(t.Type, t.Channel); begins {
		slot, ok, err := s.p.Slot(t, who, w)
		if err != nil {
			s.t.Fatalf("slot: %v", err)
		}
		if ok {
			id := ID{Flow: s.p.Spec.ID, Contact: key, Slot: slot}
			s.take(id, func(r *Run) (Result, error) {
				return s.p.Begin(id, r, s.memory(key), append([]Identity{who}, others...), t, s.world())
			})
		}
	}
	if _, moves := s.p.Hears(t.Type, t.Channel); moves {
		for _, id := range s.of(key) {
			s.take(id, func(r *Run) (Result, error) { return s.p.Hear(id, *r, t, s.world()) })
		}
	}
	return t
}

func keyOf(who Identity) job.Key {
	return contact.NewKeyer(make([]byte, 32)).Key(who.Sender, who.Person)
}

// of returns the runs of a contact, in the order of their names.
func (s *stage) of(key job.Key) []ID {
	var out []ID
	for id := range s.runs {
		if id.Contact == key {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b ID) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func (s *stage) run(id ID) *Run {
	b, ok := s.runs[id]
	if !ok {
		return nil
	}
	r := &Run{}
	if err := json.Unmarshal(b, r); err != nil {
		s.t.Fatalf("%v", err)
	}
	return r
}

func (s *stage) memory(key job.Key) *Memory {
	b, ok := s.memories[key]
	if !ok {
		return nil
	}
	m := &Memory{}
	if err := json.Unmarshal(b, m); err != nil {
		s.t.Fatalf("%v", err)
	}
	return m
}

// take asks the engine and stores what it says. It asks twice, as somebody
// does who died before the first answer was stored, and the engine must neither
// say another thing nor write to what it was given.
func (s *stage) take(id ID, ask func(*Run) (Result, error)) {
	s.t.Helper()
	given := s.run(id)
	lost, _ := ask(given)
	if before, _ := json.Marshal(s.run(id)); given != nil {
		if after, _ := json.Marshal(given); string(before) != string(after) {
			s.t.Fatalf("%s: the engine wrote to what it was given:\n%s\n%s", id, before, after)
		}
	}
	given = s.run(id)
	res, err := ask(given)
	a, _ := json.Marshal(lost)
	if b, _ := json.Marshal(res); string(a) != string(b) {
		s.t.Fatalf("%s: asked again it says\n%s\nand not\n%s", id, b, a)
	}
	if res.Run == given { // the memory alone may be another
		res.Run = nil
	}
	s.keep(id, res, err)
}

// keep stores a result, and notes what it asks for; no effect is ever asked
// for twice.
func (s *stage) keep(id ID, r Result, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	if r.Why != "" {
		s.whys = append(s.whys, r.Why)
	}
	if !r.Changed {
		return
	}
	if r.Started {
		s.starts++
	}
	if r.Memory != nil {
		s.memories[id.Contact], _ = json.Marshal(r.Memory)
	}
	if r.Run == nil {
		return
	}
	s.sound(id, r.Run)
	b, err := json.Marshal(r.Run)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	s.runs[id] = b
	if s.ids[id] == nil {
		s.ids[id] = map[string]bool{}
	}
	for _, e := range r.Run.Owes {
		switch {
		case !s.ids[id][e.ID]:
			s.ids[id][e.ID] = true
			s.asked = append(s.asked, e)
		case e.Kind != Call:
			s.t.Fatalf("%s asks for %s twice", id, e.ID)
		}
	}
}

// sound asserts what holds of every run that is stored.
func (s *stage) sound(id ID, r *Run) {
	s.t.Helper()
	waits := !r.Due.IsZero()
	for i := range r.Threads {
		th := &r.Threads[i]
		if !th.waits() || th.At == done {
			s.t.Fatalf("%s: a line that waits for nothing is stored: %+v", id, th)
		}
		waits = true
	}
	switch {
	case r.State.Over() == waits:
		s.t.Fatalf("%s is %s, and is due at %s with %d lines", id, r.State, r.Due, len(r.Threads))
	case len(r.Path) > maxPath:
		s.t.Fatalf("%s: a path of %d", id, len(r.Path))
	case r.State.Over() == r.EndedAt.IsZero():
		s.t.Fatalf("%s is %s since %s", id, r.State, r.EndedAt)
	}
}

// until moves the clock on, and wakes each run when it is due.
func (s *stage) until(at time.Time) {
	s.t.Helper()
	for {
		var next ID
		var due time.Time
		for id := range s.runs {
			if d := s.run(id).Due; !d.IsZero() && !d.After(at) && (due.IsZero() || d.Before(due) || d.Equal(due) && id.String() < next.String()) {
				next, due = id, d
			}
		}
		if due.IsZero() {
			s.now = at
			return
		}
		if due.After(s.now) {
			s.now = due
		}
		s.wake(next)
	}
}

func (s *stage) wake(id ID) {
	s.t.Helper()
	s.take(id, func(r *Run) (Result, error) { return s.p.Wake(id, *r, s.world()) })
}

func (s *stage) after(d time.Duration) { s.t.Helper(); s.until(s.now.Add(d)) }

// only returns the one run that there is.
func (s *stage) only() (ID, *Run) {
	s.t.Helper()
	if len(s.runs) != 1 {
		s.t.Fatalf("%d runs, want one; %v", len(s.runs), s.whys)
	}
	for id := range s.runs {
		return id, s.run(id)
	}
	return ID{}, nil
}

// settle tells what came of the newest message, or call, that was asked for.
func (s *stage) settle(state job.State, why reason.Code) {
	s.t.Helper()
	for _, e := range slices.Backward(s.asked) {
		if e.Kind == Plan || e.Kind == Call {
			s.outcome(e.ID, state, why)
			return
		}
	}
	s.t.Fatalf("nothing was asked for")
}

func (s *stage) outcome(effect string, state job.State, why reason.Code) {
	s.t.Helper()
	for _, id := range slices.SortedFunc(keysOf(s.ids), func(a, b ID) int { return strings.Compare(a.String(), b.String()) }) {
		if s.ids[id][effect] {
			s.take(id, func(r *Run) (Result, error) {
				return s.p.Settle(id, *r, effect, Outcome{State: state, Reason: why, At: s.now}, s.world())
			})
		}
	}
}

func keysOf[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// did returns what the only run did, one word for a line of its path.
func (s *stage) did() string {
	s.t.Helper()
	_, r := s.only()
	var out []string
	for _, v := range r.Path {
		word := v.Did
		if v.State != "" {
			word += ":" + string(v.State)
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func (s *stage) wantDid(want string) {
	s.t.Helper()
	if got := s.did(); got != want {
		s.t.Fatalf("did  %s\nwant %s", got, want)
	}
}
