package flow

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
)

// TestEnters: a label that comes, or goes, begins a run once, however often the
// contact is looked at; who had it when the flow came to stand is remembered.
func TestEnters(t *testing.T) {
	t.Parallel()
	const added, removed, segment = "trigger: {label: {added: vip}}\nsteps: [{end: true}]", "trigger: {label: {removed: vip}}\nsteps: [{end: true}]", "trigger: {segment: {labels: [vip]}}\nsteps: [{end: true}]"
	before, after := noon().Add(-time.Hour), noon().Add(time.Second)
	type look struct {
		vip    bool
		mark   time.Time // when the label was last changed; zero: an import said it
		survey bool
		known  bool
		starts int // so far
	}
	for name, c := range map[string]struct {
		doc   string
		looks []look
	}{
		"had before, then something else": {added, []look{{vip: true, survey: true}, {vip: true, known: true}}},
		"had before, without a survey":    {added, []look{{vip: true, mark: before}, {vip: true}}},
		"put on before the survey came":   {added, []look{{vip: true, mark: after, survey: true, starts: 1}, {vip: true, known: true, starts: 1}}},
		"imported after the survey":       {added, []look{{vip: true, known: true, starts: 1}, {vip: true, known: true, starts: 1}}},
		"put on, off and on":              {added, []look{{known: true}, {vip: true, known: true, starts: 1}, {known: true, starts: 1}, {vip: true, known: true, starts: 2}}},
		"put on while it stood still":     {added, []look{{known: true}, {vip: true, mark: before, survey: true}, {vip: true, known: true}}},
		"never had":                       {removed, []look{{survey: true}, {known: true}}},
		"goes":                            {removed, []look{{vip: true, survey: true}, {known: true, starts: 1}, {known: true, starts: 1}}},
		"went before the survey came":     {removed, []look{{mark: after, survey: true, starts: 1}, {known: true, starts: 1}}},
		"went before the flow stood":      {removed, []look{{mark: before, survey: true}, {known: true}}},
		"comes, goes":                     {removed, []look{{vip: true, known: true}, {known: true, starts: 1}}},
		"in a segment before":             {segment, []look{{vip: true, survey: true}, {vip: true, known: true}}},
		"enters a segment":                {segment, []look{{known: true}, {vip: true, known: true, starts: 1}, {vip: true, known: true, starts: 1}}},
		"enters as it is imported":        {segment, []look{{vip: true, known: true, starts: 1}}},
	} {
		s := play(t, c.doc)
		who := Identity{"shop", "7"}
		for i, l := range c.looks {
			r := contact.Record{Address: "7"}
			if l.vip {
				r.Labels = []string{"vip"}
			}
			if !l.mark.IsZero() {
				r.Marks = map[string]time.Time{"l:vip": l.mark}
			}
			s.contacts["shop"] = r
			w := s.world()
			w.Since, w.Known, w.Survey = noon(), l.known, l.survey
			s.look(who, uint64(i+1), w)
			if s.starts != l.starts {
				t.Errorf("%s: %d runs after look %d, want %d", name, s.starts, i, l.starts)
			}
			again := s.starts
			s.look(who, uint64(i+1), w)
			if s.starts != again {
				t.Errorf("%s: look %d, told again, begins one more", name, i)
			}
		}
	}
}

// look has the flow look at a contact, as the driver does.
func (s *stage) look(who Identity, seq uint64, w World) {
	s.t.Helper()
	slot, ok, err := s.p.Slot(nil, who, w)
	if err != nil || !ok {
		s.t.Fatalf("no slot: %t, %v", ok, err)
	}
	id := ID{Flow: s.p.Spec.ID, Contact: keyOf(who), Slot: slot}
	r, err := s.p.Changed(id, s.run(id), s.memory(id.Contact), []Identity{who}, seq, w)
	s.keep(id, r, err)
}
