package definition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/mapping"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Applied is what became of one document.
type Applied struct {
	Kind     string
	ID       string
	Action   string   // created, updated, unchanged
	Version  int      // of a flow
	Impact   []string // of a flow: what becomes of the runs that are under way
	Warnings []string // advice that is no refusal
}

// Check looks at documents before they are stored: an error refuses one,
// warnings don't. What is nil looks at nothing.
type Check struct {
	Sees      func(sender string) bool // whether whoever applies may know of a sender, or of all (""); nil: of all
	Sender    func(s *sender.Spec) error
	Hook      func(h *hook.Spec) error
	Broadcast func(p *Planned, s *sender.Spec) (warnings []string, err error)
	Flow      func(f *FlowCheck) (warnings []string, err error)
	Impact    func(ctx context.Context, old *flow.Flow, n *flow.Spec) ([]string, error) // of a flow's new version
}

func (c Check) sees(sender string) bool { return c.Sees == nil || c.Sees(sender) }

// change is one document with what storing it takes.
type change struct {
	Applied
	store func(context.Context, *Applied) error // nil: nothing to do
}

// Apply creates or updates what the documents of one file define. All of them
// are checked before the first is stored; its errors are *Error where a
// document is at fault.
func (s *Store) Apply(ctx context.Context, file string, docs []Document, check Check) ([]Applied, error) {
	changes, err := s.changes(ctx, file, docs, check)
	if err != nil {
		return nil, err
	}
	out := make([]Applied, 0, len(docs))
	for i, c := range changes {
		if c.store != nil {
			if err := c.store(ctx, &c.Applied); err != nil {
				return out, &Error{File: file, Line: docs[i].Line, Err: err}
			}
		}
		out = append(out, c.Applied)
	}
	return out, nil
}

// Try is Apply without storing anything: it says what Apply would do.
func (s *Store) Try(ctx context.Context, file string, docs []Document, check Check) ([]Applied, error) {
	changes, err := s.changes(ctx, file, docs, check)
	if err != nil {
		return nil, err
	}
	out := make([]Applied, len(changes))
	for i, c := range changes {
		out[i] = c.Applied
	}
	return out, nil
}

// changes checks all documents of a file.
func (s *Store) changes(ctx context.Context, file string, docs []Document, check Check) ([]change, error) {
	here := newBeside(docs)
	changes := make([]change, len(docs))
	for i, d := range docs {
		var err error
		switch {
		case d.Sender != nil:
			changes[i], err = s.changeSender(ctx, d.Sender, check)
		case d.Hook != nil:
			changes[i], err = s.changeHook(ctx, d.Hook, here.senders, check)
		case d.Endpoint != nil:
			changes[i], err = s.changeEndpoint(ctx, d.Endpoint)
		case d.Template != nil:
			changes[i], err = s.changeTemplate(ctx, d.Template, check)
		case d.Flow != nil:
			changes[i], err = s.changeFlow(ctx, d.Flow, here, check)
		default:
			changes[i], err = s.changeBroadcast(ctx, d.Broadcast, here, check)
		}
		if err != nil {
			return nil, &Error{File: file, Line: d.lineOf(err), Err: err}
		}
	}
	return changes, nil
}

// beside is what the same file defines, which a broadcast or a flow may name
// before it is stored.
type beside struct {
	senders   map[string]*sender.Spec
	templates map[string]*content.Template
	endpoints map[string]*endpoint.Spec
	flows     map[string]*flow.Spec
}

func newBeside(docs []Document) beside {
	b := beside{map[string]*sender.Spec{}, map[string]*content.Template{}, map[string]*endpoint.Spec{}, map[string]*flow.Spec{}}
	for _, d := range docs {
		switch {
		case d.Sender != nil:
			b.senders[d.Sender.ID] = d.Sender
		case d.Template != nil:
			b.templates[d.Template.ID] = d.Template
		case d.Endpoint != nil:
			b.endpoints[d.Endpoint.ID] = d.Endpoint
		case d.Flow != nil:
			b.flows[d.Flow.ID] = d.Flow
		}
	}
	return b
}

func (s *Store) checkBroadcast(ctx context.Context, b *broadcast.Spec, here beside, check Check) ([]string, error) {
	from := here.senders[b.Sender]
	if _, err := plan.NewSelector(b.Audience); err != nil {
		return nil, fmt.Errorf("broadcast %s: %w", b.ID, err)
	}
	if from == nil || !check.sees(b.Sender) {
		var err error
		if from, err = s.seen(ctx, b.Sender, check); err != nil {
			if errors.Is(err, ErrNotFound) {
				return nil, fmt.Errorf("broadcast %s: sender %s is not defined; apply its Sender document first", b.ID, b.Sender)
			}
			return nil, err
		}
	}
	p, err := s.planned(ctx, b, here.templates[b.Message.Template])
	if err != nil || check.Broadcast == nil {
		return nil, err
	}
	return check.Broadcast(p, from)
}

// planned is Plan for a broadcast whose template may stand beside it.
func (s *Store) planned(ctx context.Context, b *broadcast.Spec, t *content.Template) (*Planned, error) {
	draft := &broadcast.Broadcast{Spec: *b}
	if t != nil && (t.Sender == "" || t.Sender == b.Sender) {
		return Plan(draft, t)
	}
	return s.Plan(ctx, draft)
}

