package message

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/contact"
)

func anna() contact.Record {
	return contact.Record{
		Address: "4711", Name: "Anna", Timezone: "Europe/Oslo", Labels: []string{"regular", "vip"},
		Attributes: map[string]string{"city": "Oslo", "empty": "", "n": "1000000000", "umlaut": "Åse", "with space": "x"},
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, want string
		err        error
	}{
		// Without an action the text is itself, whatever is known.
		{"Hello", "Hello", nil},
		{"}} 100%! <no value>", "}} 100%! <no value>", nil},

		{"Hello {{.name}}, {{.id}} in {{.timezone}}", "Hello Anna, 4711 in Europe/Oslo", nil},
		{"{{.city}} {{.attributes.city}} {{index .attributes \"city\"}}", "Oslo Oslo Oslo", nil},
		{`{{index .attributes "with space"}}`, "x", nil},
		{"{{/* nothing */}}a", "a", nil},
		{"{{- /* nothing */ -}}", "", nil},
		{"{{.labels}}", "regular, vip", nil},
		{"{{range .labels}}[{{.}}]{{end}}", "[regular][vip]", nil},
		{"{{range $i, $l := .labels}}{{$i}}{{$l}}{{break}}{{end}}", "0regular", nil},
		{"{{range $k, $v := .attributes}}{{if $v}}{{$k}} {{end}}{{end}}", "city n umlaut with space ", nil},
		{"{{len .name}} {{eq .name \"Anna\"}} {{lt 1 2}} {{true}} {{1.5}}", "4 true true true 1.5", nil},
		{"{{slice .name 0 1}}", "A", nil},
		{`{{printf "%s is %d, %-6q" .name 4 .city}}|`, `Anna is 4, "Oslo"|`, nil},
		{`{{printf "100%%*"}}`, "100%*", nil},
		{`{{printf "%99s" .name}}`, strings.Repeat(" ", 95) + "Anna", nil},
		{`{{print .name "-" .labels 3}}`, "Anna-regular, vip3", nil},
		{`{{$x := .name}}{{$x = .city}}{{$x}}`, "Oslo", nil},

		// What the author provided for is not missing.
		{`{{or .nick "friend"}}`, "friend", nil},
		{`{{or .empty .name}}`, "Anna", nil},
		{`{{or .nick ""}}`, "", nil},
		{`{{if .nick}}{{.nick}}{{else}}you{{end}}`, "you", nil},
		{`{{with .nick}}{{.}}{{end}}`, "", nil},
		{`{{range .nick}}{{.}}{{else}}none{{end}}`, "none", nil},
		{`{{if and .name .nick}}x{{else if .name}}y{{end}}`, "y", nil},

		// A field that is empty or unknown is never printed, whichever way.
		{"{{.nick}}", "", errMissing},
		{"{{.empty}}", "", errMissing},
		{"{{.attributes.nick}}", "", errMissing},
		{"{{.attributes.empty}}", "", errMissing},
		{"{{.nick.first}}", "", errMissing},
		{`{{index .attributes "nick"}}`, "", errMissing},
		{`{{or .nick .empty}}`, "", errMissing},
		{`{{or .empty .nick}}`, "", errMissing},
		{`{{and .name .nick}}`, "", errMissing},
		{`{{(.nick)}}`, "", errMissing},
		{`{{$x := .nick}}{{$x}}`, "", errMissing},
		{`{{if .name}}{{.nick}}{{end}}`, "", errMissing},
		{`{{range .labels}}{{$.nick}}{{end}}`, "", errMissing},
		{`{{with .attributes}}{{.nick}}{{end}}`, "", errMissing},
		{`{{print .nick}}`, "", errMissing},
		{`{{print "a" .empty}}`, "", errMissing},
		{`{{.empty | print}}`, "", errMissing},
		{`{{printf "%s" .nick}}`, "", errMissing},
		{`{{printf "%q" .empty}}`, "", errMissing},
		{`{{printf "%x" .empty}}`, "", errMissing},
		{`{{printf "%.0s" .empty}}`, "", errMissing},
		{`{{.nick | printf "%v"}}`, "", errMissing},
		{`{{slice .empty 0 0}}`, "", errMissing},
		{`{{slice .name 4}}`, "", errMissing},

		// Nor is what no reader of a message should see.
		{"{{.}}", "", errWhole},
		{"{{.attributes}}", "", errWhole},
		{"{{print .attributes}}", "", errWhole},
		{`{{printf "%d" .name}}`, "", errFormat},
		{`{{printf "%s"}}`, "", errFormat},
		{`{{printf "%s" .name .city}}`, "", errFormat},
		{`{{printf "%100s" .name}}`, "", errFormat},
		{`{{printf "%.100s" .name}}`, "", errFormat},
		{`{{printf "%[1]s%[1]s" .name}}`, "", errFormat},
		{`{{printf "%5[1]s" .name}}`, "", errFormat},
		{`{{printf "%*d" 1000000 1}}`, "", errFormat},
		{`{{printf "%.*f" 1000000 1.0}}`, "", errFormat},

		// What fails while it runs says nothing of why: that may quote a value.
		{"{{slice .umlaut 0 1}}", "", errCut},
		{"{{index .labels 2}}", "", errRender},
		{"{{slice .name 0 5}}", "", errRender},
		{"{{.name.first}}", "", errRender},
		{"{{range .n}}x{{end}}", "", errRender},
		{`{{lt .name 1}}`, "", errRender},
		{`{{index .attributes .labels}}`, "", errRender},
	} {
		p, err := ParseTemplate(c.text)
		if err != nil {
			t.Errorf("ParseTemplate(%q): %v", c.text, err)
			continue
		}
		if got, err := p.Render(anna(), nil); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("Render(%q) = %q, %v; want %q, %v", c.text, got, err, c.want, c.err)
		}
	}
}

