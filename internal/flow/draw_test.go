package flow

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
)

var updateDrawings = flag.Bool("update", false, "write testdata/*.mmd")

// everything is a flow with steps of all kinds.
func everything() *Spec {
	return &Spec{
		Trigger: Trigger{Events: []string{"order.shipped"}, Where: `event.data.total > 5 && event.data.kind == "x"`},
		Steps: []Step{
			{Send: &Send{Message: message.Message{Template: "shipped"}, Otherwise: []Send{{Message: message.Message{Text: strings.Repeat("long ", 20)}, Sender: "phone"}}}},
			{ID: "bought", Wait: &Wait{Events: []string{"order.paid"}, Timeout: "3d", Then: []Step{{End: true}}, Else: []Step{{Set: &Set{Labels: map[string]bool{"late": true}}}}}},
			{Branch: []Case{{When: `contact.name == "Kari"`, Do: many(1)}, {When: "true"}}},
			{Split: []Part{{Weight: 1, Do: []Step{{Webhook: &Webhook{Endpoint: "crm"}}}}, {Weight: 9}}},
			{Repeat: &Repeat{AtMost: 3, Do: []Step{{Wait: &Wait{For: "1d"}}, {Notify: &Notify{Endpoint: "crm"}}}}},
			{Start: "next"}, {Stop: "last"}, {Wait: &Wait{Until: "09:00"}},
			{Handover: &Handover{}},
		},
	}
}

func criteria() *Spec {
	return &Spec{
		Trigger: Trigger{Comment: true},
		Criteria: []Criterion{
			{ID: "won", When: `changed(event.data.stage, "new", "won")`, Do: []Step{{Send: say("Welcome")}}, Schedule: []Schedule{{After: "1d", Do: []Step{{Send: say("Still well?")}}}}, Then: "next"},
			{When: "true", Schedule: []Schedule{{Date: &Date{Field: "event.data.at", Offset: "-1d"}, Do: []Step{{Send: say("Tomorrow")}}}}},
			{Do: []Step{{Set: &Set{Attributes: map[string]string{"seen": "true"}}}}},
		},
	}
}

func TestFlowsAreDrawn(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for name, got := range map[string]string{
		"steps":    everything().Draw(),
		"criteria": criteria().Draw(),
		"path": everything().DrawPath([]Visit{
			{At: at, Did: "start", What: "order.shipped"}, {At: at, Step: "steps-1", Did: "send"},
			{At: at.Add(time.Second), Step: "steps-1", Did: "send", State: job.Sent},
			{At: at.Add(time.Second), Step: "bought", Did: "wait", Until: at.Add(72 * time.Hour)},
		}),
	} {
		file := filepath.Join("testdata", name+".mmd")
		if *updateDrawings {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || got != string(want) {
			t.Errorf("%s is not current (run go test ./internal/flow -run Drawn -update if it should change), %v:\n%s", file, err, got)
		}
		sound(t, name, got)
	}
}

// sound asks that every line is one of Mermaid's that is meant, that every
// node that is named is there, and that each but the first is come to.
func sound(t *testing.T, name, drawn string) {
	t.Helper()
	node := regexp.MustCompile(`^  (n\d+)(\(\[|\[\[|\[|\{)"[^"]*"(\]\)|\]\]|\]|\})$`)
	edge := regexp.MustCompile(`^  (n\d+) -(?:-|\.-)>(?:\|"[^"]*"\|)? (n\d+)$`)
	there, reached := map[string]string{}, map[string]bool{"n1": true}
	for i, line := range strings.Split(strings.TrimSuffix(drawn, "\n"), "\n") {
		if m := node.FindStringSubmatch(line); m != nil {
			there[m[1]] = m[2]
		} else if m := edge.FindStringSubmatch(line); m != nil {
			if there[m[1]] == "" || there[m[2]] == "" {
				t.Errorf("%s: %q joins what is not there", name, line)
			}
			reached[m[2]] = true
		} else if i > 0 && !strings.Contains(line, "taken") {
			t.Errorf("%s: %q is no line of a flowchart", name, line)
		}
	}
	for n := range there {
		if !reached[n] {
			t.Errorf("%s: nothing leads to %s", name, n)
		}
	}
}
