package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const fakeToken = "secret"

// fake speaks the API over a few fixed values; only what a test moves moves.
type fake struct {
	mu       sync.Mutex
	launched bool
	launches []string // what each request to launch acknowledged
	keys     []string // idempotency keys of all that was posted
	polls    int
}

func newFake() *httptest.Server {
	srv, _ := newTalkingFake()
	return srv
}

// newTalkingFake is newFake for who wants to know what was asked of it.
func newTalkingFake() (*httptest.Server, *fake) {
	f := &fake{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/apply", f.apply)
	mux.HandleFunc("GET /v1/senders", func(w http.ResponseWriter, _ *http.Request) {
		lines(w, openSender(), pausedSender(), sidelinedSender())
	})
	mux.HandleFunc("GET /v1/senders/{id}", func(w http.ResponseWriter, r *http.Request) { answer(w, 200, labelledSender(r.PathValue("id"))) })
	mux.HandleFunc("POST /v1/senders/{id}/labels/pull", func(w http.ResponseWriter, _ *http.Request) { answer(w, 202, client.Labels{Waiting: true}) })
	mux.HandleFunc("POST /v1/senders/{id}/{verb}", f.sender)
	mux.HandleFunc("POST /v1/senders/{id}/contacts", f.contacts)
	mux.HandleFunc("POST /v1/senders/{id}/contacts/changes", f.changeContacts)
	mux.HandleFunc("POST /v1/senders/{id}/contacts/erase", f.eraseContact)
	mux.HandleFunc("POST /v1/events", f.events)
	mux.HandleFunc("GET /v1/senders/{id}/reviews", func(w http.ResponseWriter, _ *http.Request) {
		lines(w, client.Review{Contact: "7301", At: day(9, 0, 0), Text: "please stop\nwriting"}, client.Review{Contact: "7302", At: day(9, 1, 0)})
	})
	mux.HandleFunc("POST /v1/senders/{id}/reviews", f.decideReview)
	mux.HandleFunc("POST /v1/senders/{id}/optouts", f.optOut)
	mux.HandleFunc("GET /v1/broadcasts", func(w http.ResponseWriter, _ *http.Request) { lines(w, doneBroadcast(), draftBroadcast()) })
	mux.HandleFunc("GET /v1/broadcasts/{id}", f.broadcast)
	mux.HandleFunc("POST /v1/broadcasts/{id}/{verb}", f.move)
	mux.HandleFunc("GET /v1/broadcasts/{id}/progress", f.progress)
	mux.HandleFunc("GET /v1/broadcasts/{id}/forecast", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, aForecast()) })
	mux.HandleFunc("GET /v1/broadcasts/{id}/audit", f.audit)
	mux.HandleFunc("POST /v1/policy/diff", f.policyDiff)
	mux.HandleFunc("GET /v1/hooks", func(w http.ResponseWriter, _ *http.Request) { lines(w, someHooks()[0], someHooks()[1]) })
	mux.HandleFunc("GET /v1/endpoints", func(w http.ResponseWriter, _ *http.Request) { lines(w, someEndpoints()[0], someEndpoints()[1]) })
	mux.HandleFunc("GET /v1/endpoints/{id}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, someEndpoints()[1]) })
	mux.HandleFunc("POST /v1/endpoints/{id}/{verb}", f.endpoint)
	mux.HandleFunc("GET /v1/flows", func(w http.ResponseWriter, _ *http.Request) { lines(w, aFlow().Flow) })
	mux.HandleFunc("GET /v1/flows/{id}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, aFlow()) })
	mux.HandleFunc("GET /v1/flows/{id}/runs", f.runs)
	mux.HandleFunc("POST /v1/flows/{id}/{verb}", f.steer)
	mux.HandleFunc("POST /v1/flows/{id}/stop", f.stopRuns)
	mux.HandleFunc("GET /v1/runs/{run}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, aRun(1)) })
	mux.HandleFunc("GET /v1/tokens", func(w http.ResponseWriter, _ *http.Request) {
		lines(w, someTokens()[0], someTokens()[1], someTokens()[2])
	})
	mux.HandleFunc("POST /v1/tokens", f.createToken)
	mux.HandleFunc("POST /v1/tokens/{id}/revoke", f.revokeToken)
	mux.HandleFunc("GET /v1/jobs/{job}", f.job)
	mux.HandleFunc("GET /v1/contacts", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, aContact()) })
	mux.HandleFunc("GET /v1/dead", f.dead)
	mux.HandleFunc("GET /v1/dead/{job}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, letters()[1]) })
	mux.HandleFunc("POST /v1/dead/{verb}", f.handle)
	mux.HandleFunc("GET /v1/log", f.log)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+fakeToken {
			refuse(w, 401, "the token is not this server's")
			return
		}
		if r.Method == http.MethodPost {
			f.mu.Lock()
			f.keys = append(f.keys, r.Header.Get("Idempotency-Key"))
			f.mu.Unlock()
		}
		mux.ServeHTTP(w, r)
	})), f
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, detail string) {
	answer(w, status, client.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"})
}

func lines(w http.ResponseWriter, vs ...any) {
	for _, v := range vs {
		json.NewEncoder(w).Encode(v)
	}
}

func (f *fake) apply(w http.ResponseWriter, r *http.Request) {
	in := bufio.NewScanner(r.Body)
	for n := 1; in.Scan(); n++ {
		if strings.HasPrefix(in.Text(), "colour:") {
			refuse(w, 422, fmt.Sprintf("%s:%d: unknown field colour", r.URL.Query().Get("file"), n))
			return
		}
	}
	answer(w, 200, client.ApplyResult{DryRun: r.URL.Query().Get("dry_run") == "true", Applied: []client.Applied{
		{Kind: "Sender", ID: "bakery", Action: "created"},
		{Kind: "Flow", ID: "order-shipped", Action: "updated", Version: 3, Impact: []string{"1,200 runs stay on version 2"}},
		{Kind: "Broadcast", ID: "spring-menu", Action: "unchanged", Warnings: []string{"bulk_discouraged", "links_under_tag", "outside the window nobody gets it"}, Advice: someAdvice()},
	}})
}

func (f *fake) sender(w http.ResponseWriter, r *http.Request) {
	v := openSender()
	if r.PathValue("verb") == "pause" {
		v = pausedSender()
	}
	answer(w, 200, client.MovedSender{Sender: v, InForce: r.PathValue("id") != "late"})
}

// contacts takes every row but those whose id is bad.
func (f *fake) contacts(w http.ResponseWriter, r *http.Request) {
	enc, check := json.NewEncoder(w), r.URL.Query().Get("check") == "true"
	var p client.ImportProgress
	in := bufio.NewScanner(r.Body)
	for line := 1; in.Scan(); line++ {
		if line == 1 {
			if !strings.HasPrefix(in.Text(), "id") {
				enc.Encode(client.ImportEvent{Error: &client.Problem{Status: 422, Title: "Unprocessable", Detail: `line 1: no column "id"`}})
				return
			}
			continue
		}
		p.Rows++
		if strings.HasPrefix(in.Text(), "bad") {
			p.Bad++
			enc.Encode(client.ImportEvent{Bad: &client.BadRow{Line: line, Reason: "id must be\nat most 256 bytes"}})
			continue
		}
		p.Written++
	}
	enc.Encode(client.ImportEvent{Progress: &p})
	enc.Encode(client.ImportEvent{Done: &client.ImportDone{ImportProgress: p, InForce: !check, Check: check}})
}

// changeContacts takes every change, writes its body back as the only job in
// flight, and knows of 7302 already what is said of it.
func (f *fake) changeContacts(w http.ResponseWriter, r *http.Request) {
	var c client.ContactChanges
	json.NewDecoder(r.Body).Decode(&c)
	said, _ := json.Marshal(c)
	got := client.ContactsChanged{Written: 1, InForce: c.Contacts[0].Contact != "7303", InFlight: []string{string(said)}}
	if c.Contacts[0].Contact == "7302" {
		got.Written, got.Unchanged = 0, 1
	}
	answer(w, 200, got)
}

func (f *fake) eraseContact(w http.ResponseWriter, r *http.Request) {
	var e client.EraseRequest
	json.NewDecoder(r.Body).Decode(&e)
	switch {
	case e.Contact == "7302":
		answer(w, 202, client.Erased{Events: 1, Complete: true, InFlight: 1})
	case e.Contact == "7303":
		answer(w, 202, client.Erased{})
	case !e.At.IsZero():
		answer(w, 200, client.Erased{Events: e.At.Day(), Complete: true})
	default:
		answer(w, 200, client.Erased{Events: 3, Complete: true})
	}
}

// events takes every event; those without data name nobody.
func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	var es []map[string]any
	if json.NewDecoder(r.Body).Decode(&es) != nil || r.Header.Get("Content-Type") != "application/cloudevents-batch+json" {
		refuse(w, 400, "want a JSON array of CloudEvents 1.0")
		return
	}
	out := client.EventsTaken{New: len(es), Nobody: []client.NobodyTold{}}
	for _, e := range es {
		if e["data"] == nil {
			out.Nobody = append(out.Nobody, client.NobodyTold{Source: "crm", ID: fmt.Sprint(e["id"])})
			continue
		}
		out.Contacts++
	}
	answer(w, 200, out)
}

