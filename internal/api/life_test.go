package api_test

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// all gathers a list.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// must fails the test for an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// people are the contacts of the life below: an address that is found in a
// log is a leak.
const people = `id,name,labels,timezone,city
psid-ada-900001,Ada,regular;vip,Europe/Oslo,Oslo
psid-bob-900002,Bob,regular,,Bergen
psid-cyn-900003,Cyn,regular,,Oslo
psid-dan-900004,Dan,regular,,Oslo
psid-eve-900005,Eve,staff,,Oslo
`

// TestLife goes with one broadcast through every operation that there is,
// with the real client.
func TestLife(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, ctx := h.client(t), t.Context()
	if err := errors.Join(c.Healthy(ctx), c.Ready(ctx)); err != nil {
		t.Fatal(err)
	}
	must(c.OpenAPI(ctx))(t)

	yaml := strings.Replace(senderYAML("bakery"), "env:TOKEN", "env:MISSING", 1) + "---\n" +
		strings.Replace(broadcastYAML("menu", "bakery", "'Hello {{.name}}'"), "message:", "audience: {exclude_labels: [staff]}\nmessage:", 1)
	applied := must(c.Apply(ctx, "bakery.yaml", strings.NewReader(yaml)))(t)
	want := client.ApplyResult{Applied: []client.Applied{
		{Kind: "Sender", ID: "bakery", Action: "created", Warnings: []string{"credential env:MISSING is no good here: env:MISSING is not set"}},
		{Kind: "Broadcast", ID: "menu", Action: "created", Warnings: []string{"bulk_discouraged"}, Advice: []client.Warning{bulk()}},
	}}
	if d := cmp.Diff(want, applied); d != "" {
		t.Errorf("apply: %s", d)
	}

	done := must(c.ImportContacts(ctx, "bakery", strings.NewReader(people+",nobody,,,\n"), false, nil))(t)
	if d := cmp.Diff(client.ImportDone{ImportProgress: client.ImportProgress{Rows: 6, Written: 5, Bad: 1}, InForce: true}, done); d != "" {
		t.Errorf("import: %s", d)
	}
	if f := must(c.Forecast(ctx, "menu"))(t); f.Audience != 4 || f.Block[reason.NeverWrote] != 4 {
		t.Errorf("forecast: %+v", f)
	}
	lifeOfPolicy(t, c)
	lifeOfSender(t, c)
	src := lifeOfBroadcast(t, h, c)
	lifeOfDead(t, h, c, src)

	lifeOfFlow(t, h, c)

	lifeOfToken(t, h, c)

	stopped := must(c.Cancel(ctx, "menu"))(t)
	if stopped.State != "cancelled" || !stopped.InForce || stopped.InFlight != 0 || !stopped.Over() {
		t.Errorf("cancel: %+v", stopped)
	}
	if a := must(c.Audit(ctx, "menu"))(t); !a.Balanced || a.Cancelled != 3 || a.Sent != 1 || a.ByReason[reason.Cancelled] != 3 {
		t.Errorf("audit after the cancellation: %+v", a)
	}
	if p := must(c.Progress(ctx, "menu"))(t); p.Counts.Cancelled != 3 || p.ByReason[reason.Cancelled] != 3 {
		t.Errorf("progress after the cancellation: %+v", p)
	}

	lifeOfSteering(t, h, c)
	lifeOfContact(t, h, c)
	lifeOfOutcomes(t, c)
	var copied bytes.Buffer
	if err := c.Backup(ctx, &copied); err != nil || copied.Len() == 0 {
		t.Errorf("a backup of %d bytes: %v", copied.Len(), err)
	}

	h.held.mu.Lock()
	defer h.held.mu.Unlock()
	for _, op := range h.held.operations() {
		if !h.held.answered[op] {
			t.Errorf("%s was never answered well", op)
		}
	}
	if log := h.log.String(); strings.Contains(log, "psid-") || strings.Contains(log, "Hello") {
		t.Error("the log names a person or a text:\n" + log)
	}
}

