package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestShape(t *testing.T) {
	text := func(s string) string {
		b, _ := json.Marshal(s)
		return fmt.Sprintf(`{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":{"text":%s}}`, b)
	}
	with := func(message string) string {
		return fmt.Sprintf(`{"recipient":{"id":"1"},"messaging_type":"RESPONSE","message":%s}`, message)
	}
	attach := func(payload string) string {
		return with(fmt.Sprintf(`{"attachment":{"type":"template","payload":%s}}`, payload))
	}
	many := func(n int, s string) string { return "[" + strings.TrimSuffix(strings.Repeat(s+",", n), ",") + "]" }
	for _, c := range []struct{ name, channel, body, want string }{
		{"not JSON", "", `{"recipient"`, "100"},
		{"not an object", "", `7`, "100"},
		{"wrong type", "", `{"recipient":7}`, "100"},
		{"id as a number", "", `{"recipient":{"id":12345678901234567890},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, ""},
		{"id as null", "", `{"recipient":{"id":null},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, "100"},
		{"id as a flag", "", `{"recipient":{"id":true},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, "100"},
		{"no recipient", "", `{"messaging_type":"RESPONSE","message":{"text":"hi"}}`, "100"},
		{"two recipients", "", `{"recipient":{"id":"1","comment_id":"2"},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, "100"},
		{"longest id", "", fmt.Sprintf(`{"recipient":{"id":%q},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, strings.Repeat("1", 256)), ""},
		{"id too long", "", fmt.Sprintf(`{"recipient":{"id":%q},"messaging_type":"RESPONSE","message":{"text":"hi"}}`, strings.Repeat("1", 257)), "100/2018001"},
		{"no message", "", `{"recipient":{"id":"1"},"messaging_type":"RESPONSE"}`, "100/2018034"},
		{"empty text", "", text(""), "100/2018034"},
		{"null message", "", with("null"), "100/2018034"},
		{"sticker", "", with(`{"sticker_id":369239263222822}`), ""},
		{"no type", "", `{"recipient":{"id":"1"},"message":{"text":"hi"}}`, "100"},
		{"unknown type", "", `{"recipient":{"id":"1"},"messaging_type":"response","message":{"text":"hi"}}`, "100"},
		{"update", "", `{"recipient":{"id":"1"},"messaging_type":"UPDATE","message":{"text":"hi"}}`, ""},
		{"state and message", "", `{"recipient":{"id":"1"},"sender_action":"typing_on","messaging_type":"RESPONSE","message":{"text":"hi"}}`, "100/2018014"},
		{"unknown state", "", `{"recipient":{"id":"1"},"sender_action":"dance"}`, "100"},

		{"2000 code points", "", text(strings.Repeat("é", 2000)), ""},
		{"2001 code points", "", text(strings.Repeat("é", 2001)), "100"},
		{"2000 wide code points", "", text(strings.Repeat("😀", 2000)), ""},
		{"1000 bytes, instagram", "instagram", text(strings.Repeat("é", 500)), ""},
		{"1001 bytes, instagram", "instagram", text(strings.Repeat("é", 500) + "e"), "100"},
		{"1000 characters of 2 bytes, instagram", "instagram", text(strings.Repeat("é", 1000)), "100"},
		{"metadata at its limit", "", with(`{"text":"hi","metadata":"` + strings.Repeat("m", 1000) + `"}`), ""},
		{"metadata too long", "", with(`{"text":"hi","metadata":"` + strings.Repeat("m", 1001) + `"}`), "100"},
		{"13 quick replies", "", with(`{"text":"hi","quick_replies":` + many(13, `{}`) + `}`), ""},
		{"14 quick replies", "", with(`{"text":"hi","quick_replies":` + many(14, `{}`) + `}`), "100"},

		{"image", "", with(`{"attachment":{"type":"image","payload":{"url":"https://example.org/i"}}}`), ""},
		{"unknown attachment", "", with(`{"attachment":{"type":"smell","payload":{}}}`), "100"},
		{"template without type", "", attach(`{}`), "100"},
		{"buttons", "", attach(`{"template_type":"button","text":"x","buttons":[{},{},{}]}`), ""},
		{"no button", "", attach(`{"template_type":"button","text":"x","buttons":[]}`), "100"},
		{"4 buttons", "", attach(`{"template_type":"button","text":"x","buttons":[{},{},{},{}]}`), "100"},
		{"button text at its limit", "", attach(`{"template_type":"button","text":"` + strings.Repeat("é", 640) + `","buttons":[{}]}`), ""},
		{"button text too long", "", attach(`{"template_type":"button","text":"` + strings.Repeat("é", 641) + `","buttons":[{}]}`), "100"},
		{"10 elements", "", attach(`{"template_type":"generic","elements":` + many(10, `{"title":"x"}`) + `}`), ""},
		{"11 elements", "", attach(`{"template_type":"generic","elements":` + many(11, `{"title":"x"}`) + `}`), "100"},
		{"no elements", "", attach(`{"template_type":"generic"}`), "100"},
		{"title at its limit", "", attach(`{"template_type":"generic","elements":[{"title":"` + strings.Repeat("t", 80) + `"}]}`), ""},
		{"title too long", "", attach(`{"template_type":"generic","elements":[{"title":"` + strings.Repeat("t", 81) + `"}]}`), "100"},
		{"subtitle too long", "", attach(`{"template_type":"generic","elements":[{"title":"t","subtitle":"` + strings.Repeat("t", 81) + `"}]}`), "100"},
		{"4 buttons on an element", "", attach(`{"template_type":"generic","elements":[{"title":"t","buttons":[{},{},{},{}]}]}`), "100"},

		{"utility without template", "", `{"recipient":{"id":"1"},"messaging_type":"UTILITY","message":{"text":"hi"}}`, "100"},
		{"template without utility", "", with(`{"template":{"name":"n","language":{"code":"en"}}}`), "100"},
		{"template without language", "", strings.Replace(template, "en", "", 1), "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{})
			b.admin("POST", "accounts", fmt.Sprintf(`{"account":"77","channel":%q}`, c.channel))
			if got := b.send("77", c.body).code(t); got != c.want {
				t.Errorf("code %q, want %q", got, c.want)
			}
		})
	}
}
