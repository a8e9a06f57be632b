package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/client"
)

// deed is a request that does something, and what the log is to say of it.
// SENDER, JOB and TOKENID are put in.
type deed struct {
	path, body   string
	verb, object string // verb "": it only reads
	details      string // JSON
}

// deeds holds every POST that the API has.
func deeds() map[string]deed {
	const own = "menu-SENDER" // a broadcast that runs
	return map[string]deed{
		"POST /v1/apply":                  {"/v1/apply?file=d.yaml", senderYAML("new-SENDER") + "---\n" + broadcastYAML("of-new-SENDER", "new-SENDER", "Hi"), "apply", "", `{"documents":"Sender new-SENDER, Broadcast of-new-SENDER","count":"2"}`},
		"POST /v1/senders/{id}/pause":     {"/v1/senders/SENDER/pause", "", "pause-sender", "SENDER", ""},
		"POST /v1/senders/{id}/resume":    {"/v1/senders/SENDER/resume", "", "resume-sender", "SENDER", ""},
		"POST /v1/senders/{id}/contacts":  {"/v1/senders/SENDER/contacts", "id,name\n31,Ann\n,Bob\n32,Cyd\n", "import", "SENDER", ""},
		"POST /v1/senders/{id}/optouts":   {"/v1/senders/SENDER/optouts", `{"contact":"7","source":"by phone from 4712345678","scope":"marketing"}`, "optout", "KEY7", `{"scope":"marketing"}`},
		"POST /v1/broadcasts/{id}/launch": {"/v1/broadcasts/draft-SENDER/launch", `{"acknowledge":["bulk_discouraged"]}`, "launch", "draft-SENDER", `{"acknowledged":"bulk_discouraged"}`},
		"POST /v1/broadcasts/{id}/pause":  {"/v1/broadcasts/running-SENDER/pause", "", "pause", "running-SENDER", ""},
		"POST /v1/broadcasts/{id}/resume": {"/v1/broadcasts/paused-SENDER/resume", "", "resume", "paused-SENDER", ""},
		"POST /v1/broadcasts/{id}/cancel": {"/v1/broadcasts/" + own + "/cancel", "", "cancel", own, ""},
		"POST /v1/dead/redrive":           {"/v1/dead/redrive", `{"jobs":["JOB"],"by":"ann"}`, "redrive", "", `{"picked":"1 by job","by":"ann"}`},
		"POST /v1/dead/discard":           {"/v1/dead/discard", `{"filter":{"sender":"SENDER","reason":"window_closed"}}`, "discard", "", `{"picked":"reason window_closed, sender SENDER","by":"api"}`},
		"POST /v1/endpoints/{id}/enable":  {"/v1/endpoints/crm-SENDER/enable", "", "enable-endpoint", "crm-SENDER", ""},
		"POST /v1/endpoints/{id}/disable": {"/v1/endpoints/crm-SENDER/disable", "", "disable-endpoint", "crm-SENDER", ""},
		"POST /v1/endpoints/{id}/replay":  {"/v1/endpoints/crm-SENDER/replay", `{"since":"2026-01-01T00:00:00Z"}`, "replay-endpoint", "crm-SENDER", `{"picked":"since 2026-01-01T00:00:00Z"}`},
		"POST /v1/flows/{id}/pause":       {"/v1/flows/flow-SENDER/pause", "", "pause-flow", "flow-SENDER", `{"going":"0"}`},
		"POST /v1/flows/{id}/resume":      {"/v1/flows/flow-SENDER/resume", "", "resume-flow", "flow-SENDER", `{"going":"0"}`},
		"POST /v1/flows/{id}/delete":      {"/v1/flows/other-SENDER/delete", "", "delete-flow", "other-SENDER", `{"going":"0"}`},
		"POST /v1/flows/{id}/stop":        {"/v1/flows/flow-SENDER/stop", `{"sender":"SENDER","contact":"7"}`, "stop-runs", "flow-SENDER", `{"picked":"of contact KEY7"}`},
		"POST /v1/tokens":                 {"/v1/tokens", `{"name":"of SENDER","role":"viewer","senders":["SENDER"]}`, "create-token", "", `{"name":"of SENDER","role":"viewer","senders":"SENDER"}`},
		"POST /v1/tokens/{id}/revoke":     {"/v1/tokens/TOKENID/revoke", "", "revoke-token", "TOKENID", ""},
		"POST /v1/policy/diff":            {"/v1/policy/diff", `{"from":"2026-11-22","to":"2026-11-23"}`, "", "", ""},

		"POST /v1/events": {"/v1/events", `{"specversion":"1.0","id":"of-SENDER","source":"crm","type":"carillon.contact.changed","data":{"sender":"SENDER","contact":"7","name":"x"}}`, "events", "", `{"count":"1","contacts":"1"}`},

		"POST /v1/senders/{id}/reviews":          {"/v1/senders/SENDER/reviews", `{"contact":"77","decision":"keep"}`, "review", "KEY77", `{"decision":"keep"}`},
		"POST /v1/senders/{id}/labels/pull":      {"/v1/senders/SENDER/labels/pull", "", "pull-labels", "SENDER", ""},
		"POST /v1/senders/{id}/contacts/erase":   {"/v1/senders/SENDER/contacts/erase", `{"contact":"7"}`, "erase-contact", "KEY7", ""},
		"POST /v1/senders/{id}/contacts/changes": {"/v1/senders/SENDER/contacts/changes", `{"contacts":[{"contact":"7","name":"Ann Person","opt_in":"all"}]}`, "change-contacts", "KEY7", `{"count":"1"}`},
	}
}

