package cloudevent

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew") //nolint:gochecknoglobals // a flag of the test binary

type form struct {
	name   string
	header map[string][]string
	body   string
}

func header(kv ...string) map[string][]string {
	h := map[string][]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		h[kv[i]] = append(h[kv[i]], kv[i+1])
	}
	return h
}

// forms are CloudEvents in every form that is taken, after the samples of the
// specification's HTTP and NATS bindings.
func forms() []form {
	const one = `{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","subject":"s","id":"A234-1234-1234","time":"2018-04-05T17:31:00+02:00","comexampleextension1":"value","comexampleothervalue":5,"datacontenttype":"application/json","data":{"psid":9007199254740993}}`
	const xml = `{"specversion":"1.0","type":"x","source":"y","id":"1","datacontenttype":"text/xml","data":"<a/>"}`
	const bin = `{"specversion":"1.0","type":"x","source":"y","id":"1","datacontenttype":"application/octet-stream","data_base64":"/wA="}`
	binary := []string{"ce-specversion", "1.0", "ce-type", "com.example.someevent", "ce-time", "2018-04-05T03:56:24Z", "ce-id", "1234-1234-1234", "ce-source", "/mycontext/subcontext", "ce-tenant", "n%20o"}
	return []form{
		{"structured", header("Content-Type", "application/cloudevents+json; charset=UTF-8"), one},
		{"structured, another's name", header("Content-Type", "application/json"), one},
		{"no header", nil, one},
		{"no header, many", nil, "[" + one + "," + xml + "]"},
		{"batch", header("Content-Type", "application/cloudevents-batch+json; charset=utf-8"), "[" + one + "," + bin + "]"},
		{"binary", header(append(binary, "Content-Type", "application/json; charset=utf-8")...), `{"a":1}`},
		{"binary of NATS", header(append(binary, "content-type", "text/plain")...), "hello"},
		{"binary without data", header(binary...), ""},
		{"text", nil, xml},
		{"bytes", nil, bin},
		{"least", nil, `{"specversion":"1.0","type":"x","source":"y","id":"1"}`},
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for _, f := range forms() {
		got, err := Decode(f.header, []byte(f.body))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		fmt.Fprintf(&b, "%s\n", f.name)
		for _, e := range got {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s %s %s %s %s\n", e.Source, e.ID, e.Type, e.Time.Format("2006-01-02T15:04:05Z07:00"), line)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/forms.golden", b.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the tree
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/forms.golden"); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%v\n%s\nwant\n%s", err, b.Bytes(), want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	event := func(more string) string { return `{"specversion":"1.0","type":"x","source":"y","id":"1"` + more + `}` }
	data := func(n int) string { return event(`,"data":"` + strings.Repeat("x", n-2) + `"`) }
	many := func(n int) string { return "[" + strings.Repeat(event("")+",", n-1) + event("") + "]" }
	others := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"e%d":"v"`, i)
		}
		return event(b.String())
	}
	for _, c := range []struct {
		name   string
		header map[string][]string
		body   string
		want   string // "": it is taken
	}{
		{"nothing", nil, "", "not JSON"},
		{"no JSON", nil, "{", "not JSON"},
		{"two", nil, event("") + event(""), "not JSON"},
		{"a number", nil, "7", "want a CloudEvent"},
		{"no event", nil, "{}", "want a CloudEvent"},
		{"none", nil, "[]", "want 1 to 500 events"},
		{"an array of none", nil, "[7]", "want a JSON array of CloudEvents"},
		{"an array that does not end", nil, "[", "want a JSON array of CloudEvents"},
		{"another version", nil, strings.Replace(event(""), "1.0", "0.3", 1), "specversion"},
		{"no id", nil, strings.Replace(event(""), `"1"`, `""`, 1), "want a CloudEvent"},
		{"no source", nil, strings.Replace(event(""), `"y"`, `""`, 1), "want a CloudEvent"},
		{"a type of two lines", nil, strings.Replace(event(""), `"x"`, `"x\n"`, 1), "type: want"},
		{"the longest id", nil, strings.Replace(event(""), `"1"`, `"`+strings.Repeat("1", maxWords)+`"`, 1), ""},
		{"a longer id", nil, strings.Replace(event(""), `"1"`, `"`+strings.Repeat("1", maxWords+1)+`"`, 1), "id: want"},
		{"the most data", nil, data(MaxData), ""},
		{"more data", nil, data(MaxData + 1), "at most 65536"},
		{"the most events", nil, many(MaxEvents), ""},
		{"more events", nil, many(MaxEvents + 1), "want 1 to 500"},
		{"the most extensions", nil, others(maxOthers), ""},
		{"more extensions", nil, others(maxOthers + 1), "extensions"},
		{"another content type", header("Content-Type", "text/csv"), "a,b", "want a CloudEvent"},
		{"no content type", header("Content-Type", "/"), event(""), "content type"},
		{"binary, half of it", header("ce-specversion", "1.0", "ce-id", "1"), "{}", "want a CloudEvent"},
		{"binary, no JSON", header("ce-specversion", "1.0", "ce-id", "1", "ce-type", "x", "ce-source", "y", "Content-Type", "application/json"), "{", "data: it is not JSON"},
		{"deep", nil, strings.Repeat("[", 1e6), "want a JSON array"},
	} {
		_, err := Decode(c.header, []byte(c.body))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range forms() {
		f.Add(s.header["Content-Type"] != nil, []byte(s.body))
	}
	f.Fuzz(func(t *testing.T, binary bool, body []byte) {
		h := map[string][]string{}
		if binary {
			h = header("ce-specversion", "1.0", "ce-id", "1", "ce-type", "x", "ce-source", "y", "ce-other", string(body), "Content-Type", "application/json")
		}
		events, err := Decode(h, body)
		if err != nil {
			return
		}
		for i := range events {
			if _, err := events[i].Encode(); err != nil {
				t.Errorf("%s can't be kept: %v", body, err)
			}
		}
	})
}
