package definition

import (
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
)

// TestChangedDraftLosesWhatWasAcknowledged keeps it while the draft is what it
// was, and drops it with the first change.
func TestChangedDraftLosesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := open(t, streams(t), "")
	if _, err := apply(t, s, bakery+"---\n"+menu, Check{}); err != nil {
		t.Fatal(err)
	}
	b, rev, err := s.Broadcast(t.Context(), "menu")
	if err != nil {
		t.Fatal(err)
	}
	b.Acknowledged = []broadcast.Acknowledged{{Code: "bulk_discouraged", At: time.Now()}}
	if _, err := s.PutBroadcast(t.Context(), b, rev); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		want int
	}{{menu, 1}, {menu + "pace: {per_second: 1}\n", 0}} {
		if _, err := apply(t, s, c.file, Check{}); err != nil {
			t.Fatal(err)
		}
		if b, _, err := s.Broadcast(t.Context(), "menu"); err != nil || len(b.Acknowledged) != c.want {
			t.Errorf("%d acknowledged, want %d, %v, after %s", len(b.Acknowledged), c.want, err, c.file)
		}
	}
}
