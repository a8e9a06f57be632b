package label

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/sender"
)

func TestDue(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	ended := Run{Began: began, Ended: began.Add(time.Minute)}
	for name, c := range map[string]struct {
		pull string
		st   State
		at   time.Duration // after it began
		want bool
	}{
		"never, by the document":       {"1h", State{}, 0, true},
		"never, without":               {"", State{}, 0, false},
		"ordered":                      {"", State{Ordered: began}, 0, true},
		"ordered by a clock that lags": {"", State{Ordered: began.Add(-time.Hour), Run: ended}, time.Hour, true},
		"carried out":                  {"", State{Ordered: began, Run: Run{Order: began, Began: began, Ended: began}}, 99 * time.Hour, false},
		"cut short":                    {"", State{Run: Run{Began: began}}, 0, true},
		"1 ns early":                   {"1h", State{Run: ended}, time.Hour - 1, false},
		"its hour has come":            {"1h", State{Run: ended}, time.Hour, true},
	} {
		spec := &sender.Spec{Channel: "messenger", Labels: sender.Labels{Pull: c.pull}}
		if got := due(spec, c.st, began.Add(c.at)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if spec.Channel = "instagram"; due(spec, c.st, began.Add(c.at)) {
			t.Errorf("%s: due without a Page", name)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f    channel.Fault
		want blame
	}{
		{channel.Fault{Code: 100, Subcode: 33, Status: 400}, gone}, {channel.Fault{Code: 551, Status: 400}, gone},
		{channel.Fault{Code: 1, Status: 500}, passing}, {channel.Fault{Code: 2, Status: 503}, passing}, {channel.Fault{}, passing}, {channel.Fault{Status: 502}, passing},
		{channel.Fault{Code: 2, Subcode: 2018344, Status: 400}, final}, {channel.Fault{Code: 190, Status: 401}, final},
		{channel.Fault{Code: 613, Status: 400}, final}, {channel.Fault{Status: 429}, final}, {channel.Fault{Code: 10, Status: 403}, final},
	} {
		if got := judge(&c.f); got != c.want {
			t.Errorf("%+v: %d, want %d", c.f, got, c.want)
		}
	}
}

// TestDifference: merged, it leaves the Page's labels and everybody's own; of
// what is so already it says nothing.
func TestDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"own", "vip", "fb:a", "fb:b", "fb:c", "fb:"}), func(s string) string { return s })
		r, _ := contact.Merge(contact.Record{}, contact.Update{Address: "1", Profile: &contact.Profile{At: time.Unix(1, 0), Labels: slices.Sorted(slices.Values(names.Draw(t, "have")))}})
		want := usable(rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), func(s string) string { return s }).Draw(t, "want"))
		expected := slices.Clone(want)
		for _, l := range r.Labels {
			if l == "own" || l == "vip" {
				expected = append(expected, l)
			}
		}
		for _, c := range difference(r.Labels, want, time.Unix(2, 0)) {
			r, _ = contact.Merge(r, c.Update("1"))
		}
		if slices.Sort(expected); !slices.Equal(slices.Sorted(slices.Values(r.Labels)), expected) {
			t.Fatalf("%q, want %q", r.Labels, expected)
		}
		if again := difference(r.Labels, want, time.Unix(3, 0)); again != nil {
			t.Fatalf("says %+v of what is so", again)
		}
	})
}