func (f *fake) decideReview(w http.ResponseWriter, r *http.Request) {
	var d client.ReviewRequest
	json.NewDecoder(r.Body).Decode(&d)
	if d.Decision == client.ReviewOptOut && d.Contact == "7302" {
		answer(w, 202, client.ContactsChanged{Written: 1, InForce: true, InFlight: []string{jobOf("b")}})
		return
	}
	answer(w, 200, client.ContactsChanged{Written: 1, InForce: true, InFlight: []string{}})
}

func (f *fake) optOut(w http.ResponseWriter, r *http.Request) {
	var o client.OptOutRequest
	json.NewDecoder(r.Body).Decode(&o)
	switch {
	case o.Contact == "7302":
		answer(w, 202, client.OptOutResult{InForce: true, InFlight: []string{jobOf("b")}})
	case o.Contact == "7303":
		answer(w, 202, client.OptOutResult{InFlight: []string{}})
	default:
		answer(w, 200, client.OptOutResult{InForce: true, InFlight: []string{}})
	}
}

func (f *fake) broadcast(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("id") {
	case "spring-menu":
		answer(w, 200, doneBroadcast())
	case "broken":
		refuse(w, 500, "the ledger can't be read")
	default:
		refuse(w, 404, fmt.Sprintf("broadcast %q is not defined", r.PathValue("id")))
	}
}

