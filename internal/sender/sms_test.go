package sender

import (
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

const sid = "0123456789abcdef0123456789ABCDEF"

func sms(edit func(*Spec)) *Spec {
	return spec(func(s *Spec) {
		s.Channel, s.Account, s.AccountSID = "sms", "+14155550100", "AC"+sid
		edit(s)
	})
}

func TestValidateSMS(t *testing.T) {
	t.Parallel()
	const account = ": want a number such as +14155550100, or a messaging service: MG and 32 hex digits"
	const owner = ": want the Twilio account: AC and 32 hex digits"
	const callback = ": want the whole address of a hook, such as https://example.com/hooks/twilio/shop"
	for _, c := range []struct {
		name string
		edit func(*Spec)
		want string // after "sender bakery: "; "": valid
	}{
		{"least", func(*Spec) {}, ""},
		{"a messaging service", func(s *Spec) { s.Account = "MG" + sid }, ""},
		{"shortest number", func(s *Spec) { s.Account = "+1234567" }, ""},
		{"longest number", func(s *Spec) { s.Account = "+123456789012345" }, ""},
		{"too short", func(s *Spec) { s.Account = "+123456" }, `account "+123456"` + account},
		{"too long", func(s *Spec) { s.Account = "+1234567890123456" }, `account "+1234567890123456"` + account},
		{"no plus", func(s *Spec) { s.Account = "14155550100" }, `account "14155550100"` + account},
		{"no country", func(s *Spec) { s.Account = "+0155550100" }, `account "+0155550100"` + account},
		{"spaces", func(s *Spec) { s.Account = "+1 415 555 0100" }, `account "+1 415 555 0100"` + account},
		{"a service cut short", func(s *Spec) { s.Account = "MG" + sid[1:] }, `account "MG` + sid[1:] + `"` + account},
		{"no account sid", func(s *Spec) { s.AccountSID = "" }, `account_sid ""` + owner},
		{"a path for one", func(s *Spec) { s.AccountSID = "AC/../" + sid[4:] }, `account_sid "AC/../` + sid[4:] + `"` + owner},
		{"batches", func(s *Spec) { s.Batch = true }, "batch: Twilio takes one message a call"},
		{"an app secret", func(s *Spec) { s.AppSecret = "env:APP" }, "app_secret belongs to messenger and instagram"},
		{"a number type", func(s *Spec) { s.NumberType = "toll_free" }, ""},
		{"another one", func(s *Spec) { s.NumberType = "pigeon" }, `number_type "pigeon": want long_code, toll_free, short_code, outside_us`},
		{"a callback", func(s *Spec) { s.StatusCallback = "https://example.com/hooks/twilio/shop?a=b" }, ""},
		{"half a callback", func(s *Spec) { s.StatusCallback = "/hooks/twilio/shop" }, `status_callback "/hooks/twilio/shop"` + callback},
		{"a fragment", func(s *Spec) { s.StatusCallback = "https://h/#x" }, `status_callback "https://h/#x"` + callback},
		{"a user", func(s *Spec) { s.StatusCallback = "https://u@h/" }, `status_callback "https://u@h/"` + callback},
		{"a class", func(s *Spec) { s.TenDLC = &tendlc.Spec{Class: "A", Brand: "acme"} }, ""},
		{"no class", func(s *Spec) { s.TenDLC = &tendlc.Spec{Class: "Z"} }, `ten_dlc class "Z": want A to F, or T`},
		{"a brand", func(s *Spec) { s.TenDLC = &tendlc.Spec{PerDay: 1, Brand: "Acme!"} }, `ten_dlc brand "Acme!": want 1 to 63 characters out of a-z, 0-9 and '-'`},
	} {
		got := ""
		if err := sms(c.edit).Validate(); err != nil {
			got = strings.TrimPrefix(err.Error(), "sender bakery: ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLimitOfSMS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*Spec)
		want rate.Limit
	}{
		{"nothing said", func(*Spec) {}, rate.Limit{PerSecond: 1, Burst: 1}},
		{"a class", func(s *Spec) { s.TenDLC = &tendlc.Spec{Class: "A"} }, rate.Limit{PerSecond: 75, Burst: 1, PerMinute: 4500}},
		{"a slow class", func(s *Spec) { s.TenDLC = &tendlc.Spec{Class: "T"} }, rate.Limit{PerSecond: 2, Burst: 1, PerMinute: 75}},
		{"a rate below its class", func(s *Spec) { s.TenDLC = &tendlc.Spec{Class: "A"}; s.Rate.PerSecond = 10 }, rate.Limit{PerSecond: 10, Burst: 1, PerMinute: 4500}},
		{"a day alone", func(s *Spec) { s.TenDLC = &tendlc.Spec{PerDay: 2000} }, rate.Limit{PerSecond: 1, Burst: 1}},
	} {
		if got := sms(c.edit).Limit(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
