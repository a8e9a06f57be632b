package salesforce

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
)

var update = flag.Bool("update", false, "write the golden file anew") //nolint:gochecknoglobals // a flag of the test binary

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/two.xml")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func call(body []byte) hook.Call {
	return hook.Call{
		Hook: &hook.Spec{ID: "sf", Type: hook.Salesforce, Organization: "00D300000000Xyz"}, Secrets: []secret.Text{"old", "new word"},
		Method: "POST", URL: "https://example.com/hooks/salesforce/sf?secret=new+word", Header: textproto.MIMEHeader{}, Body: body,
	}
}

func basic(words string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(words)) }

// TestKnown: a secret in the address or as a password, and the organization of
// the hook; nothing else gets in.
func TestKnown(t *testing.T) {
	t.Parallel()
	body := sample(t)
	const path = "https://example.com/hooks/salesforce/sf"
	for name, c := range map[string]struct {
		edit func(*hook.Call)
		ok   bool
	}{
		"the new secret":           {func(*hook.Call) {}, true},
		"the old secret":           {func(c *hook.Call) { c.URL = path + "?secret=old" }, true},
		"beside others":            {func(c *hook.Call) { c.URL = path + "?a=b&secret=x&secret=old" }, true},
		"another":                  {func(c *hook.Call) { c.URL = path + "?secret=other" }, false},
		"longer":                   {func(c *hook.Call) { c.URL = path + "?secret=oldx" }, false},
		"an empty one":             {func(c *hook.Call) { c.URL = path + "?secret=" }, false},
		"an empty one of ours":     {func(c *hook.Call) { c.URL, c.Secrets = path+"?secret=", []secret.Text{""} }, false},
		"none":                     {func(c *hook.Call) { c.URL = path }, false},
		"no secrets of ours":       {func(c *hook.Call) { c.Secrets = nil }, false},
		"behind many":              {func(c *hook.Call) { c.URL = path + "?" + strings.Repeat("secret=x&", maxGiven) + "secret=old" }, false},
		"as a password":            {func(c *hook.Call) { c.URL = path; c.Header.Set("Authorization", basic("sf:new word")) }, true},
		"as another password":      {func(c *hook.Call) { c.URL = path; c.Header.Set("Authorization", basic("sf:x")) }, false},
		"as a name":                {func(c *hook.Call) { c.URL = path; c.Header.Set("Authorization", basic("old")) }, false},
		"as a bearer's":            {func(c *hook.Call) { c.URL = path; c.Header.Set("Authorization", "Bearer old") }, false},
		"no address":               {func(c *hook.Call) { c.URL = "http://[?secret=old" }, false},
		"18 characters":            {func(c *hook.Call) { c.Hook.Organization = "00D300000000XyzEAE" }, true},
		"another organization":     {func(c *hook.Call) { c.Hook.Organization = "00D300000000Xyy" }, false},
		"its id in other letters":  {func(c *hook.Call) { c.Hook.Organization = "00D300000000XYZ" }, false},
		"an organization of none":  {func(c *hook.Call) { c.Body = bytes.Replace(body, []byte("00D300000000XyzEAE"), nil, 1) }, false},
		"a shorter organization":   {func(c *hook.Call) { c.Body = bytes.Replace(body, []byte("XyzEAE"), []byte("Xy"), 1) }, false},
		"organization of 15 there": {func(c *hook.Call) { c.Body = bytes.Replace(body, []byte("XyzEAE"), []byte("Xyz"), 1) }, true},
	} {
		k := call(body)
		c.edit(&k)
		told, err := Reader{}.Read(k)
		if c.ok && (err != nil || len(told.Events) != 4) || !c.ok && (!errors.Is(err, hook.ErrRefused) || told.Events != nil || told.Answer.Body != nil) {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	k := call(body)
	k.Method = "GET"
	if _, err := (Reader{}).Read(k); !isWrongMethod(err) {
		t.Errorf("a GET: %v", err)
	}
}

func isWrongMethod(err error) bool { _, ok := errors.AsType[*hook.WrongMethod](err); return ok }

func TestDecode(t *testing.T) {
	t.Parallel()
	told, err := Reader{}.Read(call(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, e := range told.Events {
		line, err := json.Marshal(struct {
			Source, ID, Type string
			Time             time.Time
			Event            event.Event
		}{e.Source, e.ID, string(e.Type), e.Time, e})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	b.Write(append(told.Answer.Body, '\n'))
	if *update {
		if err := os.WriteFile("testdata/two.golden", b.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the tree
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/two.golden"); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%v\n%s\nwant\n%s", err, b.Bytes(), want)
	}
	if bytes.Contains(b.Bytes(), []byte("a-session")) {
		t.Error("a session id is kept")
	}
	if told.Answer.Type != "text/xml; charset=utf-8" || xml.Unmarshal(told.Answer.Body, new(struct{})) != nil {
		t.Errorf("answer %+v", told.Answer)
	}
}

// TestDecodeRefuses: what is no such envelope, and what would grow, is refused.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := string(sample(t))
	head, tail, _ := strings.Cut(good, "<Notification>")
	tail = tail[strings.LastIndex(tail, "</notifications>"):]
	notes := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<Notification><Id>%d</Id><sObject/></Notification>", i)
		}
		return head + b.String() + tail
	}
	deep := func(n int) string {
		return head + strings.Repeat("<a>", n) + strings.Repeat("</a>", n) + tail
	}
	laughs := `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>`
	for name, c := range map[string]struct{ body, want string }{
		"nothing":             {"", "empty"},
		"text":                {"hello", "empty"},
		"JSON":                {"{}", "empty"},
		"half of it":          {good[:len(good)/2], "not XML"},
		"tags that cross":     {strings.Replace(good, "</sf:Id>", "</sf:Ie>", 1), "not XML"},
		"another encoding":    {strings.Replace(good, "UTF-8", "UTF-16", 1), "not XML"},
		"bytes that are none": {strings.Replace(good, "Åse", "\xc5se", 1), "not XML"},
		"a document type":     {strings.Replace(good, "<soapenv:Envelope", "<!DOCTYPE x><soapenv:Envelope", 1), "document type"},
		"entities that grow":  {strings.Replace(good, "<soapenv:Envelope", laughs+"<soapenv:Envelope", 1), "document type"},
		"a file's entity":     {strings.Replace(good, "<soapenv:Envelope", `<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><soapenv:Envelope`, 1), "document type"},
		"a type within":       {strings.Replace(good, "<Notification>", "<!DOCTYPE x><Notification>", 1), "document type"},
		"an entity unknown":   {strings.Replace(good, "&amp;", "&b;", 1), "not XML"},
		"two envelopes":       {good + good[strings.Index(good, "<soapenv"):], "follows"},
		"words behind":        {good + "x", "follows"},
		"another body":        {strings.Replace(good, "soap.sforce.com/2005", "soap.sforce.com/2006", 1), "SOAP envelope"},
		"no body":             {"<a/>", "SOAP envelope"},
		"too deep":            {deep(maxDepth - 2), "deeper"},
		"as deep as may be":   {deep(maxDepth - 3), ""},
		"far too deep":        {deep(100_000), "deeper"},
		"too wide":            {head + strings.Repeat("<a/>", maxNodes) + tail, "more than 200000"},
		"too many":            {notes(maxNotifications + 1), "more than 1000"},
		"as many as may be":   {notes(maxNotifications), ""},
	} {
		_, err := Reader{}.Read(call([]byte(c.body)))
		m, ok := errors.AsType[*hook.Malformed](err)
		if ok != (c.want != "") || ok && !strings.Contains(m.Why, c.want) || !ok && err != nil {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(`<Envelope><Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D300000000Xyz</OrganizationId><Notification/></notifications></Body></Envelope>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		told, err := Reader{}.Read(call(b))
		if err != nil {
			return
		}
		for i := range told.Events {
			if _, err := told.Events[i].Encode(); err != nil {
				t.Errorf("%s can't be kept: %v", b, err)
			}
		}
	})
}