func (f *fake) move(w http.ResponseWriter, r *http.Request) {
	b := doneBroadcast()
	switch verb := r.PathValue("verb"); {
	case r.PathValue("id") == "old":
		refuse(w, 409, "broadcast old: can't "+verb+" a broadcast that is done")
	case verb == "launch" && !f.acknowledged(w, r):
	case verb == "launch":
		f.mu.Lock()
		f.launched = true
		f.mu.Unlock()
		b.State, b.DueAt = "scheduled", day(10, 0, 0)
		answer(w, 200, b)
	case verb == "resume":
		b.State = "running"
		answer(w, 200, b)
	default:
		b.State = map[string]string{"pause": "paused", "cancel": "cancelled"}[verb]
		answer(w, 200, client.Stopped{Broadcast: b, InForce: true, InFlight: 3})
	}
}

// acknowledged refuses the launch of what begins with bulk until both of its
// warnings are acknowledged, and codes that nobody asked for.
func (f *fake) acknowledged(w http.ResponseWriter, r *http.Request) bool {
	var req client.LaunchRequest
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			refuse(w, 400, err.Error())
			return false
		}
	}
	f.mu.Lock()
	f.launches = append(f.launches, strings.Join(req.Acknowledge, ","))
	f.mu.Unlock()
	p := client.Problem{Status: 409, Title: "Conflict", Detail: "broadcast bulk: not launched, since its warnings must be acknowledged first"}
	for _, asked := range someAdvice() {
		if asked.Acknowledge && strings.HasPrefix(r.PathValue("id"), "bulk") && !slices.Contains(req.Acknowledge, asked.Code) {
			p.Missing = append(p.Missing, asked)
		}
	}
	switch {
	case len(p.Missing) > 0:
		answer(w, 409, p)
	case len(req.Acknowledge) > 0 && !strings.HasPrefix(r.PathValue("id"), "bulk"):
		refuse(w, 422, fmt.Sprintf("acknowledge %q: it has no warning to acknowledge; leave it out", req.Acknowledge[0]))
	default:
		return true
	}
	return false
}

