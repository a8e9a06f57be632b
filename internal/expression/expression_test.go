package expression

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/carillon-dev/carillon/internal/event"
)

func env(t testing.TB) *cel.Env {
	t.Helper()
	e, err := NewEnv(cel.Variable("event", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func compile(t testing.TB, text string) *Expression {
	t.Helper()
	x, err := Compile(env(t), "field", text, cel.StringType, cel.IntType, cel.UintType, cel.DoubleType, cel.BoolType, cel.NullType, cel.TimestampType, cel.ListType(cel.IntType))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return x
}

func over(data string) *Evaluation {
	e := event.Event{Source: "crm", ID: "1", Type: "deal", Data: json.RawMessage(data)}
	return &Evaluation{Vars: map[string]any{"event": Input(&e)}}
}

// TestCompile: nothing is compiled of an empty text, and what can't be meant
// is told with the field and the place.
func TestCompile(t *testing.T) {
	t.Parallel()
	if x, err := Compile(env(t), "f", ""); x != nil || err != nil {
		t.Errorf("%v, %v", x, err)
	}
	for text, want := range map[string]string{
		"event.data.":                  "f: Syntax error",
		"event.data.x ==":              "f: Syntax error: mismatched input '<EOF>' (line 1, column 16)",
		"\n evnt == 1":                 "f: undeclared reference to 'evnt' (did you mean 'event'?) (line 2, column 2)",
		"1":                            "f: gives int, want bool, string",
		"event.data.x":                 "",
		"event.data.x == 1":            "",
		"'a'.upperAscii()":             "",
		"event.?data.?x.orValue(true)": "",
	} {
		_, err := Compile(env(t), "f", text, cel.BoolType, cel.StringType)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestValues: what each reader makes of what expressions give.
func TestValues(t *testing.T) {
	t.Parallel()
	const data = `{"s":" a ","n":9007199254740993,"f":1.5,"b":true,"z":null,"l":[1],"ms":1795345200000,"at":"2026-11-22T12:00:00+01:00","two":"a b"}`
	at := time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	text := func(s string) *string { return &s }
	type said struct {
		v  any
		ok bool
	}
	reads := map[string]func(*Evaluation, *Expression) said{
		"bool":      func(ev *Evaluation, x *Expression) said { return said{ev.Bool(x), true} },
		"text":      func(ev *Evaluation, x *Expression) said { return said{ev.Text(x), true} },
		"address":   func(ev *Evaluation, x *Expression) said { return said{ev.Address(x), true} },
		"time":      func(ev *Evaluation, x *Expression) said { v, ok := ev.Time(x); return said{v, ok} },
		"attribute": func(ev *Evaluation, x *Expression) said { v, ok := ev.Attribute(x); return said{v, ok} },
	}
	none := (*string)(nil)
	for _, c := range []struct {
		read, expression string
		want             any
		ok               bool
		err              string
	}{
		{"bool", "event.data.b", true, true, ""},
		{"bool", "event.data.nothing", false, true, ""},
		{"bool", "event.data.z", false, true, ""},
		{"bool", "event.data.s", false, true, "gives something else than true or false"},
		{"text", "event.data.s", text(" a "), true, ""},
		{"text", "event.data.z", text(""), true, ""},
		{"text", "event.data.nothing", none, true, ""},
		{"text", "event.data.n", none, true, "than a string"},
		{"address", "event.data.s", "a", true, ""},
		{"address", "event.data.n", "9007199254740993", true, ""},
		{"address", "event.data.z", "", true, ""},
		{"address", "event.data.f", "", true, "than a string or a whole number"},
		{"address", "event.data.two", "", true, "than an id of 1 to 256 bytes"},
		{"time", "event.data.at", at, true, ""},
		{"time", "timestamp(event.data.at)", at, true, ""},
		{"time", "event.data.ms", at, true, ""},
		{"time", "event.data.z", time.Time{}, false, ""},
		{"time", "event.data.s", time.Time{}, false, "than a time"},
		{"attribute", "event.data.n", text("9007199254740993"), true, ""},
		{"attribute", "event.data.f", text("1.5"), true, ""},
		{"attribute", "1u", text("1"), true, ""},
		{"attribute", "event.data.b", text("true"), true, ""},
		{"attribute", "event.data.z", none, true, ""},
		{"attribute", "event.data.nothing", none, false, ""},
		{"attribute", "event.data.?nothing", none, false, ""},
		{"attribute", "event.data.?s", text(" a "), true, ""},
		{"attribute", "event.data.l", none, false, "than a string, a number"},
	} {
		ev := over(data)
		x := compileAny(t, c.expression)
		got := reads[c.read](ev, x)
		want := said{c.want, c.ok}
		if !reflect.DeepEqual(got, want) || (ev.Err == nil) != (c.err == "") || ev.Err != nil && !strings.Contains(ev.Err.Error(), c.err) {
			t.Errorf("%s of %s: %+v, %v; want %+v", c.read, c.expression, got, ev.Err, want)
		}
	}
}

// compileAny compiles an expression whatever it gives.
func compileAny(t testing.TB, text string) *Expression {
	t.Helper()
	if strings.Contains(text, ".?") {
		x, err := Compile(env(t), "field", text, cel.OptionalType(cel.DynType))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	return compile(t, text)
}

// TestFirstErrorStays: after a failure nothing is evaluated, and what it says
// has no value of the event in it.
func TestFirstErrorStays(t *testing.T) {
	t.Parallel()
	ev := over(`{"s":"secret"}`)
	if ev.Bool(compile(t, "event.data.s > 1")); ev.Err == nil || ev.Err.Error() != "field: can't be found out of what the event holds" {
		t.Errorf("%v", ev.Err)
	}
	first := ev.Err
	if ev.Bool(compile(t, "true")) || ev.Err != first {
		t.Errorf("it went on after %v", first)
	}
	ev.Fail(compile(t, "true"), "x")
	if ev.Err != first {
		t.Errorf("the first error is lost: %v", ev.Err)
	}
	ev = over(`{"l":[` + strings.Repeat("1,", 999) + `1]}`)
	if ev.Bool(compile(t, "event.data.l.exists(x, event.data.l.exists(y, x + y < 0))")); ev.Err == nil || !strings.Contains(ev.Err.Error(), "costs too much") {
		t.Errorf("%v", ev.Err)
	}
}

// FuzzData: whatever somebody sends is read, whole numbers to the last digit.
func FuzzData(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,null,"x",{"b":true}]}`, `12345678901234567890`, `1e999`, `-0`, ``, `[`, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := Data(json.RawMessage(s))
		if v == nil {
			t.Fatal("nothing")
		}
		if n, whole := v.(int64); whole && json.Valid([]byte(s)) {
			if b, err := json.Marshal(n); err != nil || strings.TrimSpace(s) != string(b) && strings.TrimSpace(s) != "-0" {
				t.Errorf("%s is read as %s", s, b)
			}
		}
		if _, err := json.Marshal(v); err != nil {
			t.Errorf("%s can't be written again: %v", s, err)
		}
	})
}
