package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tagBody is a text under a tag.
func tagBody(tag string) string {
	return fmt.Sprintf(`{"recipient":{"id":"1"},"messaging_type":"MESSAGE_TAG","tag":%q,"message":{"text":"hi"}}`, tag)
}

const (
	answer   = `{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":{"text":"hi"}}`
	feedback = `{"recipient":{"id":"1"},"messaging_type":"MESSAGE_TAG","tag":"CUSTOMER_FEEDBACK","message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback"}}}}`
	template = `{"recipient":{"id":"1"},"messaging_type":"UTILITY","message":{"template":{"name":"n","language":{"code":"en"}}}}`
)

// TestTimeRules asks each rule on both sides of each limit.
func TestTimeRules(t *testing.T) {
	const ns = time.Nanosecond
	eventEnd := time.Date(2026, 4, 27, 0, 0, 0, 0, time.UTC)
	tags2019 := time.Date(2019, 8, 29, 0, 0, 0, 0, time.UTC)
	legacyEnd := time.Date(2020, 3, 4, 0, 0, 0, 0, time.UTC)
	feedbackStart := time.Date(2021, 6, 2, 0, 0, 0, 0, time.UTC)
	utilityStart := time.Date(2025, 9, 29, 0, 0, 0, 0, time.UTC)
	adStart := time.Date(2026, 9, 28, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		account string // fields of its declaration
		kind    string // of the inbound
		at      time.Time
		age     time.Duration // of the inbound; 0: it never came
		body    string
		want    string
	}{
		{"window open", ``, "message", noon, 24*time.Hour - ns, answer, ""},
		{"window shut", ``, "message", noon, 24 * time.Hour, answer, "10/2018278"},
		{"window shut, instagram", `"channel":"instagram",`, "message", noon, 24 * time.Hour, answer, "10/2534022"},
		{"window open, instagram", `"channel":"instagram",`, "message", noon, 24*time.Hour - ns, answer, ""},
		{"an inbound ahead", ``, "message", noon, -time.Hour, answer, ""},
		{"never wrote", ``, "message", noon, 0, answer, "10/2018278"},
		{"never wrote, tag", ``, "message", noon, 0, tagBody("HUMAN_AGENT"), "10/2018278"},
		{"typing is bound too", ``, "message", noon, 24 * time.Hour, `{"recipient":{"id":"1"},"sender_action":"typing_on"}`, "10/2018278"},
		{"typing", ``, "message", noon, time.Hour, `{"recipient":{"id":"1"},"sender_action":"typing_on"}`, ""},

		{"ad window by default", ``, "ad_message", noon, 24 * time.Hour, answer, "10/2018278"},
		{"ad window open", `"ad_window_hours":168,`, "ad_message", noon, 168*time.Hour - ns, answer, ""},
		{"ad window shut", `"ad_window_hours":168,`, "ad_message", noon, 168 * time.Hour, answer, "10/2018278"},
		{"ad window, other action", `"ad_window_hours":168,`, "message", noon, 24 * time.Hour, answer, "10/2018278"},
		{"ad window, first day", `"ad_window_hours":168,`, "ad_message", adStart, 48 * time.Hour, answer, ""},
		{"ad window, before", `"ad_window_hours":168,`, "ad_message", adStart.Add(-ns), 48 * time.Hour, answer, "10/2018278"},

		{"human agent, last moment", ``, "message", noon, 168*time.Hour - ns, tagBody("HUMAN_AGENT"), ""},
		{"human agent, late", ``, "message", noon, 168 * time.Hour, tagBody("HUMAN_AGENT"), "10/2018278"},
		{"human agent, instagram", `"channel":"instagram",`, "message", noon, 168*time.Hour - ns, tagBody("HUMAN_AGENT"), ""},
		{"human agent, instagram, late", `"channel":"instagram",`, "message", noon, 168 * time.Hour, tagBody("HUMAN_AGENT"), "10/2534022"},
		{"human agent as an answer", ``, "message", noon, 48 * time.Hour, `{"recipient":{"id":"1"},"messaging_type":"RESPONSE","tag":"HUMAN_AGENT","message":{"text":"hi"}}`, "10/2018278"},
		{"human agent, first day", ``, "message", tags2019, 48 * time.Hour, tagBody("HUMAN_AGENT"), ""},
		{"human agent, before", ``, "message", tags2019.Add(-ns), 48 * time.Hour, tagBody("HUMAN_AGENT"), "100"},
		{"human agent, no permission", `"permissions":[],`, "message", noon, time.Hour, tagBody("HUMAN_AGENT"), "10"},

		{"event tag, last moment", ``, "message", eventEnd.Add(-ns), 4000 * time.Hour, tagBody("CONFIRMED_EVENT_UPDATE"), ""},
		{"event tag, ended", ``, "message", eventEnd, time.Hour, tagBody("CONFIRMED_EVENT_UPDATE"), "100/1893061"},
		{"event tag, before", ``, "message", tags2019.Add(-ns), 48 * time.Hour, tagBody("CONFIRMED_EVENT_UPDATE"), "100"},
		{"event tag, first day", ``, "message", tags2019, 48 * time.Hour, tagBody("CONFIRMED_EVENT_UPDATE"), ""},
		{"event tag, instagram", `"channel":"instagram",`, "message", eventEnd.Add(-ns), time.Hour, tagBody("POST_PURCHASE_UPDATE"), "100"},
		{"purchase tag, ended", ``, "message", eventEnd, time.Hour, tagBody("POST_PURCHASE_UPDATE"), "100/1893061"},
		{"account tag, ended", ``, "message", eventEnd, time.Hour, tagBody("ACCOUNT_UPDATE"), "100/1893061"},
		{"account tag as a legacy one", ``, "message", tags2019.Add(-ns), 48 * time.Hour, tagBody("ACCOUNT_UPDATE"), ""},
		{"ended tag on an answer", ``, "message", noon, time.Hour, `{"recipient":{"id":"1"},"messaging_type":"RESPONSE","tag":"ACCOUNT_UPDATE","message":{"text":"hi"}}`, "100/1893061"},
		{"legacy tag, last moment", ``, "message", legacyEnd.Add(-ns), 48 * time.Hour, tagBody("SHIPPING_UPDATE"), ""},
		{"legacy tag, ended", ``, "message", legacyEnd, 48 * time.Hour, tagBody("SHIPPING_UPDATE"), "100"},
		{"unknown tag", ``, "message", noon, time.Hour, tagBody("SPECIAL_OFFER"), "100"},
		{"tag missing", ``, "message", noon, time.Hour, tagBody(""), "100"},

		{"feedback, last moment", ``, "message", noon, 168*time.Hour - ns, feedback, ""},
		{"feedback, late", ``, "message", noon, 168 * time.Hour, feedback, "10/2018278"},
		{"feedback, first day", ``, "message", feedbackStart, 48 * time.Hour, feedback, ""},
		{"feedback, before", ``, "message", feedbackStart.Add(-ns), 48 * time.Hour, feedback, "100"},
		{"feedback, other content", ``, "message", noon, 48 * time.Hour, tagBody("CUSTOMER_FEEDBACK"), "100"},
		{"feedback, instagram", `"channel":"instagram",`, "message", noon, time.Hour, feedback, "100"},

		{"news", ``, "message", noon, 4000 * time.Hour, tagBody("NON_PROMOTIONAL_SUBSCRIPTION"), ""},
		{"news, no permission", `"permissions":["human_agent"],`, "message", noon, time.Hour, tagBody("NON_PROMOTIONAL_SUBSCRIPTION"), "10/2018065"},

		{"utility at any time", ``, "message", noon, 4000 * time.Hour, template, ""},
		{"utility, first day", ``, "message", utilityStart, 48 * time.Hour, template, ""},
		{"utility, before", ``, "message", utilityStart.Add(-ns), 48 * time.Hour, template, "100"},
		{"utility, instagram", `"channel":"instagram",`, "message", noon, time.Hour, template, "100"},
		{"utility, no permission", `"permissions":["news"],`, "message", noon, time.Hour, template, "10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			b.clock.set(c.at)
			b.admin("POST", "accounts", fmt.Sprintf(`{%s"account":"77"}`, c.account))
			if c.age == 0 {
				b.admin("POST", "people?account=77", "id\n1\n")
			} else {
				b.admin("POST", "inbound", fmt.Sprintf(`{"account":"77","person":"1","kind":%q,"at":%q}`, c.kind, c.at.Add(-c.age).Format(time.RFC3339Nano)))
			}
			if got := b.send("77", c.body).code(t); got != c.want {
				t.Errorf("code %q, want %q", got, c.want)
			}
		})
	}
}