// policyDiff answers a comparison of which the rulebook, if any, must be one.
func (f *fake) policyDiff(w http.ResponseWriter, r *http.Request) {
	var req client.PolicyDiffRequest
	json.NewDecoder(r.Body).Decode(&req)
	rb := policy.Default()
	if req.Rulebook != "" {
		var err error
		if rb, err = policy.Parse([]byte(req.Rulebook)); err != nil {
			refuse(w, 422, err.Error())
			return
		}
	}
	from, to, err := req.Span()
	if err != nil {
		refuse(w, 400, err.Error())
		return
	}
	for _, c := range policy.Diff(rb, from, to) {
		change := client.RuleChange{Date: c.Date.String(), Rule: c.Rule, What: c.What, Names: c.Names, Detail: c.Detail, Source: c.Source}
		for _, ch := range c.Channels {
			change.Channels = append(change.Channels, string(ch))
		}
		lines(w, client.PolicyDiffEvent{Change: &change})
	}
	if from.Equal(to) {
		return
	}
	for _, i := range impacts() {
		lines(w, client.PolicyDiffEvent{Broadcast: &i})
	}
}

// progress runs through a short life, a step for every time it is asked.
func (f *fake) progress(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.PathValue("id") == "draft" {
		answer(w, 200, client.Progress{ID: "draft", State: "draft"})
		return
	}
	life := lifeOfBroadcast()
	answer(w, 200, life[min(f.polls, len(life)-1)])
	f.polls++
}

func (f *fake) audit(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Query().Get("bucket") != "":
		lines(w,
			client.AuditMember{Job: jobOf("a"), Contact: "aaaaaaaaaaaaaaaaaaaaaa", ID: "7301", Bucket: "blocked", State: "blocked", Reason: reason.WindowClosed},
			client.AuditMember{Job: jobOf("b"), Contact: "bbbbbbbbbbbbbbbbbbbbbb", Bucket: "blocked", State: "blocked", Reason: reason.OptedOut})
	case r.PathValue("id") == "crooked":
		answer(w, 200, crookedAudit())
	default:
		answer(w, 200, anAudit())
	}
}

func (f *fake) job(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.PathValue("job"), "nobody") {
		refuse(w, 404, "job "+r.PathValue("job")+": no broadcast has that job")
		return
	}
	answer(w, 200, blockedStory())
}

func (f *fake) dead(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for _, l := range letters() {
		if q.Get("reason") == "" || q.Get("reason") == string(l.Reason) {
			lines(w, l)
		}
	}
}

func (f *fake) handle(w http.ResponseWriter, r *http.Request) {
	var h client.HandleRequest
	json.NewDecoder(r.Body).Decode(&h)
	if h.Filter != nil {
		answer(w, 200, client.HandleResult{Matched: 12_000, Done: 12_000, Refused: []client.Refusal{}})
		return
	}
	answer(w, 200, client.HandleResult{Matched: 2, Done: 1, RefusedCount: 1, Refused: []client.Refusal{{Job: jobOf("b"), Why: "its broadcast was cancelled"}}})
}

