package api_test

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestOutcomesByCursor: who reads page by page is told once of each outcome,
// those that come later too.
func TestOutcomesByCursor(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const sender = "told-of"
	id, c := h.deadJob(t, sender), h.client(t)
	first := must(c.Outcomes(t.Context(), client.OutcomeQuery{Sender: sender, Limit: 1}))(t)
	if len(first.Outcomes) != 1 {
		t.Fatalf("%+v", first)
	}
	o := first.Outcomes[0]
	if o.Job != id.String() || o.Contact.ID != "7" || o.State != "blocked" || o.Reason != reason.WindowClosed || o.Sender != sender || o.ID == "" {
		t.Errorf("%+v", o)
	}
	rest := must(c.Outcomes(t.Context(), client.OutcomeQuery{Sender: sender, After: first.Cursor}))(t)
	if len(rest.Outcomes) != 0 {
		t.Errorf("told again: %+v", rest)
	}
	last, _, err := h.ledger.Last(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	reopened := h.move(t, id, ledger.Record{State: job.Pending, From: job.Blocked, Prev: last.Seq})
	h.move(t, id, ledger.Record{State: job.Expired, From: job.Pending, Prev: reopened, Reason: reason.Expired})
	next := must(c.Outcomes(t.Context(), client.OutcomeQuery{Sender: sender, After: rest.Cursor}))(t)
	if len(next.Outcomes) != 1 || next.Outcomes[0].State != "expired" || next.Outcomes[0].ID == o.ID || next.Outcomes[0].Seq <= o.Seq {
		t.Errorf("%+v", next)
	}
	if later := must(c.Outcomes(t.Context(), client.OutcomeQuery{Sender: sender, Since: time.Now().Add(time.Hour)}))(t); len(later.Outcomes) != 0 || later.Cursor == "" {
		t.Errorf("from a moment to come: %+v", later)
	}
}

// TestEndpointOrders: what an operator orders is seen at once, and no word of
// the address but its host.
func TestEndpointOrders(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const sender = "pushed-to"
	h.deadJob(t, sender)
	c, id := h.client(t), "crm-"+sender
	if e := must(c.Endpoint(t.Context(), id))(t); e.State != client.EndpointOn || e.Host != "crm.example" || len(e.Waiting) != 0 {
		t.Errorf("%+v", e)
	}
	if e := must(c.DisableEndpoint(t.Context(), id))(t); e.State != client.EndpointOff || e.Why == "" || e.Since.IsZero() {
		t.Errorf("%+v", e)
	}
	if e := must(c.EnableEndpoint(t.Context(), id))(t); e.State != client.EndpointOn || e.Why != "" {
		t.Errorf("%+v", e)
	}
	must(c.ReplayEndpoint(t.Context(), id, client.ReplayRequest{Dead: true}))(t)
	if st, _, err := h.config.Outlets.State(t.Context(), id); err != nil || !st.Redrive {
		t.Errorf("%+v, %v", st, err)
	}
	seen := false
	for e, err := range c.Endpoints(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen = seen || e.ID == id
	}
	if !seen {
		t.Error("it is not in the list")
	}
}
