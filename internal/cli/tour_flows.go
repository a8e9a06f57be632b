package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/examples"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

// tellFlows applies the worked examples of automations and tells them what
// happens, as a shop's systems would. They are carried out beside the
// broadcasts, whose messages they overtake.
func (t *tour) tellFlows(ctx context.Context) error {
	now := time.Now()
	contacts := examples.FlowContacts(now)
	imported := map[string]bool{}
	for _, f := range examples.Flows() {
		r, err := t.client.Apply(ctx, "examples/flows/"+f.ID+".yaml", bytes.NewReader(f.Documents))
		if err != nil {
			return err
		}
		for _, a := range r.Applied {
			if a.Kind != "Sender" || imported[a.ID] {
				continue
			}
			imported[a.ID] = true
			if err := t.importFor(ctx, a.ID, contacts); err != nil {
				return err
			}
		}
	}
	for _, f := range examples.Flows() {
		if _, err := sendEvents(ctx, t.client, f.CRMEvents(now)); err != nil {
			return err
		}
	}
	return nil
}

// flowsWithin bounds how long the report waits for messages of flows that have
// not left yet.
const flowsWithin = 10 * time.Second

// reportFlows says in a line what each flow did. Those that wait for somebody
// or for a day wait on.
func (t *tour) reportFlows(ctx context.Context) error {
	t.heading("\nflows, told by what happens in a shop\n")
	for _, f := range examples.Flows() {
		a, err := t.settledFlow(ctx, f.ID)
		if client.IsNotFound(err) {
			continue // the data are of a start before there were flows
		}
		if err != nil {
			return err
		}
		if t.json {
			err = t.writeJSON(a)
		} else {
			_, err = fmt.Fprintf(t.out, "  %-14s  %s %s\n", f.ID, f.Does, didFlow(a.Audit))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// didFlow is what became of a flow's messages so far.
func didFlow(c client.Audit) string {
	if c.Audience == 0 {
		return "No message yet: its runs wait."
	}
	parts := []string{}
	for _, p := range []struct {
		n    int
		what string
	}{{c.Sent, "sent"}, {c.Blocked, "blocked"}, {c.Audience - c.Sent - c.Blocked, "otherwise"}} {
		if p.n > 0 {
			parts = append(parts, console.Count(p.n)+" "+p.what)
		}
	}
	return console.Nouns(c.Audience, "message") + ": " + strings.Join(parts, ", ") + "."
}

// settledFlow is the account of a flow once all its messages have an outcome.
func (t *tour) settledFlow(ctx context.Context, id string) (client.FlowAudit, error) {
	limit := time.After(flowsWithin)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := t.client.FlowAudit(ctx, id)
		if err != nil || a.Pending == 0 {
			return a, err
		}
		select {
		case <-tick.C:
		case <-limit:
			return a, nil
		case <-ctx.Done():
			return a, context.Cause(ctx)
		}
	}
}