// seen is Sender for whoever may not know of all.
func (s *Store) seen(ctx context.Context, id string, check Check) (*sender.Spec, error) {
	if !check.sees(id) {
		return nil, ErrNotFound
	}
	n, _, err := s.Sender(ctx, id)
	return n, err
}

func (s *Store) changeSender(ctx context.Context, n *sender.Spec, check Check) (change, error) {
	c := change{Applied: Applied{Kind: "Sender", ID: n.ID, Action: "created"}}
	if check.Sender != nil {
		if err := check.Sender(n); err != nil {
			return c, err
		}
	}
	old, rev, err := s.Sender(ctx, n.ID)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return c, err
	case same(old, n):
		c.Action = "unchanged"
		return c, nil
	case old.Channel != n.Channel || old.Account != n.Account:
		return c, fmt.Errorf("sender %s: channel and account can't change, since its contacts are known by them; give the other account its own id", n.ID)
	default:
		c.Action = "updated"
	}
	c.store = func(ctx context.Context, _ *Applied) error { _, err := s.PutSender(ctx, n, rev); return err }
	return c, nil
}

// checkHook refuses rules that don't compile, or that are about senders that
// nobody has defined.
func (s *Store) checkHook(ctx context.Context, n *hook.Spec, senders map[string]*sender.Spec) error {
	if _, err := mapping.Compile(n); err != nil {
		return fmt.Errorf("hook %s: %w", n.ID, err)
	}
	for _, id := range n.Senders() {
		if senders[id] != nil {
			continue
		}
		if _, _, err := s.Sender(ctx, id); errors.Is(err, ErrNotFound) {
			return fmt.Errorf("hook %s: map: sender %s is not defined; apply its Sender document first", n.ID, id)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) changeHook(ctx context.Context, n *hook.Spec, senders map[string]*sender.Spec, check Check) (change, error) {
	c := change{Applied: Applied{Kind: "Hook", ID: n.ID}}
	if err := s.checkHook(ctx, n, senders); err != nil {
		return c, err
	}
	if check.Hook != nil {
		if err := check.Hook(n); err != nil {
			return c, err
		}
	}
	old, rev, err := s.Hook(ctx, n.ID)
	if err == nil && old.Type != n.Type {
		return c, fmt.Errorf("hook %s: its type can't change, since its path would; give the other one its own id", n.ID)
	}
	return replace(c, old, n, err, func(ctx context.Context, _ *Applied) error { _, err := s.PutHook(ctx, n, rev); return err })
}

func (s *Store) changeEndpoint(ctx context.Context, n *endpoint.Spec) (change, error) {
	old, rev, err := s.Endpoint(ctx, n.ID)
	c := change{Applied: Applied{Kind: "Endpoint", ID: n.ID}}
	return replace(c, old, n, err, func(ctx context.Context, _ *Applied) error { _, err := s.PutEndpoint(ctx, n, rev); return err })
}

// replace is the change from an old definition, or the error of reading it, to
// a new one.
func replace[T any](c change, old, n *T, err error, store func(context.Context, *Applied) error) (change, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		c.Action = "created"
	case err != nil:
		return c, err
	case same(old, n):
		c.Action = "unchanged"
		return c, nil
	default:
		c.Action = "updated"
	}
	c.store = store
	return c, nil
}

// changeTemplate lets whoever may not know of all senders change only what is
// of theirs. What was launched keeps the template that it was launched with.
func (s *Store) changeTemplate(ctx context.Context, n *content.Template, check Check) (change, error) {
	c := change{Applied: Applied{Kind: "Template", ID: n.ID}}
	old, rev, err := s.Template(ctx, n.ID)
	if err == nil && !check.sees(old.Sender) {
		return c, fmt.Errorf("template %s: the id is taken; give it another", n.ID)
	}
	return replace(c, old, n, err, func(ctx context.Context, _ *Applied) error { _, err := s.PutTemplate(ctx, n, rev); return err })
}

func (s *Store) changeBroadcast(ctx context.Context, n *broadcast.Spec, here beside, check Check) (change, error) {
	c := change{Applied: Applied{Kind: "Broadcast", ID: n.ID, Action: "created"}}
	var err error
	if c.Warnings, err = s.checkBroadcast(ctx, n, here, check); err != nil {
		return c, err
	}
	old, rev, err := s.Broadcast(ctx, n.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		old = &broadcast.Broadcast{State: broadcast.Draft}
	case err != nil:
		return c, err
	case !check.sees(old.Spec.Sender):
		return c, fmt.Errorf("broadcast %s: the id is taken; give it another", n.ID)
	case same(&old.Spec, n):
		c.Action = "unchanged"
		return c, nil
	default:
		if _, err := broadcast.Next(old.State, broadcast.Replace); err != nil {
			return c, fmt.Errorf("broadcast %s is %s and can't change any more; give the changed one another id", n.ID, old.State)
		}
		c.Action = "updated"
	}
	old.Spec = *n
	old.Acknowledged = nil // what was acknowledged was another text
	c.store = func(ctx context.Context, _ *Applied) error { _, err := s.PutBroadcast(ctx, old, rev); return err }
	return c, nil
}

// same compares a definition that was read with a new one as it would be
// read, since on the way an empty list becomes none.
func same[T any](old, n *T) bool {
	var read T
	b, err := json.Marshal(n)
	return err == nil && json.Unmarshal(b, &read) == nil && reflect.DeepEqual(old, &read)
}