// The values.

func day(h, m, s int) time.Time { return time.Date(2026, 11, 22, h, m, s, 0, time.UTC) }

func jobOf(letter string) string {
	return "202611.0.bakery." + strings.Repeat(letter, 22) + ".spring-menu~1"
}

func openSender() client.Sender {
	return client.Sender{ID: "bakery", State: "open", Load: &client.LaneLoad{Sources: 1, Unclaimed: 1200, Claimed: 50, Held: 7, Waiting: 3}, Spec: client.SenderSpec{
		Kind: "Sender", ID: "bakery", Channel: "messenger", Account: "1234567890", Credential: "env:BAKERY_TOKEN", Rate: client.Rate{PerSecond: 300}, Batch: true,
		Timezone: "Europe/Oslo", QuietHours: &client.QuietHours{From: "21:00", To: "08:00"}, Capabilities: []string{"utility", "human_agent"},
	}}
}

func sidelinedSender() client.Sender {
	return client.Sender{ID: "kiosk", State: "open", Pace: 45, Spec: client.SenderSpec{
		Kind: "Sender", ID: "kiosk", Channel: "messenger", Account: "1234567891", Credential: "env:KIOSK_TOKEN", Weight: 3,
	}, Load: &client.LaneLoad{Sources: 2, Claimed: 1, Waiting: 1499, Sidelined: &client.Sidelined{Reason: reason.OutcomeUnknown, Since: day(9, 58, 3)}}}
}

func blockedSender() client.Sender {
	return client.Sender{ID: "stall", State: "paused", Reason: reason.SenderRestricted, Why: "the platform blocked the account: spam", Since: day(9, 30, 1),
		Enforcement: &client.Enforcement{Action: "block", At: day(9, 30, 0), Why: "spam", WarnedAt: day(8, 0, 0), Warning: "too many reports"}, Spec: client.SenderSpec{
			Kind: "Sender", ID: "stall", Channel: "messenger", Account: "1234567892", Credential: "env:STALL_TOKEN", StopWords: []string{"slutt"}, StartWords: []string{"på igjen"},
		}}
}

func pausedSender() client.Sender {
	return client.Sender{ID: "cafe", State: "paused", Reason: reason.CredentialInvalid, Why: "the platform refuses its token: error 190/463", Since: day(9, 30, 0), Spec: client.SenderSpec{
		Kind: "Sender", ID: "cafe", Channel: "instagram", Account: "17841400000000000", Credential: "file:/run/secrets/cafe", AdWindow: 168,
	}}
}

func draftBroadcast() client.Broadcast {
	return client.Broadcast{ID: "summer", Sender: "cafe", State: "draft", Spec: client.BroadcastSpec{ID: "summer", Sender: "cafe"}}
}

func someAdvice() []client.Warning {
	return []client.Warning{
		{Code: "bulk_discouraged", Says: "Unwanted, impersonal or bulk messages violate the policy.", Acknowledge: true},
		{Code: "links_under_tag", Says: "Links in tagged messages may be mistaken\nfor advertising."},
		{Code: "promotional_wording", Says: "Tags carry no deals.", Acknowledge: true},
	}
}

func impacts() []client.BroadcastImpact {
	return []client.BroadcastImpact{
		{Broadcast: "autumn", Sender: "bakery", State: "draft", Since: "2026-04-27", Due: day(10, 0, 0), Audience: 40, BrokenBy: map[reason.Code]int{}, AllowedBy: map[string]int{}, Blocked: 3},
		{Broadcast: "old", Sender: "bakery", State: "scheduled", Since: "2026-04-27", Due: day(10, 0, 0), Ends: day(16, 0, 0), Gone: true, BrokenBy: map[reason.Code]int{}, AllowedBy: map[string]int{}},
		{Broadcast: "spring-menu", Sender: "bakery", State: "scheduled", Since: "2026-04-27", Due: day(10, 0, 0), Ends: day(16, 0, 0), Audience: 6000, Broken: 1204, BrokenBy: map[reason.Code]int{reason.TagRetired: 1200, reason.WindowClosed: 4}, Allowed: 7, AllowedBy: map[string]int{"ad_window": 7}},
	}
}

