package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/client"
)

const someJob = "202611.0.shop.AAAAAAAAAAAAAAAAAAAAAA.nothing~1"

// TestRefusals holds every refusal to its exact words: they are what an
// operator reads.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "shop")
	if _, err := h.client(t).Apply(t.Context(), "b.yaml", strings.NewReader(broadcastYAML("draft", "shop", "Hello"))); err != nil {
		t.Fatal(err)
	}
	insta := strings.Replace(senderYAML("insta-shop"), "channel: messenger", "channel: instagram", 1) + "---\n" + broadcastYAML("photo", "insta-shop", "Hello")
	if _, err := h.client(t).Apply(t.Context(), "i.yaml", strings.NewReader(insta)); err != nil {
		t.Fatal(err)
	}
	unread := "broadcast draft: not launched, since its warnings must be acknowledged first: bulk_discouraged (" + bulk().Says + "); launch it with acknowledge: bulk_discouraged"
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		detail             string
	}{
		"unknown path":               {"GET", "/v1/nothing", "", 404, "no such path; GET /v1/openapi.json lists them"},
		"path with a slash too many": {"GET", "/v1/senders/", "", 404, "no such path; GET /v1/openapi.json lists them"},
		"wrong method":               {"DELETE", "/v1/senders/shop", "", 405, "this path takes GET, not DELETE"},
		"wrong method for a verb":    {"GET", "/v1/broadcasts/draft/launch", "", 405, "this path takes POST, not GET"},
		"unknown parameter":          {"GET", "/v1/dead?sourc=x", "", 400, `unknown parameter "sourc": want reason, state, sender, source, since, until, likely_not_sent, limit`},
		"parameter where none is":    {"GET", "/v1/senders?x=1", "", 400, `unknown parameter "x": this path takes none`},
		"parameter twice":            {"GET", "/v1/dead?limit=1&limit=2", "", 400, `parameter "limit" is given 2 times`},
		"query that is none":         {"GET", "/v1/dead?limit=%zz", "", 400, `the query can't be read: invalid URL escape "%zz"`},

		"apply nothing":             {"POST", "/v1/apply", "", 422, "body: no document: want kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"},
		"apply an unknown field":    {"POST", "/v1/apply?file=a.yaml", "kind: Broadcast\nid: a\nsender: shop\nmessage: {txt: x}\n", 422, `a.yaml:4: unknown field "txt": message has text, attachment, buttons, elements, quick_replies, template, via, promotional, tag, use_case, healthcare, discloses`},
		"apply to a lacking sender": {"POST", "/v1/apply?file=a.yaml", broadcastYAML("a", "none", "x"), 422, "a.yaml:3: broadcast a: sender none is not defined; apply its Sender document first"},
		"apply what can't be sent":  {"POST", "/v1/apply?file=a.yaml", broadcastYAML("a", "shop", "'{{.name'"), 422, "a.yaml:4: broadcast a: message.text: text:1: unclosed action"},
		"apply too much":            {"POST", "/v1/apply", strings.Repeat("#", 1<<20+1), 413, "the body is longer than 1048576 bytes"},
		"apply under a bad name":    {"POST", "/v1/apply?file=a%0Ab", "", 400, "file: want a name of at most 255 bytes in one line"},

		"no such sender":           {"GET", "/v1/senders/none", "", 404, "sender none: not found"},
		"no sender at all":         {"GET", "/v1/senders/%3E", "", 404, "sender >: not found"},
		"no such endpoint":         {"GET", "/v1/endpoints/none", "", 404, "endpoint none: not found"},
		"replay of nothing":        {"POST", "/v1/endpoints/none/replay", "{}", 400, "want either since, from when on to push again, or dead: true, for what was given up"},
		"replay of both":           {"POST", "/v1/endpoints/none/replay", `{"dead":true,"since":"2026-01-01T00:00:00Z"}`, 400, "want either since, from when on to push again, or dead: true, for what was given up"},
		"replay from the future":   {"POST", "/v1/endpoints/none/replay", `{"since":"2099-01-01T00:00:00Z"}`, 400, "since: want a moment that has been"},
		"outcomes after what":      {"GET", "/v1/outcomes?after=x", "", 400, "after: want what an earlier answer gave as cursor"},
		"outcomes by both":         {"GET", "/v1/outcomes?after=e30&since=2026-01-01T00:00:00Z", "", 400, "want either after or since"},
		"too many outcomes":        {"GET", "/v1/outcomes?limit=1001", "", 400, `limit "1001": want a number from 1 to 1000`},
		"outcomes of whom":         {"GET", "/v1/outcomes?sender=A.B", "", 400, `sender "A.B": want the id of a sender`},
		"pause no sender":          {"POST", "/v1/senders/none/pause", "", 404, "sender none: not found"},
		"import for no sender":     {"POST", "/v1/senders/none/contacts", "id\n1\n", 404, "sender none: not found"},
		"import nothing":           {"POST", "/v1/senders/shop/contacts", "", 422, "line 1: the file is empty: want a header row with a column id"},
		"import without an id":     {"POST", "/v1/senders/shop/contacts", "name\nAda\n", 422, `line 1: no column "id": want a header row such as id,name,last_inbound,labels,timezone`},
		"check without an id":      {"POST", "/v1/senders/shop/contacts?check=true", "name\nAda\n", 422, `line 1: no column "id": want a header row such as id,name,last_inbound,labels,timezone`},
		"check that is neither":    {"POST", "/v1/senders/shop/contacts?check=yes", "id\n1\n", 400, `check "yes": want true or false`},
		"change of no sender":      {"POST", "/v1/senders/none/contacts/changes", `{"contacts":[{"contact":"1","name":"x"}]}`, 404, "sender none: not found"},
		"change nobody":            {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[]}`, 400, "contacts: want 1 to 500"},
		"change 501":               {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[` + strings.Repeat(`{"contact":"1","name":"x"},`, 500) + `{"contact":"1","name":"x"}]}`, 400, "contacts: want 1 to 500"},
		"change of no id":          {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1","name":"x"},{"name":"x"}]}`, 400, "contacts[1].contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"change that says nothing": {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1"}]}`, 400, "contacts[0]: says nothing: want name, timezone, labels, attributes, sms_consent, opt_out or opt_in"},
		"change to no time zone":   {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1","timezone":"Mars/Base"}]}`, 400, `contacts[0].timezone "Mars/Base" is not an IANA time zone such as Europe/Oslo`},
		"change to come":           {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1","name":"x","at":"2099-01-01T00:00:00Z"}]}`, 400, "contacts[0].at: lies in the future"},
		"opt-out without a source": {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1","opt_out":"all"}]}`, 400, "contacts[0].source: say where the opt-out was made"},
		"erase nobody":             {"POST", "/v1/senders/shop/contacts/erase", `{}`, 400, "contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"erase what is to come":    {"POST", "/v1/senders/shop/contacts/erase", `{"contact":"1","at":"2099-01-01T00:00:00Z"}`, 400, "at: lies in the future"},
		"erase of no sender":       {"POST", "/v1/senders/none/contacts/erase", `{"contact":"1"}`, 404, "sender none: not found"},
		"events that are none":     {"POST", "/v1/events", `{}`, 400, "want a CloudEvent 1.0 with id, source and type"},
		"an event of no sender":    {"POST", "/v1/events", `{"specversion":"1.0","id":"1","source":"x","type":"carillon.contact.changed","data":{"sender":"none","contact":"1"}}`, 404, "sender none: not found"},
		"an event of nobody":       {"POST", "/v1/events", `{"specversion":"1.0","id":"1","source":"x","type":"carillon.contact.changed","data":{"sender":"shop"}}`, 422, "events[0]: data.contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"change, unknown field":    {"POST", "/v1/senders/shop/contacts/changes", `{"contacts":[{"contact":"1","nam":"x"}]}`, 400, `unknown field "nam"`},

		"opt out of no sender":   {"POST", "/v1/senders/none/optouts", `{"contact":"1","source":"x"}`, 404, "sender none: not found"},
		"opt out nobody":         {"POST", "/v1/senders/shop/optouts", `{"source":"x"}`, 400, "contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"opt out 257 bytes":      {"POST", "/v1/senders/shop/optouts", `{"contact":"` + long + `","source":"x"}`, 400, "contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"opt out with a space":   {"POST", "/v1/senders/shop/optouts", `{"contact":"+47 1","source":"x"}`, 400, "contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"opt out of what":        {"POST", "/v1/senders/shop/optouts", `{"contact":"1","scope":"some","source":"x"}`, 400, `scope "some": want all or marketing`},
		"opt out without source": {"POST", "/v1/senders/shop/optouts", `{"contact":"1","source":" "}`, 400, "source: say in 1 to 256 bytes where the opt-out was made"},
		"opt out, long source":   {"POST", "/v1/senders/shop/optouts", `{"contact":"1","source":"` + long + `"}`, 400, "source: say in 1 to 256 bytes where the opt-out was made"},
		"opt out, unknown field": {"POST", "/v1/senders/shop/optouts", `{"contact":"1","sorce":"x"}`, 400, `unknown field "sorce"`},
		"opt out without a body": {"POST", "/v1/senders/shop/optouts", "", 400, "the body is not a JSON object"},

		"no such broadcast":        {"GET", "/v1/broadcasts/none", "", 404, "broadcast none: not found"},
		"launch no broadcast":      {"POST", "/v1/broadcasts/none/launch", "", 404, "broadcast none: not found"},
		"launch unread":            {"POST", "/v1/broadcasts/draft/launch", `{}`, 409, unread},
		"launch with a typo":       {"POST", "/v1/broadcasts/draft/launch", `{"acknowledges":[]}`, 400, `unknown field "acknowledges"`},
		"launch with no list":      {"POST", "/v1/broadcasts/draft/launch", `{"acknowledge":"bulk_discouraged"}`, 400, `field "acknowledge" can't be a JSON string: want an array`},
		"launch, unknown warning":  {"POST", "/v1/broadcasts/draft/launch", `{"acknowledge":["bulk_discouraged","bulk"]}`, 422, `broadcast draft: acknowledge "bulk": it has no such warning to acknowledge, only bulk_discouraged`},
		"launch, needless warning": {"POST", "/v1/broadcasts/photo/launch", `{"acknowledge":["bulk_discouraged"]}`, 422, `broadcast photo: acknowledge "bulk_discouraged": it has no warning to acknowledge; leave it out`},
		"diff of nothing":          {"POST", "/v1/policy/diff", `{}`, 400, `from "": want a day such as 2026-04-27, or a time in RFC 3339`},
		"diff to no day":           {"POST", "/v1/policy/diff", `{"from":"2026-04-26","to":"2026-02-30"}`, 400, `to "2026-02-30": want a day such as 2026-04-27, or a time in RFC 3339`},
		"diff backwards":           {"POST", "/v1/policy/diff", `{"from":"2026-04-27","to":"2026-04-26T23:59:59Z"}`, 400, "to 2026-04-26T23:59:59Z is before from 2026-04-27"},
		"diff by a bad rulebook":   {"POST", "/v1/policy/diff", `{"from":"2026-04-26","to":"2026-04-27","rulebook":"version: 1\ncolour: red\n"}`, 422, "rulebook: line 2: field colour not found here: correct its name or remove it"},
		"diff by a long rulebook":  {"POST", "/v1/policy/diff", `{"from":"2026-04-26","to":"2026-04-27","rulebook":"` + strings.Repeat("#", 256<<10+1) + `"}`, 413, "rulebook: longer than 262144 bytes"},
		"diff by the longest one":  {"POST", "/v1/policy/diff", `{"from":"2026-04-26","to":"2026-04-27","rulebook":"` + strings.Repeat("#", 256<<10) + `"}`, 422, "rulebook: the file is empty"},
		"progress of nothing":      {"GET", "/v1/broadcasts/none/progress", "", 404, "broadcast none: not found"},
		"forecast of nothing":      {"GET", "/v1/broadcasts/none/forecast", "", 404, "broadcast none: not found"},
		"audit of nothing":         {"GET", "/v1/broadcasts/none/audit", "", 404, "broadcast none: not found"},
		"pause a draft":            {"POST", "/v1/broadcasts/draft/pause", "", 409, "broadcast draft: can't pause a broadcast that is draft"},
		"resume a draft":           {"POST", "/v1/broadcasts/draft/resume", "", 409, "broadcast draft: can't resume a broadcast that is draft"},
		"bucket that is none":      {"GET", "/v1/broadcasts/draft/audit?bucket=held", "", 400, `bucket "held": want one of sent, blocked, failed, unknown, cancelled, expired, pending`},
		"bucket without a name":    {"GET", "/v1/broadcasts/draft/audit?bucket=", "", 400, `bucket "": want one of sent, blocked, failed, unknown, cancelled, expired, pending`},
		"job that is none":         {"GET", "/v1/jobs/x", "", 400, `job id "x": want MONTH.PART.SENDER.CONTACT.SOURCE, as audit, dead and why print it`},
		"job of no broadcast":      {"GET", "/v1/jobs/" + someJob, "", 404, "job " + someJob + ": no broadcast or flow has that job"},
		"contact of whom":          {"GET", "/v1/contacts?id=1", "", 400, "sender: want the id of the sender that knows the contact"},
		"contact without an id":    {"GET", "/v1/contacts?sender=shop", "", 400, "id: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes"},
		"contact of no sender":     {"GET", "/v1/contacts?sender=none&id=1", "", 404, "sender none: not found"},
		"letter of what":           {"GET", "/v1/dead/redrive", "", 400, `job id "redrive": want MONTH.PART.SENDER.CONTACT.SOURCE, as audit, dead and why print it`},
		"no such letter":           {"GET", "/v1/dead/" + someJob, "", 404, "job " + someJob + " has no dead letter"},
		"dead by an odd reason":    {"GET", "/v1/dead?reason=bored", "", 400, `reason "bored": no such reason; docs/reasons.md lists them`},
		"dead but sent":            {"GET", "/v1/dead?state=sent", "", 400, `state "sent": want blocked, failed or unknown`},
		"dead of every sender":     {"GET", "/v1/dead?sender=*", "", 400, `sender "*": want the id of a sender`},
		"dead of an odd source":    {"GET", "/v1/dead?source=a.b", "", 400, `source "a.b": want the id of a broadcast or a flow, or a source as a letter names it`},
		"dead since when":          {"GET", "/v1/dead?since=today", "", 400, `since "today": want RFC 3339 such as 2026-11-22T10:00:00Z`},
		"dead in no time":          {"GET", "/v1/dead?since=2026-11-22T10:00:00Z&until=2026-11-22T10:00:00Z", "", 400, "until must be later than since"},
		"dead, none of them":       {"GET", "/v1/dead?limit=0", "", 400, `limit "0": want a number from 1`},
		"dead, many of them":       {"GET", "/v1/dead?limit=many", "", 400, `limit "many": want a number from 1`},
		"redrive nothing":          {"POST", "/v1/dead/redrive", `{}`, 400, "want either jobs or filter; an empty filter picks every dead letter"},
		"redrive both":             {"POST", "/v1/dead/redrive", `{"jobs":[],"filter":{}}`, 400, "want either jobs or filter; an empty filter picks every dead letter"},
		"redrive an odd job":       {"POST", "/v1/dead/redrive", `{"jobs":["x"]}`, 400, `job id "x": want MONTH.PART.SENDER.CONTACT.SOURCE, as audit, dead and why print it`},
		"redrive one twice":        {"POST", "/v1/dead/redrive", `{"jobs":["` + someJob + `","` + someJob + `"]}`, 400, "job " + someJob + " stands twice"},
		"redrive by an odd filter": {"POST", "/v1/dead/redrive", `{"filter":{"state":"sent"}}`, 400, `state "sent": want blocked, failed or unknown`},
		"discard, odd field":       {"POST", "/v1/dead/discard", `{"filter":{"sourc":"x"}}`, 400, `unknown field "sourc"`},
		"discard, odd type":        {"POST", "/v1/dead/discard", `{"filter":{},"dry_run":"yes"}`, 400, `field "dry_run" can't be a JSON string: want true or false`},
		"discard by two lines":     {"POST", "/v1/dead/discard", `{"filter":{},"by":"a\nb"}`, 400, "by: want at most 256 bytes in one line"},
		"discard too much":         {"POST", "/v1/dead/discard", `{"by":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "the body is longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, body := h.request(t, c.method, c.path, c.body)
			var p client.Problem
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			path, _, _ := strings.Cut(c.path, "?")
			want := client.Problem{Type: "about:blank", Title: http.StatusText(c.status), Status: c.status, Detail: c.detail, Instance: path, TraceID: p.TraceID}
			if c.detail == unread {
				want.Missing = []client.Warning{bulk()}
			}
			if d := cmp.Diff(want, p); d != "" || status != c.status || len(p.TraceID) != 32 {
				t.Error(d, status, p.TraceID)
			}
		})
	}
}

// TestBounds is the other side of the limits above: what just fits.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "bounds")
	for name, c := range map[string]struct{ path, body string }{
		"contact of 256 bytes": {"/v1/senders/bounds/optouts", `{"contact":"` + strings.Repeat("x", 256) + `","source":"x"}`},
		"source of 256 bytes":  {"/v1/senders/bounds/optouts", `{"contact":"1","source":"` + strings.Repeat("x", 256) + `"}`},
		"body of 1 MiB":        {"/v1/apply", senderYAML("bounds") + strings.Repeat("#", 1<<20-len(senderYAML("bounds")))},
		"file of 255 bytes":    {"/v1/apply?file=" + strings.Repeat("x", 255), senderYAML("bounds")},
		"by of 256 bytes":      {"/v1/dead/discard", `{"filter":{"sender":"bounds"},"by":"` + strings.Repeat("x", 256) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, body := h.request(t, "POST", c.path, c.body); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, c := range map[string]struct {
		path, header string
		status       int
	}{
		"none":                        {"/v1/senders", "", 401},
		"another":                     {"/v1/senders", "Bearer another", 401},
		"a part of it":                {"/v1/senders", "Bearer " + token[:5], 401},
		"nothing but the scheme":      {"/v1/senders", "Bearer ", 401},
		"another scheme":              {"/v1/senders", "Basic " + token, 401},
		"without a scheme":            {"/v1/senders", token, 401},
		"none, for what is not there": {"/v1/nothing", "", 401},
		"none, for v1 itself":         {"/v1", "", 401},
		"right":                       {"/v1/senders", "Bearer " + token, 200},
		"right, in small letters":     {"/v1/senders", "bearer " + token, 200},
		"none, for the document":      {"/v1/openapi.json", "", 200},
		"none, for health":            {"/healthz", "", 200},
		"none, for readiness":         {"/readyz", "", 200},
		"none, outside of v1":         {"/nothing", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			status, header, body := h.request(t, "GET", c.path, "", "Authorization", c.header)
			if status != c.status {
				t.Errorf("%d %s", status, body)
			}
			if got := header.Get("WWW-Authenticate"); (got == `Bearer realm="carillon"`) != (c.status == 401) {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for path, want := range map[string]string{"/v1/apply": "POST", "/v1/senders": "GET", "/v1/dead/discard": "GET, POST"} {
		if status, header, _ := h.request(t, "PUT", path, ""); status != 405 || header.Get("Allow") != want {
			t.Errorf("PUT %s: %d, Allow %q, want %q", path, status, header.Get("Allow"), want)
		}
	}
}

// TestTrace: the trace id of the caller stands in the problem and the log.
func TestTrace(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	_, _, body := h.request(t, "POST", "/v1/broadcasts/none/launch", "", "traceparent", "00-"+id+"-00f067aa0ba902b7-01")
	var p client.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.TraceID != id {
		t.Errorf("%v: %s", err, body)
	}
	if !strings.Contains(h.log.String(), "trace_id="+id) {
		t.Error("the log lacks the trace id")
	}
}

// TestApplyAllOrNothing: a document that can't be stored keeps those before
// it out too.
func TestApplyAllOrNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "part")
	other := strings.Replace(senderYAML("part"), "channel: messenger", "channel: instagram", 1)
	_, err := h.client(t).Apply(t.Context(), "p.yaml", strings.NewReader(senderYAML("part-one")+"---\n"+other))
	want := "p.yaml:10: sender part: channel and account can't change, since its contacts are known by them; give the other account its own id"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := h.client(t).Sender(t.Context(), "part-one"); !client.IsNotFound(err) {
		t.Errorf("the document before it: %v", err)
	}
}

// TestRedriveUnknownLedger: a job of a month that never was is refused, and
// nobody is told to come back later.
func TestRedriveUnknownLedger(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "old")
	c := h.client(t)
	id := job.Source{Month: "199901", Sender: "old", Name: "gone~1"}.Job(job.Key{})
	got, err := c.Redrive(t.Context(), client.HandleRequest{Jobs: []string{id.String()}})
	want := client.HandleResult{Matched: 1, Refused: []client.Refusal{{Job: id.String(), Why: "its broadcast is not defined any more"}}, RefusedCount: 1}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Error(err, d)
	}
	_, err = c.Discard(t.Context(), client.HandleRequest{Jobs: []string{id.String()}})
	if !client.IsNotFound(err) || !strings.HasPrefix(err.Error(), "no ledger has one of these jobs: ") {
		t.Error(err)
	}
}
