package expression

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/carillon-dev/carillon/internal/contact"
)

// Evaluation evaluates expressions over the same values, a map or a
// cel.Activation, and keeps the first error: after it nothing is evaluated any
// more. What reads a field that is not there says nothing; that is no error.
type Evaluation struct {
	Vars any
	Err  error
}

// Value returns what an expression gives, nil where it says nothing.
func (ev *Evaluation) Value(x *Expression) ref.Val {
	if x == nil || ev.Err != nil {
		return nil
	}
	v, _, err := x.program.Eval(ev.Vars)
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
		ev.Err = fmt.Errorf("%s: costs too much to find out", x.field)
	default:
		ev.Err = fmt.Errorf("%s: can't be found out of what the event holds", x.field)
	}
	return nil
}

// Fail notes that an expression gave something else than what is wanted.
func (ev *Evaluation) Fail(x *Expression, want string) {
	if ev.Err == nil {
		ev.Err = fmt.Errorf("%s: gives something else than %s", x.field, want)
	}
}

// Bool returns a condition; what says nothing, or null, does not hold.
func (ev *Evaluation) Bool(x *Expression) bool {
	switch v := ev.Value(x).(type) {
	case nil, types.Null:
		return false
	case types.Bool:
		return bool(v)
	}
	ev.Fail(x, "true or false")
	return false
}

// Text returns a text, nil where nothing is said. Null is no text: "".
func (ev *Evaluation) Text(x *Expression) *string {
	var s string
	switch v := ev.Value(x).(type) {
	case nil:
		return nil
	case types.Null:
	case types.String:
		s = string(v)
	default:
		ev.Fail(x, "a string")
		return nil
	}
	return &s
}

// Address returns the platform's id of a contact, "" where none is said. A
// number with a fraction, or in a form that has lost digits, is none.
func (ev *Evaluation) Address(x *Expression) string {
	var s string
	switch v := ev.Value(x).(type) {
	case nil, types.Null:
		return ""
	case types.String:
		s = strings.TrimSpace(string(v))
	case types.Int:
		s = strconv.FormatInt(int64(v), 10)
	default:
		ev.Fail(x, "a string or a whole number")
		return ""
	}
	if s != "" && !contact.ValidAddress(s) {
		ev.Fail(x, "an id of 1 to 256 bytes without spaces or slashes")
		return ""
	}
	return s
}

// Time returns a moment: a timestamp, a text of RFC 3339, or milliseconds
// since 1970. It reports false where nothing is said.
func (ev *Evaluation) Time(x *Expression) (time.Time, bool) {
	switch v := ev.Value(x).(type) {
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
	ev.Fail(x, "a time")
	return time.Time{}, false
}

// maxMillis begins the year 9999.
const maxMillis = 253370764800000

// Attribute returns the text of an attribute's value, nil for null. It reports
// false where nothing is said.
func (ev *Evaluation) Attribute(x *Expression) (*string, bool) {
	var s string
	switch v := ev.Value(x).(type) {
	case nil:
		return nil, false
	case types.Null:
		return nil, true
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
		ev.Fail(x, "a string, a number, true, false or null")
		return nil, false
	}
	return &s, true
}
