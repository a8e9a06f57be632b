package gate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// flowOf is a flow with one message, from some senders.
func flowOf(t *testing.T, kind, choice string, m message.Message, tpl *content.Template, from ...*sender.Spec) *definition.FlowCheck {
	t.Helper()
	f := &definition.FlowCheck{Spec: &flow.Spec{ID: "f", Type: kind}, Senders: from}
	msg := definition.FlowMessage{Path: "steps[0].send", Any: choice == flow.Auto, From: from}
	for range from {
		w, err := message.NewWording(message.Author{Origin: "flow", FlowType: kind, SenderChoice: choice}, m, tpl)
		if err != nil {
			t.Fatal(err)
		}
		msg.Words = append(msg.Words, w)
	}
	f.Messages = []definition.FlowMessage{msg}
	return f
}

func TestFlowsAreHeldAgainstTheRulesWhenApplied(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	page := &sender.Spec{ID: "page", Channel: "messenger", Capabilities: []string{"utility"}}
	relaxed := &sender.Spec{ID: "relaxed", Channel: "messenger", RelaxFlows: true}
	phone := &sender.Spec{ID: "phone", Channel: "sms", Capabilities: []string{"ten_dlc"}}
	bound := &sender.Spec{ID: "bound", Channel: "messenger", Disclosure: true}
	text := message.Message{Text: "On its way, {{.name}}"}
	utility := &content.Template{ID: "t", Type: content.UtilityType, Utility: &content.Utility{Name: "order", Language: "en"}}
	for name, c := range map[string]struct {
		flow *definition.FlowCheck
		want reason.Code
		warn int
	}{
		"notification in free text":           {flowOf(t, flow.Notification, "", text, nil, page), reason.FlowTemplateRequired, 0},
		"automation in free text":             {flowOf(t, flow.Automation, "", text, nil, page), reason.FlowTemplateRequired, 0},
		"an answer in free text":              {flowOf(t, flow.AutoReply, "", text, nil, page), "", 0},
		"where the sender relaxes it":         {flowOf(t, flow.Notification, "", text, nil, relaxed), "", 0},
		"by SMS":                              {flowOf(t, flow.Notification, "", text, nil, phone), "", 0},
		"a utility template":                  {flowOf(t, flow.Notification, "", message.Message{Template: "t"}, utility, page), "", 0},
		"a utility template by SMS":           {flowOf(t, flow.Notification, "", message.Message{Template: "t"}, utility, phone), reason.ChannelMismatch, 0},
		"a capability that is not there":      {flowOf(t, flow.Notification, "", message.Message{Template: "t"}, utility, relaxed), "", 1}, // nobody gets it outside the window
		"a record owner's Page":               {flowOf(t, flow.AutoReply, flow.RecordOwner, text, nil, page), reason.ChannelMismatch, 0},
		"a record owner's number":             {flowOf(t, flow.Notification, flow.RecordOwner, text, nil, phone), "", 0},
		"one of the owners can't":             {flowOf(t, flow.Notification, "", text, nil, phone, page), reason.FlowTemplateRequired, 0},
		"wherever the contact wrote, one can": {flowOf(t, flow.Notification, flow.Auto, text, nil, page, phone), "", 1},
		"wherever the contact wrote, none":    {flowOf(t, flow.Notification, flow.Auto, text, nil, page), reason.FlowTemplateRequired, 0},
		"a bot that said so before":           {flowOf(t, flow.AutoReply, "", text, nil, bound), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := usual().CheckFlow(c.flow, now)
			u, refused := errors.AsType[*gate.Unsendable](err)
			if refused != (c.want != "") || refused && u.Verdict.Reason != c.want || len(warnings) != c.warn {
				t.Fatalf("%q, %v; want %q and %d warnings", warnings, err, c.want, c.warn)
			}
			if refused && c.want == reason.ChannelMismatch && strings.Contains(err.Error(), "relax") {
				t.Errorf("%q: no relaxing helps", err)
			}
			if c.want == reason.FlowTemplateRequired {
				for _, w := range []string{"flow f: steps[0].send from sender page can never be sent: flow_template_required", "instead send a Template of type mtm", "of type utility", "channel sms", "relax_flow_templates"} {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q lacks %q", err, w)
					}
				}
			}
		})
	}
}

func TestNoFlowAnswersWhatTheRulebookReads(t *testing.T) {
	t.Parallel()
	from := &sender.Spec{ID: "page", Channel: "messenger", StopWords: []string{"slutt"}, StartWords: []string{"igjen"}, HelpWords: []string{"hjelp"}}
	phone := &sender.Spec{ID: "phone", Channel: "sms", Capabilities: []string{"ten_dlc"}}
	for word, want := range map[string]string{
		"menu": "", "S.T.O.P": "means stop to sender page", "slutt!": "means stop", "hjelp": "asks for help", "igjen": "means start",
		"stop please": "may mean stop", "help": "asks for help", "order": "",
	} {
		for _, nb := range []bool{false, true} {
			f := flowOf(t, flow.AutoReply, "", message.Message{Text: "Hello"}, nil, phone, from)
			f.Spec.Trigger.Keywords = &flow.Keywords{Words: []string{word}}
			if nb {
				f.Spec.Trigger.Keywords = &flow.Keywords{Languages: map[string][]string{"nb": {word}}}
			}
			slices.Reverse(f.Senders)
			_, err := usual().CheckFlow(f, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
			if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", word, err, want)
			}
		}
	}
}
