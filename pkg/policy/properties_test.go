package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// zones are those whose clocks jump in different ways, and one that does not.
func zones(t testing.TB) []*time.Location {
	var out []*time.Location
	for _, name := range []string{"UTC", "Europe/Oslo", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, zone)
	}
	return out
}

// drawn is one case, near the limits more often than chance would have it.
type drawn struct {
	at time.Time
	m  Message
	f  Facts
	s  Sender
}

func (d *drawn) judge(rb *Rulebook) Verdict { return Evaluate(rb, d.at, &d.m, &d.f, &d.s) }

func draw(t *rapid.T, rb *Rulebook, zs []*time.Location) drawn {
	days := []string{"2018-06-01", "2019-08-29", "2020-03-04", "2021-06-02", "2022-06-01", "2025-09-29", "2026-02-10", "2026-04-27", "2026-09-28", "2026-11-22"}
	day, err := ParseDate(rapid.SampledFrom(days).Draw(t, "day"))
	if err != nil {
		t.Fatal(err)
	}
	at := day.Add(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "offset")))
	ago := func(name string) time.Time {
		limit := rapid.SampledFrom([]time.Duration{0, 24 * time.Hour, 48 * time.Hour, 168 * time.Hour, 365 * 24 * time.Hour}).Draw(t, name)
		if !rapid.Bool().Draw(t, name+" known") {
			return time.Time{}
		}
		return at.Add(-limit - time.Duration(rapid.Int64Range(-2, int64(3*time.Hour)).Draw(t, name+" more")))
	}
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	rarely := func(name string) bool { return rapid.IntRange(0, 19).Draw(t, name) == 13 }
	tags := []string{"", "", "", "MADE_UP"}
	vias := []string{"", "", "", "", "pigeon"}
	for _, p := range rb.Permissions {
		tags = append(tags, p.Tags...)
		vias = append(vias, p.Via)
	}
	var d drawn
	d.at = at
	d.s = Sender{
		Channel:            rapid.SampledFrom([]Channel{Messenger, Instagram, SMS, ""}).Draw(t, "channel"),
		Capabilities:       rapid.SliceOfDistinct(rapid.SampledFrom(capabilities()), rapid.ID).Draw(t, "capabilities"),
		Restricted:         rarely("restricted"),
		Paused:             rarely("paused"),
		AdWindow:           time.Duration(rapid.IntRange(-1, 200).Draw(t, "ad window")) * time.Hour,
		RelaxFlowTemplates: flag("relax"),
		NumberType:         rapid.SampledFrom([]string{"", "toll_free", "long_code"}).Draw(t, "number"),
		Zone:               rapid.SampledFrom(append(zs, nil)).Draw(t, "sender zone"),
		QuietHours: QuietHours{
			From: time.Duration(rapid.IntRange(0, 1439).Draw(t, "from")) * time.Minute,
			To:   time.Duration(rapid.IntRange(0, 1439).Draw(t, "to")) * time.Minute, Set: rarely("quiet"),
		},
	}
	d.f = Facts{
		LastInbound: ago("inbound"), AdMessageAt: ago("ad"), OpenedBy: rapid.SampledFrom([]string{"", "postback", "ad_message"}).Draw(t, "opened by"),
		OptedOutMarket: rarely("marketing opt-out"), Blocked: rarely("blocked"), OptOutReview: rarely("review"), SMSConsent: flag("consent"),
		Zone: rapid.SampledFrom(append(zs, nil)).Draw(t, "zone"), Comment: Comment{At: ago("comment"), Replied: flag("replied")},
		OneTimeToken: OneTimeToken{Created: ago("token"), Used: flag("used")}, PlusOneUsed: flag("plus one"),
		Notification: Notification{LastSent: ago("last sent"), Stopped: rarely("stopped")},
	}
	d.m = Message{
		Origin:   rapid.SampledFrom([]string{"", "broadcast", "flow", "agent"}).Draw(t, "origin"),
		FlowType: rapid.SampledFrom([]string{"", "auto_reply", "automation", "notification"}).Draw(t, "flow type"),
		Tag:      rapid.SampledFrom(tags).Draw(t, "tag"), Via: rapid.SampledFrom(vias).Draw(t, "via"), Promotional: flag("promotional"),
		Text: rapid.SampledFrom([]string{"Hello", "20% off at https://example.com", "A big sale", "See www.example.no", "4111 1111 1111 1111", ""}).Draw(t, "text"), HasTemplate: flag("template"),
	}
	if d.m.HasTemplate {
		d.m.Template.Kind = rapid.SampledFrom([]string{"", "standard", "mtm", "utility", "customer_feedback", "carousel"}).Draw(t, "kind")
	}
	return d
}

func capabilities() []string {
	return []string{"utility", "human_agent", "news", "subscription", "one_time_notification", "marketing_message", "ten_dlc"}
}

// property runs check on drawn cases.
func property(t *testing.T, check func(t *rapid.T, rb *Rulebook, d drawn)) {
	rb, zs := book(), zones(t)
	rapid.Check(t, func(t *rapid.T) { check(t, rb, draw(t, rb, zs)) })
}

