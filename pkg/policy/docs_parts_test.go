package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// words is the glossary.
func (p *page) words() {
	p.heading("Words", "")
	p.table("", []string{"word", "meaning"}, [][]string{
		{"window", "The time after a person's action in which a business may write freely, with promotion too. It is counted for one person and one sender."},
		{"rule, row", "A rule's id as verdicts name it, and its row of the policy table: R1 to R21 for rules, I.1 to I.17 for contradictions. A rule of this system's own has no row."},
		{"version", "Entries that share an id: the same rule for other channels, days or tags."},
		{"promotional", "What its author declares of a message; it is not guessed from the words."},
		{"origin", "Who wrote it: a `broadcast` to an audience, a `flow` (an automation), or an `agent`, a person who answers by hand."},
		{"flow type", "`auto_reply` answers a keyword, `automation` follows an event of the CRM, `notification` tells a person of something. The last two may not use free text on Messenger and Instagram."},
		{"tag", "A name that a message carries outside the window to say what it is for. Of Messenger and, for one of them, Instagram."},
		{"via", "The permission that a message names to go out by, where that is neither window nor tag nor template: a private reply, a token, a paid message."},
		{"last inbound", "The newest action of the person that can open a window."},
		{"private reply", "The one message that may answer a comment or post."},
		{"token", "What a person gave by agreeing to be told: for one follow-up (one-time notification), or for regular ones (a subscription to notifications)."},
		{"plus one", "`plus_one`: the one extra message after the 24 hours that Messenger allowed until 2020. Asked for by a message with neither tag, via nor a template of its own rule."},
		{"template kind", "`standard` (a saved text), `mtm` (a message-tag template: one mapped to a tag, without approval), `utility` (transactional, approved by the platform), `customer_feedback` (the survey form)."},
		{"capability", "What the platform or a registry has granted to the sender, as its definition lists it under `capabilities`."},
		{"record owner, auto", "Two ways to leave the choice of sender open: the number of whoever owns the CRM record, which sends by SMS, or the sender whose keyword was answered."},
		{"text, SMS", "A text is the words of a message on any channel; a message of the channel sms is called an SMS."},
		{"10DLC", "Ten-digit long codes: ordinary US numbers that applications send from, once brand and campaign are registered."},
		{"blocks, holds", "A blocked message ends with its reason and is tried again only by an operator; a held one goes on by itself."},
		{"reading", "Where sources differ or are silent, what is taken and why."},
	})
}

// tags is what each tag is for, and how the legacy ones are counted.
func (p *page) tags() {
	p.heading("What the tags are for", "No program can judge it: by the tag, the author declares that the message is that. No tag carries anything promotional.")
	var rows, legacy [][]string
	for i := range p.list {
		l := &p.list[i]
		for _, tag := range l.Names {
			if u, ok := l.Uses[tag]; ok {
				rows = append(rows, []string{code(tag), code(l.Rule), span(l), u.For, u.NotFor, u.Successor})
			}
			if l.Asked == "tag" && l.From.Before(legacyEnd) && !l.To.IsZero() && !l.To.After(legacyEnd) {
				legacy = append(legacy, []string{fmt.Sprint(len(legacy) + 1), code(tag), code(l.Rule), span(l)})
			}
		}
	}
	p.table("", []string{"tag", "rule", "days", "for", "not for", "successor"}, rows)
	fmt.Fprintf(p, "\n### The %d legacy tags, counted\n\nAll ended by %s. ACCOUNT_UPDATE got its wider meaning when that was announced, and NON_PROMOTIONAL_SUBSCRIPTION stayed for registered\n"+
		"news pages: without the latter they are sixteen.\n", len(legacy), legacyEnd.Format(time.DateOnly))
	p.table("", []string{"", "tag", "rule", "days"}, legacy)
}

// legacyEnd is the day on which the tags of 2018 had ended.
var legacyEnd = time.Date(2020, 3, 4, 0, 0, 0, 0, time.UTC)

// kinds is which kind of message may go out by which hand: every cell is a
// verdict, on the last day on which the rulebook changes.
func (p *page) kinds() {
	p.heading("Message kinds and flow types", "What each author may send on Messenger, to a person who wrote "+
		"an hour and three days before, as judged on "+p.last.Format(time.DateOnly)+" for a sender with every capability and a message that is not promotional.\n"+
		"Instagram differs where it lacks a template kind or tag; on SMS consent decides, and only standard templates and free text exist.")
	authors := []struct{ name, origin, flow string }{
		{"by hand", "agent", ""}, {"automatic reply", "flow", "auto_reply"}, {"automation", "flow", "automation"}, {"notification", "flow", "notification"}, {"broadcast", "broadcast", ""},
	}
	messages := []struct {
		name string
		m    Message
	}{
		{"free text", Message{Text: "x"}},
		{"standard template", templated("standard", "")},
		{"mtm template of HUMAN_AGENT", templated("mtm", "HUMAN_AGENT")},
		{"mtm template of POST_PURCHASE_UPDATE, which has ended", templated("mtm", "POST_PURCHASE_UPDATE")},
		{"utility template", templated("utility", "")},
		{"feedback template", templated("customer_feedback", "CUSTOMER_FEEDBACK")},
	}
	for _, ago := range []time.Duration{time.Hour, 3 * day} {
		head := []string{"message"}
		var rows [][]string
		for _, a := range authors {
			head = append(head, a.name)
		}
		for _, m := range messages {
			row := []string{m.name}
			for _, a := range authors {
				m.m.Origin, m.m.FlowType = a.origin, a.flow
				row = append(row, p.cell(m.m, ago))
			}
			rows = append(rows, row)
		}
		p.table(map[bool]string{true: "Inside the window", false: "Outside it, after three days"}[ago < day], head, rows)
	}
}

