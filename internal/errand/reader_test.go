package errand_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// shelf is what a reader reads.
type shelf struct {
	runs      map[flow.ID]flow.Run
	programs  map[int]*flow.Program // by version
	templates map[string]*content.Template
	about     contact.Record
	err       error // of everything
	asked     int   // for programs
}

func (s *shelf) Get(_ context.Context, id flow.ID) (flow.Run, uint64, bool, error) {
	r, ok := s.runs[id]
	return r, 1, ok, s.err
}

func (s *shelf) Program(_ context.Context, _ string, version int) (*flow.Program, error) {
	s.asked++
	if p := s.programs[version]; p != nil {
		return p, nil
	}
	return nil, definition.ErrNotFound
}

func (s *shelf) Template(_ context.Context, id string) (*content.Template, uint64, error) {
	if t := s.templates[id]; t != nil {
		return t, 1, nil
	}
	return nil, 0, definition.ErrNotFound
}

func (s *shelf) Contact(context.Context, string, job.Key) (contact.Record, bool, error) {
	return s.about, true, s.err
}

// order is a flow of a text with a template instead, and of a notice.
func order(t *testing.T) *flow.Program {
	t.Helper()
	s := &flow.Spec{ID: "order", Type: flow.Automation, Sender: "bakery", Trigger: flow.Trigger{Events: []string{"order.shipped"}}, Steps: []flow.Step{
		{ID: "told", Send: &flow.Send{
			Message:   message.Message{Text: "Hello {{.name}}, {{.event.order_id}} is on its way", Promotional: true},
			Otherwise: []flow.Send{{Message: message.Message{Template: "shipped"}, Sender: "florist"}},
		}},
		{ID: "team", Notify: &flow.Notify{Sender: "florist", To: []string{"+4799"}, Text: "{{.name}} ordered {{.event.order_id}}"}},
	}}
	p, err := flow.Compile(s, 2)
	rig.Must(t, err)
	return p
}

// place finds where in a program a step's message is.
func place(t *testing.T, p *flow.Program, step string, try int) flow.Place {
	t.Helper()
	for at := range 20 {
		where := flow.Place{Version: p.Version, At: at, Visit: 1, Try: try}
		if _, err := p.Message(where); err == nil && p.Step(at) == step {
			return where
		}
	}
	t.Fatalf("step %s sends nothing", step)
	return flow.Place{}
}

func library(t *testing.T) (*shelf, flow.ID) {
	t.Helper()
	id := flow.ID{Flow: "order", Contact: job.Key{7}, Slot: flow.SlotOf("x")}
	return &shelf{
		runs: map[flow.ID]flow.Run{id: {
			Version: 2, Choice: flow.Auto, Event: []byte(`{"type":"order.shipped","data":{"order_id":"A-1"}}`),
			Identities: []flow.Identity{{Sender: "bakery", Person: "4711"}},
		}},
		programs:  map[int]*flow.Program{2: order(t)},
		templates: map[string]*content.Template{"shipped": {ID: "shipped", Text: "{{.event.order_id}} left"}},
		about:     contact.Record{Name: "Anna"},
	}, id
}

func TestReaderPlans(t *testing.T) {
	t.Parallel()
	lib, id := library(t)
	r := errand.NewReader(lib, lib, lib, lib)
	p := lib.programs[2]
	for _, c := range []struct {
		step   string
		try    int
		sender string
		text   string
		says   policy.Message
	}{
		{"told", 0, "bakery", "Hello Bo, A-1 is on its way", policy.Message{Origin: "flow", FlowType: "automation", SenderChoice: "auto", Promotional: true}},
		{"told", 1, "florist", "A-1 left", policy.Message{Origin: "flow", FlowType: "automation", HasTemplate: true}},
		{"team", 0, "florist", "Anna ordered A-1", policy.Message{Origin: "flow", FlowType: "automation"}},
	} {
		src := job.Source{Month: month, Sender: c.sender, Name: id.Source(place(t, p, c.step, c.try))}
		for range 2 {
			plan, err := r.Plan(t.Context(), src)
			rig.Must(t, err)
			out, err := plan.Says.Render(contact.Record{Name: "Bo"})
			if err != nil || out.Text != c.text {
				t.Errorf("%s %d says %q, %v", c.step, c.try, out.Text, err)
			}
			got := plan.Says.Policy()
			got.Template = policy.Template{}
			if got.Origin != c.says.Origin || got.FlowType != c.says.FlowType || got.SenderChoice != c.says.SenderChoice || got.Promotional != c.says.Promotional || got.HasTemplate != c.says.HasTemplate {
				t.Errorf("%s %d is judged as %+v", c.step, c.try, got)
			}
		}
	}
	if lib.asked != 3 {
		t.Errorf("a version was read %d times for 3 messages", lib.asked)
	}
}

