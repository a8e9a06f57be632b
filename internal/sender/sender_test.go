package sender

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func spec(edit func(*Spec)) *Spec {
	s := &Spec{Kind: "Sender", ID: "bakery", Channel: "messenger", Account: "1234567890", Credential: "env:BAKERY_TOKEN"}
	edit(s)
	return s
}

// Senders with one reference are of one app, and its name can't be a sender's.
func TestApp(t *testing.T) {
	t.Parallel()
	app := func(ref string) string { return spec(func(s *Spec) { s.AppSecret = ref }).App() }
	if a := app(""); a != "" {
		t.Errorf("no app secret names the app %q", a)
	}
	a, b := app("env:APP"), app("file:/run/secrets/app")
	if a != app("env:APP") || a == b || ValidID(a) || strings.Contains(a, "APP") {
		t.Errorf("apps %q and %q", a, b)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	const account = ": want the Page id or the Instagram account id"
	const zone = " is not an IANA time zone such as Europe/Oslo"
	for _, c := range []struct {
		name string
		edit func(*Spec)
		want string // "": valid
	}{
		{"least", func(*Spec) {}, ""},
		{"instagram", func(s *Spec) { s.Channel = "instagram" }, ""},
		{"no id", func(s *Spec) { s.ID = "" }, `id "": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		{"channel", func(s *Spec) { s.Channel = "Messenger" }, `sender bakery: channel "Messenger": want messenger, instagram or sms`},
		{"no channel", func(s *Spec) { s.Channel = "" }, `sender bakery: channel "": want messenger, instagram or sms`},

		{"an SMS field", func(s *Spec) { s.AccountSID = "AC" }, "sender bakery: account_sid, status_callback and ten_dlc belong to channel sms"},

		{"no account", func(s *Spec) { s.Account = "" }, `sender bakery: account ""` + account},
		{"longest account", func(s *Spec) { s.Account = strings.Repeat("1", 128) }, ""},
		{"account too long", func(s *Spec) { s.Account = strings.Repeat("1", 129) }, `sender bakery: account "` + strings.Repeat("1", 129) + `"` + account},
		{"whoever the token is", func(s *Spec) { s.Account = "me" }, `sender bakery: account "me"` + account},
		{"a path", func(s *Spec) { s.Account = "1/x" }, `sender bakery: account "1/x"` + account},
		{"the path above", func(s *Spec) { s.Account = ".." }, `sender bakery: account ".."` + account},
		{"an escape", func(s *Spec) { s.Account = "1%2f" }, `sender bakery: account "1%2f"` + account},
		{"a query", func(s *Spec) { s.Account = "1?x" }, `sender bakery: account "1?x"` + account},
		{"a line", func(s *Spec) { s.Account = "1\n" }, `sender bakery: account "1\n"` + account},
		{"a name", func(s *Spec) { s.Account = "Page_1-x" }, ""},

		{"no credential", func(s *Spec) { s.Credential = "" }, "sender bakery: credential: want env:NAME or file:PATH, never the secret itself"},
		{"a secret", func(s *Spec) { s.Credential = "EAAB" }, "sender bakery: credential: want env:NAME or file:PATH, never the secret itself"},
		{"no name", func(s *Spec) { s.Credential = "env:" }, "sender bakery: credential: want env:NAME or file:PATH, never the secret itself"},
		{"kind", func(s *Spec) { s.Credential = "vault:x" }, "sender bakery: credential: want env:NAME or file:PATH, never the secret itself"},
		{"file", func(s *Spec) { s.Credential = "file:/run/secrets/a:b" }, ""},
		{"app secret", func(s *Spec) { s.AppSecret = "env:APP" }, ""},
		{"an app secret itself", func(s *Spec) { s.AppSecret = "hunter2" }, "sender bakery: app_secret: want env:NAME or file:PATH, never the secret itself"},

		{"capabilities", func(s *Spec) { s.Capabilities = []string{"ten_dlc", "of_2027"} }, ""},
		{"capability", func(s *Spec) { s.Capabilities = []string{"utility", "Magic!"} }, `sender bakery: capability "Magic!": want a name such as utility; the rulebook says which there are`},

		{"fastest", func(s *Spec) { s.Rate.PerSecond = rate.MaxPerSecond }, ""},
		{"too fast", func(s *Spec) { s.Rate.PerSecond = rate.MaxPerSecond + 1 }, "sender bakery: rate.per_second 100001: must be 1 to 100000"},
		{"backwards", func(s *Spec) { s.Rate.PerSecond = -1 }, "sender bakery: rate.per_second -1: must be 1 to 100000"},
		{"largest burst", func(s *Spec) { s.Rate = Rate{PerSecond: 5, Burst: 5} }, ""},
		{"burst of the default", func(s *Spec) { s.Rate.Burst = DefaultRate }, ""},
		{"too large a burst of the default", func(s *Spec) { s.Rate.Burst = DefaultRate + 1 }, "sender bakery: rate.burst 301: must be 1 to per_second, 300"},
		{"burst", func(s *Spec) { s.Rate = Rate{PerSecond: 5, Burst: 6} }, "sender bakery: rate.burst 6: must be 1 to per_second, 5"},
		{"burst below none", func(s *Spec) { s.Rate.Burst = -1 }, "sender bakery: rate.burst -1: must be 1 to per_second, 300"},

		{"least weight", func(s *Spec) { s.Weight = 1 }, ""},
		{"largest weight", func(s *Spec) { s.Weight = MaxWeight }, ""},
		{"least wait for an echo", func(s *Spec) { s.Unknown.LikelyAfter = "1m" }, ""},
		{"longest wait for an echo", func(s *Spec) { s.Unknown.LikelyAfter = "168h" }, ""},
		{"too short a wait", func(s *Spec) { s.Unknown.LikelyAfter = "59.999999999s" }, `sender bakery: unknown likely_after "59.999999999s": want a duration from 1m to 168h, such as 10m`},
		{"too long a wait", func(s *Spec) { s.Unknown.LikelyAfter = "168h0m0.000000001s" }, `sender bakery: unknown likely_after "168h0m0.000000001s": want a duration from 1m to 168h, such as 10m`},
		{"labels most often", func(s *Spec) { s.Labels.Pull = "10m" }, ""},
		{"labels most rarely", func(s *Spec) { s.Labels.Pull = "720h" }, ""},
		{"labels too often", func(s *Spec) { s.Labels.Pull = "9m59.999999999s" }, `sender bakery: labels pull "9m59.999999999s": want a duration from 10m to 720h, such as 1h`},
		{"labels too rarely", func(s *Spec) { s.Labels.Pull = "720h0m0.000000001s" }, `sender bakery: labels pull "720h0m0.000000001s": want a duration from 10m to 720h, such as 1h`},
		{"labels of no Page", func(s *Spec) { s.Labels.Pull, s.Channel = "1h", "instagram" }, `sender bakery: labels belong to channel messenger: only a Page has custom labels`},
		{"no wait at all", func(s *Spec) { s.Unknown.LikelyAfter = "soon" }, `sender bakery: unknown likely_after "soon": want a duration from 1m to 168h, such as 10m`},
		{"too heavy", func(s *Spec) { s.Weight = MaxWeight + 1 }, "sender bakery: weight 101: want 1 to 100"},
		{"lighter than nothing", func(s *Spec) { s.Weight = -1 }, "sender bakery: weight -1: want 1 to 100"},

		{"a week of ads", func(s *Spec) { s.AdWindow = 168 }, ""},
		{"more than a week", func(s *Spec) { s.AdWindow = 169 }, "sender bakery: ad_window_hours 169: want 0 to 168"},
		{"less than none", func(s *Spec) { s.AdWindow = -1 }, "sender bakery: ad_window_hours -1: want 0 to 168"},

		{"zone", func(s *Spec) { s.Timezone = "Europe/Oslo" }, ""},
		{"no such zone", func(s *Spec) { s.Timezone = "Mars/Base" }, `sender bakery: timezone "Mars/Base"` + zone},
		{"whichever zone this is", func(s *Spec) { s.Timezone = "Local" }, `sender bakery: timezone "Local"` + zone},

		{"quiet", func(s *Spec) { s.QuietHours = &QuietHours{"21:00", "08:00"} }, ""},
		{"quiet from", func(s *Spec) { s.QuietHours = &QuietHours{"24:00", "08:00"} }, `sender bakery: quiet_hours from: "24:00": want a clock time such as 21:00`},
		{"quiet to", func(s *Spec) { s.QuietHours = &QuietHours{"21:00", ""} }, `sender bakery: quiet_hours to: "": want a clock time such as 21:00`},
		{"quiet never", func(s *Spec) { s.QuietHours = &QuietHours{"21:00", "21:00"} }, "sender bakery: quiet_hours: from and to are both 21:00"},
	} {
		got := ""
		if err := spec(c.edit).Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for weight, want := range map[int]int{0: 1, 1: 1, 2: 2, MaxWeight: MaxWeight} {
		if got := spec(func(s *Spec) { s.Weight = weight }).Share(); got != want {
			t.Errorf("a weight of %d counts as %d, want %d", weight, got, want)
		}
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "0": true, "a-b": true, "a--b": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
		"": false, "-": false, "-a": false, "a-": false, "A": false, "a_b": false, "a.b": false, "a~1": false, "a b": false, "ø": false, "a\n": false, "*": false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %t, want %t", id, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate Rate
		want rate.Limit
		size int // of an envelope
	}{
		{Rate{}, rate.Limit{PerSecond: 300, Burst: 1}, 50},
		{Rate{PerSecond: 1}, rate.Limit{PerSecond: 1, Burst: 1}, 1},
		{Rate{PerSecond: 3, Burst: 2}, rate.Limit{PerSecond: 3, Burst: 2}, 1},
		{Rate{PerSecond: 4}, rate.Limit{PerSecond: 4, Burst: 1}, 2},
		{Rate{PerSecond: 99}, rate.Limit{PerSecond: 99, Burst: 1}, 49},
		{Rate{PerSecond: 100}, rate.Limit{PerSecond: 100, Burst: 1}, 50},
		{Rate{PerSecond: 100_000}, rate.Limit{PerSecond: 100_000, Burst: 1}, 50},
	} {
		s := spec(func(s *Spec) { s.Rate = c.rate })
		if s.Limit() != c.want || s.EnvelopeSize() != c.size {
			t.Errorf("%+v: %+v, envelopes of %d; want %+v, %d", c.rate, s.Limit(), s.EnvelopeSize(), c.want, c.size)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	oslo := time.FixedZone("Oslo", 3600)
	s := spec(func(s *Spec) {
		s.Capabilities, s.AdWindow, s.RelaxFlows, s.NumberType, s.Timezone = []string{"news"}, 72, true, "toll_free", "Europe/Oslo"
		s.QuietHours = &QuietHours{"21:30", "8:05"}
	})
	got := s.Policy(func(name string) *time.Location {
		if name != "Europe/Oslo" {
			t.Errorf("asked for zone %q", name)
		}
		return oslo
	})
	want := policy.Sender{
		Channel: policy.Messenger, Capabilities: []string{"news"}, AdWindow: 72 * time.Hour, RelaxFlowTemplates: true, NumberType: "toll_free", Zone: oslo,
		QuietHours: policy.QuietHours{From: 21*time.Hour + 30*time.Minute, To: 8*time.Hour + 5*time.Minute, Set: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Policy() = %+v\nwant %+v", got, want)
	}
	least := spec(func(*Spec) {}).Policy(func(string) *time.Location { t.Error("asked for a zone that is not named"); return nil })
	if !reflect.DeepEqual(least, policy.Sender{Channel: policy.Messenger}) {
		t.Errorf("Policy() of the least = %+v", least)
	}
}