// lifeOfOutcomes reads what became of messages by cursor, and the endpoint
// that it would be pushed to.
func lifeOfOutcomes(t *testing.T, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	must(c.Apply(ctx, "e.yaml", strings.NewReader(endpointYAML("bakery"))))(t)
	first := must(c.Outcomes(ctx, client.OutcomeQuery{Sender: "bakery", Limit: 1}))(t)
	if len(first.Outcomes) != 1 {
		t.Fatalf("%d outcomes, want the first", len(first.Outcomes))
	}
	if next := must(c.Outcomes(ctx, client.OutcomeQuery{Sender: "bakery", After: first.Cursor, Limit: 1}))(t); len(next.Outcomes) == 1 && next.Outcomes[0].ID == first.Outcomes[0].ID {
		t.Errorf("after %s the same outcome came again", first.Cursor)
	}
	listed := false // beside those of other tests
	for e, err := range c.Endpoints(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		listed = listed || e.ID == "crm-bakery"
	}
	if e := must(c.Endpoint(ctx, "crm-bakery"))(t); !listed || e.ID != "crm-bakery" {
		t.Errorf("listed %t; %+v", listed, e)
	}
	if e := must(c.DisableEndpoint(ctx, "crm-bakery"))(t); e.State != client.EndpointOff {
		t.Errorf("turned off: %+v", e)
	}
	if e := must(c.EnableEndpoint(ctx, "crm-bakery"))(t); e.State != client.EndpointOn {
		t.Errorf("turned on: %+v", e)
	}
	must(c.ReplayEndpoint(ctx, "crm-bakery", client.ReplayRequest{Dead: true}))(t)
}

// bulk is the warning on every broadcast over Messenger.
func bulk() client.Warning {
	return client.Warning{Code: "bulk_discouraged", Says: "Unwanted, impersonal or bulk messages violate the policy; avoid them over Facebook.", Acknowledge: true}
}

// lifeOfPolicy asks by what the server judges, and compares a day with itself.
func lifeOfPolicy(t *testing.T, c *client.Client) {
	t.Helper()
	if p := must(c.Policy(t.Context()))(t); p.Rulebook != "built-in" || len(p.Digest) != 12 {
		t.Errorf("policy: %+v", p)
	}
	for _, e := range all(t, c.PolicyDiff(t.Context(), client.PolicyDiffRequest{From: "2026-11-22", To: "2026-11-22"})) {
		if i := e.Broadcast; e.Change != nil || i.Broken != 0 || i.Allowed != 0 || i.Broadcast == "menu" && i.Blocked != 4 {
			t.Errorf("a day beside itself: %+v", e)
		}
	}
}

// lifeOfToken makes a token, uses it and has it revoke itself.
func lifeOfToken(t *testing.T, h *house, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	made := must(c.CreateToken(ctx, client.TokenRequest{Name: "ovens", Role: client.RoleAdmin, Senders: []string{"bakery"}, Expires: time.Now().Add(time.Hour)}))(t)
	ovens := client.New(h.http.URL, string(made.Text))
	defer ovens.Close()
	for _, list := range [][]client.Token{all(t, c.Tokens(ctx)), all(t, ovens.Tokens(ctx))} {
		if !slices.ContainsFunc(list, func(k client.Token) bool { return cmp.Equal(k, made.Token) }) {
			t.Errorf("%+v is not in the list %+v", made.Token, list)
		}
	}
	if s := all(t, ovens.Senders(ctx)); len(s) != 1 || s[0].ID != "bakery" {
		t.Errorf("senders of a token for the bakery: %+v", s)
	}
	gone := must(ovens.RevokeToken(ctx, made.ID))(t)
	if gone.ID != made.ID || gone.Revoked.IsZero() || gone.RevokedBy != made.ID || !gone.Self {
		t.Errorf("revoked: %+v", gone)
	}
	_, err := ovens.Sender(ctx, "bakery")
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != http.StatusUnauthorized || !strings.Contains(p.Detail, "was revoked at") {
		t.Errorf("a revoked token: %v", err)
	}
	if again := must(c.RevokeToken(ctx, made.ID))(t); again.Self || !again.Revoked.Equal(gone.Revoked) {
		t.Errorf("revoked again: %+v", again)
	}
	if log := h.log.String(); strings.Contains(log, string(made.Text)) || strings.Contains(log, string(made.Text)[len(made.Text)-64:]) {
		t.Error("the log has a token")
	}
}

