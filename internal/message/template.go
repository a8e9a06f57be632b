package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/contact"
)

// Template is a parsed text.
type Template struct {
	t     *template.Template
	plain string // the text itself where it has no action
}

// ParseTemplate parses a text over the fields name, id, timezone, labels,
// attributes and every attribute by its own name; and over event, what a flow
// was begun by. It refuses what could run
// long or grow without bound: nested loops, templates in templates and
// functions beyond a few.
func ParseTemplate(text string) (*Template, error) {
	if !strings.Contains(text, "{{") {
		return &Template{plain: text}, nil
	}
	t, err := template.New("text").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(t.Templates()) > 1 {
		return nil, errors.New("define and block are not available in a text")
	}
	if err := list(t.Root, false); err != nil {
		return nil, err
	}
	return &Template{t: t}, nil
}

// field is a contact's field. An empty one is false in a condition, so that
// {{or .name "friend"}} works, but it can't be printed: a text must never go
// out half filled.
type field string

// maxRendered bounds, in bytes, what a template may render to, and every text
// made on the way there. Every channel's limit is below it.
const maxRendered = 64 << 10

var (
	errMissing = errors.New("a field that the text needs is empty for this contact")
	errTooLong = fmt.Errorf("the text renders to more than %d bytes", maxRendered)
	errWhole   = errors.New("the text prints a whole map; name one of its fields")
	errCut     = errors.New("the text cuts a character in two: slice counts bytes")
	errRender  = errors.New("the text can't be rendered for this contact")
)

// Render fills the text in for one contact. An error means that it can't be
// filled completely; it never names what the contact's fields hold. Without an
// event there is none to name.
func (t *Template) Render(r contact.Record, event map[string]any) (string, error) {
	if t.t == nil {
		return t.plain, nil
	}
	var out limited
	if err := t.t.Execute(&out, fields(r, event)); err != nil {
		for _, known := range []error{errMissing, errTooLong, errWhole, errFormat} {
			if errors.Is(err, known) {
				return "", known
			}
		}
		return "", errRender // the library's words quote values
	}
	s := out.b.String()
	if !utf8.ValidString(s) {
		return "", errCut
	}
	return s, nil
}

func fields(r contact.Record, event map[string]any) map[string]any {
	m := make(map[string]any, len(r.Attributes)+6)
	attrs := make(map[string]field, len(r.Attributes))
	for k, v := range r.Attributes {
		m[k], attrs[k] = field(v), field(v)
	}
	m["id"], m["name"], m["timezone"] = field(r.Address), field(r.Name), field(r.Timezone)
	m["labels"], m["attributes"] = r.Labels, attrs
	if event != nil {
		m["event"] = printable(event)
	}
	return m
}

// printable is an event's data with every text as a field, so that one that is
// empty or not there can't be printed.
func printable(v any) any {
	switch v := v.(type) {
	case nil:
		return field("")
	case string:
		return field(v)
	case float64:
		return field(strconv.FormatFloat(v, 'f', -1, 64))
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = printable(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = printable(x)
		}
		return l
	}
	return v
}

type limited struct{ b strings.Builder }

// Write refuses what would make the text longer than maxRendered.
func (l *limited) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return l.b.Write(p)
}
