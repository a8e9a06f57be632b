package expression

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/carillon-dev/carillon/internal/event"
)

// Input is an event as expressions see it. Who reads it must not change it.
func Input(e *event.Event) map[string]any {
	extensions := make(map[string]any, len(e.Extensions))
	for name, v := range e.Extensions {
		extensions[name] = v
	}
	return map[string]any{
		"id": e.ID, "source": e.Source, "type": string(e.Type), "subject": e.Subject, "time": e.Time, "extensions": extensions, "data": Data(e.Data),
	}
}

// Data reads JSON that somebody else wrote. Whole numbers stay exact, since
// some of them are ids; what has no data is an empty object.
func Data(raw json.RawMessage) any {
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