func lifeOfSender(t *testing.T, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	if s := must(c.Sender(ctx, "bakery"))(t); s.State != client.SenderOpen || !s.Since.IsZero() || s.Spec.Rate.PerSecond != 100 || s.Load != nil {
		t.Errorf("sender: %+v", s)
	}
	paused := must(c.PauseSender(ctx, "bakery"))(t)
	if paused.State != client.SenderPaused || paused.Reason != reason.SenderPaused || paused.Why != "paused by an operator" || !paused.InForce {
		t.Errorf("paused: %+v", paused)
	}
	again := must(c.PauseSender(ctx, "bakery"))(t)
	if !again.Since.Equal(paused.Since) {
		t.Errorf("a second pause moved its time from %s to %s", paused.Since, again.Since)
	}
	if l := must(c.PullLabels(ctx, "bakery"))(t); !l.Waiting {
		t.Errorf("labels: %+v", l)
	}
	if s := must(c.Sender(ctx, "bakery"))(t); s.Labels == nil || !s.Labels.Waiting {
		t.Errorf("the sender says nothing of its labels: %+v", s.Labels)
	}
	if s := must(c.ResumeSender(ctx, "bakery"))(t); s.State != client.SenderOpen || s.Reason != "" || s.Why != "" || !s.InForce {
		t.Errorf("resumed: %+v", s)
	}
	ids := []string{}
	for _, s := range all(t, c.Senders(ctx)) {
		ids = append(ids, s.ID)
	}
	if !slices.Contains(ids, "bakery") || !slices.IsSorted(ids) {
		t.Errorf("senders: %v", ids)
	}
}