func doneBroadcast() client.Broadcast {
	life := lifeOfBroadcast()
	return client.Broadcast{
		ID: "spring-menu", Sender: "bakery", State: "done", Occurrence: 1, Source: "spring-menu~1", LaunchedAt: day(9, 59, 0), DueAt: day(10, 0, 0), EndsAt: day(16, 0, 0), ClosedAt: day(10, 3, 12),
		Spec: client.BroadcastSpec{
			Kind: "Broadcast", ID: "spring-menu", Sender: "bakery", Message: client.Message{Text: "Hello {{.name}}, the spring menu is here: asparagus, rhubarb, and the first strawberries of the year.", Promotional: true},
			Audience: client.Audience{Labels: []string{"regular"}, ExcludeLabels: []string{"staff"}, Where: `attributes.city == "Oslo"`}, Pace: client.Pace{PerSecond: 50}, ExpiresAfter: "6h",
		},
		Acknowledged: []client.Acknowledged{{Code: "bulk_discouraged", At: day(9, 59, 0)}, {Code: "promotional_wording", At: day(9, 59, 0)}},
		Frozen:       &client.Frozen{At: day(10, 0, 0), Contacts: 1_000_000, Seen: 1_200_000, NotMatching: 199_998, Errors: 2, Example: "no such key: city"},
		Progress:     life[len(life)-1],
	}
}

// lifeOfBroadcast is a broadcast from before its freeze to its end.
func lifeOfBroadcast() []client.Progress {
	at := func(s int, state string, c client.Counts, by map[reason.Code]int) client.Progress {
		p := client.Progress{ID: "spring-menu", State: state, Frozen: by != nil, Counts: c, ByReason: by, At: day(10, 0, s)}
		if p.Frozen {
			p.Audience = 1_000_000
		}
		return p
	}
	return []client.Progress{
		at(0, "scheduled", client.Counts{}, nil),
		at(1, "running", client.Counts{Pending: 1_000_000}, map[reason.Code]int{}),
		at(2, "running", client.Counts{Sent: 599_997, Blocked: 12_000, Failed: 12, Unknown: 3, Pending: 387_988, Held: 40, Claimed: 500}, map[reason.Code]int{reason.WindowClosed: 11_000, reason.OptedOut: 1000, reason.RecipientNotFound: 12, reason.OutcomeUnknown: 3}),
		at(3, "paused", client.Counts{Sent: 600_497, Blocked: 12_000, Failed: 12, Unknown: 3, Pending: 387_488, Held: 40}, map[reason.Code]int{reason.WindowClosed: 11_000, reason.OptedOut: 1000, reason.RecipientNotFound: 12, reason.OutcomeUnknown: 3}),
		at(4, "done", client.Counts{Sent: 980_985, Blocked: 19_000, Failed: 12, Unknown: 3}, map[reason.Code]int{reason.WindowClosed: 18_000, reason.OptedOut: 1000, reason.RecipientNotFound: 12, reason.OutcomeUnknown: 3}),
	}
}

func aForecast() client.Forecast {
	return client.Forecast{
		At: day(10, 0, 0), Audience: 1_000_000, Send: map[string]int{"standard_window": 900_000, "ad_window": 1}, Hold: map[reason.Code]int{reason.QuietHours: 20_000},
		Block: map[reason.Code]int{reason.WindowClosed: 79_000, reason.OptedOut: 999},
	}
}

func anAudit() client.Audit {
	return client.Audit{
		Audience: 1_000_000, Sent: 980_885, Blocked: 19_000, Failed: 12, Unknown: 3, Pending: 100, Balanced: true, State: "running", Frozen: true, Claimed: 50, LedgerSeq: 2_987_654,
		ByReason: map[reason.Code]int{reason.WindowClosed: 18_000, reason.OptedOut: 1000, reason.RecipientNotFound: 12, reason.OutcomeUnknown: 3},
		Held:     map[reason.Code]int{reason.QuietHours: 40}, Problems: []string{},
	}
}

