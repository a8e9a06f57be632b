package policy

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// shortened is the embedded rulebook with the first line only of its long
// lists of phrases, and without the longer readings: it is read a hundred times.
var shortened = sync.OnceValue(func() string {
	text := regexp.MustCompile(`(?m)^( +(?:phrases|objects|unless|between|until|harmless|review_words|review_phrases|innocent_phrases): \[[^\]\n]*),\n(?:[^\]\n]*\n)*[^\]\n]*\]`).
		ReplaceAllString(string(embedded), "$1]")
	papers := strings.Index(text, "\nten_dlc_classes:")
	return regexp.MustCompile(`(?m)^    decided: .*\n(?:      .*\n)*`).ReplaceAllString(text[:papers], "") + text[papers:]
})

func TestShortenedIsWhole(t *testing.T) {
	rb, err := Parse([]byte(shortened()))
	must(t, err)
	if len(rb.Checks) != len(book().Checks) || len(rb.Permissions) != len(book().Permissions) || len(shortened()) > len(embedded)*4/5 {
		t.Errorf("%d checks, %d permissions, %d bytes", len(rb.Checks), len(rb.Permissions), len(shortened()))
	}
}

// refused is one edit of the shortened rulebook, and the one line that refuses
// it. The line number is that of the first line after the edit's place that
// has `at`.
type refused struct{ name, old, with, at, want string }

func (c refused) check(t *testing.T) {
	t.Helper()
	start := strings.Index(shortened(), c.old)
	if start < 0 {
		t.Fatalf("%s: the rulebook has no %q", c.name, c.old)
	}
	text := strings.Replace(shortened(), c.old, c.with, 1)
	from := strings.LastIndex(text[:start], "\n") + 1
	if strings.HasPrefix(c.at, "^") { // above the edit
		from = strings.LastIndex(text[:start], c.at[1:])
	}
	n := strings.Index(text[from:], strings.TrimPrefix(c.at, "^"))
	if n < 0 {
		t.Fatalf("%s: no %q after the edit", c.name, c.at)
	}
	want := fmt.Sprintf("rulebook: line %d: %s", strings.Count(text[:from+n], "\n")+1, c.want)
	if _, err := Parse([]byte(text)); err == nil || err.Error() != want {
		t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, want)
	}
}