func templated(kind, tag string) Message {
	return Message{Text: "x", Tag: tag, HasTemplate: true, Template: Template{Kind: kind}}
}

// cell is the verdict on m in one word.
func (p *page) cell(m Message, ago time.Duration) string {
	s := Sender{Channel: Messenger}
	for i := range p.rb.Permissions {
		s.Capabilities = append(s.Capabilities, p.rb.Permissions[i].Capability)
	}
	v := Evaluate(p.rb, p.last, &m, &Facts{LastInbound: p.last.Add(-ago)}, &s)
	if v.Kind == Send {
		return "yes: " + code(v.Rule)
	}
	return "no: " + code(string(v.Reason))
}

func (p *page) hours() {
	p.heading("When an allowed message waits", "On the clock of the person's time zone, else of the sender's, else UTC.")
	p.table("", []string{"rule", "channels", "clause", "source"}, p.rows("hours", plainRow))
	p.parameters("hours", "hours")
	p.readings("hours", "hours")
}

func plainRow(l *Listed) []string {
	return []string{code(l.Rule), on(l.Channels), l.Says, strings.Join(l.Source, ", ")}
}

func (p *page) advice() {
	p.heading("Advice that refuses nothing", "The author is told; the message goes out all the same.")
	p.table("", []string{"warning", "channels", "clause", "source"}, p.rows("advice", plainRow))
	var names []string
	for _, l := range p.list {
		if name := code(l.Rule); l.Acknowledge && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	fmt.Fprintf(p, "\nA warning of these is acknowledged when the broadcast is launched (`acknowledge: true`): %s.\n", strings.Join(names, ", "))
	p.parameters("advice", "advice")
	p.readings("advice", "advice")
}

func (p *page) keywords() {
	k := &p.rb.Keywords
	p.heading("Words from contacts", fmt.Sprintf("%s Source: %s.", k.Says, strings.Join(k.Source, ", ")))
	row := func(name string, words []string, what string) []string {
		return []string{code(name), what, strings.Join(words, ", ")}
	}
	p.table("", []string{"list", "what becomes of the message", "words"}, [][]string{
		row("opt_out", k.OptOut, "alone, it opts the contact out of everything"),
		row("opt_in", k.OptIn, "alone, it opts the contact in again"),
		row("sms_only", k.SMSOnly, "of those, words that opt in by SMS only"),
		row("help", k.Help, "alone, it asks for help"),
		row("review_words", k.ReviewWords, "anywhere in a text: a person reads it, and until then everything is held"),
		row("review_phrases", k.ReviewPhrases, "the same"),
		row("innocent_phrases", k.Innocent, "taken out before a text is searched"),
		row("innocent_unless", k.InnocentUnless, "words beside which nothing is taken out"),
		{code("review_short"), "a text of at most so many words is read by a person for any opt-out word", fmt.Sprint(k.ReviewShort)},
	})
	if k.Decided != "" {
		fmt.Fprintf(p, "\nReading: %s\n", k.Decided)
	}
}

func (p *page) tenDLC() {
	p.heading("10DLC classes", "What carriers and gateways let a class of US numbers send. No case is judged by it: set a sender's rate and daily budget to it. 0 or empty: not stated.")
	p.table("", []string{"class", "counted per", "brand score", "a second", "a minute", "a day", "of what", "reading", "source"}, p.rows("ten_dlc", func(l *Listed) []string {
		value := func(name string) string { return valueOf(l.Parameters, name) }
		return []string{code(l.Rule), value("counted"), value("score"), value("per_second"), value("per_minute"), value("per_day"), l.Says, l.Decided, strings.Join(l.Source, ", ")}
	}))
}

func (p *page) notes() {
	p.heading("Rows that no case can be judged by", "Kept so that the list is whole.")
	p.table("", []string{"note", "row", "channels", "days", "clause", "reading", "source"}, p.rows("note", func(l *Listed) []string {
		return []string{code(l.Rule), l.Row, on(l.Channels), span(l), l.Says, l.Decided, strings.Join(l.Source, ", ")}
	}))
}

func (p *page) contradictions() {
	p.heading("Contradictions", "What the sources answer differently, or not at all, and which reading is taken.")
	p.table("", []string{"no.", "about", "what differs", "reading, and why", "where to set another", "source"}, p.rows("contradiction", func(l *Listed) []string {
		return []string{l.Row, l.About, l.Says, l.Decided, l.Configure, strings.Join(l.Source, ", ")}
	}))
}