// lifeOfBroadcast launches the broadcast and gives its four jobs an outcome:
// one sent, one blocked, one unknown, one pending. It returns their source.
func lifeOfBroadcast(t *testing.T, h *house, c *client.Client) job.Source {
	t.Helper()
	ctx := t.Context()
	if b := must(c.Broadcast(ctx, "menu"))(t); b.State != "draft" || b.Source != "" || b.Frozen != nil || b.Progress.Frozen {
		t.Errorf("draft: %+v", b)
	}
	if a := must(c.Audit(ctx, "menu"))(t); a.Frozen || !a.Balanced || a.Audience != 0 {
		t.Errorf("audit of a draft: %+v", a)
	}
	if _, err := c.Launch(ctx, "menu"); !slices.Equal(client.Unacknowledged(err), []client.Warning{bulk()}) {
		t.Errorf("a launch that acknowledges nothing: %v", err)
	}
	b := must(c.Launch(ctx, "menu", "bulk_discouraged"))(t)
	if b.State != "scheduled" || b.Source != "menu~1" || b.DueAt.IsZero() || !b.EndsAt.After(b.DueAt) {
		t.Errorf("launched: %+v", b)
	}
	want := []client.Acknowledged{{Code: "bulk_discouraged", At: b.LaunchedAt}}
	if stored := must(c.Broadcast(ctx, "menu"))(t); !slices.Equal(b.Acknowledged, want) || !slices.Equal(stored.Acknowledged, want) {
		t.Errorf("acknowledged %+v, and stored %+v", b.Acknowledged, stored.Acknowledged)
	}
	ids := h.queue.released(t, "menu~1", 4)
	src := ids[0].Source
	ada, bob, cyn := h.jobOf(src, "psid-ada-900001"), h.jobOf(src, "psid-bob-900002"), h.jobOf(src, "psid-cyn-900003")
	claim := h.move(t, ada, ledger.Record{State: job.Claimed, From: job.Pending, Attempt: 1, Rule: "standard_window"})
	h.move(t, ada, ledger.Record{State: job.Sent, From: job.Claimed, Prev: claim, Attempt: 1, MessageID: "m_1", Status: http.StatusOK})
	h.move(t, bob, ledger.Record{State: job.Blocked, From: job.Pending, Reason: reason.WindowClosed, Rule: "standard_window", Evidence: "age 25h"})
	claim = h.move(t, cyn, ledger.Record{State: job.Claimed, From: job.Pending, Attempt: 1, Rule: "standard_window"})

	// While a claim is without an outcome, an opt-out is not in force alone.
	out := must(c.OptOut(ctx, "bakery", client.OptOutRequest{Contact: "psid-cyn-900003", Source: "a call"}))(t)
	if d := cmp.Diff(client.OptOutResult{InForce: true, InFlight: []string{cyn.String()}}, out); d != "" {
		t.Errorf("opt-out of a contact with a claim: %s", d)
	}
	_ = must(c.Audit(ctx, "menu"))(t) // it waits for the tally
	if p := must(c.Progress(ctx, "menu"))(t); p.RatePerSecond <= 0 {
		t.Errorf("progress: %+v", p)
	}
	h.move(t, cyn, ledger.Record{State: job.Unknown, From: job.Claimed, Prev: claim, Attempt: 1, Reason: reason.OutcomeUnknown, At: time.Now().UTC().Add(-time.Hour)})
	out = must(c.OptOut(ctx, "bakery", client.OptOutRequest{Contact: "psid-new-900009", Scope: "marketing", Source: "a letter"}))(t)
	if d := cmp.Diff(client.OptOutResult{InForce: true, InFlight: []string{}}, out); d != "" {
		t.Errorf("opt-out of a contact that nothing is known of: %s", d)
	}

	a := must(c.Audit(ctx, "menu"))(t)
	wantAudit := client.Audit{
		Audience: 4, Sent: 1, Blocked: 1, Unknown: 1, Pending: 1, Balanced: true, State: "running", Frozen: true, LedgerSeq: max(a.LedgerSeq, 5), // other tests write too
		ByReason: map[reason.Code]int{reason.WindowClosed: 1, reason.OutcomeUnknown: 1}, Held: map[reason.Code]int{}, Problems: []string{},
	}
	if d := cmp.Diff(wantAudit, a); d != "" {
		t.Errorf("audit: %s", d)
	}
	p := must(c.Progress(ctx, "menu"))(t)
	if d := cmp.Diff(client.Counts{Sent: 1, Blocked: 1, Unknown: 1, Pending: 1}, p.Counts); d != "" || !maps.Equal(p.ByReason, a.ByReason) || p.Audience != 4 {
		t.Errorf("progress: %s %+v", d, p)
	}
	wantMember := []client.AuditMember{{
		Job: bob.String(), Contact: bob.Contact.String(), ID: "psid-bob-900002", Bucket: "blocked", State: "blocked", Reason: reason.WindowClosed,
	}}
	if d := cmp.Diff(wantMember, all(t, c.AuditMembers(ctx, "menu", "blocked"))); d != "" {
		t.Errorf("members: %s", d)
	}
	if got := all(t, c.AuditMembers(ctx, "menu", "failed")); len(got) != 0 {
		t.Errorf("members of an empty bucket: %v", got)
	}
	pauseAndResume(t, c)
	stories(t, c, bob)
	return src
}

func (h *house) jobOf(src job.Source, address string) job.ID {
	return src.Job(h.facts.Key(src.Sender, address))
}

func pauseAndResume(t *testing.T, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	if s := must(c.Pause(ctx, "menu"))(t); s.State != "paused" || !s.InForce || s.InFlight != 0 {
		t.Errorf("pause: %+v", s)
	}
	if b := must(c.Resume(ctx, "menu"))(t); b.State != "running" || b.Counts["pending"] != 1 || b.Frozen.Contacts != 4 || b.Frozen.NotMatching != 1 {
		t.Errorf("resume: %+v", b)
	}
	var found *client.Broadcast
	for _, b := range all(t, c.Broadcasts(ctx)) {
		if b.ID == "menu" {
			found = &b
		}
	}
	if found == nil || found.State != "running" || found.Over() {
		t.Errorf("in the list: %+v", found)
	}
	if s := must(c.Sender(ctx, "bakery"))(t); s.Load == nil || s.Load.Sources != 1 {
		t.Errorf("load: %+v", s.Load)
	}
}

