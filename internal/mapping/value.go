package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
)

// input is an event as expressions see it.
func input(e *event.Event) map[string]any {
	extensions := map[string]any{}
	for name, v := range e.Extensions {
		extensions[name] = v
	}
	return map[string]any{
		"id": e.ID, "source": e.Source, "type": string(e.Type), "subject": e.Subject, "time": e.Time, "extensions": extensions, "data": data(e.Data),
	}
}

// data reads what a CRM sent. Whole numbers stay exact, since some of them
// are ids; what has no data has an empty object.
func data(raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if len(raw) == 0 || d.Decode(&v) != nil || v == nil {
		return map[string]any{}
	}
	return exact(v)
}

func exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = exact(x)
		}
	case []any:
		for i, x := range v {
			v[i] = exact(x)
		}
	case json.Number:
		return number(v.String())
	}
	return v
}

// number is a whole number where it fits, as text where it is longer than
// that, else a fraction.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	return f
}

// apply returns the event with what the rule finds in it, and false where it
// names no contact.
func (r *rule) apply(e event.Event, vars map[string]any) (event.Event, bool, error) {
	ev := evaluation{vars: vars}
	if r.when != nil && !ev.bool("when", r.when) {
		return e, false, ev.err
	}
	e.Sender, e.Person = r.sender, ev.address(r.contact)
	if ev.err != nil || e.Person == "" {
		return e, false, ev.err
	}
	if at, ok := ev.time(r.time); ok {
		e.Time = at
	}
	c := contact.Change{
		Name: ev.text("name", r.name), Timezone: ev.text("timezone", r.zone), SMSConsent: ev.bool("sms_consent", r.consent),
		OptOut: ev.scope("opt_out", r.optOut), OptIn: ev.scope("opt_in", r.optIn), Erase: ev.bool("erase", r.erase), Source: e.Source,
	}
	if c.Erase {
		c = contact.Change{Erase: true} // whatever else it says of who is to be forgotten
	} else {
		c.Labels, c.Attributes = ev.labels(r.labels), ev.attributes(r.attributes)
	}
	if ev.err != nil {
		return e, false, ev.err
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

// evaluation evaluates the fields of a rule and keeps the first error.
type evaluation struct {
	vars map[string]any
	err  error
}

// eval returns what an expression gives, nil where it says nothing.
func (ev *evaluation) eval(field string, p cel.Program) ref.Val {
	if p == nil || ev.err != nil {
		return nil
	}
	v, _, err := p.Eval(ev.vars)
	switch {
	case err == nil:
		if o, ok := v.(*types.Optional); ok {
			if !o.HasValue() {
				return nil
			}
			return o.GetValue()
		}
		return v
	case strings.Contains(err.Error(), "no such key"): // the library has no typed error for it
		return nil
	case strings.Contains(err.Error(), "cost limit"):
		ev.err = fmt.Errorf("%s: costs too much to find out", field)
	default:
		ev.err = fmt.Errorf("%s: can't be found out of what the event holds", field)
	}
	return nil
}

func (ev *evaluation) fail(field, want string) {
	if ev.err == nil {
		ev.err = fmt.Errorf("%s: gives something else than %s", field, want)
	}
}

func (ev *evaluation) bool(field string, p cel.Program) bool {
	switch v := ev.eval(field, p).(type) {
	case nil, types.Null:
		return false
	case types.Bool:
		return bool(v)
	}
	ev.fail(field, "true or false")
	return false
}

// text returns a text, nil where nothing is said. Null is no text: "".
func (ev *evaluation) text(field string, p cel.Program) *string {
	var s string
	switch v := ev.eval(field, p).(type) {
	case nil:
		return nil
	case types.Null:
	case types.String:
		s = string(v)
	default:
		ev.fail(field, "a string")
		return nil
	}
	return &s
}

// address returns the platform's id of a contact. A number with a fraction,
// or in a form that has lost digits, is none.
func (ev *evaluation) address(p cel.Program) string {
	var s string
	switch v := ev.eval("contact", p).(type) {
	case nil, types.Null:
		return ""
	case types.String:
		s = strings.TrimSpace(string(v))
	case types.Int:
		s = strconv.FormatInt(int64(v), 10)
	default:
		ev.fail("contact", "a string or a whole number")
		return ""
	}
	if s != "" && !contact.ValidAddress(s) {
		ev.fail("contact", "an id of 1 to 256 bytes without spaces or slashes")
		return ""
	}
	return s
}

// time returns a moment: a timestamp, a text of RFC 3339, or milliseconds
// since 1970.
func (ev *evaluation) time(p cel.Program) (time.Time, bool) {
	switch v := ev.eval("time", p).(type) {
	case nil, types.Null:
		return time.Time{}, false
	case types.Timestamp:
		return v.Time.UTC(), true
	case types.String:
		if t, err := time.Parse(time.RFC3339, string(v)); err == nil && t.Year() < 9999 { // a later one can't be written in UTC
			return t.UTC(), true
		}
	case types.Int:
		if v > 0 && v < maxMillis {
			return time.UnixMilli(int64(v)).UTC(), true
		}
	}
	ev.fail("time", "a time")
	return time.Time{}, false
}

// maxMillis begins the year 9999.
const maxMillis = 253370764800000

func (ev *evaluation) scope(field string, p cel.Program) contact.Scope {
	switch v := ev.eval(field, p).(type) {
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
	ev.fail(field, "true, false, all or marketing")
	return ""
}

func (ev *evaluation) labels(ps map[string]cel.Program) map[string]bool {
	out := map[string]bool{}
	for name, p := range ps {
		switch v := ev.eval("labels."+name, p).(type) {
		case nil, types.Null:
		case types.Bool:
			out[name] = bool(v)
		default:
			ev.fail("labels."+name, "true or false")
		}
	}
	return out
}

func (ev *evaluation) attributes(ps map[string]cel.Program) map[string]*string {
	out := map[string]*string{}
	for name, p := range ps {
		var s string
		switch v := ev.eval("attributes."+name, p).(type) {
		case nil:
			continue
		case types.Null:
			out[name] = nil
			continue
		case types.String:
			s = string(v)
		case types.Int:
			s = strconv.FormatInt(int64(v), 10)
		case types.Uint:
			s = strconv.FormatUint(uint64(v), 10)
		case types.Double:
			s = strconv.FormatFloat(float64(v), 'f', -1, 64)
		case types.Bool:
			s = strconv.FormatBool(bool(v))
		default:
			ev.fail("attributes."+name, "a string, a number, true, false or null")
			return nil
		}
		out[name] = &s
	}
	return out
}