func TestRenderNeedsLabels(t *testing.T) {
	t.Parallel()
	p, err := ParseTemplate("{{.labels}}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Render(contact.Record{}, nil); !errors.Is(err, errMissing) {
		t.Errorf("no labels: %v, want %v", err, errMissing)
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	t.Parallel()
	const funcs = "; there are and, eq, ge, gt, index, le, len, lt, ne, not, or, print, printf, slice"
	for _, c := range []struct{ text, want string }{
		{"Hello {{", "text:1: unclosed action"},
		{"a\n{{.name", "text:2: unclosed action"},
		{"{{nope}}", `text:1: function "nope" not defined`},
		{"{{end}}", "text:1: unexpected {{end}}"},
		{"a\n{{html .name}}", "line 2: function html is not available in a text" + funcs},
		{"{{.name | js}}", "line 1: function js is not available in a text" + funcs},
		{"{{(urlquery .name)}}", "line 1: function urlquery is not available in a text" + funcs},
		{"{{(call .name).x}}", "line 1: function call is not available in a text" + funcs},
		{"{{println .name}}", "line 1: function println is not available in a text" + funcs},
		{"{{_fill .name}}", "line 1: function _fill is not available in a text" + funcs},
		{"{{if html .name}}{{end}}", "line 1: function html is not available in a text" + funcs},
		{"{{if .name}}{{else}}{{html .name}}{{end}}", "line 1: function html is not available in a text" + funcs},
		{"{{$x := html .name}}", "line 1: function html is not available in a text" + funcs},
		{`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, "define and block are not available in a text"},
		{`{{block "a" .}}{{end}}`, "define and block are not available in a text"},
		{`{{template "text"}}`, "line 1: template is not available in a text"},
		{"{{range 1000000000000}}{{end}}", "line 1: range goes over a field of the contact, such as .labels"},
		{"{{range len .name}}{{end}}", "line 1: range goes over a field of the contact, such as .labels"},
		{"{{range .labels | len}}{{end}}", "line 1: range goes over a field of the contact, such as .labels"},
		{"{{$n := 9}}{{range $n}}{{end}}", "line 1: range goes over a field of the contact, such as .labels"},
		{"{{range .labels}}\n{{with .}}{{range .labels}}{{end}}{{end}}{{end}}", "line 2: a range in a range is not available in a text"},
	} {
		if _, err := ParseTemplate(c.text); err == nil || err.Error() != c.want {
			t.Errorf("ParseTemplate(%q): %v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestRenderIsBounded holds the bound from both sides, and where a text
// doubles itself: eighty doublings would be more than any memory.
func TestRenderIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		city int // length of the attribute
		err  error
	}{
		{"{{.city}}", maxRendered, nil},
		{"{{.city}}", maxRendered + 1, errTooLong},
		{"{{.city}}!", maxRendered, errTooLong},
		{"{{print .city}}", maxRendered + 1, errTooLong},
		{"{{if print .city .city}}a{{end}}", maxRendered / 2, nil},
		{"{{if print .city .city}}a{{end}}", maxRendered/2 + 1, errTooLong},
		{`{{if printf "%s%s" .city .city}}a{{end}}`, maxRendered/2 + 1, errTooLong},
		{`{{$x := .city}}` + strings.Repeat("{{$x = print $x $x}}", 80) + "a", 10, errTooLong},
	} {
		p, err := ParseTemplate(c.text)
		if err != nil {
			t.Fatal(err)
		}
		r := contact.Record{Attributes: map[string]string{"city": strings.Repeat("x", c.city)}}
		if _, err := p.Render(r, nil); !errors.Is(err, c.err) {
			t.Errorf("%.60q with %d bytes: %v, want %v", c.text, c.city, err, c.err)
		}
	}
}

// TestRenderLeaksNothing looks for the value in the error of every action
// that fails on it.
func TestRenderLeaksNothing(t *testing.T) {
	t.Parallel()
	const secret = "geheim"
	r := contact.Record{Address: secret, Name: secret, Labels: []string{secret}, Attributes: map[string]string{"city": secret}}
	for _, text := range []string{
		"{{.name.first}}", "{{index .attributes .labels}}", "{{slice .name 9}}", "{{index .labels .name}}", `{{printf "%d" .name}}`,
		"{{range .name}}{{end}}", "{{lt .name 1}}", "{{.city.x}}", "{{.}}", "{{print .attributes .name}}", "{{index .name .city}}", "{{(index .labels 0).x}}",
	} {
		p, err := ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Render(r, nil)
		if err == nil {
			t.Errorf("%s rendered to %q, want an error", text, got)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds a value: %v", text, err)
		}
	}
}

// TestRenderNeverHalfFilled asserts that whatever way an unknown field is
// printed, and whatever stands around it, nothing comes out.
func TestRenderNeverHalfFilled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{".nick", ".empty", ".attributes.nick", `(index .attributes "empty")`, "$.nick", "(or .nick .empty)", "(and .name .nick)", "(slice .empty 0)"})
		printed := rapid.SampledFrom([]string{"{{V}}", "{{print V}}", "{{print .name V}}", `{{printf "%s" V}}`, `{{printf "%5v" V}}`, `{{V | printf "%q"}}`, `{{$v := V}}{{$v}}`, `{{V | print | print}}`})
		around := rapid.SampledFrom([]string{"%", "Hi %!", "{{if .name}}%{{end}}", "{{if not .nick}}%{{end}}", "{{range .labels}}{{with $}}%{{end}}{{end}}", "{{with $.nick}}{{else}}%{{end}}"})
		text := strings.ReplaceAll(around.Draw(t, "around"), "%", strings.ReplaceAll(printed.Draw(t, "printed"), "V", value.Draw(t, "value")))
		p, err := ParseTemplate(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, err := p.Render(anna(), nil); !errors.Is(err, errMissing) {
			t.Fatalf("%s = %q, %v; want %v", text, got, err, errMissing)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"Hello", "{{.name}}, {{or .city \"you\"}}", "{{range .labels}}{{.}}{{end}}", `{{printf "%5s" .name}}`, "{{with .attributes}}{{.city}}{{end}}",
		"{{$x := .name}}{{$x = print $x $x}}{{$x}}", "{{index .attributes \"nick\"}}", "{{if", "{{(.name).x}}", "{{- 1 -}}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxText {
			return
		}
		p, err := ParseTemplate(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		for _, r := range []contact.Record{{}, anna()} {
			got, err := p.Render(r, nil)
			if err != nil && got != "" {
				t.Errorf("an error and %q", got)
			}
			if len(got) > maxRendered || utf8.ValidString(text) && !utf8.ValidString(got) {
				t.Errorf("rendered to %d bytes, valid UTF-8: %t", len(got), utf8.ValidString(got))
			}
			if strings.ContainsAny(got, "<%") && !strings.ContainsAny(text, `<%\`) {
				t.Errorf("the library's own mark of what is missing went into %q", got)
			}
		}
	})
}

// A flow's texts name what it was begun by; what is empty or not there can't
// be printed there either.
func TestRenderEvent(t *testing.T) {
	t.Parallel()
	event := map[string]any{"order": "A7", "total": 12.5, "n": float64(3), "paid": true, "none": nil, "lines": []any{map[string]any{"sku": "x1"}}, "to": map[string]any{"city": "Oslo"}}
	for text, want := range map[string]string{
		"{{.event.order}} {{.event.total}} {{.event.n}} {{.event.paid}}": "A7 12.5 3 true",
		"{{.event.to.city}}{{range .event.lines}} {{.sku}}{{end}}":       "Oslo x1",
		`{{if .event.none}}a{{else}}b{{end}}{{or .event.nothing "c"}}`:   "bc",
		"{{.name}} of {{.event.order}}":                                  "Anna of A7",
		"{{.event.none}}":                                                "",
		"{{.event.nothing}}":                                             "",
		"{{.event.to}}":                                                  "",
		"{{.event.lines}}":                                               "",
		"{{.event}}":                                                     "",
	} {
		p, err := ParseTemplate(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := p.Render(anna(), event)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}