func crookedAudit() client.Audit {
	a := anAudit()
	a.Balanced, a.Problems = false, []string{
		"the running tally says 980884 sent, the ledger has 980885",
		jobOf("a") + " at 17: record says that it follows claimed at 3, but sent at 16 came before it",
	}
	return a
}

func letters() []client.Letter {
	return []client.Letter{
		{Job: jobOf("a"), Sender: "bakery", Contact: "7301", Source: "spring-menu~1", State: "blocked", Reason: reason.WindowClosed, Evidence: "last inbound 2026-11-21 06:48:00Z, 27h 12m before", At: day(10, 0, 2), Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Seq: 7},
		{Job: jobOf("c"), Sender: "bakery", Contact: "7309", Source: "spring-menu~1", State: "failed", Reason: reason.RecipientNotFound, Rule: "standard_window", Evidence: "last inbound 2026-11-22 06:48:00Z", At: day(10, 0, 3), Attempt: 1, Code: 100, Subcode: 2018001, Detail: "No matching user found", Trace: "00f067aa0ba902b74bf92f3577b34da6", Seq: 9},
	}
}

func blockedStory() client.Story {
	return client.Story{
		Job: jobOf("a"), Broadcast: "spring-menu", State: "blocked", Bucket: "blocked", Reason: reason.WindowClosed,
		Steps: []client.Step{
			{At: day(9, 59, 0), What: "launched", Text: "broadcast spring-menu was launched, due 2026-11-22 10:00:00Z"},
			{At: day(10, 0, 0), What: "planned", Text: "audience frozen with 1000000 contacts, this one among them"},
			{At: day(10, 0, 1), What: "claimed", Text: "attempt 1: a worker claimed it to send it by rule standard_window", Seq: 5, Record: &client.Record{State: "claimed", From: "pending", Attempt: 1, At: day(10, 0, 1), Rule: "standard_window", FactsSeq: 4711, By: "worker-1", Trace: "4bf92f3577b34da6a3ce929d0e0e4736"}},
			{At: day(10, 0, 2), What: "blocked", Text: "blocked: window_closed (The window after the contact's last action is over); last inbound 2026-11-21 06:48:00Z, 27h 12m before", Seq: 7, Record: &client.Record{
				State: "blocked", From: "claimed", Attempt: 1, At: day(10, 0, 2), Reason: reason.WindowClosed, Evidence: "last inbound 2026-11-21 06:48:00Z, 27h 12m before", FactsSeq: 4712, By: "worker-1", Trace: "4bf92f3577b34da6a3ce929d0e0e4736"}},
		},
		Now: &client.Now{Verdict: "block", Reason: reason.WindowClosed, Text: "the contact wrote last at 2026-11-21 06:48:00Z; the window closed 24 h later"},
	}
}

func sentStory() client.Story {
	return client.Story{
		Job: jobOf("b"), Broadcast: "spring-menu", State: "sent", Bucket: "sent",
		Steps: []client.Step{
			{At: day(9, 59, 0), What: "launched", Text: "broadcast spring-menu was launched, due 2026-11-22 10:00:00Z"},
			{At: day(10, 0, 2), What: "sent", Text: "the platform accepted it as m_AG5Hz2U", Seq: 8, Record: &client.Record{State: "sent", From: "claimed", Evidence: "last inbound 3h before", Status: 200, MessageID: "m_AG5Hz2U", Trace: "4bf92f3577b34da6a3ce929d0e0e4736"}},
		},
	}
}

func heldStory() client.Story {
	return client.Story{
		Job: jobOf("d"), Broadcast: "spring-menu", State: "held", Bucket: "pending", Reason: reason.SenderPaused,
		Steps: []client.Step{{At: day(10, 0, 2), What: "held", Text: "held: sender_paused (An operator paused the sender)", Seq: 8}},
		Now:   &client.Now{Verdict: "hold", Reason: reason.SenderPaused, Text: "the sender is paused"},
	}
}

