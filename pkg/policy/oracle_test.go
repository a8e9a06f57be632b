package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The oracle is the rules once more, read from the architecture's words with
// every date and limit written out, and without the rulebook: a slip in the
// data or in how it is compiled shows as a difference.
type oracle struct{ drawn }

func (o oracle) before(day string) bool { d, _ := ParseDate(day); return o.at.Before(d.Time) }

func (o oracle) age(t time.Time) time.Duration { return max(0, o.at.Sub(t)) }

func (o oracle) has(capability string) bool { return slices.Contains(o.s.Capabilities, capability) }

func (o oracle) kind() string {
	if o.m.HasTemplate && o.m.Template.Kind != "" {
		return o.m.Template.Kind
	}
	return "standard"
}

// answer is the rule that sends, or the reason that refuses.
func (o oracle) answer() (rule, code string) {
	if code := o.forbidden(); code != "" {
		return "", code
	}
	if o.s.Channel == SMS {
		return "sms_consent", ""
	}
	if o.m.Via != "" {
		return o.via()
	}
	lacking := o.s.Channel == Instagram && (o.kind() == "utility" || o.kind() == "customer_feedback")
	if rule := o.window(); rule != "" {
		if lacking {
			return "", "not_on_channel"
		}
		return rule, ""
	}
	if o.m.Tag != "" || o.kind() == "utility" || o.kind() == "customer_feedback" {
		return o.tagged(lacking)
	}
	switch {
	case o.wrote().IsZero():
		return "", "never_wrote"
	case o.s.Channel == Messenger && o.before("2020-03-04") && !o.f.PlusOneUsed:
		return "plus_one", ""
	default:
		return "", "window_closed"
	}
}

func (o oracle) forbidden() string {
	sms, flow := o.s.Channel == SMS, o.m.Origin == "flow" && o.m.FlowType != "auto_reply"
	marketing := o.m.Promotional || o.m.Via == "recurring_notification" || o.m.Via == "marketing_message"
	templates := []string{"mtm", "utility", "customer_feedback"}
	tests := []struct {
		hit  bool
		code string
	}{
		{o.s.Restricted, "sender_restricted"},
		{sms && !o.has("ten_dlc") && o.s.NumberType != "toll_free", "sender_unregistered"},
		{o.s.Paused, "sender_paused"},
		{o.f.OptedOutAll || o.f.OptedOutMarket && marketing, "opted_out"},
		{o.f.Blocked, "blocked_by_contact"},
		{sms && !o.f.SMSConsent, "consent_missing"},
		{o.f.OptOutReview, "optout_review"},
		{o.m.Text == "" && !o.m.HasTemplate || o.kind() == "mtm" && o.m.Tag == "" || o.kind() == "carousel", "template_invalid"},
		{o.m.Text == "4111 1111 1111 1111", "card_number"},
		{o.s.Channel == "", "sender_unresolved"},
		{sms && (o.m.Tag != "" || o.m.Via != "" || o.kind() != "standard"), "channel_mismatch"},
		{!sms && flow && !o.s.RelaxFlowTemplates && !slices.Contains(templates, o.kind()), "flow_template_required"},
	}
	for _, tt := range tests {
		if tt.hit {
			return tt.code
		}
	}
	return ""
}

func (o oracle) wrote() time.Time {
	if o.f.LastInbound.IsZero() {
		return o.f.AdMessageAt
	}
	return o.f.LastInbound
}

func (o oracle) window() string {
	if !o.f.LastInbound.IsZero() && o.age(o.f.LastInbound) < 24*time.Hour {
		return "standard_window"
	}
	ad := o.f.AdMessageAt
	if o.before("2026-09-28") {
		if o.f.LastInbound.IsZero() && !ad.IsZero() && o.age(ad) < 24*time.Hour {
			return "standard_window"
		}
		return ""
	}
	if ad.IsZero() && o.f.OpenedBy == "ad_message" {
		ad = o.f.LastInbound
	}
	limit := min(o.s.AdWindow, 168*time.Hour)
	if limit <= 0 {
		limit = 24 * time.Hour
	}
	if !ad.IsZero() && o.age(ad) < limit {
		return "ad_window"
	}
	return ""
}

// term is what a tag or via asks on the day: its rule, or why it has none.
func (o oracle) term(from, to, rule string) (string, string) {
	switch {
	case from != "" && o.before(from):
		return "", "unknown"
	case to != "" && !o.before(to):
		return "", "retired"
	default:
		return rule, ""
	}
}

