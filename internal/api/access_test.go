package api_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// How a request answers a caller who may not know of its sender.
const (
	forAll    = "for all"   // it is about no sender
	hidden    = "hidden"    // 404
	lacks     = "lacks"     // 200, without what is out of scope
	undefined = "undefined" // 422, as for a sender that is not defined
	refused   = "refused"   // 200, with a refusal
	outside   = "outside"   // 403, the same whether the sender exists or not
	unscoped  = "unscoped"  // 403 for every token that has a scope
)

// try is one request about a sender, and what it takes. Words in capitals are
// put in for the sender.
type try struct {
	need  access.Role // "": no token
	scope string
	path  string
	body  string
}

// tries holds every operation of the API, METHOD and path; what stands behind
// a # tells requests of one operation apart.
func tries() map[string]try {
	const viewer, operator, admin = access.Viewer, access.Operator, access.Admin
	return map[string]try{
		"GET /healthz":                          {"", forAll, "/healthz", ""},
		"GET /readyz":                           {"", forAll, "/readyz", ""},
		"GET /v1/openapi.json":                  {"", forAll, "/v1/openapi.json", ""},
		"POST /v1/apply":                        {operator, undefined, "/v1/apply", "kind: Broadcast\nid: new-SENDER\nsender: SENDER\nmessage: {text: Hi}\n"},
		"POST /v1/apply#sender":                 {admin, outside, "/v1/apply", "kind: Sender\nid: SENDER\nchannel: messenger\naccount: \"111\"\ncredential: env:TOKEN\nrate: {per_second: 100}\n"},
		"GET /v1/senders":                       {viewer, lacks, "/v1/senders", ""},
		"GET /v1/senders/{id}":                  {viewer, hidden, "/v1/senders/SENDER", ""},
		"POST /v1/senders/{id}/pause":           {operator, hidden, "/v1/senders/SENDER/pause", ""},
		"POST /v1/senders/{id}/resume":          {operator, hidden, "/v1/senders/SENDER/resume", ""},
		"POST /v1/senders/{id}/contacts":        {operator, hidden, "/v1/senders/SENDER/contacts", "id\n7\n"},
		"POST /v1/senders/{id}/contacts#check":  {operator, hidden, "/v1/senders/SENDER/contacts?check=true", "id\n7\n"},
		"POST /v1/senders/{id}/optouts":         {operator, hidden, "/v1/senders/SENDER/optouts", `{"contact":"9","source":"x"}`},
		"GET /v1/broadcasts":                    {viewer, lacks, "/v1/broadcasts", ""},
		"GET /v1/broadcasts/{id}":               {viewer, hidden, "/v1/broadcasts/menu-SENDER", ""},
		"POST /v1/broadcasts/{id}/launch":       {operator, hidden, "/v1/broadcasts/menu-SENDER/launch", ""},
		"POST /v1/broadcasts/{id}/launch#body":  {operator, hidden, "/v1/broadcasts/menu-SENDER/launch", `{"acknowledge":["bulk_discouraged"]}`},
		"POST /v1/broadcasts/{id}/pause":        {operator, hidden, "/v1/broadcasts/menu-SENDER/pause", ""},
		"POST /v1/broadcasts/{id}/resume":       {operator, hidden, "/v1/broadcasts/menu-SENDER/resume", ""},
		"POST /v1/broadcasts/{id}/cancel":       {operator, hidden, "/v1/broadcasts/menu-SENDER/cancel", ""},
		"GET /v1/broadcasts/{id}/progress":      {viewer, hidden, "/v1/broadcasts/menu-SENDER/progress", ""},
		"GET /v1/broadcasts/{id}/audit":         {viewer, hidden, "/v1/broadcasts/menu-SENDER/audit", ""},
		"GET /v1/broadcasts/{id}/audit#members": {viewer, hidden, "/v1/broadcasts/menu-SENDER/audit?bucket=pending", ""},
		"GET /v1/broadcasts/{id}/forecast":      {viewer, hidden, "/v1/broadcasts/menu-SENDER/forecast", ""},
		"GET /v1/flows/{id}/audit":              {viewer, hidden, "/v1/flows/order-SENDER/audit", ""},
		"GET /v1/flows/{id}/audit#members":      {viewer, hidden, "/v1/flows/order-SENDER/audit?bucket=pending", ""},
		"GET /v1/policy":                        {viewer, forAll, "/v1/policy", ""},
		"POST /v1/policy/diff":                  {viewer, lacks, "/v1/policy/diff", `{"from":"2026-11-22","to":"2026-11-23"}`},
		"GET /v1/jobs/{job}":                    {viewer, hidden, "/v1/jobs/JOB", ""},
		"GET /v1/contacts":                      {viewer, hidden, "/v1/contacts?sender=SENDER&id=7", ""},
		"GET /v1/dead":                          {viewer, lacks, "/v1/dead", ""},
		"GET /v1/dead#sender":                   {viewer, lacks, "/v1/dead?sender=SENDER", ""},
		"GET /v1/dead#source":                   {viewer, lacks, "/v1/dead?source=menu-SENDER", ""},
		"GET /v1/dead/{job}":                    {viewer, hidden, "/v1/dead/JOB", ""},
		"POST /v1/dead/redrive":                 {operator, refused, "/v1/dead/redrive", `{"jobs":["JOB"],"dry_run":true}`},
		"POST /v1/dead/redrive#filter":          {operator, lacks, "/v1/dead/redrive", `{"filter":{"sender":"SENDER"},"dry_run":true}`},
		"POST /v1/dead/discard":                 {operator, refused, "/v1/dead/discard", `{"jobs":["JOB"],"dry_run":true}`},
		"POST /v1/dead/discard#filter":          {operator, lacks, "/v1/dead/discard", `{"filter":{"source":"menu-SENDER"},"dry_run":true}`},
		"GET /v1/outcomes":                      {viewer, lacks, "/v1/outcomes?limit=1000", ""},
		"GET /v1/outcomes#sender":               {viewer, lacks, "/v1/outcomes?limit=1000&sender=SENDER", ""},
		"GET /v1/endpoints":                     {viewer, lacks, "/v1/endpoints", ""},
		"GET /v1/endpoints/{id}":                {viewer, hidden, "/v1/endpoints/crm-SENDER", ""},
		"POST /v1/endpoints/{id}/enable":        {operator, hidden, "/v1/endpoints/crm-SENDER/enable", ""},
		"POST /v1/endpoints/{id}/disable":       {operator, hidden, "/v1/endpoints/crm-SENDER/disable", ""},
		"POST /v1/endpoints/{id}/replay":        {operator, hidden, "/v1/endpoints/crm-SENDER/replay", `{"dead":true}`},
		"GET /v1/flows":                         {viewer, lacks, "/v1/flows", ""},
		"GET /v1/flows/{id}":                    {viewer, hidden, "/v1/flows/flow-SENDER", ""},
		"GET /v1/flows/{id}/runs":               {viewer, hidden, "/v1/flows/flow-SENDER/runs", ""},
		"GET /v1/runs/{run}":                    {viewer, hidden, "/v1/runs/RUN", ""},
		"POST /v1/flows/{id}/pause":             {operator, hidden, "/v1/flows/flow-SENDER/pause", ""},
		"POST /v1/flows/{id}/resume":            {operator, hidden, "/v1/flows/flow-SENDER/resume", ""},
		"POST /v1/flows/{id}/delete":            {operator, hidden, "/v1/flows/flow-SENDER/delete", `{"dry_run":true}`},
		"POST /v1/flows/{id}/stop":              {operator, hidden, "/v1/flows/flow-SENDER/stop", `{"all":true}`},
		"GET /v1/log":                           {admin, lacks, "/v1/log?sender=SENDER", ""},
		"GET /v1/backup":                        {admin, unscoped, "/v1/backup", ""},
		"GET /v1/hooks":                         {viewer, lacks, "/v1/hooks", ""},
		"GET /v1/tokens":                        {admin, lacks, "/v1/tokens", ""},
		"POST /v1/tokens":                       {admin, hidden, "/v1/tokens", `{"name":"x","role":"viewer","senders":["SENDER"]}`},
		"POST /v1/tokens/{id}/revoke":           {admin, hidden, "/v1/tokens/TOKENID/revoke", ""},

		"POST /v1/events": {operator, hidden, "/v1/events", `{"specversion":"1.0","id":"of-SENDER","source":"crm","type":"carillon.contact.changed","data":{"sender":"SENDER","contact":"7","name":"x"}}`},

		"GET /v1/senders/{id}/reviews":           {operator, hidden, "/v1/senders/SENDER/reviews", ""},
		"POST /v1/senders/{id}/reviews":          {operator, hidden, "/v1/senders/SENDER/reviews", `{"contact":"9","decision":"keep"}`},
		"POST /v1/senders/{id}/labels/pull":      {operator, hidden, "/v1/senders/SENDER/labels/pull", ""},
		"POST /v1/senders/{id}/contacts/erase":   {operator, hidden, "/v1/senders/SENDER/contacts/erase", `{"contact":"9"}`},
		"POST /v1/senders/{id}/contacts/changes": {operator, hidden, "/v1/senders/SENDER/contacts/changes", `{"contacts":[{"contact":"9","name":"x"}]}`},
	}
}

