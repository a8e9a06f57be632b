package flow

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/expression"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// trigger is what starts runs, beside what the document says in words.
type trigger struct {
	where   *expression.Expression
	segment *plan.Selector
	date    *date
}

func (c *compiler) trigger() {
	t := &c.p.Spec.Trigger
	c.p.begins.where = c.condition("trigger.where", t.Where)
	c.p.begins.date = c.date("trigger.date", t.Date)
	c.segment()
}

// Told is an event as flows hear it.
type Told struct {
	event.Event
	Seq   uint64         // place in the stream of events; a repeat has the same
	Trace string         // W3C traceparent
	Word  policy.Keyword // what the rulebook takes the text for: stop words and the like are nobody's keywords
	Asked bool           // a step of another flow starts this one with the event, whatever its trigger
}

// World is what is known at a moment.
type World struct {
	Now      time.Time
	Since    time.Time                        // when the flow was first applied, or went on, for Changed; zero: it always stood
	Known    bool                             // for Changed: whoever had then what the trigger is about is remembered
	Survey   bool                             // for Changed: nobody says that the contact changed; it is looked at so that it is remembered
	Wait     time.Time                        // a run that begins gathers until then, for Limits; zero: it goes on at once
	Contacts map[string]contact.Record        // of the identities, by Sender id, as far as they are known
	Senders  func(id string) *sender.Spec     // nil for one that is not defined
	Zone     func(name string) *time.Location // nil for one that does not exist
}

// channel returns that of a sender, "" for one that is not defined.
func (w *World) channel(id string) string {
	if s := w.Senders(id); s != nil {
		return s.Channel
	}
	return ""
}

// zone returns the first that is known of some identities, else that of one of
// some senders, else UTC.
func (w *World) zone(ids []Identity, senders ...string) *time.Location {
	var names []string
	for _, id := range ids {
		names = append(names, w.Contacts[id.Sender].Timezone)
	}
	for _, id := range senders {
		if s := w.Senders(id); s != nil {
			names = append(names, s.Timezone)
		}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if z := w.Zone(name); z != nil {
			return z
		}
	}
	return time.UTC
}

// Hears tells whether events of a type, of a platform's channel or of a CRM
// (""), may begin a run, and whether they may move one.
func (p *Program) Hears(t event.Type, channel string) (begins, moves bool) {
	tr := &p.Spec.Trigger
	switch {
	case channel == "":
		begins = names(tr.Events, t, channel)
	case tr.Keywords != nil:
		begins = t == event.Message
	case tr.Comment:
		begins = t == event.Comment
	default:
		begins = slices.Contains(tr.Inbound, string(t))
	}
	return begins, names(p.awaited, t, channel)
}

// names tells whether a list names a type: itself, or for a CRM's events by its
// beginning. What platforms tell has to be named as it is.
func names(list []string, t event.Type, channel string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		begin, open := strings.CutSuffix(s, "*")
		return s == string(t) || open && channel == "" && strings.HasPrefix(string(t), begin)
	})
}

// Follows tells whether changes of contacts begin runs or move them: a trigger
// by label, segment or date, or a date reckoned from a contact's attributes.
func (p *Program) Follows() bool { return p.followed() || p.dated() }

// followed tells whether changes of contacts begin runs.
func (p *Program) followed() bool {
	t := &p.Spec.Trigger
	return t.Label != nil || t.Segment != nil || t.Date != nil
}

// dated tells whether a run may wait for a date, or end by what is known of
// the contact: both may be another when the contact changes.
func (p *Program) dated() bool {
	return slices.ContainsFunc(p.code, func(in instruction) bool { return in.date != nil }) ||
		slices.ContainsFunc(slices.Concat(p.goal, p.exits), func(e ending) bool { return len(e.events) == 0 })
}

// Remembers tells whether the flow needs its memory of a contact.
func (p *Program) Remembers() bool {
	return p.Spec.Frequency != nil || len(p.paths) > 0 || p.followed()
}

// errOwner is told without the owner, which is a value of the event.
var errOwner = errors.New("owners: there is no Sender for the owner that the event names")

// Main returns whom an event is about, first: a run is named by that identity.
// It reports false where the event is about nobody for this flow. Of an event
// that is kept once for each contact that it is about, the one that is about
// the main identity counts.
func (p *Program) Main(t *Told) (Identity, bool, error) {
	if t.Silent {
		return Identity{}, false, nil
	}
	told := Identity{t.Sender, t.Person}
	if t.Channel != "" {
		return told, t.Person != "" && p.reaches(t.Sender), nil
	}
	s := &scope{event: input(t), who: told, w: nowhere()}
	main, err := p.main(s)
	switch {
	case err != nil:
		return Identity{}, false, err
	case main.Person == "" && (t.Asked || p.contact == nil && len(p.Spec.Trigger.Events) == 0):
		main = told // a flow that no CRM begins takes a CRM's word for whom its events are about
		if !t.Asked && p.Spec.Sender != Auto && p.Spec.Sender != t.Sender {
			return Identity{}, false, nil
		}
	case !t.Asked && told.Sender != "" && main != told:
		return Identity{}, false, nil
	}
	return main, main.Person != "" && main.Sender != "", nil
}

