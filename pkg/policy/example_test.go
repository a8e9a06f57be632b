package policy_test

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/pkg/policy"
)

func ExampleEvaluate() {
	rb := policy.Default()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	message := &policy.Message{Origin: "agent", Text: "Your parcel is here."}
	facts := &policy.Facts{LastInbound: at.Add(-27*time.Hour - 12*time.Minute)}
	sender := &policy.Sender{Channel: policy.Messenger, Capabilities: []string{"human_agent"}}

	fmt.Println(policy.Evaluate(rb, at, message, facts, sender).Explain())
	message.Tag = "HUMAN_AGENT"
	fmt.Println(policy.Evaluate(rb, at, message, facts, sender).Explain())
	// Output:
	// window closed 3 h 12 min before: last inbound 2026-11-21 06:48Z, limit 24 h, standard_window
	// sent with 5 d 20 h to go: last inbound 2026-11-21 06:48Z, limit 7 d, human_agent
}

func ExampleDiff() {
	from, to := time.Date(2026, 4, 26, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 27, 0, 0, 0, 0, time.UTC)
	for _, c := range policy.Diff(policy.Default(), from, to) {
		fmt.Println(c.Date, c.Rule, c.What, c.Names)
	}
	// Output:
	// 2026-04-27 event_tag ends [CONFIRMED_EVENT_UPDATE POST_PURCHASE_UPDATE ACCOUNT_UPDATE]
}