// staged makes a sender on which every deed can be done, and returns the
// deeds on it.
func (h *house) staged(t *testing.T, sender string) map[string]deed {
	t.Helper()
	dead := h.deadJob(t, sender)
	c, ctx := h.client(t), t.Context()
	for _, id := range []string{"draft-", "running-", "paused-"} {
		must(c.Apply(ctx, "b.yaml", strings.NewReader(broadcastYAML(id+sender, sender, "Hello"))))(t)
		if id != "draft-" {
			must(c.Launch(ctx, id+sender, "bulk_discouraged"))(t)
		}
	}
	must(c.Pause(ctx, "paused-"+sender))(t)
	must(h.facts.Merge(ctx, sender, []contact.Update{{Address: "77", Review: contact.Review{At: time.Now(), ID: "m-1"}}}))(t)
	w := strings.NewReplacer("SENDER", sender, "JOB", dead.String(), "TOKENID", h.token(t, access.Viewer, sender).ID, "KEY77", h.facts.Key(sender, "77").String(), "KEY7", h.facts.Key(sender, "7").String())
	out := deeds()
	for op, d := range out {
		out[op] = deed{w.Replace(d.path), w.Replace(d.body), d.verb, w.Replace(d.object), w.Replace(d.details)}
	}
	return out
}

