package flow

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/carillon-dev/carillon/internal/expression"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Program is a flow's document as it is carried out. It is safe for concurrent
// use.
type Program struct {
	Spec    *Spec
	Version int

	code     []instruction // in document order; a Place names one by where it stands
	criteria []criterion
	begins   trigger
	goal     []ending // of Goal, at most one
	exits    []ending
	owner    *expression.Expression
	contact  *expression.Expression
	also     map[string]*expression.Expression
	key      *expression.Expression
	after    time.Duration
	coalesce time.Duration
	per      time.Duration // of Frequency
	expires  time.Duration
	quiet    policy.QuietHours
	paths    [][]string // that changed() asks about
	awaited  []string   // types of events that may move a run
}

// defaultExpiry is how long a message is worth sending where nobody says it.
const defaultExpiry = 24 * time.Hour

// criterion is one of Criteria: where its code begins.
type criterion struct {
	id    string
	when  *expression.Expression // nil: always
	lines []int                  // of its steps, and of each of its schedules
	next  bool                   // what follows is asked too where it held
}

// ending is what ends a run.
type ending struct {
	events []string // none: as soon as where holds
	where  *expression.Expression
}

// compiler compiles a document and keeps the first error.
type compiler struct {
	p   *Program
	env *cel.Env
	ids map[*Step]string
	err error

	compares bool // changed() may stand in what is compiled now
}

// Compile reads a document that Validate found good. What only the expressions
// in it can show is told in its error, which begins with the field.
func Compile(s *Spec, version int) (*Program, error) {
	c := &compiler{p: &Program{Spec: s, Version: version}, ids: map[*Step]string{}}
	for id, step := range s.AllSteps() {
		c.ids[step] = id
	}
	if c.env, c.err = c.environment(); c.err != nil {
		return nil, c.err
	}
	c.head()
	c.trigger()
	if len(s.Criteria) == 0 {
		c.p.criteria = []criterion{{lines: []int{c.line(s.Steps)}}}
	}
	for i := range s.Criteria {
		c.criterion(i)
	}
	if c.err != nil {
		return nil, c.err
	}
	for _, e := range slices.Concat(c.p.goal, c.p.exits) {
		c.p.awaited = append(c.p.awaited, e.events...)
	}
	for i := range c.p.code {
		c.p.awaited = append(c.p.awaited, c.p.code[i].events...)
	}
	return c.p, nil
}

// head compiles what stands before the steps.
func (c *compiler) head() {
	s, p := c.p.Spec, c.p
	p.owner = c.expression("owner", s.Owner, valueTypes()...)
	p.contact = c.expression("contact", s.Contact, cel.StringType, cel.IntType)
	p.also = c.expressions("also", s.Also, cel.StringType, cel.IntType)
	p.key = c.expression("reentry.key", s.Reentry.Key, valueTypes()...)
	p.after = c.duration("reentry.after", s.Reentry.After)
	p.coalesce = c.duration("coalesce", s.Coalesce)
	if p.expires = c.duration("expires_after", s.Expires); p.expires == 0 {
		p.expires = defaultExpiry
	}
	if s.Frequency != nil {
		p.per = c.duration("frequency.per", s.Frequency.Per)
	}
	if q := s.QuietHours; q != nil && s.Type != AutoReply {
		var err error
		if p.quiet, err = policy.ParseQuietHours(q.From, q.To); err != nil {
			c.fail("quiet_hours", err)
		}
	}
	if s.Goal != nil {
		p.goal = []ending{c.ending("goal", s.Goal)}
	}
	for i := range s.Exit {
		p.exits = append(p.exits, c.ending(fmt.Sprintf("exit[%d]", i), &s.Exit[i]))
	}
}

func (c *compiler) ending(at string, s *Condition) ending {
	return ending{s.Events, c.condition(at+".where", s.Where)}
}

