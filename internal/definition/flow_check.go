package definition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// FlowCheck is a flow with what it names.
type FlowCheck struct {
	Spec     *flow.Spec
	Senders  []*sender.Spec // that it may send from where a step names none; with sender auto all that are known
	Messages []FlowMessage
}

// FlowMessage is one message of a flow as each sender that it may leave from
// would send it.
type FlowMessage struct {
	Path  string // in the document, such as steps[0].send
	Any   bool   // it leaves from one of them, as the contact wrote; else from each
	From  []*sender.Spec
	Words []*message.Wording // by the place in From
}

// checkFlowAlone looks at a document by itself.
func checkFlowAlone(n *flow.Spec) error {
	if err := n.Validate(); err != nil {
		return err
	}
	if _, err := flow.Compile(n, 1); err != nil {
		return fmt.Errorf("flow %s: %w", n.ID, placed(n, err))
	}
	return nil
}

// placed is an error that begins with the id of a step as one that begins
// with its path in the document.
func placed(n *flow.Spec, err error) error {
	id, rest, _ := strings.Cut(err.Error(), ".")
	if path := n.PathOf(id); path != "" {
		return errors.New(path + "." + rest)
	}
	return err
}

// checkFlow looks at a flow beside everything that is defined, and the file.
func (s *Store) checkFlow(ctx context.Context, n *flow.Spec, here beside, check Check) ([]string, error) {
	l := lookup{s, here, check}
	if !check.seesFlow(n) && n.Sender == flow.Auto {
		return nil, fmt.Errorf("flow %s: sender auto: that is every sender, and this token is for some alone", n.ID)
	}
	for _, name := range n.Names() {
		if err := l.name(ctx, name); err != nil {
			return nil, fmt.Errorf("flow %s: %s %w", n.ID, name.Path, err)
		}
	}
	if err := l.circle(ctx, n); err != nil {
		return nil, fmt.Errorf("flow %s: %w", n.ID, err)
	}
	if err := l.conflict(ctx, n); err != nil {
		return nil, fmt.Errorf("flow %s: %w", n.ID, err)
	}
	f := &FlowCheck{Spec: n}
	var err error
	if f.Senders, err = l.senders(ctx, n); err != nil {
		return nil, fmt.Errorf("flow %s: %w", n.ID, err)
	}
	for _, said := range n.Said() {
		m, err := l.message(ctx, n, f.Senders, said)
		if err != nil {
			return nil, fmt.Errorf("flow %s: %w", n.ID, err)
		}
		f.Messages = append(f.Messages, m)
	}
	if check.Flow == nil {
		return nil, nil
	}
	return check.Flow(f)
}

// lookup finds what a flow names, in the file first.
type lookup struct {
	s     *Store
	here  beside
	check Check
}

func (l lookup) name(ctx context.Context, n flow.Name) (err error) {
	switch n.Kind {
	case "Sender":
		_, err = l.sender(ctx, n.ID)
	case "Endpoint":
		err = l.endpoint(ctx, n.ID)
	default:
		_, err = l.flow(ctx, n.ID)
	}
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%s: that %s is not defined; apply its document first", n.ID, n.Kind)
	}
	return err
}

func (l lookup) sender(ctx context.Context, id string) (*sender.Spec, error) {
	if s := l.here.senders[id]; s != nil && l.check.sees(id) {
		return s, nil
	}
	return l.s.seen(ctx, id, l.check)
}

func (l lookup) endpoint(ctx context.Context, id string) error {
	e := l.here.endpoints[id]
	if e == nil {
		var err error
		if e, _, err = l.s.Endpoint(ctx, id); err != nil {
			return err
		}
	}
	if !l.seesEndpoint(e) {
		return ErrNotFound
	}
	return nil
}

// seesEndpoint tells whether all that an endpoint is told of is the caller's.
func (l lookup) seesEndpoint(e *endpoint.Spec) bool {
	if len(e.Events.Senders) == 0 {
		return l.check.sees("")
	}
	return !slices.ContainsFunc(e.Events.Senders, func(id string) bool { return !l.check.sees(id) })
}

func (l lookup) flow(ctx context.Context, id string) (*flow.Spec, error) {
	if f := l.here.flows[id]; f != nil {
		return f, nil
	}
	f, err := l.s.liveFlow(ctx, id)
	if err == nil && !l.check.seesFlow(f) {
		err = ErrNotFound
	}
	return f, err
}