// TestAdWindowOutlivesAnswers: the window counts from the first message after
// the ad, not from the newest one.
func TestAdWindowOutlivesAnswers(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","ad_window_hours":168}`)
	b.admin("POST", "inbound", `{"account":"77","person":"1","kind":"ad_message"}`)
	b.clock.advance(time.Hour)
	b.admin("POST", "inbound", `{"account":"77","person":"1"}`)
	b.clock.advance(167*time.Hour - time.Nanosecond)
	if got := b.text("77", "1").code(t); got != "" {
		t.Errorf("inside the ad window: %q", got)
	}
	b.clock.advance(time.Nanosecond)
	if got := b.text("77", "1").code(t); got != "10/2018278" {
		t.Errorf("past the ad window: %q, want 10/2018278", got)
	}
}

func TestPersonRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		strict bool
		orders string // path, a space, JSON without account and person; ";" between
		want   string
		broke  string
	}{
		{"unknown", false, "", "", ""},
		{"unknown, strict", true, "", "100/2018001", ""},
		{"wrote, strict", true, "inbound {}", "", ""},
		{"blocked", false, "block {}", "551/1545041", ""},
		{"blocked, then wrote", false, "block {};inbound {}", "", ""},
		{"block lifted", false, `block {};block {"lift":true}`, "", ""},
		{"opted out", false, "optout {}", "551/1545041", "opted_out"},
		{"opted out, then wrote", false, "optout {};inbound {}", "551/1545041", "opted_out"},
		{"opted out, then START", false, `optout {};inbound {"text":"Start"}`, "", ""},
		{"opted out and blocked", false, "block {};optout {}", "551/1545041", "opted_out"},
		{"opt-out lifted", false, `optout {};optout {"lift":true}`, "", ""},
		{"long ago", false, `inbound {"at":"2026-11-01T00:00:00Z"}`, "10/2018278", "outside_window"},
		{"an older event doesn't shut", false, `inbound {};inbound {"at":"2026-11-01T00:00:00Z"}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{Strict: c.strict})
			for order := range strings.SplitSeq(c.orders, ";") {
				if path, fields, ok := strings.Cut(order, " "); ok {
					fields = strings.Replace(fields, "{", `{"account":"77","person":"1",`, 1)
					b.admin("POST", path, strings.Replace(fields, ",}", "}", 1))
				}
			}
			if got := b.text("77", "1").code(t); got != c.want {
				t.Errorf("code %q, want %q", got, c.want)
			}
			for name, n := range b.Summary("").Violations {
				if want := map[bool]uint64{true: 1}[name == c.broke]; n != want {
					t.Errorf("violations %s = %d, want %d", name, n, want)
				}
			}
		})
	}
}

// TestPeopleAreScoped: the same id is another person to another account.
func TestPeopleAreScoped(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "optout", `{"account":"77","person":"1"}`)
	if got := b.text("88", "1").code(t); got != "" {
		t.Errorf("the other account's person: %q", got)
	}
}

// TestViolationsUnderOtherErrors: what a business tries is seen even where
// another error is answered.
func TestViolationsUnderOtherErrors(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","token":"other"}`)
	b.admin("POST", "optout", `{"account":"77","person":"1"}`)
	b.text("77", "1") // 190
	b.admin("POST", "accounts", `{"account":"77","rate_per_second":1}`)
	b.text("77", "1") // 613: the call before counts too
	b.send("77", tagBody("ACCOUNT_UPDATE"))
	b.admin("POST", "faults", `{"kind":"drop_before","count":1}`)
	b.text("77", "1")
	s := b.Summary("77")
	if s.Violations["opted_out"] != 4 || s.Violations["retired_tag"] != 1 || s.Violations["rate"] != 3 || s.Violations["outside_window"] != 0 {
		t.Errorf("violations %v", s.Violations)
	}
	if s.Accepted != 0 {
		t.Errorf("%d accepted", s.Accepted)
	}
}

func TestOnceOnly(t *testing.T) {
	for _, c := range []struct{ name, channel, recipient, extra, first, second string }{
		{"comment", "messenger", `{"comment_id":"c"}`, ``, "", "10900"},
		{"comment, instagram", "instagram", `{"comment_id":"c"}`, ``, "", "10900"},
		{"post", "messenger", `{"post_id":17}`, ``, "", "10900"},
		{"comment under a tag", "messenger", `{"comment_id":"c"}`, `"tag":"HUMAN_AGENT","messaging_type":"MESSAGE_TAG",`, "100", "100"},
		{"token", "messenger", `{"one_time_notif_token":"t"}`, ``, "", "100"},
		{"token, instagram", "instagram", `{"one_time_notif_token":"t"}`, ``, "100", "100"},
		{"recurring token, ended", "messenger", `{"notification_messages_token":"t"}`, ``, "100", "100"},
		{"phone number", "messenger", `{"phone_number":"+15550100"}`, ``, "100/2018001", "100/2018001"},
		{"user_ref, instagram", "instagram", `{"user_ref":"r"}`, ``, "100/2534014", "100/2534014"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{})
			b.admin("POST", "accounts", fmt.Sprintf(`{"account":"77","channel":%q}`, c.channel))
			body := fmt.Sprintf(`{"recipient":%s,%s"message":{"text":"hi"}}`, c.recipient, c.extra)
			first, second := b.send("77", body).code(t), b.send("77", body).code(t)
			if first != c.first || second != c.second {
				t.Errorf("codes %q, %q; want %q, %q", first, second, c.first, c.second)
			}
		})
	}
}

// A tag of one's own is known beside the platform's, and to no other sandbox.
func TestTagsOfOnesOwn(t *testing.T) {
	for name, c := range map[string]struct {
		tags []string
		tag  string
		code string
	}{
		"known":       {[]string{"CARE", "VISIT"}, "VISIT", ""},
		"not told of": {[]string{"CARE"}, "VISIT", "100"},
		"by default":  {nil, "CARE", "100"},
		"beside":      {[]string{"CARE"}, "HUMAN_AGENT", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{Tags: c.tags})
			b.clock.set(noon)
			b.admin("POST", "inbound", fmt.Sprintf(`{"account":"77","person":"1","at":%q}`, noon.Add(-30*time.Hour).Format(time.RFC3339)))
			if got := b.send("77", tagBody(c.tag)).code(t); got != c.code {
				t.Errorf("answered %q, want %q", got, c.code)
			}
		})
	}
}
