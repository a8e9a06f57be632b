package mapping

import (
	"errors"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/expression"
)

// apply returns the event with what the rule finds in it, and false where it
// names no contact.
func (r *rule) apply(e event.Event, vars map[string]any) (event.Event, bool, error) {
	ev := evaluation{expression.Evaluation{Vars: vars}}
	if r.when != nil && !ev.Bool(r.when) {
		return e, false, ev.Err
	}
	e.Sender, e.Person = r.sender, ev.Address(r.contact)
	if ev.Err != nil || e.Person == "" {
		return e, false, ev.Err
	}
	if at, ok := ev.Time(r.time); ok {
		e.Time = at
	}
	c := contact.Change{
		Name: ev.Text(r.name), Timezone: ev.Text(r.zone), SMSConsent: ev.Bool(r.consent),
		OptOut: ev.scope(r.optOut), OptIn: ev.scope(r.optIn), Erase: ev.Bool(r.erase), Source: e.Source,
	}
	if c.Erase {
		c = contact.Change{Erase: true} // whatever else it says of who is to be forgotten
	} else {
		c.Labels, c.Attributes = ev.labels(r.labels), ev.attributes(r.attributes)
	}
	if ev.Err != nil {
		return e, false, ev.Err
	}
	c.Source = cut(c.Source, contact.MaxName)
	if err := c.Validate(); err != nil {
		return e, false, wordless(err)
	}
	if !c.Empty() {
		e.Change = &c
	}
	return e, true, nil
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// wordless is an error without the values that it quotes.
func wordless(err error) error {
	field, rest, _ := strings.Cut(err.Error(), " ")
	if i := strings.LastIndex(rest, `"`); i >= 0 {
		rest = strings.TrimLeft(rest[i+1:], ": ")
	}
	return errors.New(strings.TrimSuffix(field, ":") + ": " + rest)
}

// evaluation is one of a rule's fields.
type evaluation struct{ expression.Evaluation }

func (ev *evaluation) scope(x *expression.Expression) contact.Scope {
	switch v := ev.Value(x).(type) {
	case nil, types.Null:
		return ""
	case types.Bool:
		if v {
			return contact.All
		}
		return ""
	case types.String:
		switch s := contact.Scope(v); s {
		case "", contact.All, contact.Marketing:
			return s
		}
	}
	ev.Fail(x, "true, false, all or marketing")
	return ""
}

func (ev *evaluation) labels(xs map[string]*expression.Expression) map[string]bool {
	out := map[string]bool{}
	for name, x := range xs {
		switch v := ev.Value(x).(type) {
		case nil, types.Null:
		case types.Bool:
			out[name] = bool(v)
		default:
			ev.Fail(x, "true or false")
		}
	}
	return out
}

func (ev *evaluation) attributes(xs map[string]*expression.Expression) map[string]*string {
	out := map[string]*string{}
	for name, x := range xs {
		if v, said := ev.Attribute(x); said {
			out[name] = v
		}
	}
	return out
}
