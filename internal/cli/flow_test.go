package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// aFlow is a flow with runs on two versions.
func aFlow() client.FlowDetail {
	return client.FlowDetail{
		Flow:     client.Flow{ID: "order-shipped", State: client.FlowActive, Version: 2, At: day(9, 0, 0), Type: "notification", Sender: "bakery", Trigger: "order.shipped"},
		Document: map[string]any{"id": "order-shipped"}, Shown: 2, Drawing: "flowchart TD\n",
		Runs: []client.RunCount{{Version: 2, State: "waiting", Count: 1200}, {Version: 1, State: "done", Count: 3}},
	}
}

// aRun is the n-th run of it.
func aRun(n int) client.Run {
	at := day(9, 0, 0)
	return client.Run{
		ID: fmt.Sprintf("order-shipped~ytu6zqk3nq2gq5l5k3m7q2dwhae5c2b7qk%02d", n), Flow: "order-shipped", Version: 2, State: "waiting", Sender: "bakery",
		Contacts: []client.RunContact{{Sender: "bakery", ID: fmt.Sprint(7300 + n)}, {Sender: "phone", ID: "+1555"}}, Event: client.RunEvent{ID: "e1", Source: "crm", Type: "order.shipped"},
		StartedAt: at, Due: at.Add(time.Hour), Drawing: "flowchart TD\n  n1\n", Cut: 2,
		Path: []client.RunVisit{
			{At: at, Did: "start", What: "order.shipped"}, {At: at, Step: "tell", Did: "send", State: "blocked", Reason: "window_closed", Job: "J1"}, {At: at, Step: "steps-2", Did: "wait", Until: at.Add(time.Hour)},
		},
	}
}

// runs answers with 1,200 runs in pages, or one of a contact.
func (f *fake) runs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("contact") != "" || q.Get("state") == "failed" {
		answer(w, 200, client.Runs{Runs: []client.Run{aRun(1)}, Cursor: "1"})
		return
	}
	var from, limit int
	fmt.Sscan(q.Get("after"), &from)
	fmt.Sscan(q.Get("limit"), &limit)
	out := client.Runs{}
	for n := from + 1; n <= min(from+limit, 1200); n++ {
		out.Runs = append(out.Runs, aRun(n))
	}
	out.Cursor, out.More = fmt.Sprint(from+len(out.Runs)), from+limit < 1200
	answer(w, 200, out)
}

func (f *fake) steer(w http.ResponseWriter, r *http.Request) {
	var req client.SteerRequest
	json.NewDecoder(r.Body).Decode(&req)
	v := client.SteeredFlow{Flow: aFlow().Flow, DryRun: req.DryRun, InForce: !req.DryRun, Going: 1200}
	if !req.DryRun {
		v.State = map[string]string{"pause": "paused", "resume": "active", "delete": "deleted"}[r.PathValue("verb")]
	}
	answer(w, 200, v)
}

func (f *fake) stopRuns(w http.ResponseWriter, r *http.Request) {
	var req client.StopRunsRequest
	json.NewDecoder(r.Body).Decode(&req)
	v := client.StoppedRuns{Flow: r.PathValue("id"), DryRun: req.DryRun, Matched: 1200}
	if req.Run != "" || req.Contact != "" {
		v.Matched = 1
	}
	if !req.DryRun {
		v.Stopped, v.Over = v.Matched-v.Matched/1200, v.Matched/1200
	}
	answer(w, 200, v)
}

// TestRunsOfNarrowTerminals: an id of a run leaves little room, but when it
// began and goes on is never cut.
func TestRunsOfNarrowTerminals(t *testing.T) {
	t.Parallel()
	r := aRun(1)
	r.ID, r.StartedAt, r.Due = "a~nb2cbhlqkegq4blyo6zmnu47wewawnypfhfz", day(9, 30, 1), day(12, 0, 2)
	var out bytes.Buffer
	if err := listRuns(console.Fixed(&out, 100, true, false), func(yield func(client.Run, error) bool) { yield(r, nil) }); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{r.StartedAt, r.Due} {
		if want := shortStamp(at); !strings.Contains(out.String(), want) {
			t.Errorf("want %s in\n%s", want, out.String())
		}
	}
}