func stories(t *testing.T, c *client.Client, bob job.ID) {
	t.Helper()
	ctx := t.Context()
	s := must(c.Job(ctx, bob.String()))(t)
	var what []string
	for _, st := range s.Steps {
		what = append(what, st.What)
	}
	if d := cmp.Diff([]string{"launched", "planned", "blocked"}, what); d != "" || s.Reason != reason.WindowClosed || s.Now == nil || s.Now.Reason != reason.NeverWrote {
		t.Errorf("story: %s %+v", d, s)
	}
	if r := s.Steps[2].Record; r == nil || r.Evidence != "age 25h" || r.From != "pending" {
		t.Errorf("record: %+v", r)
	}
	ada := must(c.Contact(ctx, "bakery", "psid-ada-900001"))(t)
	wantContact := &client.Contact{ID: "psid-ada-900001", Name: "Ada", Labels: []string{"regular", "vip"}, Timezone: "Europe/Oslo", Attributes: map[string]string{"city": "Oslo"}}
	if d := cmp.Diff(wantContact, ada.Contact); d != "" || len(ada.Stories) != 1 || ada.Stories[0].State != "sent" {
		t.Errorf("contact: %s %+v", d, ada)
	}
	eve := must(c.Contact(ctx, "bakery", "psid-eve-900005"))(t)
	if len(eve.Stories) != 0 || len(eve.Missed) != 1 || !eve.Known {
		t.Errorf("a contact outside the audience: %+v", eve)
	}
	if nobody := must(c.Contact(ctx, "bakery", "psid-xyz-900008"))(t); nobody.Known || nobody.Contact != nil {
		t.Errorf("a contact that nothing is known of: %+v", nobody)
	}
}

