package api_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/pkg/client"
)

// waitingYAML is a flow of a sender that nothing begins.
func waitingYAML(id, sender string) string {
	return "kind: Flow\nid: " + id + "\ntype: automation\nsender: " + sender + "\ncontact: event.data.psid\ntrigger: {events: [" + id + "]}\nsteps:\n  - wait: {for: 1d}\n  - set: {labels: {late: true}}\n"
}

// begin stores a run of a flow, as whoever leads would.
func (h *house) begin(t *testing.T, id flow.ID, sender, person string) flow.ID {
	t.Helper()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	r := &flow.Run{
		Version: 1, State: flow.Waiting, Sender: sender, Identities: []flow.Identity{{Sender: sender, Person: person}}, StartedAt: at, Due: at.Add(24 * time.Hour),
		Event:   []byte(`{"id":"e1","source":"crm","type":"` + id.Flow + `","data":{"secret":"of a person"}}`),
		Threads: []flow.Thread{{Due: at.Add(24 * time.Hour)}},
		Path:    []flow.Visit{{At: at, Did: "start", What: id.Flow}, {At: at, Step: "steps-1", Did: "wait", Until: at.Add(24 * time.Hour)}},
	}
	err := h.config.Steering.Runs.Save(t.Context(), &run.Change{Whom: run.WhomOf(id), Runs: []*run.Entry{{ID: id, Run: r}}})
	if err != nil && !errors.Is(err, run.ErrMoved) { // it is there already
		t.Fatal(err)
	}
	return id
}

// lifeOfSteering goes with one flow through all that can be done with it.
func lifeOfSteering(t *testing.T, h *house, c *client.Client) {
	t.Helper()
	ctx := t.Context()
	const file = "flow.yaml"
	yaml := waitingYAML("waits", "bakery")
	if r := must(c.TryApply(ctx, file, strings.NewReader(yaml)))(t); !r.DryRun || r.Applied[0].Action != "created" || r.Applied[0].Version != 1 {
		t.Errorf("tried: %+v", r)
	}
	if _, err := c.Flow(ctx, "waits", 0); err == nil {
		t.Error("a dry run stored a flow")
	}
	must(c.Apply(ctx, file, strings.NewReader(yaml)))(t)
	var ids []flow.ID
	for _, person := range []string{"psid-ada-900001", "psid-bob-900002", "psid-cyn-900003"} {
		ids = append(ids, h.begin(t, flow.ID{Flow: "waits", Contact: h.facts.Key("bakery", person), Slot: flow.SlotOf(person)}, "bakery", person))
	}
	if r := must(c.Apply(ctx, file, strings.NewReader(strings.Replace(yaml, "1d", "2d", 1))))(t); r.Applied[0].Version != 2 || len(r.Applied[0].Impact) != 1 || !strings.HasPrefix(r.Applied[0].Impact[0], "3 runs that began with version 1") {
		t.Errorf("applied anew: %+v", r)
	}

	fs := slices.DeleteFunc(all(t, c.Flows(ctx)), func(f client.Flow) bool { return f.ID != "waits" })
	if len(fs) != 1 || fs[0].ID != "waits" || fs[0].State != client.FlowActive || fs[0].Version != 2 || fs[0].Trigger != "waits" {
		t.Errorf("flows: %+v", fs)
	}
	f := must(c.Flow(ctx, "waits", 1))(t)
	if f.Shown != 1 || f.Version != 2 || f.Document["id"] != "waits" || !strings.Contains(f.Drawing, "wait 1d") || len(f.Runs) != 1 || f.Runs[0] != (client.RunCount{Version: 1, State: "waiting", Count: 3}) {
		t.Errorf("version 1: %+v", f)
	}
	if f = must(c.Flow(ctx, "waits", 0))(t); f.Shown != 2 || !strings.Contains(f.Drawing, "wait 2d") {
		t.Errorf("the newest: %+v", f)
	}

	first := must(c.Runs(ctx, "waits", client.RunQuery{State: "waiting", Limit: 2}))(t)
	rest := must(c.Runs(ctx, "waits", client.RunQuery{Limit: 2, After: first.Cursor}))(t)
	if len(first.Runs) != 2 || !first.More || len(rest.Runs) != 1 || rest.More || rest.Runs[0].ID != ids[2].String() {
		t.Errorf("pages %+v and %+v", first, rest)
	}
	if of := must(c.Runs(ctx, "waits", client.RunQuery{Sender: "bakery", Contact: "psid-bob-900002"}))(t); len(of.Runs) != 1 || of.Runs[0].Contacts[0] != (client.RunContact{Sender: "bakery", ID: "psid-bob-900002"}) || of.Runs[0].Event != (client.RunEvent{ID: "e1", Source: "crm", Type: "waits"}) || of.Runs[0].Path != nil {
		t.Errorf("runs of a contact: %+v", of)
	}
	if r := must(c.Run(ctx, ids[0].String()))(t); len(r.Path) != 2 || r.Path[1].Step != "steps-1" || !strings.Contains(r.Drawing, "2026-11-22 10:00:00 wait until") {
		t.Errorf("a run: %+v", r)
	}

	if m := must(c.PauseFlow(ctx, "waits", client.SteerRequest{DryRun: true}))(t); !m.DryRun || m.State != client.FlowActive || m.Going != 3 {
		t.Errorf("pause, dry: %+v", m)
	}
	if m := must(c.PauseFlow(ctx, "waits", client.SteerRequest{}))(t); m.State != client.FlowPaused || !m.InForce || m.Going != 3 {
		t.Errorf("pause: %+v", m)
	}
	must(c.ResumeFlow(ctx, "waits", client.SteerRequest{}))(t)
	if s := must(c.StopRuns(ctx, "waits", client.StopRunsRequest{All: true, DryRun: true}))(t); s.Matched != 3 || s.Stopped != 0 {
		t.Errorf("stop, dry: %+v", s)
	}
	for name, req := range map[string]client.StopRunsRequest{"one": {Run: ids[0].String()}, "of a contact": {Sender: "bakery", Contact: "psid-bob-900002"}} {
		if s := must(c.StopRuns(ctx, "waits", req))(t); s.Matched != 1 || s.Stopped != 1 {
			t.Errorf("stop %s: %+v", name, s)
		}
	}
	if r := must(c.Run(ctx, ids[0].String()))(t); r.State != "stopped" || r.Why != "stopped by an operator" || r.EndedAt.IsZero() {
		t.Errorf("stopped: %+v", r)
	}
	if m := must(c.DeleteFlow(ctx, "waits", client.SteerRequest{}))(t); m.State != client.FlowDeleted || m.Going != 1 {
		t.Errorf("delete: %+v", m)
	}
}