func TestParseRefusesForm(t *testing.T) {
	for _, c := range []refused{
		{"unknown field", "    row: R1\n", "    row: R1\n    colour: red\n", "colour", "field colour not found here: correct its name or remove it"},
		{"unknown field of the document", "version: 1\n", "version: 1\nrules: []\n", "rules", "field rules not found here: correct its name or remove it"},
		{"field of another entry", "    senders_own: true\n", "    senders_own: true\n    regions: [FL]\n", "regions", "field regions not found here: correct its name or remove it"},
		{"other version", "version: 1\n", "version: 2\n", "version: 2", "version 2: this program reads version 1"},
		{"merged field", "version: 1\n", "version: 1\n<<: {notes: []}\n", "<<", "field << not found here: correct its name or remove it"},
		{"no number", "min: 13", "min: many", "min: many", "`many` is not what belongs here: want a number"},
		{"no list", "tags: [HUMAN_AGENT]", "tags: {HUMAN_AGENT: 1}", "tags: {", "not what belongs here: want a list"},
		{"no fields", "digits: {min: 13, max: 19}", "digits: 13", "digits", "`13` is not what belongs here: want fields below it, by name"},
		{"no date", "to: 2026-04-27", "to: 27.4.2026", "to: 27", `"27.4.2026" is not a date: write it as 2026-04-27`},
		{"negative length", "limit: 168h", "limit: -1h", "limit: -1h", `"-1h" is not a length of time: write it as 24h or 365d`},
		{"two documents", "version: 1\n", "version: 1\n---\n", "---", "more than one document: keep one"},
		{"ends before it begins", "to: 2026-02-10", "to: 2022-05-19", "to: 2022", `permissions[15] "recurring_notification": to: from 2022-05-19 is not before to 2022-05-19: to is the first day without it`},
		{"unlisted source", "source: [MSGR-TEXT", "source: [X", "source: [X", `checks[15] "text_too_long": source: source "X" is not listed under sources`},
		{"no source", "    source: [MSGR-TEXT, IG-TEXT, TW-SMS]\n", "", "^  - id: text_too_long", `checks[15] "text_too_long": source is missing: name a key of sources`},
		{"no title", "PICASSO: {title: Third-party briefing on the Messenger Platform, ", "PICASSO: {", "PICASSO", "sources[PICASSO]: title is missing: say what it is"},
		{"address", `url: "https://docs.botmother`, `url: "http://docs.botmother`, "BOTM", `sources[BOTM]: url: "http://docs.botmother.com/article/42064": want an address that begins with https://`},
		{"unknown channel", "channels: [sms]", "channels: [fax]", "channels: [fax]", `checks[2] "sender_unregistered": channels: channel "fax": want messenger, instagram or sms`},
		{"id", "id: ad_window", "id: Ad-Window", "id: Ad", `permissions[1] "Ad-Window": id: id must be a-z 0-9 _ and begin with a letter`},
		{"no clause", "says: The sixteenth tag of 2018, for notices that help run a business.", "decided: x", "^  - id: legacy_tag", `permissions[9] "legacy_tag": says is missing: put the clause in a sentence`},
		{"kind twice", "{kind: utility,", "{kind: mtm,", "kind: mtm", `template_kinds[2] "mtm": kind: kind must be a-z 0-9 _ and be listed once`},
		{"no standard kind", "{kind: standard,", "{kind: plain,", "^template_kinds:", "template_kinds: standard is missing: a message without a template counts as that"},
		{"unknown opener", "{id: reaction,", "{id: wave,", "id: wave", `openers[4] "wave": id: facts can't name this action: want one of message, postback, referral, optin, reaction, ad_message, comment`},
		{"opens and does not", "  - id: unreact\n", "  - id: reaction\n", "id: reaction", `not_opened_by[1] "reaction": id: listed twice: an action opens a window or does not`},
		{"condition left out", "  - tag_promotional\n", "", "^conditions:", "conditions: tag_promotional is missing: without it nothing would be refused for it"},
		{"condition twice", "  - tag_promotional\n", "  - tag_promotional\n  - tag_promotional\n", "- tag_promotional\n  - tag_needs", `conditions[3] "tag_promotional": unknown or listed twice: conditions are built in, and each is listed once`},
	} {
		c.check(t)
	}
}

func TestParseRefusesSections(t *testing.T) {
	for list, want := range map[string]string{
		"checks": "checks is missing: without it nothing is forbidden", "permissions": "permissions is missing: without it nothing is allowed",
		"hours":    "hours is missing: without it no hour is quiet; write hours: [] if that is meant",
		"advice":   "advice is missing: without it nobody is warned; write advice: [] if that is meant",
		"keywords": "keywords: opt_out is missing: a wish to stop would not be found",
	} {
		text := string(embedded)
		start := strings.Index(text, "\n"+list+":\n")
		end := start + 1
		for ok := true; ok; ok = strings.HasPrefix(text[end:], " ") {
			end += strings.Index(text[end:], "\n") + 1
		}
		if _, err := Parse([]byte(text[:start+1] + text[end:])); err == nil || err.Error() != "rulebook: "+want {
			t.Errorf("without %s: %v", list, err)
		}
	}
	if _, err := Parse([]byte(edit(t, "hours:\n", "hours: []\nhours_of_old:\n"))); err == nil || !strings.Contains(err.Error(), "field hours_of_old not found") {
		t.Errorf("a list of another name: %v", err)
	}
}