func (c *compiler) criterion(i int) {
	s := &c.p.Spec.Criteria[i]
	id := s.ID
	if id == "" {
		id = "criteria-" + strconv.Itoa(i+1)
	}
	c.compares = true
	k := criterion{id: id, when: c.condition(fmt.Sprintf("criteria[%d].when", i), s.When), next: s.Then == "next"}
	c.compares = false
	if len(s.Do) > 0 {
		k.lines = append(k.lines, c.line(s.Do))
	}
	for j := range s.Schedule {
		k.lines = append(k.lines, c.schedule(fmt.Sprintf("%s-schedule-%d", id, j+1), &s.Schedule[j]))
	}
	c.p.criteria = append(c.p.criteria, k)
}

// schedule compiles a line that begins by waiting.
func (c *compiler) schedule(id string, s *Schedule) int {
	at := len(c.p.code)
	c.p.code = append(c.p.code, instruction{kind: pausing, step: id, next: at + 1, length: c.duration(id+".after", s.After), date: c.date(id+".date", s.Date)})
	if c.line(s.Do) < 0 {
		c.p.code[at].next = done
	}
	return at
}

// line compiles steps that nothing follows, and returns where they begin.
func (c *compiler) line(s []Step) int {
	if len(s) == 0 {
		return done
	}
	at := len(c.p.code)
	c.block(s, done, 0)
	return at
}

// block appends steps, the last of which leads to next, at a depth of loops.
// It returns where they begin: at next if there are none.
func (c *compiler) block(s []Step, next, depth int) int {
	if len(s) == 0 {
		return next
	}
	first := len(c.p.code)
	for i := range s {
		at := len(c.p.code)
		follow := next
		if i < len(s)-1 {
			follow = at + size(&s[i])
		}
		c.step(&s[i], at, follow, depth)
	}
	return first
}

// size is how many instructions a step takes with those in it.
func size(s *Step) int {
	n := 1
	if s.Handover != nil {
		n++
		if s.Handover.Tell != nil {
			n++
		}
	}
	for steps := range inside(s) {
		for i := range steps {
			n += size(&steps[i])
		}
	}
	return n
}

// inside goes over the lists of steps in a step.
func inside(s *Step) iter.Seq[[]Step] {
	return func(yield func([]Step) bool) {
		var lists [][]Step
		if s.Wait != nil {
			lists = append(lists, s.Wait.Then, s.Wait.Else)
		}
		for i := range s.Branch {
			lists = append(lists, s.Branch[i].Do)
		}
		for i := range s.Split {
			lists = append(lists, s.Split[i].Do)
		}
		if s.Repeat != nil {
			lists = append(lists, s.Repeat.Do)
		}
		for _, l := range lists {
			if !yield(l) {
				return
			}
		}
	}
}

func (c *compiler) fail(field string, err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w", field, err)
	}
}

// duration compiles a duration, 0 for none.
func (c *compiler) duration(field, s string) time.Duration {
	if s == "" {
		return 0
	}
	d, err := duration(s)
	if err != nil {
		c.fail(field, err)
	}
	return d
}

func (c *compiler) condition(field, s string) *expression.Expression {
	return c.expression(field, s, cel.BoolType)
}

func (c *compiler) expression(field, s string, want ...*cel.Type) *expression.Expression {
	if c.err != nil {
		return nil
	}
	x, err := expression.Compile(c.env, field, s, want...)
	if err != nil {
		c.err = err
	}
	return x
}

func (c *compiler) expressions(field string, s map[string]string, want ...*cel.Type) map[string]*expression.Expression {
	out := make(map[string]*expression.Expression, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out[name] = c.expression(field+"."+name, s[name], want...)
	}
	return out
}

// valueTypes are those of an attribute's value.
func valueTypes() []*cel.Type {
	return []*cel.Type{cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType, cel.NullType}
}

// segment compiles the audience of a trigger.
func (c *compiler) segment() {
	s := c.p.Spec.Trigger.Segment
	if s == nil || c.err != nil {
		return
	}
	var err error
	if c.p.begins.segment, err = plan.NewSelector(*s); err != nil {
		c.fail("trigger.segment", err)
	}
}