// reaches tells whether contacts of a sender may be whom a run is about: what
// they write moves it, whichever of its senders they write to.
func (p *Program) reaches(sender string) bool {
	_, also := p.also[sender]
	switch {
	case sender == "":
		return false
	case also, p.Spec.Sender == Auto, p.Spec.Sender == sender:
		return true
	}
	for _, id := range p.Spec.Owners {
		if id == sender {
			return true
		}
	}
	return false
}

// main evaluates contact, or else the first of also, in the order of senders.
func (p *Program) main(s *scope) (Identity, error) {
	from, unknown := p.from(s)
	if from != "" && p.contact != nil {
		ev := s.evaluation()
		if person := ev.Address(p.contact); ev.Err != nil || person != "" {
			return Identity{from, person}, ev.Err
		}
	}
	others, err := p.others(s)
	if len(others) == 0 {
		return Identity{}, errors.Join(err, unknown)
	}
	return others[0], nil
}

// from returns the sender that the document names, or the record's owner has;
// "" with sender auto, and with an error where the owner has none.
func (p *Program) from(s *scope) (string, error) {
	switch p.Spec.Sender {
	case Auto:
		return "", nil
	case RecordOwner:
		ev := s.evaluation()
		owner, _ := ev.Attribute(p.owner)
		if ev.Err != nil || owner == nil || p.Spec.Owners[*owner] == "" {
			return "", errors.Join(ev.Err, errOwner)
		}
		return p.Spec.Owners[*owner], nil
	default:
		return p.Spec.Sender, nil
	}
}

// others evaluates also. One that can't be found out costs the others nothing.
func (p *Program) others(s *scope) (out []Identity, err error) {
	for id, x := range ordered(p.also) {
		ev := s.evaluation()
		if person := ev.Address(x); person != "" {
			out = append(out, Identity{id, person})
		}
		err = errors.Join(err, ev.Err)
	}
	return out, err
}

// Others returns the same person as other senders know them, sorted by sender.
func (p *Program) Others(t *Told, r *contact.Record) ([]Identity, error) {
	w := nowhere()
	if r != nil {
		w.Contacts = map[string]contact.Record{t.Sender: *r}
	}
	return p.others(&scope{event: input(t), who: Identity{t.Sender, t.Person}, w: w})
}

// nowhere is a world of which nothing is known.
func nowhere() *World {
	return &World{Senders: func(string) *sender.Spec { return nil }, Zone: func(string) *time.Location { return nil }}
}

// Slot tells which run an event would begin for a contact, and false where the
// trigger is not for it. Without an event it is the run that a change of the
// contact would begin.
func (p *Program) Slot(t *Told, who Identity, w World) (slot string, ok bool, err error) {
	if t == nil {
		return SlotOf(), p.followed(), nil
	}
	s := &scope{event: input(t), who: who, w: &w}
	if !t.Asked {
		if !p.triggered(t, s.event) {
			return "", false, nil
		}
		if ok, err := s.holds(p.begins.where); err != nil || !ok {
			return "", false, err
		}
	}
	return p.once(t, s)
}

// triggered tells whether the trigger is for an event, without its where. Of a
// keyword it notes in the event which it was.
func (p *Program) triggered(t *Told, e map[string]any) bool {
	begins, _ := p.Hears(t.Type, t.Channel)
	stops := t.Word == policy.OptOut || t.Word == policy.OptOutMaybe
	switch {
	case !begins || t.Silent:
		return false
	case t.Channel != "" && (stops || p.Spec.Sender != Auto && p.Spec.Sender != t.Sender): // who writes to another sender isn't answered from this one
		return false
	case p.Spec.Trigger.Keywords == nil:
		return true
	case t.Word != policy.NoKeyword:
		return false
	}
	word, language, ok := p.Spec.Trigger.Keywords.Find(t.Text)
	e["keyword"], e["language"] = word, language
	return ok
}

// once returns what a run is once for: the contact, a key, or an event as it
// was told.
func (p *Program) once(t *Told, s *scope) (string, bool, error) {
	r := &p.Spec.Reentry
	switch {
	case r.Key != "":
		ev := s.evaluation()
		key, said := ev.Attribute(p.key)
		if ev.Err != nil || !said || key == nil || *key == "" {
			return "", false, errors.Join(ev.Err, errKey)
		}
		return SlotOf("key", *key), true, nil
	case r.Never || r.After != "":
		return SlotOf(), true, nil
	default:
		return SlotOf("event", t.Source, t.Told()), true, nil
	}
}

var errKey = errors.New("reentry.key: the event has none")