func TestParseRefusesChecks(t *testing.T) {
	const names = "sender_restricted, feature_restricted, sender_unregistered, sender_paused, credential_invalid, opted_out, blocked_by_contact, " +
		"consent_missing, optout_review, template_invalid, template_not_approved, card_number, account_number, payment_data_requested, " +
		"healthcare_content, text_too_long, disclosure_missing, sender_unresolved, channel_mismatch, flow_template_required"
	for _, c := range []refused{
		{"unknown", "- id: card_number", "- id: cards", "id: cards", `checks[11] "cards": id: no check has this name; checks are built in: want one of ` + names},
		{"left out", "- id: opted_out", "- id: blocked_by_contact", "^checks:", "checks: opted_out is missing: no rulebook can do without it"},
		{"narrowed", "  - id: opted_out\n", "  - id: opted_out\n    channels: [sms]\n", "channels", `checks[5] "opted_out": channels: this check holds on every channel: remove the line`},
		{"moved", "  - id: consent_missing\n    channels: [sms]\n", "  - id: consent_missing\n    channels: [messenger]\n", "channels", `checks[7] "consent_missing": channels: this check holds on sms: add it`},
		{"begins", "  - id: opted_out\n", "  - id: opted_out\n    from: 2027-01-01\n", "from", `checks[5] "opted_out": from: this check holds on every day: remove it`},
		{"ends", "  - id: optout_review\n", "  - id: optout_review\n    to: 2027-01-01\n", "to: 2027", `checks[8] "optout_review": to: this check holds on every day: remove it`},
		{"hold", "  - id: sender_paused\n", "  - id: sender_paused\n    hold: false\n", "hold", "field hold not found here: correct its name or remove it"},
		{"flow type", "flow_types: [automation, notification]", "flow_types: [automations]", "flow_types", `checks[19] "flow_template_required": flow_types: "automations": want auto_reply, automation, notification`},
		{"no flow type", "    flow_types: [automation, notification]\n", "", "^  - id: flow_template_required", `checks[19] "flow_template_required": flow_types is missing: this check looks for it`},
		{"kind", "    kinds: [utility]", "    kinds: [utilty]", "kinds", `checks[10] "template_not_approved": kinds: "utilty": want standard, mtm, utility, customer_feedback`},
		{"number type", "except: [toll_free,", "except: [tollfree,", "except", `checks[2] "sender_unregistered": except: "tollfree": want long_code, toll_free, short_code, outside_us`},
		{"no capability", "    capability: ten_dlc\n", "", "^  - id: sender_unregistered", `checks[2] "sender_unregistered": capability is missing: this check looks for it`},
		{"parameter of another", "  - id: sender_paused\n", "  - id: sender_paused\n    limit: 24h\n", "limit", `checks[3] "sender_paused": limit: this check does not look at it: remove it`},
		{"length left out", "      messenger: {max: 2000, unit: code_points}\n", "", "^    lengths", `checks[15] "text_too_long": lengths: messenger is missing: give it a length, or name the other channels under channels`},
		{"unit", "unit: bytes", "unit: letters", "^    lengths", `checks[15] "text_too_long": lengths: "instagram": want a channel, max from 1 and unit bytes or code_points`},
		{"no digits", "    digits: {min: 13, max: 19}\n", "", "^  - id: card_number", `checks[11] "card_number": digits is missing: this check looks for it`},
		{"digits", "{min: 13, max: 19}", "{min: 13, max: 9}", "digits", `checks[11] "card_number": digits: 13 to 9: min must be at least 1, and max not below it nor above 34`},
		{"digits without end", "{min: 13, max: 19}", "{min: 13, max: 35}", "digits", `checks[11] "card_number": digits: 13 to 35: min must be at least 1, and max not below it nor above 34`},
		{"within less than nothing", "within: 8", "within: -1", "within", `checks[13] "payment_data_requested": within: -1: want 1 to 50 words`},
		{"within without end", "within: 8", "within: 51", "within", `checks[13] "payment_data_requested": within: 51: want 1 to 50 words`},
		{"within of another", "  - id: sender_paused\n", "  - id: sender_paused\n    within: -1\n", "within", `checks[3] "sender_paused": within: this check does not look at it: remove it`},
		{"denial of four words", "unless: [never,", "unless: [not in a million,", "unless", `checks[13] "payment_data_requested": unless: "not in a million": want one to three words: it would not be found before a request`},
		{"denial with a hyphen", "unless: [never,", "unless: [no-one,", "unless", `checks[13] "payment_data_requested": unless: "no-one": want one to three words: it would not be found before a request`},
		{"denial with an end", "unless: [never,", "unless: [never!,", "unless", `checks[13] "payment_data_requested": unless: "never!": want one to three words: it would not be found before a request`},
		{"between of two words", "between: [ever,", "between: [ever so,", "between", `checks[13] "payment_data_requested": between: "ever so": want a single word: it would not be found before a request`},
		{"country", "AD: 24", "Andorra: 24", "iban", `checks[12] "account_number": iban: iban "Andorra": 24: want two capitals and a length of 5 to 34`},
		{"spaces", "objects: [card number,", `objects: ["card number ",`, "objects", `checks[13] "payment_data_requested": objects: "card number ": an empty phrase would be found everywhere, and one with spaces around it nowhere`},
	} {
		c.check(t)
	}
}