func TestVerdictIsWhole(t *testing.T) {
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		v := d.judge(rb)
		_, known := reason.Lookup(v.Reason)
		switch v.Kind {
		case Send:
			if v.Reason != "" || v.Rule == "" || !v.Until.IsZero() {
				t.Fatalf("send with reason, or without a rule: %+v", v)
			}
		case Hold, Block:
			if !known {
				t.Fatalf("no known reason: %+v", v)
			}
		default:
			t.Fatalf("undecided: %+v", v)
		}
		if !v.Until.IsZero() && (!v.Until.After(d.at) || v.Until.Location() != time.UTC) {
			t.Fatalf("until %v is not after %v in UTC", v.Until, d.at)
		}
	})
}

func TestOptOutNeverPermits(t *testing.T) {
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		all, market := d, d
		all.f.OptedOutAll, market.f.OptedOutMarket = true, true
		if v := all.judge(rb); v.Kind == Send {
			t.Fatalf("sent after an opt-out of all: %+v", v)
		}
		if before, after := d.judge(rb), market.judge(rb); before.Kind != Send && after.Kind == Send {
			t.Fatalf("an opt-out of marketing permits: %+v, %+v", before, after)
		}
		if v := market.judge(rb); d.m.Promotional && v.Kind == Send {
			t.Fatalf("promotional sent after an opt-out of marketing: %+v", v)
		}
	})
}

func TestCapabilitiesNeverBlock(t *testing.T) {
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		more := d
		more.s.Capabilities = append(slices.Clone(d.s.Capabilities), rapid.SampledFrom(capabilities()).Draw(t, "more"))
		if before, after := d.judge(rb), more.judge(rb); before.Kind == Send && after.Kind != Send {
			t.Fatalf("blocked by a capability: %+v, %+v", before, after)
		}
	})
}

func TestPromotionalNeverSendsMore(t *testing.T) {
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		plain, promotional := d, d
		plain.m.Promotional, promotional.m.Promotional = false, true
		if p, q := promotional.judge(rb), plain.judge(rb); p.Kind == Send && q.Kind != Send {
			t.Fatalf("promotional sends more: %+v, %+v", p, q)
		}
	})
}

// TestTimeNeverReopens holds the rulebook still: a rule that begins may open
// what was closed, so both moments lie between two dates of the rulebook.
func TestTimeNeverReopens(t *testing.T) {
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		d.f.OptOutReview, d.s.Paused, d.s.QuietHours.Set = false, false, false
		d.f.Notification = Notification{}
		d.m.Promotional = false
		later := d
		later.at = d.at.Add(time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(t, "later")))
		if len(Diff(rb, d.at, later.at)) > 0 {
			return
		}
		if before, after := d.judge(rb), later.judge(rb); before.Kind == Block && after.Kind == Send {
			t.Fatalf("reopened: %+v, %+v", before, after)
		}
	})
}

func TestSameInAnyZone(t *testing.T) {
	zs := zones(t)
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		want := d.judge(rb)
		d.at = d.at.In(rapid.SampledFrom(zs).Draw(t, "in"))
		got := d.judge(rb)
		if got.Kind != want.Kind || got.Rule != want.Rule || got.Reason != want.Reason || got.Until != want.Until || got.Evidence != want.Evidence {
			t.Fatalf("%+v in UTC, %+v elsewhere", want, got)
		}
	})
}

// TestUntilIsTheFirstOpenInstant compares the end of quiet hours with every
// minute on the way, which is how exact clocks of the day are set.
func TestUntilIsTheFirstOpenInstant(t *testing.T) {
	zs := zones(t)
	starts := []time.Time{
		time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC),
		time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC), time.Date(2011, 12, 29, 0, 0, 0, 0, time.UTC),
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(zs).Draw(t, "zone")
		at := rapid.SampledFrom(starts).Draw(t, "start").Add(time.Duration(rapid.IntRange(0, 48*60).Draw(t, "minutes")) * time.Minute)
		var hours [maxHours]QuietHours
		for i := range 2 {
			hours[i] = QuietHours{
				From: time.Duration(rapid.IntRange(0, 1439).Draw(t, "from")) * time.Minute,
				To:   time.Duration(rapid.IntRange(0, 1439).Draw(t, "to")) * time.Minute, Set: rapid.Bool().Draw(t, "set"),
			}
		}
		got, ok := quietUntil(at, zone, hours)
		for m := at; m.Before(at.Add(3 * day)); m = m.Add(time.Minute) {
			if !quietAt(m, zone, hours) {
				if !ok || !got.Equal(m) {
					t.Fatalf("until %v (%v), but %v is not quiet", got, ok, m)
				}
				return
			}
		}
		if ok && got.Before(at.Add(3*day)) {
			t.Fatalf("until %v, but it is quiet for three days", got)
		}
	})
}

// quietAt reads the clock on the wall, by the definition.
func quietAt(at time.Time, zone *time.Location, hours [maxHours]QuietHours) bool {
	local := at.In(zone)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	for _, q := range hours {
		switch {
		case !q.Set:
		case q.From < q.To && q.From <= clock && clock < q.To:
			return true
		case q.From > q.To && (q.From <= clock || clock < q.To):
			return true
		}
	}
	return false
}
