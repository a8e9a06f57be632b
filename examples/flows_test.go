package examples_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/examples"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/ingest/cloudevent"
	"github.com/carillon-dev/carillon/internal/rehearsal"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write flows/*.golden")

// Every example does what its golden file says, which a reader is told too.
func TestFlowsGoAsTheySay(t *testing.T) {
	for _, f := range examples.Flows() {
		t.Run(f.ID, func(t *testing.T) {
			docs, err := definition.Decode(f.ID+".yaml", f.Documents)
			if err != nil {
				t.Fatal(err)
			}
			decode := func(b []byte) ([]event.Event, error) { return cloudevent.Decode(nil, b) }
			script, err := rehearsal.Read(f.Events, examples.Moment(), decode)
			if err != nil {
				t.Fatal(err)
			}
			stage, advice, err := rehearsal.NewStage(t.Context(), f.ID+".yaml", docs, gate.NewRules(policy.Default()), script.From())
			if err != nil || len(advice) > 0 {
				t.Fatal(advice, err)
			}
			report, err := stage.Play(t.Context(), script, rehearsal.Options{Contacts: examples.FlowContacts(examples.Moment())})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(filepath.Join("flows", f.ID+".golden"), []byte(report.Text()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(f.Golden), report.Text()); d != "" {
				t.Errorf("it goes another way (go test ./examples -update writes it anew if it should):\n%s", d)
			}
		})
	}
}

// The examples are applied one after the other to one server: what two of them
// define is the same.
func TestFlowsAgree(t *testing.T) {
	senders := map[string]sender.Spec{}
	for _, f := range examples.Flows() {
		docs, err := definition.Decode(f.ID+".yaml", f.Documents)
		if err != nil {
			t.Fatal(err)
		}
		if docs[0].Flow == nil || docs[0].Flow.ID != f.ID {
			t.Errorf("%s.yaml begins with another document", f.ID)
		}
		for _, d := range docs {
			if d.Sender == nil {
				continue
			}
			if have, there := senders[d.Sender.ID]; there && cmp.Diff(have, *d.Sender) != "" {
				t.Errorf("%s.yaml: sender %s is another than before: %s", f.ID, d.Sender.ID, cmp.Diff(have, *d.Sender))
			}
			senders[d.Sender.ID] = *d.Sender
		}
	}
	if len(senders) != 2 {
		t.Errorf("%d senders, want those of the Page and of the number", len(senders))
	}
}

// Whenever the events are told, they happened before, and appointments lie as
// far ahead as they did.
func TestFlowEventsMoveWithTheClock(t *testing.T) {
	now := time.Date(2031, 3, 1, 23, 59, 59, 999, time.UTC)
	ahead := 0
	for _, f := range examples.Flows() {
		for _, raw := range f.CRMEvents(now) {
			events, err := cloudevent.Decode(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			e := events[0]
			if e.Time.After(now) || now.Sub(e.Time) > 2*time.Hour {
				t.Errorf("%s %s happened at %v", f.ID, e.ID, e.Time)
			}
			var d struct{ At time.Time }
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			if d.At.After(now.Add(48 * time.Hour)) {
				ahead++
			}
		}
	}
	if ahead != 3 {
		t.Errorf("%d appointments lie ahead, want the 3 of those that are not called off", ahead)
	}
}