// TestRefusalsOfFlows holds what operators read.
func TestRefusalsOfFlows(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "shop")
	c := h.client(t)
	must(c.Apply(t.Context(), "f.yaml", strings.NewReader(waitingYAML("gone", "shop")+"---\n"+waitingYAML("here", "shop"))))(t)
	must(c.DeleteFlow(t.Context(), "gone", client.SteerRequest{}))(t)
	id := h.begin(t, flow.ID{Flow: "here", Slot: flow.SlotOf("x")}, "shop", "7").String()
	notification := strings.Replace(strings.Replace(waitingYAML("note", "shop"), "automation", "notification", 1), "wait: {for: 1d}", "send: {text: Hello}", 1)
	for name, x := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"no such flow":            {"GET", "/v1/flows/none", "", 404, "flow none: not found"},
		"a version as a flow":     {"GET", "/v1/flows/here.1", "", 404, "flow here.1: not found"},
		"no such version":         {"GET", "/v1/flows/here?version=2", "", 404, "flow here.2: not found"},
		"a version that is none":  {"GET", "/v1/flows/here?version=x", "", 400, `version "x": want a number from 1 to 1`},
		"runs of no flow":         {"GET", "/v1/flows/none/runs", "", 404, "flow none: not found"},
		"runs in no state":        {"GET", "/v1/flows/here/runs?state=asleep", "", 400, `state "asleep": want gathering`},
		"too many runs":           {"GET", "/v1/flows/here/runs?limit=1001", "", 400, `limit "1001": want a number from 1 to 1000`},
		"runs after what":         {"GET", "/v1/flows/here/runs?after=x", "", 400, "after: want what an earlier answer gave as cursor"},
		"runs of half a contact":  {"GET", "/v1/flows/here/runs?sender=shop", "", 400, "contact: want the platform's id"},
		"a run that is none":      {"GET", "/v1/runs/x", "", 400, `run "x": want FLOW~RUN, as flow runs prints it`},
		"no such run":             {"GET", "/v1/runs/" + strings.Replace(id, "here", "away", 1), "", 404, "not found"},
		"pause what was deleted":  {"POST", "/v1/flows/gone/pause", "", 409, "flow gone can't be done: it was deleted"},
		"apply what was deleted":  {"POST", "/v1/apply", waitingYAML("gone", "shop"), 422, "flow gone was deleted and never comes back"},
		"stop nothing":            {"POST", "/v1/flows/here/stop", "{}", 400, "want one of run, sender with contact, and all"},
		"stop both":               {"POST", "/v1/flows/here/stop", `{"all":true,"sender":"shop","contact":"7"}`, 400, "want one of run, sender with contact, and all"},
		"stop a run of another":   {"POST", "/v1/flows/here/stop", `{"run":"` + strings.Replace(id, "here", "gone", 1) + `"}`, 400, "want one of flow here"},
		"stop nobody's":           {"POST", "/v1/flows/here/stop", `{"sender":"shop","contact":""}`, 400, "contact: want the platform's id"},
		"free text as a notice":   {"POST", "/v1/apply", notification, 422, "steps[0].send from sender shop can never be sent: flow_template_required"},
		"what to do instead":      {"POST", "/v1/apply", notification, 422, "instead send a Template of type mtm"},
		"an expression":           {"POST", "/v1/apply?file=f.yaml", strings.Replace(waitingYAML("bad", "shop"), "event.data.psid", "'event.'", 1), 422, "f.yaml:5: flow bad: contact"},
		"a dry run, whatever":     {"POST", "/v1/apply?dry_run=perhaps", waitingYAML("bad", "shop"), 400, "dry_run"},
		"a stop word as keyword":  {"POST", "/v1/apply", "kind: Flow\nid: stops\ntype: auto_reply\nsender: shop\ntrigger: {keywords: {words: [Stop!]}}\nsteps:\n  - send: {text: Hello}\n", 422, `trigger.keywords: "Stop!" means stop to sender shop`},
		"steer by a strange word": {"POST", "/v1/flows/here/pause", `{"dry":true}`, 400, "dry"},
	} {
		status, _, body := h.request(t, x.method, x.path, x.body, "Authorization", "Bearer "+token)
		if status != x.status || !strings.Contains(string(body), strings.ReplaceAll(x.want, `"`, `\"`)) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, body, x.status, x.want)
		}
	}
	if status, _, _ := h.request(t, "GET", "/v1/runs/"+id, "", "Authorization", "Bearer "+token); status != http.StatusOK {
		t.Errorf("a run that is there: %d", status)
	}
}