// lifeOfDoubt has the echo of another message say that one whose answer was
// lost is likely not sent.
func lifeOfDoubt(t *testing.T, h *house, c *client.Client, src job.Source) {
	t.Helper()
	ctx := t.Context()
	likely := client.DeadFilter{Sender: "bakery", LikelyNotSent: true}
	if got := all(t, c.Dead(ctx, likely, 0)); len(got) != 0 {
		t.Errorf("before any echo %+v is likely not sent", got)
	}
	d := &receipt.Desk{Ledger: h.ledger, Commits: h.commits, Key: h.facts.Key, Echoes: h.witness.Echoes, Stats: &receipt.Stats{}}
	_, err := d.Apply(ctx, []event.Event{{
		Type: event.Echo, Channel: "messenger", Sender: "bakery", Person: "psid-ada-900001", Job: h.jobOf(src, "psid-ada-900001").String(), MessageID: "m_1", Time: time.Now(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	cyn := h.jobOf(src, "psid-cyn-900003").String()
	got := all(t, c.Dead(ctx, likely, 0))
	if len(got) != 1 || got[0].Job != cyn || !got[0].Doubt.LikelyNotSent {
		t.Errorf("likely not sent: %+v", got)
	}
	if s := must(c.Job(ctx, cyn))(t); s.Doubt == nil || !s.Doubt.LikelyNotSent || !strings.HasPrefix(s.Doubt.Text, "likely not sent: no echo") {
		t.Errorf("the story says %+v", s.Doubt)
	}
	if a := must(c.Audit(ctx, "menu"))(t); a.LikelyNotSent != 1 || a.RedrivenByStandingOrder != 0 {
		t.Errorf("the audit says %+v", a)
	}
	dry := must(c.Redrive(ctx, client.HandleRequest{Filter: &likely, DryRun: true}))(t)
	if d := cmp.Diff(client.HandleResult{Matched: 1, Done: 1, Refused: []client.Refusal{}}, dry); d != "" {
		t.Errorf("redrive of what is likely not sent: %s", d)
	}
	likely.State = "blocked"
	if _, err := c.Redrive(ctx, client.HandleRequest{Filter: &likely}); err == nil || !strings.Contains(err.Error(), `state "blocked": only what is unknown can be likely not sent`) {
		t.Errorf("a filter that can pick nothing: %v", err)
	}
}

// lifeOfFlow plans two messages of a flow, of which one is blocked, and asks for
// its account and for the story of one.
func lifeOfFlow(t *testing.T, h *house, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	must(c.Apply(ctx, "order.yaml", strings.NewReader(flowYAML("order", "bakery"))))(t)
	if a := must(c.FlowAudit(ctx, "order"))(t); !a.Balanced || a.Audience != 0 || len(a.Parts) != 0 {
		t.Errorf("audit of a flow that sent nothing: %+v", a)
	}
	src := job.Source{Month: "202611", Sender: "bakery", Name: flow.ID{Flow: "order", Slot: flow.SlotOf("x")}.Source(flow.Place{Version: 1, At: 0, Visit: 1})}
	ada, bob := h.jobOf(src, "psid-ada-900001"), h.jobOf(src, "psid-bob-900002")
	h.move(t, ada, ledger.Record{State: job.Pending, From: job.Pending, Planned: true})
	seq := h.move(t, bob, ledger.Record{State: job.Pending, From: job.Pending, Planned: true})
	h.move(t, bob, ledger.Record{State: job.Blocked, From: job.Pending, Prev: seq, Reason: reason.OptedOut})
	a := must(c.FlowAudit(ctx, "order"))(t)
	if !a.Balanced || a.State != "running" || a.Audience != 2 || a.Blocked != 1 || a.Pending != 1 || a.ByReason[reason.OptedOut] != 1 {
		t.Errorf("audit of a flow: %+v", a)
	}
	if len(a.Parts) != 1 || a.Parts[0].Month != "202611" || a.Parts[0].Sender != "bakery" || a.Parts[0].Account.Audience != 2 {
		t.Errorf("its parts: %+v", a.Parts)
	}
	if got := all(t, c.FlowAuditMembers(ctx, "order", "blocked")); len(got) != 1 || got[0].Job != bob.String() || got[0].Reason != reason.OptedOut {
		t.Errorf("its blocked: %+v", got)
	}
	s := must(c.Job(ctx, bob.String()))(t)
	if s.Flow != "order" || s.Step == "" || s.State != "blocked" || s.Broadcast != "" || len(s.Steps) != 2 {
		t.Errorf("story of a flow's message: %+v", s)
	}
}

func lifeOfDead(t *testing.T, h *house, c *client.Client, src job.Source) {
	t.Helper()
	ctx := t.Context()
	bob, cyn, dan := h.jobOf(src, "psid-bob-900002"), h.jobOf(src, "psid-cyn-900003"), h.jobOf(src, "psid-dan-900004")
	letters := all(t, c.Dead(ctx, client.DeadFilter{Sender: "bakery"}, 0))
	if len(letters) != 2 || letters[0].Contact != "psid-bob-900002" || letters[1].Reason != reason.OutcomeUnknown {
		t.Fatalf("letters: %+v", letters)
	}
	if l := letters[1]; l.Doubt == nil || l.Doubt.LikelyNotSent || letters[0].Doubt != nil {
		t.Errorf("before any echo: %+v, and of a blocked one %+v", l.Doubt, letters[0].Doubt)
	}
	lifeOfDoubt(t, h, c, src)
	if got := all(t, c.Dead(ctx, client.DeadFilter{Sender: "bakery"}, 1)); len(got) != 1 || got[0].Job != bob.String() {
		t.Errorf("limited to one: %+v", got)
	}
	at := letters[0].At
	if got := all(t, c.Dead(ctx, client.DeadFilter{Source: "menu", State: "blocked", Reason: reason.WindowClosed, Since: at, Until: at.Add(1)}, 0)); len(got) != 1 {
		t.Errorf("picked by all: %+v", got)
	}
	if got := all(t, c.Dead(ctx, client.DeadFilter{Source: "menu", State: "blocked", Until: at}, 0)); len(got) != 0 {
		t.Errorf("until is not excluded: %+v", got)
	}
	if l := must(c.Letter(ctx, bob.String()))(t); l != letters[0] {
		t.Errorf("letter: %+v, in the list %+v", l, letters[0])
	}
	dry := must(c.Redrive(ctx, client.HandleRequest{Filter: &client.DeadFilter{Source: "menu"}, DryRun: true}))(t)
	if d := cmp.Diff(client.HandleResult{Matched: 2, Done: 2, Refused: []client.Refusal{}}, dry); d != "" {
		t.Errorf("dry run: %s", d)
	}
	if got := all(t, c.Dead(ctx, client.DeadFilter{Sender: "bakery"}, 0)); len(got) != 2 {
		t.Errorf("a dry run did something: %+v", got)
	}
	done := must(c.Redrive(ctx, client.HandleRequest{Jobs: []string{bob.String(), dan.String()}, By: "night shift"}))(t)
	wantDone := client.HandleResult{Matched: 2, Done: 1, Refused: []client.Refusal{{Job: dan.String(), Why: "it is pending, not a dead letter"}}, RefusedCount: 1}
	if d := cmp.Diff(wantDone, done); d != "" {
		t.Errorf("redrive: %s", d)
	}
	s := must(c.Job(ctx, bob.String()))(t)
	if last := s.Steps[len(s.Steps)-1]; s.State != "pending" || last.Record.By != "night shift" {
		t.Errorf("story of what was redriven: %+v", s)
	}
	gone := must(c.Discard(ctx, client.HandleRequest{Filter: &client.DeadFilter{Sender: "bakery", State: "unknown"}}))(t)
	if d := cmp.Diff(client.HandleResult{Matched: 1, Done: 1, Refused: []client.Refusal{}}, gone); d != "" {
		t.Errorf("discard: %s", d)
	}
	if _, err := c.Letter(ctx, cyn.String()); !client.IsNotFound(err) {
		t.Errorf("a letter that was discarded: %v", err)
	}
	// The unknown stays what it is, so make way for the cancellation's count.
	must(c.Redrive(ctx, client.HandleRequest{Jobs: []string{cyn.String()}}))(t)
}

// lifeOfContact: one person is told of by a CRM, and forgotten.
func lifeOfContact(t *testing.T, h *house, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	const id = "psid-zed-900042"
	must(c.ChangeContacts(ctx, "bakery", client.ContactChange{Contact: id, Labels: map[string]bool{"vip": true}}))(t)
	event := `{"specversion":"1.0","id":"life","source":"crm","type":"carillon.contact.changed","data":{"sender":"bakery","contact":"` + id + `","name":"Zed"}}`
	if got := must(c.SendEvents(ctx, []byte(event)))(t); got.New != 1 || got.Contacts != 1 {
		t.Errorf("told: %+v", got)
	}
	if s := must(c.Contact(ctx, "bakery", id))(t); s.Contact == nil || s.Contact.Name != "Zed" || len(s.Contact.Labels) != 1 {
		t.Errorf("known: %+v", s.Contact)
	}
	if _, err := h.facts.Merge(ctx, "bakery", []contact.Update{{Address: id, Review: contact.Review{At: time.Now(), ID: "m-life"}}}); err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for _, err := range c.Reviews(ctx, "bakery") {
		if err != nil {
			t.Fatal(err)
		}
		waiting++
	}
	if must(c.DecideReview(ctx, "bakery", client.ReviewRequest{Contact: id, Decision: client.ReviewKeep}))(t); waiting != 1 {
		t.Errorf("%d reviews wait", waiting)
	}
	if got := must(c.EraseContact(ctx, "bakery", client.EraseRequest{Contact: id}))(t); got.Events != 1 || !got.Complete {
		t.Errorf("erased: %+v", got)
	}
	for _, err := range c.Hooks(ctx) {
		if err != nil {
			t.Error(err)
		}
	}
	for e, err := range c.Log(ctx, client.LogFilter{Verb: "erase-contact"}) {
		if err != nil || strings.Contains(e.Object, id) {
			t.Errorf("the log: %+v, %v", e, err)
		}
	}
}
