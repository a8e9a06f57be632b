package flow

import (
	"maps"
	"slices"
	"strconv"

	"github.com/carillon-dev/carillon/internal/message"
)

// Name is something that a flow names and that is defined elsewhere.
type Name struct {
	Path string // where it stands in the document
	Kind string // Sender, Endpoint or Flow
	ID   string
}

// Names returns what the flow names, in the document's order; templates stand
// in Said.
func (s *Spec) Names() (out []Name) {
	add := func(path, kind, id string) {
		if id != "" {
			out = append(out, Name{path, kind, id})
		}
	}
	if s.Sender != Auto && s.Sender != RecordOwner {
		add("sender", "Sender", s.Sender)
	}
	for owner, id := range ordered(s.Owners) {
		add("owners."+owner, "Sender", id)
	}
	for id := range ordered(s.Also) {
		add("also."+id, "Sender", id)
	}
	for at, st := range s.spots() {
		add(at.path+".start", "Flow", st.Start)
		add(at.path+".stop", "Flow", st.Stop)
		if st.Webhook != nil {
			add(at.path+".webhook.endpoint", "Endpoint", st.Webhook.Endpoint)
		}
		if path, n := st.notice(); n != nil {
			add(at.path+path+".endpoint", "Endpoint", n.Endpoint)
		}
		for _, m := range st.said(at.path) {
			add(m.Path+".sender", "Sender", m.Sender)
		}
	}
	return out
}

// Senders returns the ids of the senders that the flow names, sorted. With
// sender auto others may be concerned.
func (s *Spec) Senders() []string {
	ids := map[string]bool{}
	for _, n := range s.Names() {
		if n.Kind == "Sender" {
			ids[n.ID] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// Said is one message that a flow may send.
type Said struct {
	Path    string // where it stands in the document, such as steps[0].send
	Sender  string // that the step names; "": the flow's
	Notice  bool   // to people of one's own
	Message message.Message
}

// Said returns the messages of the flow, in the document's order, and what is
// sent otherwise behind what it stands in for.
func (s *Spec) Said() (out []Said) {
	for at, st := range s.spots() {
		out = append(out, st.said(at.path)...)
	}
	return out
}

func (st *Step) said(path string) (out []Said) {
	if m := st.Send; m != nil {
		out = append(out, Said{path + ".send", m.Sender, false, m.Message})
		for i, o := range m.Otherwise {
			out = append(out, Said{nth(path+".send.otherwise", i), o.Sender, false, o.Message})
		}
	}
	if at, n := st.notice(); n != nil && n.Sender != "" {
		out = append(out, Said{path + at, n.Sender, true, message.Message{Text: n.Text}})
	}
	return out
}

// notice returns what the step tells people of one's own, nil for nothing, and
// its path in the step.
func (st *Step) notice() (string, *Notify) {
	if st.Handover != nil {
		return ".handover.tell", st.Handover.Tell
	}
	return ".notify", st.Notify
}

// Starts returns the flows that this one starts.
func (s *Spec) Starts() (ids []string) {
	for _, st := range s.AllSteps() {
		if st.Start != "" {
			ids = append(ids, st.Start)
		}
	}
	return ids
}

// resting are the places that runs may wait at: steps, and schedules, which
// are called after their criterion.
func (s *Spec) resting() map[string]bool {
	ids := map[string]bool{}
	for id := range s.AllSteps() {
		ids[id] = true
	}
	for i, c := range s.Criteria {
		for j := range c.Schedule {
			ids[c.id(i)+"-schedule-"+strconv.Itoa(j+1)] = true
		}
	}
	return ids
}