func aContact() client.ContactStory {
	return client.ContactStory{
		Key: strings.Repeat("a", 22), Known: true,
		Contact: &client.Contact{ID: "7301", Name: "Ada\x1b[31m Lovelace", Timezone: "Europe/Oslo", Labels: []string{"regular", "vip"}, LastInbound: day(6, 48, 0), OpenedBy: "message",
			OptOuts: []client.ContactOptOut{{Scope: "marketing", At: day(8, 0, 0), Source: "phone call"}}},
		Stories: []client.Story{blockedStory()},
		Missed:  []client.Missed{{Broadcast: "summer", Why: "it lacks the label newsletter"}},
	}
}

// aLog is a log with one entry of each kind; that of an import comes in later.
func aLog() []client.LogEntry {
	ann := client.LogCaller{ID: "0123456789ab", Name: "ann", Role: "operator"}
	return []client.LogEntry{
		{Seq: 1, At: day(9, 0, 0), Caller: client.LogCaller{ID: "root", Name: "root", Role: "admin"}, Via: "POST /v1/apply", Verb: "apply", Details: map[string]string{"documents": "Sender bakery, Broadcast spring-menu"}, Status: 200, Network: "127.0.0.0/24"},
		{Seq: 3, At: day(9, 1, 0), Caller: ann, Via: "POST /v1/broadcasts/{id}/launch", Verb: "launch", Object: "spring-menu", Sender: "bakery", Details: map[string]string{"acknowledged": "bulk_discouraged"}, Status: 200},
		{Seq: 5, At: day(9, 2, 0), Caller: client.LogCaller{ID: "fedcba987654", Name: "vic", Role: "viewer"}, Via: "POST /v1/senders/{id}/pause", Verb: "pause-sender", Object: "bakery", Sender: "bakery", Status: 403},
		{Seq: 6, At: day(9, 3, 0), Caller: ann, Via: "POST /v1/dead/redrive", Verb: "redrive", Details: map[string]string{"filter": "reason=window_closed"}, Outcome: map[string]string{"done": "120", "matched": "120"}, Status: 500},
		{Seq: 8, At: day(9, 4, 0), Caller: ann, Via: "POST /v1/senders/{id}/contacts", Verb: "import", Sender: "bakery", Object: "bakery"},
	}
}

func (f *fake) log(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	verb, by := r.URL.Query().Get("verb"), r.URL.Query().Get("caller")
	for _, e := range aLog() {
		if e.Seq > after && (verb == "" || verb == e.Verb) && (by == "" || by == e.Caller.Name) {
			lines(w, e)
		}
	}
}

func someHooks() []client.Hook {
	return []client.Hook{
		{ID: "shop", Type: "meta", Path: "/hooks/meta/shop", Secrets: 1, Calls: 3, Events: 7, Last: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)},
		{ID: "text", Type: "twilio", Path: "/hooks/twilio/text", Secrets: 2, Refused: 2, Unread: 1, Lost: 4, Problems: []string{"env:GONE is no good here: credential env:GONE is empty in this process"}},
	}
}

// labelledSender is a sender whose labels were pulled: of the Page terms in
// vain, since it has not accepted the contact terms.
func labelledSender(id string) client.Sender {
	v := pausedSender()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	switch id {
	case "page":
		v = openSender()
		v.Labels = &client.Labels{Began: at, Ended: at.Add(time.Minute), Labels: 3, Contacts: 1200, Read: 1199, Changed: 40, Gone: 1}
	case "terms":
		v = openSender()
		v.Labels = &client.Labels{Began: at, Ended: at, Error: &client.LabelsError{
			Code: 2, Subcode: 2018344, Detail: "The Page has not accepted the contact terms", Link: "https://www.facebook.com/12/contact_terms",
		}}
	}
	return v
}
