// Package mapping finds out what a CRM's event says of whom, by the rules that
// a Hook document declares. It is pure: the same event and the same rules give
// the same contacts and changes.
package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/expression"
	"github.com/carillon-dev/carillon/internal/hook"
)

// Mapping is compiled rules. Its zero value maps nothing.
type Mapping struct {
	sources []string // whose events it maps; none: everybody's
	rules   []rule
}

// rule is one compiled rule. Expressions that are nil say nothing.
type rule struct {
	types               []string
	sender              string
	when, contact, time *expression.Expression
	name, zone, consent *expression.Expression
	optOut, optIn       *expression.Expression
	erase               *expression.Expression
	labels, attributes  map[string]*expression.Expression
}

// Compile compiles the rules of a hook. Its error names the field that is no
// good, and where in it.
func Compile(h *hook.Spec) (*Mapping, error) {
	env, err := expression.NewEnv(cel.Variable("event", cel.DynType))
	if err != nil {
		return nil, err
	}
	m := &Mapping{sources: h.Sources, rules: make([]rule, len(h.Map))}
	for i := range h.Map {
		c := compiler{env: env, at: fmt.Sprintf("map[%d].", i)}
		if m.rules[i] = c.rule(&h.Map[i]); c.err != nil {
			return nil, c.err
		}
		if err := named(&h.Map[i]).Validate(); err != nil {
			return nil, fmt.Errorf("map[%d].%w", i, err)
		}
	}
	return m, nil
}

// named is a change of every label and attribute that a rule names: what no
// change may name is refused before there is an event.
func named(r *hook.Rule) *contact.Change {
	c := &contact.Change{Labels: map[string]bool{}, Attributes: map[string]*string{}}
	for l := range r.Labels {
		c.Labels[l] = true
	}
	for a := range r.Attributes {
		c.Attributes[a] = nil
	}
	return c
}

// compiler compiles the fields of one rule and keeps the first error.
type compiler struct {
	env *cel.Env
	at  string
	err error
}

func (c *compiler) rule(r *hook.Rule) rule {
	return rule{
		types: r.Types, sender: r.Sender,
		when: c.program("when", r.When, cel.BoolType), contact: c.program("contact", r.Contact, cel.StringType, cel.IntType),
		time: c.program("time", r.Time, cel.TimestampType, cel.StringType, cel.IntType),
		name: c.program("name", r.Name, cel.StringType), zone: c.program("timezone", r.Timezone, cel.StringType),
		consent: c.program("sms_consent", r.SMSConsent, cel.BoolType), erase: c.program("erase", r.Erase, cel.BoolType),
		optOut: c.program("opt_out", r.OptOut, cel.BoolType, cel.StringType), optIn: c.program("opt_in", r.OptIn, cel.BoolType, cel.StringType),
		labels:     c.programs("labels", r.Labels, cel.BoolType),
		attributes: c.programs("attributes", r.Attributes, cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType, cel.NullType),
	}
}

func (c *compiler) programs(field string, expressions map[string]string, want ...*cel.Type) map[string]*expression.Expression {
	out := make(map[string]*expression.Expression, len(expressions))
	for name, e := range expressions {
		if out[name] = c.program(field+"."+name, e, want...); e == "" && c.err == nil {
			c.err = fmt.Errorf("%s%s.%s: want an expression", c.at, field, name)
		}
	}
	return out
}

// program compiles one expression, nil for none.
func (c *compiler) program(field, text string, want ...*cel.Type) *expression.Expression {
	if c.err != nil {
		return nil
	}
	x, err := expression.Compile(c.env, field, text, want...)
	if err != nil {
		c.err = fmt.Errorf("%s%w", c.at, err)
	}
	return x
}

// Takes tells whether the mapping is for the events of a source.
func (m *Mapping) Takes(source string) bool {
	return len(m.sources) == 0 || slices.Contains(m.sources, source)
}

// Map returns what an event says of whom: one event for each rule that names a
// contact, with Sender, Person and Change. Where no rule names one there are
// none; the error says why a rule that should have could not, and has no
// values of the event in it.
func (m *Mapping) Map(e event.Event) ([]event.Event, error) {
	var out []event.Event
	var failed error
	vars := map[string]any{"event": expression.Input(&e)}
	for i := range m.rules {
		r := &m.rules[i]
		if !r.takes(string(e.Type)) {
			continue
		}
		n, ok, err := r.apply(e, vars)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("map[%d].%w", i, err))
		}
		if err != nil || !ok {
			continue
		}
		out = append(out, n)
	}
	return out, failed
}

// Bare is an event that names nobody. It is kept for what it is, so that a
// repeat of it is known, and without what it says: nobody could find it by the
// person that it may be about, to erase it. Why it names nobody stays, if there
// is a reason.
func Bare(e event.Event, why error) event.Event {
	e.Data, e.Subject, e.Extensions, e.Change = nil, "", nil, nil
	if why != nil {
		e.Why = strings.ReplaceAll(why.Error(), "\n", "; ")
	}
	return e
}

// takes tells whether a rule is for events of a type.
func (r *rule) takes(typ string) bool {
	return len(r.types) == 0 || slices.ContainsFunc(r.types, func(t string) bool {
		begin, open := strings.CutSuffix(t, "*")
		return t == typ || open && strings.HasPrefix(typ, begin)
	})
}
