package cli

import (
	"testing"

	"github.com/carillon-dev/carillon/pkg/client"
)

func TestDidFlow(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]client.Audit{
		"No message yet: its runs wait.":                {},
		"1 message: 1 sent.":                            {Audience: 1, Sent: 1},
		"6 messages: 3 sent, 2 blocked, 1 otherwise.":   {Audience: 6, Sent: 3, Blocked: 2, Failed: 1},
		"1,200 messages: 1,000 blocked, 200 otherwise.": {Audience: 1200, Blocked: 1000, Pending: 200},
	} {
		if got := didFlow(a); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