// district is two senders with a broadcast and a dead letter each, one that a
// token is for and one that it is not.
type district struct {
	*house
	words map[string]*strings.Replacer // by sender
	texts map[access.Role]string       // of tokens for mine
	all   map[access.Role]string       // of tokens for every sender
}

// The senders have names of one length, so that answers about them do too.
const mine, theirs, nobody = "my-own-shop", "other-shops", "nobodys-own"

func settleDistrict(t *testing.T, h *house) *district {
	t.Helper()
	d := &district{house: h, words: map[string]*strings.Replacer{}, texts: map[access.Role]string{}, all: map[access.Role]string{}}
	for _, sender := range []string{mine, theirs} {
		d.words[sender] = strings.NewReplacer("SENDER", sender, "JOB", h.deadJob(t, sender).String(), "TOKENID", d.token(t, access.Viewer, sender).ID, "RUN", h.begin(t, flow.ID{Flow: "flow-" + sender, Slot: flow.SlotOf("x")}, sender, "7").String())
	}
	src := job.Source{Month: "202611", Sender: nobody, Name: "menu-" + nobody + "~1"}
	d.words[nobody] = strings.NewReplacer("SENDER", nobody, "JOB", src.Job(job.Key{}).String(), "TOKENID", "000000000000", "RUN", flow.ID{Flow: "flow-" + nobody, Slot: flow.SlotOf("x")}.String())
	for _, role := range access.Roles() {
		d.texts[role] = d.token(t, role, mine).text
		d.all[role] = d.token(t, role).text
	}
	return d
}

