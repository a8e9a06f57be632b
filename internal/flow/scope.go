package flow

import (
	"encoding/json"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/expression"
)

// scope is what the expressions of a flow see. What nobody reads is not made.
type scope struct {
	raw     json.RawMessage // of the run's event, while nobody has read it
	event   map[string]any  // see happened
	run     *Run            // nil: before there is one
	id      ID
	who     Identity
	w       *World
	code    []instruction
	changes *changes // of criteria
	news    map[string]any
}

// ResolveName returns a variable of an expression.
func (s *scope) ResolveName(name string) (any, bool) {
	switch name {
	case "event":
		if s.news != nil {
			return s.news, true
		}
		return s.happened(), true
	case "contact":
		return s.contact(), true
	case "steps":
		return s.steps(), true
	case "run":
		return s.ran(), true
	case changedName, beforeName, nowName:
		return s.changes.resolve(name), true
	}
	return nil, false
}

// Parent returns none.
func (s *scope) Parent() cel.Activation { return nil }

// happened is the event that the run is about.
func (s *scope) happened() map[string]any {
	if s.event == nil {
		s.event = restored(s.raw)
	}
	return s.event
}

// contact is who the flow is about. What is not known of them is not there.
func (s *scope) contact() map[string]any {
	r, known := s.w.Contacts[s.who.Sender]
	labels, attributes := r.Labels, r.Attributes
	if labels == nil {
		labels = []string{}
	}
	if attributes == nil {
		attributes = map[string]string{}
	}
	m := map[string]any{
		"id": s.who.Person, "sender": s.who.Sender, "channel": s.w.channel(s.who.Sender), "name": r.Name, "timezone": r.Timezone,
		"labels": labels, "attributes": attributes, "opted_out": known && r.OptedOut(contact.All),
	}
	if !r.LastInbound.IsZero() {
		m["last_inbound"] = r.LastInbound
	}
	return m
}

// steps are the outcomes so far.
func (s *scope) steps() map[string]any {
	m := map[string]any{}
	if s.run == nil {
		return m
	}
	for id, o := range s.run.Outcomes {
		m[id] = map[string]any{"state": string(o.State), "reason": string(o.Reason), "sender": o.Sender, "at": o.At}
	}
	return m
}

// ran is the run itself, with the event that began it: where an event that is
// waited for is compared, event is that one.
func (s *scope) ran() map[string]any {
	if s.run == nil {
		return map[string]any{"event": s.happened(), "visits": map[string]any{}}
	}
	visits := map[string]any{}
	for at, n := range s.run.Visits {
		if at < len(s.code) {
			before, _ := visits[s.code[at].step].(int64)
			visits[s.code[at].step] = max(before, int64(n))
		}
	}
	return map[string]any{"id": s.id.String(), "started": s.run.StartedAt, "visits": visits, "event": s.happened()}
}

// evaluation returns where expressions are evaluated.
func (s *scope) evaluation() *expression.Evaluation { return &expression.Evaluation{Vars: s} }

// holds tells whether a condition holds; one that is absent does.
func (s *scope) holds(x *expression.Expression) (bool, error) {
	if x == nil {
		return true, nil
	}
	ev := s.evaluation()
	ok := ev.Bool(x)
	return ok && ev.Err == nil, ev.Err
}

// about returns the same scope where event is one that a run is told.
func (s *scope) about(told map[string]any) *scope {
	out := *s
	out.news = told
	return &out
}

// input is an event as expressions see it. Of what a platform tells, data has
// what the person wrote and pressed.
func input(t *Told) map[string]any {
	m := expression.Input(&t.Event)
	m["time"] = t.Time.UTC()
	if t.Channel == "" {
		return m
	}
	data := map[string]any{"channel": t.Channel}
	for name, v := range map[string]string{"text": t.Text, "payload": t.Payload, "message_id": t.MessageID, "permission": t.Permission} {
		if v != "" {
			data[name] = v
		}
	}
	m["data"] = data
	return m
}

// stored is an event as a run keeps it.
func stored(m map[string]any) json.RawMessage {
	b, err := json.Marshal(m)
	if err != nil { // it was read from JSON, but for texts and times
		return json.RawMessage("{}")
	}
	return b
}

// restored reads what stored wrote.
func restored(raw json.RawMessage) map[string]any {
	m, _ := expression.Data(raw).(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	if s, ok := m["time"].(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			m["time"] = t
		}
	}
	return m
}

// Data returns the data of the event that a run is about, for the texts of its
// messages.
func (r *Run) Data() map[string]any {
	data, _ := restored(r.Event)["data"].(map[string]any)
	return data
}

// Told returns the event that a run is about as another flow is told it that
// the run starts.
func (r *Run) Told() Told {
	m := restored(r.Event)
	text := func(name string) string { s, _ := m[name].(string); return s }
	t := Told{Event: event.Event{ID: text("id"), Source: text("source"), Type: event.Type(text("type")), Subject: text("subject")}, Seq: r.Seen, Trace: r.Trace, Asked: true}
	t.Time, _ = m["time"].(time.Time)
	if x, ok := m["extensions"].(map[string]any); ok && len(x) > 0 {
		t.Extensions = map[string]string{}
		for name, v := range x {
			t.Extensions[name], _ = v.(string)
		}
	}
	t.Data, _ = json.Marshal(m["data"])
	if len(r.Identities) > 0 {
		t.Sender, t.Person = r.Identities[0].Sender, r.Identities[0].Person
	}
	return t
}
