package flow

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// The bounds of single steps.
const (
	maxOtherwise = 5
	maxTold      = 20 // people of a notice
	maxTimes     = 100
	maxWeight    = 10_000
	maxData      = 50
)

// validSteps checks every step, and what is to hold of all.
func (s *Spec) validSteps() error {
	n, ids := 0, map[string]string{} // paths by id
	for at, st := range s.spots() {
		n++
		switch {
		case n > maxSteps:
			return fmt.Errorf("%s: want at most %d steps in all; start another flow for the rest", at.path, maxSteps)
		case at.depth > maxDepth:
			return fmt.Errorf("%s: want steps in steps at most %d deep; start another flow for the rest", at.path, maxDepth)
		case at.rounds > maxRounds:
			return fmt.Errorf("%s: it would be taken more than %d times by the loops that it is in", at.path, maxRounds)
		case !validStepID(at.id):
			return fmt.Errorf("%s.id %q: want 1 to 100 characters out of a-z, 0-9 and '-'", at.path, at.id)
		case ids[at.id] != "":
			return fmt.Errorf("%s.id %q: it is the id of %s too", at.path, at.id, ids[at.id])
		case !at.last && (st.End || st.Handover != nil):
			return fmt.Errorf("%s: it ends the run, so that what stands behind it is never taken", at.path)
		}
		ids[at.id] = at.path
		if err := st.validate(at.path, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// validate checks the step without those in it.
func (st *Step) validate(path, flow string) error {
	kinds := count(st.Send != nil, st.Wait != nil, len(st.Branch) > 0, len(st.Split) > 0, st.Repeat != nil, st.Set != nil,
		st.Webhook != nil, st.Start != "", st.Stop != "", st.Notify != nil, st.Handover != nil, st.End)
	if kinds != 1 {
		return fmt.Errorf("%s: want one of send, wait, branch, split, repeat, set, webhook, start, stop, notify, handover and end", path)
	}
	var err error
	switch {
	case st.Send != nil:
		return st.Send.validate(path + ".send")
	case st.Wait != nil:
		return st.Wait.validate(path + ".wait")
	case st.Branch != nil:
		return validBranch(path+".branch", st.Branch)
	case st.Split != nil:
		return validSplit(path+".split", st.Split)
	case st.Repeat != nil:
		return st.Repeat.validate(path + ".repeat")
	case st.Start != "" && (!validFlowID(st.Start) || st.Start == flow):
		return fmt.Errorf("%s.start %q: want the id of another Flow", path, st.Start)
	case st.Stop != "" && (!validFlowID(st.Stop) || st.Stop == flow):
		return fmt.Errorf("%s.stop %q: want the id of another Flow; end ends this one", path, st.Stop)
	case st.Set != nil:
		if err = st.Set.validate(); err != nil {
			err = fmt.Errorf("%s.set%w", path, err)
		}
	case st.Webhook != nil:
		if err = st.Webhook.validate(); err != nil {
			err = fmt.Errorf("%s.webhook.%w", path, err)
		}
	case st.Notify != nil:
		if err = st.Notify.validate(); err != nil {
			err = fmt.Errorf("%s.notify%w", path, err)
		}
	case st.Handover != nil:
		if err = st.Handover.validate(); err != nil {
			err = fmt.Errorf("%s.handover.%w", path, err)
		}
	}
	return err
}

func (s *Send) validate(path string) error {
	if err := s.Message.Validate(); err != nil {
		return fmt.Errorf("%s.%w", path, err)
	}
	if s.Sender != "" && !sender.ValidID(s.Sender) {
		return fmt.Errorf("%s.sender %q: want the id of a Sender; absent it is the flow's", path, s.Sender)
	}
	if len(s.Otherwise) > maxOtherwise {
		return fmt.Errorf("%s.otherwise: %d: want at most %d", path, len(s.Otherwise), maxOtherwise)
	}
	for i := range s.Otherwise {
		o, at := &s.Otherwise[i], nth(path+".otherwise", i)
		if len(o.Otherwise) > 0 {
			return fmt.Errorf("%s.otherwise: what is sent otherwise has none of its own; list them one behind the other in %s.otherwise", at, path)
		}
		if err := o.validate(at); err != nil {
			return err
		}
	}
	return validExpiry(path+".expires_after", s.Expires)
}

func (w *Wait) validate(path string) error {
	if count(w.For != "", w.Until != "", w.Date != nil, len(w.Events) > 0) != 1 {
		return fmt.Errorf("%s: want one of for, until, date and events", path)
	}
	if len(w.Events) == 0 && (w.Where != "" || w.Timeout != "" || len(w.Then) > 0 || len(w.Else) > 0) {
		return fmt.Errorf("%s: where, timeout, then and else go with events", path)
	}
	switch {
	case w.For != "":
		if err := ofYear(w.For); err != nil {
			return fmt.Errorf("%s.for %w", path, err)
		}
	case w.Until != "":
		if _, err := clockTime(w.Until); err != nil {
			return fmt.Errorf("%s.until %w", path, err)
		}
	case w.Date != nil:
		return w.Date.validate(path + ".date")
	case w.Timeout == "":
		return fmt.Errorf("%s.timeout is missing: how long events are waited for, such as 3d", path)
	default:
		if err := ofYear(w.Timeout); err != nil {
			return fmt.Errorf("%s.timeout %w", path, err)
		}
	}
	if err := eventTypes(path+".events", w.Events); err != nil {
		return err
	}
	return bounded(path+".where", w.Where)
}

func validBranch(path string, cases []Case) error {
	if len(cases) > maxList {
		return fmt.Errorf("%s: %d: want at most %d", path, len(cases), maxList)
	}
	for i, c := range cases {
		if c.When == "" && i < len(cases)-1 {
			return fmt.Errorf("%s.when is missing: only the last case goes without, and is taken where none before it holds", nth(path, i))
		}
		if err := bounded(nth(path, i)+".when", c.When); err != nil {
			return err
		}
	}
	return nil
}

func validSplit(path string, parts []Part) error {
	if len(parts) < 2 || len(parts) > maxList {
		return fmt.Errorf("%s: %d: want 2 to %d parts", path, len(parts), maxList)
	}
	for i, p := range parts {
		if p.Weight < 1 || p.Weight > maxWeight {
			return fmt.Errorf("%s.weight %d: want 1 to 10,000", nth(path, i), p.Weight)
		}
	}
	return nil
}

func (r *Repeat) validate(path string) error {
	switch {
	case r.AtMost < 1 || r.AtMost > maxTimes:
		return fmt.Errorf("%s.at_most %d: want 1 to %d: every loop has a bound", path, r.AtMost, maxTimes)
	case len(r.Do) == 0:
		return fmt.Errorf("%s.do is missing: want at least one step", path)
	}
	return bounded(path+".while", r.While)
}

// validate returns an error that goes on from the path of set. The bounds are
// those of a change that comes from anywhere else.
func (s *Set) validate() error {
	if len(s.Labels)+len(s.Attributes) == 0 {
		return errors.New(": want labels, attributes or both")
	}
	c := contact.Change{Labels: s.Labels, Attributes: map[string]*string{}}
	for name := range s.Attributes {
		c.Attributes[name] = nil
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf(".%w", err)
	}
	for name, e := range ordered(s.Attributes) {
		if e == "" {
			return fmt.Errorf(".attributes.%s is empty: want an expression; null in quotation marks unsets it", name)
		}
		if err := bounded(".attributes."+name, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *Webhook) validate() error {
	if !sender.ValidID(w.Endpoint) {
		return fmt.Errorf("endpoint %q: want the id of an Endpoint", w.Endpoint)
	}
	if len(w.Data) > maxData {
		return fmt.Errorf("data: %d: want at most %d", len(w.Data), maxData)
	}
	for name, e := range ordered(w.Data) {
		if name == "" || e == "" {
			return fmt.Errorf("data.%s is empty: want an expression, such as event.data.total", name)
		}
		if err := bounded("data."+name, e); err != nil {
			return err
		}
	}
	return nil
}

// validate returns an error that goes on from the path of the notice.
func (n *Notify) validate() error {
	switch {
	case (n.Endpoint == "") == (n.Sender == ""):
		return errors.New(": want one of sender (with to and text) and endpoint")
	case n.Endpoint != "" && !sender.ValidID(n.Endpoint):
		return fmt.Errorf(".endpoint %q: want the id of an Endpoint", n.Endpoint)
	case n.Endpoint != "" && len(n.To) > 0:
		return errors.New(".to: it goes with sender")
	case n.Sender != "" && !sender.ValidID(n.Sender):
		return fmt.Errorf(".sender %q: want the id of a Sender", n.Sender)
	case n.Sender != "" && (len(n.To) == 0 || len(n.To) > maxTold):
		return fmt.Errorf(".to: %d: want 1 to %d ids of contacts, such as numbers", len(n.To), maxTold)
	case n.Sender != "" && n.Text == "":
		return errors.New(".text is empty")
	}
	for i, id := range n.To {
		if id == "" || len(id) > contact.MaxName || strings.TrimSpace(id) != id || slices.Contains(n.To[:i], id) {
			return fmt.Errorf("%s: want the id of a contact of the sender, each once", nth(".to", i))
		}
	}
	if n.Text == "" {
		return nil
	}
	if err := (message.Message{Text: n.Text}).Validate(); err != nil {
		return fmt.Errorf(".%w", err)
	}
	return nil
}

func (h *Handover) validate() error {
	if h.Label != "" {
		c := contact.Change{Labels: map[string]bool{h.Label: true}}
		if c.Validate() != nil {
			return fmt.Errorf("label %q: want 1 to %d bytes in one line, without ';' or spaces around it", h.Label, contact.MaxName)
		}
	}
	if h.Tell == nil {
		return nil
	}
	if err := h.Tell.validate(); err != nil {
		return fmt.Errorf("tell%w", err)
	}
	return nil
}

// ordered yields a map by its sorted keys, so that a document has one error
// whenever it is looked at.
func ordered[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