type ofHouse struct {
	access.Token
	text string
}

// token makes a token for some senders, all where there are none.
func (h *house) token(t *testing.T, role access.Role, senders ...string) ofHouse {
	t.Helper()
	k, text, err := h.access.Create(t.Context(), access.Root(), access.Grant{Name: "of " + t.Name(), Role: role, Senders: senders})
	if err != nil {
		t.Fatal(err)
	}
	return ofHouse{k, text}
}

// endpointYAML is an endpoint for the outcomes of one sender.
func endpointYAML(sender string) string {
	return "kind: Endpoint\nid: crm-" + sender + "\nurl: https://crm.example/in?token=hidden\nsecrets: [env:SIGNING]\nevents: {senders: [" + sender + "]}\n"
}

// deadJob launches a broadcast to one contact, whose job is blocked.
func (h *house) deadJob(t *testing.T, sender string) job.ID {
	t.Helper()
	c, ctx := h.client(t), t.Context()
	h.withSender(t, sender)
	must(c.ImportContacts(ctx, sender, strings.NewReader("id,name\n7,Ada\n8,Bob\n"), false, nil))(t)
	must(c.Apply(ctx, "b.yaml", strings.NewReader(broadcastYAML("menu-"+sender, sender, "Hello"))))(t)
	must(c.Launch(ctx, "menu-"+sender, "bulk_discouraged"))(t)
	for !must(c.Progress(ctx, "menu-"+sender))(t).Frozen {
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
	b, _, err := h.config.Defs.Broadcast(ctx, "menu-"+sender)
	if err != nil {
		t.Fatal(err)
	}
	must(c.Apply(ctx, "f.yaml", strings.NewReader(flowYAML("order-"+sender, sender))))(t)
	must(c.Apply(ctx, "e.yaml", strings.NewReader(endpointYAML(sender)+"---\n"+waitingYAML("flow-"+sender, sender)+"---\n"+waitingYAML("other-"+sender, sender))))(t)
	id := h.jobOf(b.Source(), "7")
	h.move(t, id, ledger.Record{State: job.Blocked, From: job.Pending, Reason: reason.WindowClosed, Rule: "standard_window"})
	return id
}

// ask sends a try about a sender with a token.
func (d *district) ask(t *testing.T, name string, try try, sender, token string) (int, []byte) {
	t.Helper()
	method, _, _ := strings.Cut(name, " ")
	w := d.words[sender]
	status, _, body := d.request(t, method, w.Replace(try.path), w.Replace(try.body), "Authorization", "Bearer "+token)
	return status, body
}

// TestEveryRoleOnEveryRoute: each role does what it may and nothing else, on
// every operation that the API has, inside of its scope and outside.
func TestEveryRoleOnEveryRoute(t *testing.T) {
	t.Parallel()
	d := settleDistrict(t, setup(t))
	tried := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(tries())) {
		op, _, _ := strings.Cut(name, "#")
		tried[op] = true
		for _, role := range access.Roles() {
			d.tryRole(t, name, tries()[name], role)
		}
	}
	if got := slices.Sorted(maps.Keys(tried)); !slices.Equal(got, d.held.operations()) {
		t.Errorf("tried  %q\nthere are %q: put what is missing into tries()", got, d.held.operations())
	}
}

