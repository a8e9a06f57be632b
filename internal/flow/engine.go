package flow

import "time"

// Memory is what a flow remembers of a contact beyond its runs.
type Memory struct {
	Starts []time.Time     `json:"starts,omitempty"` // of runs, as far as Frequency asks
	Values map[string]Last `json:"values,omitempty"` // by what runs are once for, or an event's subject: what changed() compares with
	In     bool            `json:"in,omitempty"`     // the contact matches the trigger's segment, or has its label
	Day    time.Time       `json:"day,omitzero"`     // that the trigger's date last began a run at
	Seq    uint64          `json:"seq,omitempty"`    // of the last event that was taken in
	Facts  uint64          `json:"facts,omitempty"`  // the same, of changes of the contact
}

// Result is a run after something happened. Nothing of it counts before it is
// stored, with the memory where there is one, at once.
type Result struct {
	Run     *Run    // nil: there is none, and none begins; the very one that was given where the memory alone changed
	Memory  *Memory // nil: nothing is to be remembered
	Changed bool    // false: what is stored already says the same
	Started bool
	Why     string // why no run began, in words
}

// Hear takes in an event that a run may wait for, or that ends it.
func (p *Program) Hear(id ID, r Run, t *Told, w World) (Result, error) {
	x := p.turn(id, r, w)
	if r.State.Over() || t.Seq <= r.Seen || t.Silent {
		return x.unchanged(), nil
	}
	if _, moves := p.Hears(t.Type, t.Channel); !moves {
		return x.unchanged(), nil
	}
	x.r.Seen, x.changed = t.Seq, true // also where it moves nothing: a step that waits later must not take a repeat of it
	x.hear(t, nil)
	return x.result(), nil
}

// Wake goes on with a run whose time has come, or whose contact changed: dates
// are reckoned anew.
func (p *Program) Wake(id ID, r Run, w World) (Result, error) {
	x := p.turn(id, r, w)
	if r.State.Over() {
		return x.unchanged(), nil
	}
	if x.r.State == Gathering {
		x.gathered()
	} else {
		x.look()
	}
	return x.result(), nil
}

// Settle takes in what came of an effect, by its id.
func (p *Program) Settle(id ID, r Run, effect string, o Outcome, w World) (Result, error) {
	x := p.turn(id, r, w)
	x.settle(effect, o)
	return x.result(), nil
}

// Ended ends a run from outside. Messages that are planned are cancelled.
func (p *Program) Ended(id ID, r Run, s State, why string, at time.Time) Result {
	w := nowhere()
	w.Now = at
	x := p.turn(id, r, *w)
	if !r.State.Over() {
		x.end(s, why)
	}
	return x.result()
}