func TestParseRefusesPermissions(t *testing.T) {
	for _, c := range []refused{
		{"unknown way", "by: plus_one", "by: magic", "by: magic", `permissions[11] "plus_one": by: by "magic": want window, plus_one, tag, template, via, consent`},
		{"no tags", "    tags: [HUMAN_AGENT]\n", "", "^  - id: human_agent", `permissions[3] "human_agent": tags is missing: by tag, a message asks by it`},
		{"window without limit", "    since: last_inbound\n    limit: 24h\n", "    since: last_inbound\n", "^  - id: standard_window", `permissions[0] "standard_window": limit is missing: how long after since it lasts`},
		{"tag since nothing", "    since: last_inbound\n    limit: 168h\n    says: A person", "    limit: 168h\n    says: A person", "^  - id: human_agent", `permissions[3] "human_agent": since is missing: by tag it is last_inbound`},
		{"via since an ad", "    since: one_time_token\n", "    since: ad_message\n", "since", `permissions[14] "one_time_notification": since: since "ad_message": by via it is last_inbound, comment, one_time_token, notification`},
		{"limit of nothing", "    not_sendable: true\n", "    not_sendable: true\n    limit: 3d\n", "limit", `permissions[17] "sponsored": limit: a permission by via would not look at it: a limit needs since: last_inbound, comment or one_time_token`},
		{"limit of a subscription", "    closed_to_new: 2025-09-01\n", "    limit: 3d\n", "limit", `permissions[15] "recurring_notification": limit: a permission by via would not look at it: a limit needs since: last_inbound, comment or one_time_token`},
		{"limit of the extra message", "  - id: plus_one\n", "  - id: plus_one\n    limit: 48h\n", "limit", `permissions[11] "plus_one": limit: a permission by plus_one would not look at it: a limit needs since: last_inbound, comment or one_time_token`},
		{"token without limit", "    limit: 365d\n", "", "^  - id: one_time_notification", `permissions[14] "one_time_notification": limit is missing: how long after since it lasts`},
		{"max of a tag", "    limit: 168h\n    says: A person", "    limit: 168h\n    max: 200h\n    says: A person", "max", `permissions[3] "human_agent": max: a permission by tag would not look at it: only a window since ad_message has one`},
		{"max below", "max: 168h", "max: 23h", "max", `permissions[1] "ad_window": max: 23 h is below the limit of 24 h`},
		{"window for some", "  - id: standard_window\n", "  - id: standard_window\n    authors: [agent]\n", "authors", `permissions[0] "standard_window": authors: a permission by window has no conditions: remove it`},
		{"window without promotion", "    channels: [messenger, instagram]\n    promotional: true\n    since: last", "    channels: [messenger, instagram]\n    promotional: false\n    since: last", "promotional: false", `permissions[0] "standard_window": promotional: a permission by window has no conditions, and takes promotion too: write promotional: true`},
		{"marketing by tag", "    tags: [HUMAN_AGENT]\n", "    tags: [HUMAN_AGENT]\n    marketing: true\n", "marketing", `permissions[3] "human_agent": marketing: a permission by tag would not look at it: only a via has it`},
		{"cooldown of a tag", "    tags: [HUMAN_AGENT]\n", "    tags: [HUMAN_AGENT]\n    cooldown: [{limit: 24h}]\n", "cooldown", `permissions[3] "human_agent": cooldown: a permission by tag would not look at it: it needs since: notification`},
		{"cooldown that begins", "      - {limit: 24h}\n", "      - {from: 2023-01-01, limit: 24h}\n", "^    cooldown", `permissions[15] "recurring_notification": cooldown: the first one holds from the beginning: remove its from`},
		{"cooldown out of order", "      - {from: 2025-09-01, limit: 48h}\n", "      - {from: 2025-09-01, limit: 48h}\n      - {from: 2025-08-01, limit: 72h}\n", "^    cooldown", `permissions[15] "recurring_notification": cooldown: from "2025-08-01" is not after the one before it: list them by day`},
		{"author", "authors: [agent]", "authors: [human]", "authors", `permissions[3] "human_agent": authors: "human": want broadcast, flow, agent`},
		{"opener", "opened_by: [message,", "opened_by: [comment,", "opened_by", `permissions[0] "standard_window": opened_by: "comment": want message, postback, referral, optin, reaction, ad_message`},
		{"template", "    template: customer_feedback\n", "    template: feedback\n", "template", `permissions[4] "customer_feedback": template: "feedback": want standard, mtm, utility, customer_feedback`},
		{"template that asks", "    by: template\n    kind: utility\n", "    by: template\n    kind: utilities\n", "kind", `permissions[2] "utility": kind: "utilities": want standard, mtm, utility, customer_feedback`},
		{"use case", "use_cases: [news,", "use_cases: [News!,", "use_cases", `permissions[7] "subscription": use_cases: "News!": want a name of a-z 0-9 _`},
		{"country", "excluded_countries: [AT,", "excluded_countries: [at,", "excluded_countries", `permissions[16] "marketing_message": excluded_countries: "at": want two capitals, as in NO`},
		{"tag twice", "tags: [HUMAN_AGENT]", "tags: [HUMAN_AGENT, HUMAN_AGENT]", "tags", `permissions[3] "human_agent": tags: "HUMAN_AGENT" is listed twice`},
		{"use of another tag", "      BUSINESS_PRODUCTIVITY: {", "      GAME_EVENT: {", "^    uses", `permissions[9] "legacy_tag": uses: uses "GAME_EVENT": not one of its tags`},
		{"consent that nobody asks for", "    channels: [sms]\n    promotional: true\n", "    promotional: true\n", "^  - id: sms_consent", `permissions[18] "sms_consent": channels: by consent on messenger, where no check consent_missing asks for it: everybody would be sent to; name the channels of that check`},
		{"via of two", "    via: one_time_notification\n", "    via: private_reply\n", "via", `permissions[14] "one_time_notification": via: private_reply is asked for under permissions[12] "private_reply" too, at the same time and place: end one before the other begins`},
	} {
		c.check(t)
	}
}