// TestReaderHasNoEvent asserts that a field of an event that is not there is
// missing, as any other.
func TestReaderHasNoEvent(t *testing.T) {
	t.Parallel()
	lib, id := library(t)
	run := lib.runs[id]
	run.Event = []byte(`{"type":"order.shipped"}`)
	lib.runs[id] = run
	plan, err := errand.NewReader(lib, lib, lib, lib).Plan(t.Context(), job.Source{Month: month, Sender: "bakery", Name: id.Source(place(t, lib.programs[2], "told", 0))})
	rig.Must(t, err)
	if out, err := plan.Says.Render(contact.Record{Name: "Bo"}); err == nil {
		t.Errorf("it says %q", out.Text)
	}
}

// TestReaderLoses asserts what nobody will ever know, and what is only not
// known now.
func TestReaderLoses(t *testing.T) {
	t.Parallel()
	lib, id := library(t)
	p := lib.programs[2]
	told := place(t, p, "told", 0)
	unread, other, gone := id, id, told
	unread.Slot, other.Slot, gone.Version = flow.SlotOf("unread"), flow.SlotOf("other"), 1
	lib.runs[unread] = flow.Run{Event: []byte("{")}
	nowhere := told
	nowhere.At = 999
	for _, c := range []struct {
		name, source, sender string
		want                 reason.Code
	}{
		{"no source of a flow", "order~run~1-2", "bakery", reason.Internal},
		{"a run that is gone", other.Source(told), "bakery", reason.Internal},
		{"a run that can't be read", unread.Source(told), "bakery", reason.Internal},
		{"a version that is gone", id.Source(gone), "bakery", reason.Internal},
		{"a place without a message", id.Source(nowhere), "bakery", reason.Internal},
	} {
		_, err := errand.NewReader(lib, lib, lib, lib).Plan(t.Context(), job.Source{Month: month, Sender: c.sender, Name: c.source})
		lost, ok := errors.AsType[*errand.Lost](err)
		if !ok || lost.Reason != c.want || lost.Why == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	lib.err = errors.New("no answer")
	_, err := errand.NewReader(lib, lib, lib, lib).Plan(t.Context(), job.Source{Sender: "bakery", Name: id.Source(told)})
	if _, lost := errors.AsType[*errand.Lost](err); lost || err == nil {
		t.Errorf("without an answer: %v", err)
	}
}

// TestReaderHasNoTemplate asserts that a message whose template is not there
// for its sender has no content, which no rule allows to go.
func TestReaderHasNoTemplate(t *testing.T) {
	t.Parallel()
	for name, has := range map[string]*content.Template{"none": nil, "another sender's": {ID: "shipped", Sender: "bakery", Text: "x"}} {
		lib, id := library(t)
		lib.templates["shipped"] = has
		plan, err := errand.NewReader(lib, lib, lib, lib).Plan(t.Context(), job.Source{Sender: "florist", Name: id.Source(place(t, lib.programs[2], "told", 1))})
		rig.Must(t, err)
		s := &sender.Spec{ID: "florist", Channel: "messenger"}
		d := gate.NewRules(policy.Default()).Forecast(contact.Record{LastInbound: time.Now()}, plan, s, time.Now())
		if d.Do != gate.Block {
			t.Errorf("%s: %+v", name, d)
		}
		rig.Reason(t, d.Verdict.Reason, reason.TemplateInvalid)
	}
}
