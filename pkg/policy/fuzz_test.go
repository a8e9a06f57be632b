package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzCase holds the reader to encoding/json: what that refuses is refused,
// and what is read is judged and answered with valid JSON.
func FuzzCase(f *testing.F) {
	rb := book()
	examples(f, func(_ string, e example) {
		if len(e.Case) < 400 {
			f.Add([]byte(e.Case))
		}
	})
	f.Add([]byte(`{"id":"c","at":"2026-11-22T10:00:00Z","sender":{"channel":"sms"},"message":{"text":"\ud83d\ude00"},"note":[{"a":[1,2.5e3,null]}]}`))
	f.Add([]byte(`{"id":"c","sender":{"channel":["sms"]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := new(CaseReader).Read(line)
		if err == nil && !json.Valid(line) {
			t.Fatalf("read what is not JSON: %q", line)
		}
		out := AppendError(nil, c.ID, 1, errSyntax)
		if err == nil {
			out = AppendAnswer(nil, c.ID, c.Judge(rb))
		} else if strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of two lines: %q", err)
		}
		if !json.Valid(out) || strings.Contains(string(out), "\n") {
			t.Fatalf("answered with what is no line of JSON: %q", out)
		}
	})
}

// FuzzParse wants an error or a rulebook that can be judged by.
func FuzzParse(f *testing.F) {
	f.Add(string(embedded))
	for _, part := range strings.Split(string(embedded), "\n\n") {
		f.Add("version: 1\n" + part)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rb, err := Parse([]byte(text))
		if err != nil {
			return
		}
		at, m, facts, s := benchCase()
		if v := Evaluate(rb, at, m, facts, s); v.Kind == Undecided {
			t.Fatalf("undecided: %+v", v)
		}
		List(rb, at)
		Explain(rb, at, m, facts, s)
		Diff(rb, time.Time{}, at)
	})
}

// FuzzEvaluate wants a verdict for anything, the same twice, and an
// explanation that names the rule that decided.
func FuzzEvaluate(f *testing.F) {
	rb := book()
	f.Add(int64(0), int64(0), int64(0), "Hello", "HUMAN_AGENT", "", "mtm", "messenger", uint16(0), int64(0), int64(0))
	f.Add(int64(1<<62), int64(-1<<62), int64(1), "4111 1111 1111 1111", "", "private_reply", "utility", "sms", uint16(0xffff), int64(75600e9), int64(28800e9))
	f.Add(int64(1795341600), int64(1795255200), int64(5), "DE89 3704 0044 0532 0130 00 \xff", "ACCOUNT_UPDATE", "", "", "instagram", uint16(3), int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, at, inbound, ns int64, text, tag, via, kind, channel string, flags uint16, from, to int64) {
		bit := func(i int) bool { return flags&(1<<i) != 0 }
		m := &Message{Origin: "flow", Promotional: bit(0), Tag: tag, Via: via, Text: text, HasTemplate: bit(1), Template: Template{Kind: kind, Channels: []string{channel}}}
		facts := &Facts{
			LastInbound: time.Unix(inbound, ns), AdMessageAt: time.Unix(at, -ns), OptedOutMarket: bit(2), SMSConsent: bit(3), OpenedBy: kind,
			Comment: Comment{At: time.Unix(inbound, 0)}, OneTimeToken: OneTimeToken{Created: time.Unix(ns, 0)}, Notification: Notification{LastSent: time.Unix(inbound, 0)},
		}
		s := &Sender{
			Channel: Channel(channel), Capabilities: []string{"ten_dlc", "utility", tag}, RelaxFlowTemplates: bit(4), AdWindow: time.Duration(ns),
			QuietHours: QuietHours{From: time.Duration(from), To: time.Duration(to), Set: bit(5)}, DisclosureRequired: bit(6), RestrictedFeatures: []string{via},
		}
		now := time.Unix(at, ns)
		v := Evaluate(rb, now, m, facts, s)
		if v.Kind == Undecided || (v.Kind == Send) != (v.Reason == "") {
			t.Fatalf("no whole verdict: %+v", v)
		}
		if again := Evaluate(rb, now, m, facts, s); again.Kind != v.Kind || again.Rule != v.Rule || again.Reason != v.Reason || !again.Until.Equal(v.Until) {
			t.Fatalf("%+v, then %+v", v, again)
		}
		if v.Explain() == "" {
			t.Fatal("no explanation")
		}
		decides := 0
		for _, r := range Explain(rb, now, m, facts, s) {
			if r.Decides {
				decides++
			}
		}
		if decides != 1 {
			t.Fatalf("%d rules decide %+v", decides, v)
		}
	})
}

// FuzzCard compares the scan with the definition, tried on every substring.
func FuzzCard(f *testing.F) {
	for _, s := range []string{"4111 1111 1111 1111", "x4111-1111-1111-1111 12", "0000 0000 00000", "12 4111111111111111 34é", "4111  1111 1111 1111", "é4222222222222"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		if got, want := hasCard(text, Range{Min: 13, Max: 19}, nil), slowCard(text); got != want {
			t.Fatalf("hasCard(%q) is %v", text, got)
		}
	})
}

// slowCard tries every part of text that begins and ends with a digit.
func slowCard(text string) bool {
	for i := range len(text) {
		for k := i + 1; k <= len(text); k++ {
			if cardByDefinition(text, i, k) {
				return true
			}
		}
	}
	return false
}

func cardByDefinition(text string, i, k int) bool {
	part := text[i:k]
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[k:])
	if strings.ContainsRune("0123456789", before) || strings.ContainsRune("0123456789", after) || unicode.IsLetter(before) || unicode.IsLetter(after) {
		return false
	}
	digits := strings.NewReplacer(" ", "", "-", "").Replace(part)
	groups := strings.FieldsFunc(part, func(r rune) bool { return r == ' ' || r == '-' })
	if len(digits) < 13 || len(digits) > 19 || strings.Trim(digits, "0123456789") != "" || len(part)-len(digits) != len(groups)-1 || !isDigit(part[0]) || !isDigit(part[len(part)-1]) {
		return false
	}
	sum := 0
	for n := range len(digits) {
		d := int(digits[len(digits)-1-n] - '0')
		if n%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}