func (d *district) tryRole(t *testing.T, name string, try try, role access.Role) {
	t.Helper()
	allowed := try.need == "" || role.Has(try.need)
	for kind, c := range map[string]struct{ sender, token string }{
		"in scope": {mine, d.texts[role]}, "out of scope": {theirs, d.texts[role]}, "without a scope": {theirs, d.all[role]},
	} {
		status, body := d.ask(t, name, try, c.sender, c.token)
		at := fmt.Sprintf("%s as %s, %s: %d %s", name, role, kind, status, body)
		switch {
		case !allowed:
			need := try.need
			if op, _, _ := strings.Cut(name, "#"); !role.Has(tries()[op].need) {
				need = tries()[op].need // the route's is asked for first
			}
			if status != http.StatusForbidden || !strings.Contains(string(body), " takes the role "+string(need)) {
				t.Error(at)
			}
		case try.scope == unscoped && kind != "without a scope":
			if status != http.StatusForbidden || !strings.Contains(string(body), "this is about all senders") {
				t.Error(at)
			}
		case kind == "out of scope" && try.scope != forAll:
			d.holdOut(t, name, try, c.token, status, body)
		case !slices.Contains([]int{200, 201, 202, 409}, status):
			t.Error(at)
		case kind == "in scope" && (try.scope == lacks || try.scope == refused):
			if bytes.Contains(body, []byte(theirs)) {
				t.Errorf("%s: it names what is out of scope", at)
			}
		}
	}
}