// circle refuses flows that start one another: nothing would bound them.
func (l lookup) circle(ctx context.Context, n *flow.Spec) error {
	seen, next := map[string]string{}, []*flow.Spec{n} // by whom each is started
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		for _, id := range at.Starts() {
			if id == n.ID {
				return fmt.Errorf("start: %s starts this flow again, which would have no end; leave that out", at.ID)
			}
			if _, have := seen[id]; have {
				continue
			}
			seen[id] = at.ID
			f, err := l.flow(ctx, id)
			if errors.Is(err, ErrNotFound) { // out of reach, or deleted meanwhile
				continue
			}
			if err != nil {
				return err
			}
			next = append(next, f)
		}
	}
	return nil
}

// conflict refuses a keyword that another flow answers.
func (l lookup) conflict(ctx context.Context, n *flow.Spec) error {
	if n.Trigger.Keywords == nil {
		return nil
	}
	ids, err := l.s.Flows(ctx)
	if err != nil {
		return err
	}
	for id := range l.here.flows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		other := l.here.flows[id]
		if other == nil {
			other, err = l.s.liveFlow(ctx, id)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
		}
		if word := flow.Conflict(n, other); word != "" && id != n.ID {
			return fmt.Errorf("trigger.keywords: flow %s answers %q too; take it out of one of them", l.named(other), word)
		}
	}
	return nil
}

// named is a flow's id, for those who may know it.
func (l lookup) named(f *flow.Spec) string {
	if !l.check.seesFlow(f) {
		return "of somebody else"
	}
	return f.ID
}

// senders are those that a flow may send from where a step names none.
func (l lookup) senders(ctx context.Context, n *flow.Spec) ([]*sender.Spec, error) {
	ids := []string{n.Sender}
	switch n.Sender {
	case flow.RecordOwner:
		ids = nil
		for _, id := range n.Owners {
			ids = append(ids, id)
		}
	case flow.Auto:
		var err error
		if ids, err = l.s.Senders(ctx); err != nil {
			return nil, err
		}
		for id := range l.here.senders {
			ids = append(ids, id)
		}
		if len(n.Also) > 0 && len(n.Trigger.Events) > 0 { // nobody else is known to be the contact
			ids = nil
			for id := range n.Also {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	var out []*sender.Spec
	for _, id := range slices.Compact(ids) {
		from, err := l.sender(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, from)
	}
	if len(out) == 0 {
		return nil, errors.New("sender auto: no Sender is defined; apply one first")
	}
	return out, nil
}

// message reads a message as its senders would send it.
func (l lookup) message(ctx context.Context, n *flow.Spec, all []*sender.Spec, said flow.Said) (FlowMessage, error) {
	m := FlowMessage{Path: said.Path, From: all, Any: n.Sender == flow.Auto && said.Sender == ""}
	author := message.Author{Origin: "flow", FlowType: n.Type}
	if said.Sender != "" {
		from, err := l.sender(ctx, said.Sender)
		if err != nil {
			return m, fmt.Errorf("%s.sender: %w", said.Path, err)
		}
		m.From = []*sender.Spec{from}
	} else if n.Sender == flow.Auto || n.Sender == flow.RecordOwner {
		author.SenderChoice = n.Sender
	}
	t, err := l.template(ctx, said.Message.Template)
	if err != nil {
		return m, fmt.Errorf("%s.template %w", said.Path, err)
	}
	var from []*sender.Spec
	for _, s := range m.From {
		if t != nil && t.Sender != "" && t.Sender != s.ID {
			if m.Any {
				continue
			}
			return m, fmt.Errorf("%s.template %s: it is a template of sender %s, and this leaves from %s", said.Path, t.ID, t.Sender, s.ID)
		}
		w, err := message.NewWording(author, said.Message, t)
		if err != nil {
			return m, fmt.Errorf("%s.%w", said.Path, err)
		}
		from, m.Words = append(from, s), append(m.Words, w)
	}
	if m.From = from; len(from) == 0 {
		return m, fmt.Errorf("%s.template %s: it is a template of sender %s, from which this never leaves", said.Path, t.ID, t.Sender)
	}
	return m, nil
}

// template returns the one that a message names, nil where it names none.
func (l lookup) template(ctx context.Context, id string) (*content.Template, error) {
	if id == "" {
		return nil, nil
	}
	t := l.here.templates[id]
	if t == nil {
		var err error
		if t, _, err = l.s.Template(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	if t == nil || t.Sender != "" && !l.check.sees(t.Sender) {
		return nil, fmt.Errorf("%s is not defined; apply its Template document first", id)
	}
	return t, nil
}