// TestParseRefusesTwoVersions lets one tag pass from one rule to the next on
// a day, and refuses a day of both: only the first would be looked at.
func TestParseRefusesTwoVersions(t *testing.T) {
	text := edit(t, "    from: 2020-03-04\n    capability: news\n", "    from: 2020-03-03\n    capability: news\n")
	_, err := Parse([]byte(text))
	if err == nil || !strings.HasSuffix(err.Error(), `permissions[7] "subscription": tags: NON_PROMOTIONAL_SUBSCRIPTION is asked for under permissions[6] "news" too, at the same time and place: end one before the other begins`) {
		t.Errorf("both on one day: %v", err)
	}
	apart := strings.Replace(text, "to: 2020-03-04\n    end_announced: 2019-08-29\n    end_planned: 2020-01-15\n    capability: subscription", "to: 2020-03-03\n    end_announced: 2019-08-29\n    end_planned: 2020-01-15\n    capability: subscription", 1)
	if _, err := Parse([]byte(apart)); err != nil {
		t.Errorf("one after the other: %v", err)
	}
}

func TestParseRefusesTheRest(t *testing.T) {
	for _, c := range []refused{
		{"clock", `from: "21:00"`, `from: "9pm"`, "quiet", `hours[0] "sms_quiet_hours": quiet: from: "9pm" is not a time of day: write it as 21:00`},
		{"no quiet", `    quiet: {from: "21:00", to: "08:00"}` + "\n", "", "^  - id: sms_quiet_hours", `hours[0] "sms_quiet_hours": quiet: from: "" is not a time of day: write it as 21:00`},
		{"nothing quiet", `to: "08:00"`, `to: "21:00"`, "quiet", `hours[0] "sms_quiet_hours": quiet: from 21:00 to 21:00 encloses nothing: give two times`},
		{"two clocks", "    senders_own: true\n", "    senders_own: true\n    quiet: {from: \"20:00\", to: \"08:00\"}\n", "quiet", `hours[1] "sender_quiet_hours": quiet: with senders_own the sender's hours are taken: remove one of the two`},
		{"advice on nothing", "    under: [event_tag]\n", "    under: [event]\n", "under", `advice[4] "recurring_under_account_update": under: "event": want standard_window, ad_window, utility, human_agent, customer_feedback, event_tag, news, subscription, legacy_tag, plus_one, private_reply, one_time_notification, recurring_notification, marketing_message, sponsored, sms_consent`},
		{"advice by nothing", "    under_by: [tag]\n", "    under_by: [tags]\n", "under_by", `advice[1] "links_under_tag": under_by: "tags": want window, plus_one, tag, template, via, consent`},
		{"advice to nobody", "    authors: [broadcast]\n", "    authors: [broadcasts]\n", "authors", `advice[0] "bulk_discouraged": authors: "broadcasts": want broadcast, flow, agent`},
		{"advice on no tag", "    tags: [ACCOUNT_UPDATE]\n    phrases", "    tags: [ACOUNT_UPDATE]\n    phrases", "tags", `advice[4] "recurring_under_account_update": tags: "ACOUNT_UPDATE": want HUMAN_AGENT, CUSTOMER_FEEDBACK, CONFIRMED_EVENT_UPDATE, POST_PURCHASE_UPDATE, ACCOUNT_UPDATE, NON_PROMOTIONAL_SUBSCRIPTION, COMMUNITY_ALERT, CONFIRMED_EVENT_REMINDER, PAIRING_UPDATE, APPLICATION_UPDATE, PAYMENT_UPDATE, PERSONAL_FINANCE_UPDATE, SHIPPING_UPDATE, RESERVATION_UPDATE, ISSUE_RESOLUTION, APPOINTMENT_UPDATE, GAME_EVENT, TRANSPORTATION_UPDATE, FEATURE_FUNCTIONALITY_UPDATE, TICKET_UPDATE, BUSINESS_PRODUCTIVITY`},
		{"empty phrase", "phrases: [poll,", `phrases: ["",`, "phrases", `advice[3] "promotional_wording": phrases: "": an empty phrase would be found everywhere, and one with spaces around it nowhere`},
		{"word of two meanings", "  help: [help,", "  help: [Stop,", "^keywords:", `keywords: "Stop" is listed twice, or in two lists`},
		{"class", "counted: campaign", "counted: company", "id: att_high", `ten_dlc_classes[0] "att_high": counted: "company": want campaign, brand, number`},
		{"score", "{min: 75, max: 100}", "{min: 75, max: 101}", "id: att_high", `ten_dlc_classes[0] "att_high": score: 75 to 101: want 1 to 100, min not above max`},
		{"no rate", "counted: campaign, per_minute: 75,", "counted: campaign,", "id: att_low_volume", `ten_dlc_classes[3] "att_low_volume": per_second, per_minute or per_day is missing: give at least one above 0`},
		{"rate that is none", "counted: campaign, per_minute: 75,", "counted: campaign, per_second: .nan,", "id: att_low_volume", `ten_dlc_classes[3] "att_low_volume": per_second: NaN: want a number`},
		{"rate without end", "counted: campaign, per_minute: 75,", "counted: campaign, per_second: .inf,", "id: att_low_volume", `ten_dlc_classes[3] "att_low_volume": per_second: +Inf: want a number`},
		{"short below nothing", "  review_short: ", "  review_short: -", "review_short", `keywords: review_short: -3: want 0 or more words`},
		{"row", "    row: I.1\n", "    row: R1\n", "row", `contradictions[0] "i1": row: "R1": want I. and a number`},
		{"no question", "    about: End of the legacy tags\n", "", "^  - id: i1", `contradictions[0] "i1": about is missing: name the question in a few words`},
		{"nowhere to set", "    configure: nothing\n", "", "^  - id: i8", `contradictions[7] "i8": configure is missing: say where another reading is set, or nothing`},
	} {
		c.check(t)
	}
}

func TestParseRefusesTooMuchAdvice(t *testing.T) {
	entry := func(i int) string { return fmt.Sprintf("  - {id: more_%d, says: x, source: [DESIGN]}\n", i) }
	more := "advice:\n"
	for i := range maxAdvice - 4 {
		more += entry(i)
	}
	if _, err := Parse([]byte(edit(t, "\nadvice:\n", "\n"+more))); err != nil {
		t.Errorf("%d names: %v", maxAdvice, err)
	}
	_, err := Parse([]byte(edit(t, "\nadvice:\n", "\n"+more+entry(maxAdvice))))
	if err == nil || !strings.HasSuffix(err.Error(), "advice: 13 names: at most 12, since a verdict's warnings are laid out beforehand; entries may share a name") {
		t.Errorf("one more: %v", err)
	}
}