// holdOut holds the answer to a caller who may not know of a sender against
// the answer about one that does not exist: but for the name they are alike.
func (d *district) holdOut(t *testing.T, name string, try try, token string, status int, body []byte) {
	t.Helper()
	want := map[string]int{hidden: 404, lacks: 200, undefined: 422, refused: 200, outside: 403}[try.scope]
	ghost, ghostBody := d.ask(t, name, try, nobody, token)
	if status != want || ghost != want {
		t.Errorf("%s, out of scope: %d %s\nof what does not exist: %d %s", name, status, body, ghost, ghostBody)
	}
	if try.scope == lacks {
		if bytes.Contains(body, []byte(theirs)) {
			t.Errorf("%s: names what is out of scope: %s", name, body)
		}
		return
	}
	if a, b := d.bleached(theirs, body), d.bleached(nobody, ghostBody); a != b {
		t.Errorf("%s tells what exists from what does not:\n%s\n%s", name, a, b)
	}
}

// bleached takes out of an answer what names the sender it is about.
func (d *district) bleached(sender string, body []byte) string {
	s := string(body)
	for _, word := range []string{"JOB", "TOKENID", "SENDER"} {
		s = strings.ReplaceAll(s, d.words[sender].Replace(word), word)
	}
	return regexp.MustCompile(`"trace_id":"[0-9a-f]*"`).ReplaceAllString(s, "")
}

// TestIDOfAnother: a broadcast's id is one for all, so that who takes another's
// by chance is told, and changes nothing.
func TestIDOfAnother(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "takes")
	h.withSender(t, "taken")
	c := h.client(t)
	must(c.Apply(t.Context(), "b.yaml", strings.NewReader(broadcastYAML("one-id", "taken", "Hello"))))(t)
	status, _, body := h.request(t, "POST", "/v1/apply?file=b.yaml", broadcastYAML("one-id", "takes", "Mine"), "Authorization", "Bearer "+h.token(t, access.Operator, "takes").text)
	if status != 422 || !strings.Contains(string(body), `"detail":"b.yaml:1: broadcast one-id: the id is taken; give it another"`) {
		t.Errorf("%d %s", status, body)
	}
	if b := must(c.Broadcast(t.Context(), "one-id"))(t); b.Sender != "taken" || b.Spec.Message.Text != "Hello" {
		t.Errorf("%+v", b)
	}
}

// TestNoMoreThanItsOwn: a token can't create one that may do more.
func TestNoMoreThanItsOwn(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "kiosk")
	scoped := h.token(t, access.Admin, "kiosk").text
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	many := make([]string, 1001) // of senders that don't exist: none of them is looked up
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		token, body string
		status      int
		detail      string
	}{
		"for all":           {scoped, `{"name":"x","role":"viewer"}`, 422, "senders: this token is for kiosk alone, so name those that the new one is for"},
		"for another":       {scoped, `{"name":"x","role":"viewer","senders":["nobody"]}`, 404, "senders[0]: sender nobody: not found"},
		"for a typo":        {token, `{"name":"x","role":"viewer","senders":["kiosk","kisok"]}`, 404, "senders[1]: sender kisok: not found"},
		"for none":          {token, `{"name":"x","role":"viewer","senders":[]}`, 422, "senders: name at least one, or leave it out for all"},
		"for too many":      {token, `{"name":"x","role":"viewer","senders":["n` + strings.Join(many, `","n`) + `"]}`, 422, "senders: want at most 1000; leave it out for all"},
		"without a name":    {token, `{"role":"viewer"}`, 422, "name: say in 1 to 100 bytes, in one line, what or whom the token is for"},
		"with another role": {token, `{"name":"x","role":"owner"}`, 422, `role "owner": want viewer, operator or admin`},
		"expired":           {token, `{"name":"x","role":"viewer","expires":"` + past + `"}`, 422, "expires: " + past + " has passed"},
	} {
		status, _, body := h.request(t, "POST", "/v1/tokens", c.body, "Authorization", "Bearer "+c.token)
		if status != c.status || !strings.Contains(string(body), fmt.Sprintf(`"detail":%q`, c.detail)) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