func (o oracle) tagTerm() (rule, code string) {
	switch tag := o.m.Tag; {
	case o.kind() == "utility":
		return o.term("2025-09-29", "", "utility")
	case tag == "" || tag == "CUSTOMER_FEEDBACK":
		return o.term("2021-06-02", "", "customer_feedback")
	case tag == "HUMAN_AGENT":
		return o.term("2019-08-29", "", "human_agent")
	case tag == "NON_PROMOTIONAL_SUBSCRIPTION" && o.before("2020-03-04"):
		return "subscription", ""
	case tag == "NON_PROMOTIONAL_SUBSCRIPTION":
		return "news", ""
	case tag == "ACCOUNT_UPDATE" && o.before("2019-08-29"):
		return "legacy_tag", ""
	case tag == "ACCOUNT_UPDATE" || tag == "CONFIRMED_EVENT_UPDATE" || tag == "POST_PURCHASE_UPDATE":
		return o.term("2019-08-29", "2026-04-27", "event_tag")
	case tag == "BUSINESS_PRODUCTIVITY":
		return o.term("2018-09-27", "2020-03-04", "legacy_tag")
	case tag == "MADE_UP":
		return "", "unknown"
	default:
		return o.term("", "2020-03-04", "legacy_tag")
	}
}

func (o oracle) tagged(lacking bool) (string, string) {
	rule, code := o.tagTerm()
	needs := map[string]string{"utility": "utility", "human_agent": "human_agent", "news": "news", "subscription": "subscription"}[rule]
	week := rule == "human_agent" || rule == "customer_feedback"
	switch {
	case code != "":
		return "", "tag_" + code
	case lacking || o.s.Channel == Instagram && rule != "human_agent":
		return "", "not_on_channel"
	case o.m.Promotional:
		return "", "tag_promotional"
	case rule == "human_agent" && o.m.Origin != "agent":
		return "", "tag_needs_human"
	case rule == "customer_feedback" && o.kind() != "customer_feedback":
		return "", "tag_needs_template"
	case needs != "" && !o.has(needs):
		return "", "capability_missing"
	case o.wrote().IsZero():
		return "", "never_wrote"
	case week && o.age(o.wrote()) >= 7*24*time.Hour:
		return "", "tag_window_closed"
	default:
		return rule, ""
	}
}

func (o oracle) via() (string, string) {
	from := map[string]string{"one_time_notification": "2020-02-01", "recurring_notification": "2022-05-19", "marketing_message": "2025-07-01"}
	to := map[string]string{"recurring_notification": "2026-02-10"}
	rule, code := o.term(from[o.m.Via], to[o.m.Via], o.m.Via)
	if code != "" {
		return "", "via_" + code
	}
	if o.m.Via == "pigeon" {
		return "", "via_unknown"
	}
	onInstagram := rule == "private_reply" && !o.before("2021-08-06") || rule == "recurring_notification"
	lacking := o.kind() == "utility" || o.kind() == "customer_feedback"
	if o.s.Channel == Instagram && (!onInstagram || lacking) {
		return "", "not_on_channel"
	}
	c, t, n := o.f.Comment, o.f.OneTimeToken, o.f.Notification
	wait := 24 * time.Hour
	if !o.before("2025-09-01") {
		wait = 48 * time.Hour
	}
	tests := []struct {
		via  string
		hit  bool
		code string
	}{
		{"sponsored", true, "sponsored_not_sendable"},
		{"one_time_notification", !o.has("one_time_notification"), "capability_missing"},
		{"marketing_message", !o.has("marketing_message"), "capability_missing"},
		{"private_reply", c.At.IsZero(), "private_reply_missing"},
		{"private_reply", o.age(c.At) >= 7*24*time.Hour, "private_reply_expired"},
		{"private_reply", c.Replied, "private_reply_used"},
		{"one_time_notification", t.Created.IsZero(), "token_missing"},
		{"one_time_notification", t.Used, "token_used"},
		{"one_time_notification", o.age(t.Created) >= 365*24*time.Hour, "token_expired"},
		{"recurring_notification", n.Stopped, "topic_stopped"},
		{"marketing_message", n.Stopped, "topic_stopped"},
		{"recurring_notification", !n.LastSent.IsZero() && o.age(n.LastSent) < wait, "token_cooldown"},
		{"marketing_message", !n.LastSent.IsZero() && o.age(n.LastSent) < wait, "token_cooldown"},
	}
	for _, tt := range tests {
		if tt.via == rule && tt.hit {
			return "", tt.code
		}
	}
	return rule, ""
}

// TestOracle leaves quiet hours to the test of their own definition.
func TestOracle(t *testing.T) {
	seen := map[string]int{}
	property(t, func(t *rapid.T, rb *Rulebook, d drawn) {
		d.s.QuietHours.Set = false
		v := d.judge(rb)
		if v.Reason == "quiet_hours" {
			return
		}
		rule, code := oracle{d}.answer()
		if v.Kind == Send && v.Rule != rule || string(v.Reason) != code {
			t.Fatalf("%s, but the oracle says %q %q", v.Explain(), rule, code)
		}
		seen[rule+code]++
	})
	if len(seen) < 10 {
		t.Errorf("only %d outcomes were drawn: %v", len(seen), seen)
	}
}