// logged returns what the log says of a deed.
func (h *house) logged(t *testing.T, d deed, sender string) (out []journal.Entry) {
	t.Helper()
	err := h.journal.Each(t.Context(), journal.Filter{Verb: d.verb}, func(e journal.Entry) error {
		if e.Object == d.object && (d.object != "" || strings.Contains(fmt.Sprint(e.Sender, e.Details), sender)) {
			out = append(out, e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEveryPostIsDoneOnceAndLogged: whatever the API can do is written into
// the log once, and done once for a key, however often it is asked for.
func TestEveryPostIsDoneOnceAndLogged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	there := slices.DeleteFunc(h.held.operations(), func(op string) bool { return !strings.HasPrefix(op, "POST ") })
	if got := slices.Sorted(maps.Keys(deeds())); !slices.Equal(got, there) {
		t.Fatalf("known %q\nthere are %q: put what is missing into deeds()", got, there)
	}
	const sender = "front-door"
	all := h.staged(t, sender)
	for i, op := range there {
		t.Run(op, func(t *testing.T) {
			d := all[op]
			before := len(h.logged(t, d, sender))
			key := []string{"Idempotency-Key", fmt.Sprint("key-", i)}
			status, header, body := h.request(t, "POST", d.path, d.body, key...)
			if status >= 300 || header.Get("Idempotent-Replayed") != "" {
				t.Fatalf("%d %v %s", status, header, body)
			}
			again, replayed, same := h.request(t, "POST", d.path, d.body, key...)
			if d.verb == "" {
				if again != status || replayed.Get("Idempotent-Replayed") != "" {
					t.Errorf("what only reads is read again: %d %v", again, replayed)
				}
				return
			}
			lines := bytes.SplitAfter(bytes.TrimSpace(body), []byte("\n"))
			last := append(bytes.TrimSpace(lines[len(lines)-1]), '\n') // of a stream the last line is kept
			if again != status || replayed.Get("Idempotent-Replayed") != "true" || replayed.Get("Content-Type") != header.Get("Content-Type") || !bytes.Equal(same, last) {
				t.Errorf("a repeat has %d %v %s\nwant %d %v %s", again, replayed, same, status, header, last)
			}
			for name, other := range map[string][2]string{"body": {d.path, d.body + " "}, "path": {"/v1/broadcasts/other/pause", d.body}} {
				if s, _, b := h.request(t, "POST", other[0], other[1], key...); s != 422 || !bytes.Contains(b, []byte("this Idempotency-Key was used for another request")) {
					t.Errorf("with another %s: %d %s", name, s, b)
				}
			}
			h.logsOnce(t, op, d, sender, status, before)
		})
	}
}

func (h *house) logsOnce(t *testing.T, op string, d deed, sender string, status, before int) {
	t.Helper()
	es := h.logged(t, d, sender)
	if len(es) != before+1 {
		t.Fatalf("%d entries, want %d: %+v", len(es), before+1, es)
	}
	e := es[before]
	details, err := json.Marshal(e.Details)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]string
	if json.Unmarshal(details, &got) != nil || d.details != "" && json.Unmarshal([]byte(d.details), &want) != nil || !maps.Equal(got, want) {
		t.Errorf("details %v, want %v", got, want)
	}
	if e.Caller != (journal.Caller{ID: "root", Name: "root", Role: "admin"}) || e.Via != op || e.Object != d.object || e.Network != "127.0.0.0/24" || len(e.Trace) != 32 {
		t.Errorf("%+v", e)
	}
	if e.Result == nil || e.Result.Status != status {
		t.Errorf("its result is %+v, want %d", e.Result, status)
	}
	if all := fmt.Sprintf("%+v %+v", e, e.Result); strings.Contains(all, "4712345678") || strings.Contains(all, "Ann") {
		t.Errorf("the log names a person: %s", all)
	}
}

// door is a server like the house's with something else about it.
func (h *house) door(t *testing.T, change func(*api.Config)) *api.Server {
	t.Helper()
	c := h.config
	change(&c)
	s, err := api.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// knock sends a request to a server and returns its answer.
func knock(t *testing.T, s http.Handler, method, path, body, bearer, from string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr = from
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const here = "192.0.2.7:1000"

// TestNothingIsDoneUnlogged: while the log can't be written nothing is done,
// and the key serves for the time when it can.
func TestNothingIsDoneUnlogged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	gone, err := subject.New("gone")
	if err != nil {
		t.Fatal(err)
	}
	e := h.engines
	broken, err := journal.Open(t.Context(), e.NATS, stream.Provider{JS: e.JetStream, Create: true}, gone)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.JetStream.DeleteStream(t.Context(), gone.JournalStream()); err != nil {
		t.Fatal(err)
	}
	s := h.door(t, func(c *api.Config) { c.Journal = broken })
	const sender = "shut-door"
	all := h.staged(t, sender)
	for op, d := range all {
		if d.verb == "" {
			continue
		}
		before := len(h.logged(t, d, sender))
		key := []string{"Idempotency-Key", "shut" + strings.ReplaceAll(op, " ", "")}
		w := knock(t, s, "POST", d.path, d.body, token, here, key...)
		if w.Code != 503 || !strings.Contains(w.Body.String(), "nothing was done, since the audit log can't be written") || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: %d %v %s", op, w.Code, w.Header(), w.Body)
		}
		if es := h.logged(t, d, sender); len(es) != before {
			t.Errorf("%s: %+v", op, es)
		}
	}
	for _, op := range slices.Sorted(maps.Keys(all)) { // and so every one of them can still be done
		d := all[op]
		key := []string{"Idempotency-Key", "shut" + strings.ReplaceAll(op, " ", "")}
		if status, header, body := h.request(t, "POST", d.path, d.body, key...); status >= 300 || header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s, once it can be: %d %v %s", op, status, header, body)
		}
	}
	if es := h.logged(t, deed{verb: "discard"}, sender); len(es) != 1 || es[0].Result == nil || es[0].Result.Details["done"] != "1" {
		t.Errorf("the job was not there to be discarded any more: %+v", es)
	}
}

// TestRefusalsAreLogged: who was refused for their role, and nobody whose
// token was wrong.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "guarded")
	viewer := h.token(t, access.Viewer)
	bearer := []string{"Authorization", "Bearer " + viewer.text}
	for _, path := range []string{"/v1/senders/guarded/pause", "/v1/senders/+4712345678/pause"} {
		if status, _, body := h.request(t, "POST", path, "", append(bearer, "Idempotency-Key", "k")...); status != 403 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _, _ := h.request(t, "GET", "/v1/log", "", bearer...); status != 403 {
		t.Errorf("a viewer reads the log: %d", status)
	}
	operator := h.token(t, access.Operator)
	if status, _, body := h.request(t, "POST", "/v1/apply", senderYAML("guarded"), "Authorization", "Bearer "+operator.text, "Idempotency-Key", "k"); status != 403 {
		t.Fatalf("%d %s", status, body)
	}
	h.request(t, "POST", "/v1/senders/guarded/pause", "", "Authorization", "Bearer wrong")
	var got []string
	err := h.journal.Each(t.Context(), journal.Filter{}, func(e journal.Entry) error {
		if e.Caller.ID == viewer.ID || e.Caller.ID == operator.ID || e.Caller.ID == "" {
			got = append(got, fmt.Sprintf("%s %s %q %q %d", e.Caller.Role, e.Verb, e.Object, e.Sender, e.Result.Status))
		}
		return nil
	})
	want := []string{`viewer pause-sender "guarded" "guarded" 403`, `viewer pause-sender "" "" 403`, `viewer read "" "" 403`, `operator apply "" "" 403`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %q, want %q", err, got, want)
	}
}

// TestRefusalsDoNotFillTheLog: of a caller who is refused again and again some
// is written, with a count of the rest; no name that they made up becomes a
// subject, which the server would keep in memory for good.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "bounded")
	h.withSender(t, "beyond")
	viewer := h.token(t, access.Viewer, "bounded")
	bearer := []string{"Authorization", "Bearer " + viewer.text}
	sent := 0
	refused := func(path string) {
		t.Helper()
		sent++
		if status, _, body := h.request(t, "POST", path, "", bearer...); status != 403 {
			t.Fatalf("%d %s", status, body)
		}
	}
	begun := time.Now()
	refused("/v1/senders/beyond/resume")
	for i := range 100 {
		refused(fmt.Sprintf("/v1/senders/made-up-%d/pause", i))
	}
	for {
		refused("/v1/senders/bounded/pause") // until one of them is written
		entries, counted, own := 0, 0, 0
		err := h.journal.Each(t.Context(), journal.Filter{}, func(e journal.Entry) error {
			if e.Caller.ID == viewer.ID {
				n, _ := strconv.Atoi(e.Details["unrecorded"])
				entries, counted = entries+1, counted+n
				if e.Sender == "bounded" {
					own++
				} else if e.Sender != "" {
					t.Errorf("it is said to be %s's: %+v", e.Sender, e)
				}
			}
			return nil
		})
		if most := 20 + int(time.Since(begun)/time.Second); err != nil || entries > most {
			t.Fatalf("%d entries, want at most %d; %v", entries, most, err)
		}
		if own > 0 && entries+counted != sent {
			t.Errorf("%d entries count %d more, and %d were refused", entries, counted, sent)
		}
		if own > 0 {
			return
		}
	}
}

// TestKeysThatStayFree: what changed nothing leaves its key to be used again.
func TestKeysThatStayFree(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "freely")
	must(h.client(t).Apply(t.Context(), "b.yaml", strings.NewReader(broadcastYAML("free-draft", "freely", "Hello"))))(t)
	key := []string{"Idempotency-Key", "free"}
	for _, c := range []struct {
		name, path, body, token string
		want                    int
	}{
		{"no token", "/v1/senders/freely/pause", "", "wrong", 401},
		{"no role", "/v1/senders/freely/pause", "", h.token(t, access.Viewer).text, 403},
		{"no such thing", "/v1/senders/nobody/pause", "", token, 404},
		{"no such path", "/v1/senders/nobody/stop", "", token, 404},
		{"an unknown parameter", "/v1/senders/freely/pause?x=1", "", token, 400},
		{"a bad body", "/v1/senders/freely/optouts", "{", token, 400},
		{"a bad document", "/v1/apply", "kind: Sender\nid: X\n", token, 422},
		{"a bad file", "/v1/senders/freely/contacts", "name\nAnn\n", token, 422},
		{"an illegal move", "/v1/broadcasts/free-draft/pause", "", token, 409},
		{"an unacknowledged warning", "/v1/broadcasts/free-draft/launch", "", token, 409},
		{"a body that is too long", "/v1/dead/redrive", strings.Repeat(" ", 1<<20+1), token, 413},
		{"a dry run", "/v1/dead/discard", `{"filter":{"sender":"freely"},"dry_run":true}`, token, 200},
		{"a file that is only read", "/v1/senders/freely/contacts?check=true", "id\n1\n", token, 200},
	} {
		for try := range 2 {
			status, header, body := h.request(t, "POST", c.path, c.body, append(key, "Authorization", "Bearer "+c.token)...)
			if status != c.want || header.Get("Idempotent-Replayed") != "" {
				t.Errorf("%s, try %d: %d %v %s", c.name, try+1, status, header, body)
			}
		}
	}
	if status, _, body := h.request(t, "POST", "/v1/broadcasts/free-draft/launch", `{"acknowledge":["bulk_discouraged"]}`, key...); status != 200 {
		t.Errorf("at last: %d %s", status, body)
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, key := range []string{"", "two words", strings.Repeat("k", 256), "é"} {
		w := knock(t, h.server, "POST", "/v1/senders/x/pause", "", token, here, "Idempotency-Key", key)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "Idempotency-Key: ") {
			t.Errorf("%q: %d %s", key, w.Code, w.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/senders/x/pause", nil)
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Idempotency-Key": {"a", "b"}}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "more than once") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := knock(t, h.server, "GET", "/v1/policy", "", token, here, "Idempotency-Key", "two words"); w.Code != 200 {
		t.Errorf("of a GET: %d", w.Code)
	}
}

// fragile is a response that panics at the first line that says it is done.
type fragile struct {
	*httptest.ResponseRecorder
	broke bool
}

func (f *fragile) Write(b []byte) (int, error) {
	if !f.broke && bytes.Contains(b, []byte(`"done":`)) {
		f.broke = true
		panic("lost it")
	}
	return f.ResponseRecorder.Write(b)
}

// TestImportAfterAPanic: an import may always be repeated, so that not even a
// panic is kept for its key.
func TestImportAfterAPanic(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "fragile")
	send := func(w http.ResponseWriter) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/senders/fragile/contacts", strings.NewReader("id\n1\n"))
		r.Header = http.Header{"Authorization": {"Bearer " + token}, "Idempotency-Key": {"fragile"}}
		h.server.ServeHTTP(w, r)
	}
	first := &fragile{ResponseRecorder: httptest.NewRecorder()}
	func() {
		defer func() { _ = recover() }() // it is too late for a 500
		send(first)
	}()
	if !first.broke {
		t.Fatal("nothing was written")
	}
	w := httptest.NewRecorder()
	if send(w); w.Code != 200 || w.Header().Get("Idempotent-Replayed") != "" || !strings.Contains(w.Body.String(), `"done":`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestAtWork: a repeat waits for the answer of the first, wherever it comes to.
func TestAtWork(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "slowly")
	in := newSlowFile()
	key := "at-work"
	first := make(chan *httptest.ResponseRecorder, 1)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/senders/slowly/contacts", in)
	r.Header = http.Header{"Authorization": {"Bearer " + token}, "Idempotency-Key": {key}}
	go func() {
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		first <- w
	}()
	<-in.asked // the key is taken: the handler reads
	elsewhere := h.door(t, func(*api.Config) {})
	for _, s := range []http.Handler{h.server, elsewhere} {
		w := knock(t, s, "POST", "/v1/senders/slowly/contacts", "id\n1\n", token, here, "Idempotency-Key", key)
		if w.Code != 409 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	close(in.finish)
	if w := <-first; w.Code != 200 || !strings.Contains(w.Body.String(), `"done":`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w := knock(t, elsewhere, "POST", "/v1/senders/slowly/contacts", "id\n1\n", token, here, "Idempotency-Key", key)
	if w.Code != 200 || w.Header().Get("Idempotent-Replayed") != "true" || !strings.Contains(w.Body.String(), `"written":1`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := knock(t, elsewhere, "POST", "/v1/senders/slowly/contacts", "id\n2\n", token, here, "Idempotency-Key", key); w.Code != 422 {
		t.Errorf("another file: %d %s", w.Code, w.Body)
	}
}

// slowFile is a CSV that ends when it is told to.
type slowFile struct {
	rest   *strings.Reader
	asked  chan struct{}
	finish chan struct{}
	again  bool
}

func newSlowFile() *slowFile {
	return &slowFile{rest: strings.NewReader("id\n1\n"), asked: make(chan struct{}), finish: make(chan struct{})}
}

func (f *slowFile) Read(p []byte) (int, error) {
	if !f.again {
		f.again = true
		close(f.asked)
	}
	<-f.finish
	return f.rest.Read(p)
}

// TestLogOverHTTP: what the log says comes out as the client reads it, filtered
// and cut, and to a token with a scope only what concerns it.
func TestLogOverHTTP(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.client(t)
	for _, id := range []string{"log-a", "log-b"} {
		h.withSender(t, id)
		must(c.PauseSender(t.Context(), id))(t)
		must(c.ResumeSender(t.Context(), id))(t)
	}
	list := func(c *client.Client, f client.LogFilter) (out []string, last uint64) {
		for e, err := range c.Log(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Sender == "log-a" || e.Sender == "log-b" {
				out, last = append(out, fmt.Sprintf("%s %s %d", e.Verb, e.Sender, e.Status)), e.Seq
			}
		}
		return out, last
	}
	is := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	got, last := list(c, client.LogFilter{Sender: "log-a"})
	is("a sender's", got, "apply log-a 200", "pause-sender log-a 200", "resume-sender log-a 200")
	got, _ = list(c, client.LogFilter{Sender: "log-a", Limit: 2})
	is("the newest two", got, "pause-sender log-a 200", "resume-sender log-a 200")
	got, _ = list(c, client.LogFilter{Sender: "log-a", Limit: 10_000})
	is("the newest 10,000", got, "apply log-a 200", "pause-sender log-a 200", "resume-sender log-a 200")
	got, _ = list(c, client.LogFilter{After: last, Verb: "pause-sender", Caller: "root"})
	is("after it", got, "pause-sender log-b 200")
	got, _ = list(c, client.LogFilter{Sender: "log-a", Since: time.Now().Add(time.Hour)})
	is("of later", got)
	got, _ = list(c, client.LogFilter{Sender: "log-a", Until: time.Now().Add(-time.Hour)})
	is("of before", got)
	scoped := client.New(h.http.URL, h.token(t, access.Admin, "log-b").text)
	defer scoped.Close()
	for e, err := range scoped.Log(t.Context(), client.LogFilter{}) {
		if err != nil || e.Sender != "log-b" {
			t.Fatalf("in the scope of log-b: %+v, %v", e, err)
		}
	}
	for _, q := range []string{"limit=0", "limit=10001", "limit=x", "after=0", "after=-1", "since=yesterday", "until=1", "who=me"} {
		if status, _, body := h.request(t, "GET", "/v1/log?"+q, ""); status != 400 {
			t.Errorf("%s: %d %s", q, status, body)
		}
	}
}
