package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
)

// A sender that slows down is shown with its pace, and without one where Redis
// can't be asked.
func TestPaceIsShown(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "hasty")
	c := h.client(t)
	if s := must(c.Sender(t.Context(), "hasty"))(t); s.Pace != 0 {
		t.Errorf("at the full pace it is shown with %d", s.Pace)
	}
	if err := h.config.Gate.Halve(t.Context(), "hasty", time.Hour); err != nil {
		t.Fatal(err)
	}
	if s := must(c.Sender(t.Context(), "hasty"))(t); s.Pace != 50 {
		t.Errorf("alone it is shown with a pace of %d, want 50", s.Pace)
	}
	for _, s := range all(t, c.Senders(t.Context())) {
		if want := map[string]int{"hasty": 50}[s.ID]; s.Pace != want {
			t.Errorf("in the list %s is shown with a pace of %d, want %d", s.ID, s.Pace, want)
		}
	}

	gone := redis.NewClient(h.engines.Redis.Client.(*redis.Client).Options())
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	s := h.door(t, func(c *api.Config) { c.Gate = gate.New(gone, facts.NewKeys(""), nil, nil) })
	if w := knock(t, s, "GET", "/v1/senders/hasty", "", token, "127.0.0.1:1"); w.Code != 200 || strings.Contains(w.Body.String(), "pace") {
		t.Errorf("without Redis: %d %s", w.Code, w.Body)
	}
	if !strings.Contains(h.log.String(), "the pace of senders could not be read") {
		t.Error("nothing was logged of it")
	}
}
