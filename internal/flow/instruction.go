package flow

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/internal/expression"
	"github.com/carillon-dev/carillon/internal/message"
)

// kind is what an instruction does.
type kind uint8

const (
	sending kind = iota
	pausing      // for a time, or until one
	hearing
	branching
	splitting
	repeating
	setting
	calling
	starting
	stopping
	notifying
	handing // ends the run as handed over
	closing // ends it as done
)

// done is where a line ends.
const done = -1

// instruction is a step as it is carried out. Fields count as its kind needs.
type instruction struct {
	kind  kind
	step  string // id of the step that it is of
	next  int    // what follows, done at the end of a line
	depth int    // how many loops it is in

	sends   []Send // of a message and what is sent otherwise; of a notice one for each who gets it
	expires []time.Duration
	people  []string // who gets a notice

	length time.Duration  // of a wait; the timeout of one for an event, 0: none
	until  *time.Duration // time of day
	date   *date
	events []string
	where  *expression.Expression // of events, and while of a loop
	then   int                    // when an event came; the first step of a loop
	other  int                    // when none came
	ways   []way
	most   int // rounds of a loop

	labels   map[string]bool
	values   map[string]*expression.Expression // attributes, or data of a call
	endpoint string
	text     *message.Wording // that an endpoint is told
	flow     string
}

// way is one case of a branch, or one part of a split.
type way struct {
	when   *expression.Expression // nil: otherwise
	weight int
	at     int
}

// step compiles one step at a place, and the steps in it behind it.
func (c *compiler) step(s *Step, at, next, depth int) {
	id := c.ids[s]
	c.p.code = append(c.p.code, instruction{})
	in := instruction{step: id, next: next, depth: depth}
	switch {
	case s.Send != nil:
		in.kind = sending
		c.sends(&in, s.Send)
	case s.Wait != nil:
		c.wait(&in, s.Wait)
	case s.Branch != nil:
		in.kind = branching
		for i := range s.Branch {
			w := &s.Branch[i]
			in.ways = append(in.ways, way{when: c.condition(fmt.Sprintf("%s.branch[%d].when", id, i), w.When), at: c.block(w.Do, next, depth)})
		}
	case s.Split != nil:
		in.kind = splitting
		for i := range s.Split {
			in.ways = append(in.ways, way{weight: s.Split[i].Weight, at: c.block(s.Split[i].Do, next, depth)})
		}
	case s.Repeat != nil:
		in.kind, in.depth, in.most = repeating, depth+1, s.Repeat.AtMost
		in.where = c.condition(id+".repeat.while", s.Repeat.While)
		in.then = c.block(s.Repeat.Do, at, depth+1)
	case s.Set != nil:
		in.kind, in.labels = setting, s.Set.Labels
		in.values = c.expressions(id+".set.attributes", s.Set.Attributes, valueTypes()...)
	case s.Webhook != nil:
		in.kind, in.endpoint = calling, s.Webhook.Endpoint
		in.values = c.expressions(id+".webhook.data", s.Webhook.Data, anyType()...)
	case s.Start != "":
		in.kind, in.flow = starting, s.Start
	case s.Stop != "":
		in.kind, in.flow = stopping, s.Stop
	case s.Notify != nil:
		c.notify(&in, s.Notify)
	case s.Handover != nil:
		c.handover(&in, s.Handover, at)
	default:
		in.kind = closing
	}
	c.p.code[at] = in
}

// sends compiles a message and what is sent otherwise.
func (c *compiler) sends(in *instruction, s *Send) {
	in.sends = append([]Send{*s}, s.Otherwise...)
	for i := range in.sends {
		d := c.duration(in.step+".expires_after", in.sends[i].Expires)
		if d == 0 {
			d = c.p.expires
		}
		in.expires = append(in.expires, d)
	}
}

func (c *compiler) wait(in *instruction, s *Wait) {
	at := in.step + ".wait"
	in.kind = pausing
	switch {
	case len(s.Events) > 0:
		in.kind, in.events = hearing, s.Events
		in.where, in.length = c.condition(at+".where", s.Where), c.duration(at+".timeout", s.Timeout)
		in.then = c.block(s.Then, in.next, in.depth)
		in.other = c.block(s.Else, in.next, in.depth)
	case s.Until != "":
		clock, err := clockTime(s.Until)
		if err != nil {
			c.fail(at+".until", err)
		}
		in.until = &clock
	case s.Date != nil:
		in.date = c.date(at+".date", s.Date)
	default:
		in.length = c.duration(at+".for", s.For)
	}
}

// notify compiles a notice: a message for each who gets it, as a team's people
// are contacts of a sender too.
func (c *compiler) notify(in *instruction, s *Notify) {
	in.kind, in.endpoint = notifying, s.Endpoint
	in.people = s.To
	for range s.To {
		in.sends = append(in.sends, Send{Message: message.Message{Text: s.Text}, Sender: s.Sender})
		in.expires = append(in.expires, c.p.expires)
	}
	if s.Endpoint == "" || c.err != nil {
		return
	}
	var err error
	if in.text, err = message.NewWording(c.p.author(""), message.Message{Text: s.Text}, nil); err != nil {
		c.fail(in.step+".notify.text", err)
	}
}

// handover compiles the label, what a team is told, and the end, which are
// three instructions of one step.
func (c *compiler) handover(in *instruction, s *Handover, at int) {
	label := s.Label
	if label == "" {
		label = "handover"
	}
	in.kind, in.labels, in.next = setting, map[string]bool{label: true}, at+1
	if s.Tell != nil {
		told := instruction{step: in.step, next: at + 2, depth: in.depth}
		c.notify(&told, s.Tell)
		c.p.code = append(c.p.code, told)
	}
	c.p.code = append(c.p.code, instruction{kind: handing, step: in.step, next: done, depth: in.depth})
}

// author is who sends the flow's messages, as the rules ask.
func (p *Program) author(choice string) message.Author {
	return message.Author{Origin: "flow", FlowType: p.Spec.Type, SenderChoice: choice}
}

// Message returns what is sent at a place: a message, or a notice.
func (p *Program) Message(at Place) (*Send, error) {
	if at.Version != p.Version || at.At < 0 || at.At >= len(p.code) || at.Try < 0 || at.Try >= len(p.code[at.At].sends) {
		return nil, fmt.Errorf("flow %s version %d has no message at %s", p.Spec.ID, p.Version, at)
	}
	return &p.code[at.At].sends[at.Try], nil
}

// Notice tells whether what is sent at a place is a notice to one's own people:
// its text is about the run's contact, not about who gets it.
func (p *Program) Notice(at Place) bool {
	return at.At >= 0 && at.At < len(p.code) && p.code[at.At].kind == notifying
}

// Step returns the id of the step at a place, "" where there is none.
func (p *Program) Step(at int) string {
	if at < 0 || at >= len(p.code) {
		return ""
	}
	return p.code[at].step
}

// visitOf names what an instruction asks for at its newest visit.
func (x *turn) visitOf(at, try int) Place {
	return Place{Version: x.r.Version, At: at, Visit: x.r.Visits[at], Try: try}
}

// name tells in words what a kind of instruction did, as paths show it.
func (k kind) name() string {
	return [...]string{"send", "wait", "wait", "branch", "split", "repeat", "set", "webhook", "start", "stop", "notify", "handover", "end"}[k]
}
