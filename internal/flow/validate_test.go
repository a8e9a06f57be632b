package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// shipped is a flow that is valid, for tests to spoil.
func shipped() *Spec {
	return &Spec{
		Kind: "Flow", ID: "order-shipped", Type: Notification, Sender: "bakery", Contact: "event.data.psid",
		Trigger: Trigger{Events: []string{"order.shipped"}},
		Steps:   []Step{{Send: say("It is on its way.")}, {ID: "later", Wait: &Wait{For: "2d"}}, {Send: say("Did it come?")}},
	}
}

func say(text string) *Send { return &Send{Message: message.Message{Text: text}} }

func nested(n int) []Step {
	steps := []Step{{Send: say("deep")}}
	for range n - 1 {
		steps = []Step{{Branch: []Case{{Do: steps}}}}
	}
	return steps
}

func loops(at ...int) []Step {
	steps := []Step{{Send: say("again")}}
	for _, n := range at {
		steps = []Step{{Repeat: &Repeat{AtMost: n, Do: steps}}}
	}
	return steps
}

func many(n int) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = Step{Set: &Set{Labels: map[string]bool{"x": true}}}
	}
	return steps
}

func step(st Step) func(*Spec) { return func(s *Spec) { s.Steps = []Step{st} } }

func keywords(k Keywords) func(*Spec) {
	return func(s *Spec) { s.Type, s.Contact, s.Trigger = AutoReply, "", Trigger{Keywords: &k} }
}

func TestWhatMayStandInAFlow(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"plain":      func(*Spec) {},
		"longest id": func(s *Spec) { s.ID = strings.Repeat("a", MaxID) },
		"record owner": func(s *Spec) {
			s.Sender, s.Owner, s.Owners = RecordOwner, "event.data.owner", map[string]string{"7": "bakery"}
		},
		"auto":             func(s *Spec) { s.Sender, s.Contact, s.Also = Auto, "", map[string]string{"bakery": "event.data.psid"} },
		"deepest":          func(s *Spec) { s.Steps = nested(maxDepth) },
		"most steps":       func(s *Spec) { s.Steps = many(maxSteps) },
		"most rounds":      func(s *Spec) { s.Steps = loops(10, 100) },
		"longest wait":     step(Step{Wait: &Wait{For: "365d"}}),
		"shortest wait":    step(Step{Wait: &Wait{For: "1s"}}),
		"until":            step(Step{Wait: &Wait{Until: "23:59"}}),
		"date":             step(Step{Wait: &Wait{Date: &Date{Field: "event.data.at", Offset: "-1d", At: "09:00"}}}),
		"event":            step(Step{Wait: &Wait{Events: []string{"order.*"}, Timeout: "2w", Then: []Step{{End: true}}}}),
		"otherwise":        step(Step{Send: &Send{Message: message.Message{Text: "a"}, Otherwise: []Send{*say("b")}}}),
		"split":            step(Step{Split: []Part{{Weight: 1}, {Weight: maxWeight}}}),
		"unset":            step(Step{Set: &Set{Attributes: map[string]string{"stage": "null"}}}),
		"webhook":          step(Step{Webhook: &Webhook{Endpoint: "crm", Data: map[string]string{"total": "event.data.total"}}}),
		"start":            step(Step{Start: "thanks"}),
		"team by number":   step(Step{Notify: &Notify{Sender: "desk", To: []string{"+4799999999"}, Text: "Look at {{.event.id}}"}}),
		"team by endpoint": step(Step{Notify: &Notify{Endpoint: "crm"}}),
		"handover":         step(Step{Handover: &Handover{}}),
		"keywords":         keywords(Keywords{Words: []string{"menu"}, Languages: map[string][]string{"nb": {"meny"}}}),
		"a symbol":         keywords(Keywords{Match: Word, Words: []string{"🍞"}}),
		"inbound":          func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Inbound: []string{"message", "postback"}} },
		"comment":          func(s *Spec) { s.Type, s.Contact, s.Trigger = AutoReply, "", Trigger{Comment: true} },
		"label":            func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Label: &LabelChange{Added: "vip"}} },
		"segment": func(s *Spec) {
			s.Contact, s.Trigger = "", Trigger{Segment: &broadcast.Audience{Labels: []string{"vip"}}}
		},
		"birthday": func(s *Spec) {
			s.Contact, s.Trigger = "", Trigger{Date: &Date{Field: "contact.attributes.birthday", Offset: "-1w"}}
		},
		"key and after": func(s *Spec) { s.Reentry, s.Coalesce = Reentry{Key: "event.data.id", After: "30d"}, "30d" },
		"quiet":         func(s *Spec) { s.QuietHours = &sender.QuietHours{From: "21:00", To: "08:00"} },
		"pace":          func(s *Spec) { s.Frequency, s.Limits.StartsPerMinute = &Frequency{AtMost: 1, Per: "7d"}, 1_000_000 },
		"exit and goal": func(s *Spec) { s.Exit, s.Goal = []Condition{{Events: []string{"message"}}}, &Condition{Where: "true"} },
		"moved":         func(s *Spec) { s.Move = map[string]string{"steps-2": "later"} },
		"criteria": func(s *Spec) {
			s.Steps, s.Criteria = nil, []Criterion{{ID: "won", When: "true", Do: many(1), Schedule: []Schedule{{After: "1d", Do: many(1)}}, Then: "next"}}
		},
		"criteria by place": func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{Do: many(1)}, {Do: many(1)}} },
	} {
		s := shipped()
		change(s)
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAFlowIsRefusedFor(t *testing.T) {
	const steps0 = "flow order-shipped: steps[0]"
	for want, change := range map[string]func(*Spec){
		`id "aaaa`:          func(s *Spec) { s.ID = strings.Repeat("a", MaxID+1) },
		`id "x~1": want`:    func(s *Spec) { s.ID = "x~1" },
		`type "": want`:     func(s *Spec) { s.Type = "" },
		`sender "": want`:   func(s *Spec) { s.Sender = "" },
		"owner is missing":  func(s *Spec) { s.Sender = RecordOwner },
		"owners: 0: want 1": func(s *Spec) { s.Sender, s.Owner = RecordOwner, "event.data.owner" },
		"owner: it goes":    func(s *Spec) { s.Owner = "event.data.owner" },
		"owners: they go":   func(s *Spec) { s.Owners = map[string]string{"7": "bakery"} },
		`owners.7 "A": `: func(s *Spec) {
			s.Sender, s.Owner, s.Owners = RecordOwner, "event.data.owner", map[string]string{"7": "A"}
		},

		"contact is missing":        func(s *Spec) { s.Contact = "" },
		"contact: with sender auto": func(s *Spec) { s.Sender = Auto },
		"also is missing":           func(s *Spec) { s.Sender, s.Contact = Auto, "" },
		"contact: it goes with":     func(s *Spec) { s.Trigger = Trigger{Comment: true} },
		"also.bakery: that is":      func(s *Spec) { s.Also = map[string]string{"bakery": "event.data.psid"} },
		"also.Desk: want":           func(s *Spec) { s.Also = map[string]string{"Desk": "event.data.psid"} },
		"contact is blank":          func(s *Spec) { s.Contact = " " },
		"contact: 4001 bytes":       func(s *Spec) { s.Contact = strings.Repeat("x", maxExpression+1) },
		"sender record_owner: it goes": func(s *Spec) {
			s.Sender, s.Owner, s.Owners, s.Contact, s.Trigger = RecordOwner, "event.id", map[string]string{"7": "a"}, "", Trigger{Comment: true}
		},
		"trigger: want one of":                  func(s *Spec) { s.Trigger = Trigger{} },
		"events, keywords, inbound":             func(s *Spec) { s.Trigger.Comment = true },
		"trigger: a flow of type":               func(s *Spec) { s.Type = AutoReply },
		`trigger.events[0] "*": want`:           func(s *Spec) { s.Trigger.Events[0] = "*" },
		`trigger.events[0] "a*b": want`:         func(s *Spec) { s.Trigger.Events[0] = "a*b" },
		`trigger.inbound[0] "order": `:          func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Inbound: []string{"order"}} },
		"trigger.label: want one":               func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Label: &LabelChange{}} },
		"trigger.segment: want":                 func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Segment: &broadcast.Audience{}} },
		"trigger.date.field is":                 func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Date: &Date{Offset: "1d"}} },
		`trigger.date.offset "366d": `:          func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Date: &Date{Field: "event.x", Offset: "366d"}} },
		`trigger.date.at "9:00": `:              func(s *Spec) { s.Contact, s.Trigger = "", Trigger{Date: &Date{Field: "event.x", At: "9:00"}} },
		`trigger.keywords.match "like"`:         keywords(Keywords{Match: "like", Words: []string{"a"}}),
		"trigger.keywords.words: want":          keywords(Keywords{}),
		`trigger.keywords.words: "--"`:          keywords(Keywords{Words: []string{"--"}}),
		`words: "MENU!" stands twice`:           keywords(Keywords{Words: []string{"menu"}, Languages: map[string][]string{"nb": {"MENU!"}}}),
		"languages.norsk: want":                 keywords(Keywords{Languages: map[string][]string{"norsk": {"meny"}}}),
		"reentry: never goes alone":             func(s *Spec) { s.Reentry = Reentry{Never: true, Key: "event.id"} },
		`reentry.after "0s"`:                    func(s *Spec) { s.Reentry.After = "0s" },
		"coalesce: want a reentry":              func(s *Spec) { s.Coalesce = "1m" },
		`coalesce "31d": want`:                  func(s *Spec) { s.Reentry.Key, s.Coalesce = "event.id", "31d" },
		"exit[0]: want events":                  func(s *Spec) { s.Exit = []Condition{{}} },
		"goal: want events":                     func(s *Spec) { s.Goal = &Condition{} },
		`quiet_hours.to "8": want`:              func(s *Spec) { s.QuietHours = &sender.QuietHours{From: "21:00", To: "8"} },
		"quiet_hours: from and to":              func(s *Spec) { s.QuietHours = &sender.QuietHours{From: "21:00", To: "21:00"} },
		"frequency.at_most 0":                   func(s *Spec) { s.Frequency = &Frequency{Per: "1d"} },
		`frequency.per "": want`:                func(s *Spec) { s.Frequency = &Frequency{AtMost: 1} },
		"limits.starts_per_minute -1":           func(s *Spec) { s.Limits.StartsPerMinute = -1 },
		`: expires_after "366d": want`:          func(s *Spec) { s.Expires = "366d" },
		"steps: want either":                    func(s *Spec) { s.Steps = nil },
		": steps: want either these or":         func(s *Spec) { s.Criteria = []Criterion{{Do: many(1)}} },
		"criteria[0]: want do":                  func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{}} },
		`criteria[0].then "on": want`:           func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{Do: many(1), Then: "on"}} },
		`criteria[1].id "a": want`:              func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{ID: "a", Do: many(1)}, {ID: "a", Do: many(1)}} },
		"criteria[0].schedule[0]: want":         func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{Schedule: []Schedule{{Do: many(1)}}}} },
		"criteria[0].schedule[0].do is":         func(s *Spec) { s.Steps, s.Criteria = nil, []Criterion{{Schedule: []Schedule{{After: "1d"}}}} },
		`move.steps-2 "gone": want`:             func(s *Spec) { s.Move = map[string]string{"steps-2": "gone"} },
		"move.A b: want":                        func(s *Spec) { s.Move = map[string]string{"A b": "later"} },
		"steps[200]: want at most 200":          func(s *Spec) { s.Steps = many(maxSteps + 1) },
		"steps in steps at most 5 deep":         func(s *Spec) { s.Steps = nested(maxDepth + 1) },
		"more than 1000 times":                  func(s *Spec) { s.Steps = loops(11, 100) },
		"taken more than 1000":                  func(s *Spec) { s.Steps = loops(100, 100, 100, 100) },
		`steps[0].id "A": want`:                 func(s *Spec) { s.Steps[0].ID = "A" },
		`"later": it is the id of steps[1] too`: func(s *Spec) { s.Steps[2].ID = "later" },
		`"steps-1": it is the id of steps[0]`:   func(s *Spec) { s.Steps[2].ID = "steps-1" },
		steps0 + ": it ends the run":            func(s *Spec) { s.Steps = append([]Step{{End: true}}, s.Steps...) },

		steps0 + ": want one of send":         step(Step{}),
		": steps[0]: want one of send, wait":  step(Step{Send: say("a"), End: true}),
		steps0 + ".send.text is empty":        step(Step{Send: say("")}),
		steps0 + `.send.sender "B": want`:     step(Step{Send: &Send{Message: message.Message{Text: "a"}, Sender: "B"}}),
		steps0 + ".send.otherwise[0].other":   step(Step{Send: &Send{Message: message.Message{Text: "a"}, Otherwise: []Send{{Message: message.Message{Text: "b"}, Otherwise: []Send{*say("c")}}}}}),
		steps0 + ".send.otherwise[0].text is": step(Step{Send: &Send{Message: message.Message{Text: "a"}, Otherwise: []Send{{}}}}),
		steps0 + ".send.otherwise: 6":         step(Step{Send: &Send{Message: message.Message{Text: "a"}, Otherwise: make([]Send, 6)}}),
		steps0 + `.send.expires_after "1": `:  step(Step{Send: &Send{Message: message.Message{Text: "a"}, Expires: "1"}}),
		steps0 + ".wait: want one of":         step(Step{Wait: &Wait{}}),
		steps0 + `.wait.for "0s": want`:       step(Step{Wait: &Wait{For: "0s"}}),
		steps0 + `.wait.for "365d1h": want`:   step(Step{Wait: &Wait{For: "365d1h"}}),
		steps0 + `.wait.for "8761h": want`:    step(Step{Wait: &Wait{For: "8761h"}}),
		steps0 + `.wait.until "24:00": want`:  step(Step{Wait: &Wait{Until: "24:00"}}),
		steps0 + ".wait.timeout is missing":   step(Step{Wait: &Wait{Events: []string{"a"}}}),
		steps0 + ".wait: where, timeout":      step(Step{Wait: &Wait{For: "1d", Timeout: "1d"}}),
		steps0 + ".branch[0].when is":         step(Step{Branch: []Case{{}, {}}}),
		steps0 + ".split: 1: want 2":          step(Step{Split: []Part{{Weight: 1}}}),
		steps0 + ".split[1].weight 0":         step(Step{Split: []Part{{Weight: 1}, {}}}),
		steps0 + ".split[1].weight 10001":     step(Step{Split: []Part{{Weight: 1}, {Weight: 10001}}}),
		steps0 + ".repeat.at_most 0: want":    step(Step{Repeat: &Repeat{Do: many(1)}}),
		steps0 + ".repeat.at_most 101: want":  step(Step{Repeat: &Repeat{AtMost: 101, Do: many(1)}}),
		steps0 + ".repeat.do is missing":      step(Step{Repeat: &Repeat{AtMost: 1}}),
		steps0 + ".set.attributes.x is empty": step(Step{Set: &Set{Attributes: map[string]string{"x": ""}}}),
		steps0 + ".set: want labels":          step(Step{Set: &Set{}}),
		steps0 + `.set.labels: "": want`:      step(Step{Set: &Set{Labels: map[string]bool{"": true}}}),
		steps0 + `.set.attributes: "name" `:   step(Step{Set: &Set{Attributes: map[string]string{"name": "event.x"}}}),
		steps0 + `.webhook.endpoint ""`:       step(Step{Webhook: &Webhook{}}),
		steps0 + ".webhook.data.x is empty":   step(Step{Webhook: &Webhook{Endpoint: "crm", Data: map[string]string{"x": ""}}}),
		steps0 + `.start "order-shipped": `:   step(Step{Start: "order-shipped"}),
		steps0 + `.stop "order-shipped": `:    step(Step{Stop: "order-shipped"}),
		steps0 + ".notify: want one":          step(Step{Notify: &Notify{Text: "a"}}),
		steps0 + ".notify.to: 0: want":        step(Step{Notify: &Notify{Sender: "desk", Text: "a"}}),
		steps0 + ".notify.to[1]: want":        step(Step{Notify: &Notify{Sender: "desk", Text: "a", To: []string{"1", "1"}}}),
		steps0 + ".notify.text is empty":      step(Step{Notify: &Notify{Sender: "desk", To: []string{"1"}}}),
		steps0 + ".handover.tell: want":       step(Step{Handover: &Handover{Tell: &Notify{}}}),
		steps0 + `.handover.label "a;b"`:      step(Step{Handover: &Handover{Label: "a;b"}}),
	} {
		s := shipped()
		change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestStepsAreInOrderByTheirPlaces(t *testing.T) {
	s := &Spec{Criteria: []Criterion{{
		Do: []Step{
			{Wait: &Wait{Then: many(1), Else: many(2)}},
			{ID: "mine", Split: []Part{{Do: many(1)}, {Do: []Step{{Repeat: &Repeat{Do: many(1)}}}}}},
		},
		Schedule: []Schedule{{Do: many(1)}, {Do: many(1)}},
	}, {Do: many(1)}}}
	var got []string
	for id := range s.AllSteps() {
		got = append(got, id)
	}
	want := []string{
		"criteria-1-do-1", "criteria-1-do-1-then-1", "criteria-1-do-1-else-1", "criteria-1-do-1-else-2",
		"mine", "mine-1-1", "mine-2-1", "mine-2-1-do-1",
		"criteria-1-schedule-1-do-1", "criteria-1-schedule-2-do-1", "criteria-2-do-1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for i := range want { // whoever looks for one stops there
		n := 0
		for range s.AllSteps() {
			if n++; n == i+1 {
				break
			}
		}
		if n != i+1 {
			t.Errorf("it went on to %d after %d", n, i+1)
		}
	}
}

func TestDurationsOfAFlow(t *testing.T) {
	for s, want := range map[string]time.Duration{"90m": 90 * time.Minute, "7d": 7 * day, "2w": 14 * day, "-1d": -day, "1h30m": 90 * time.Minute, "0d": 0} {
		if d, err := duration(s); err != nil || d != want {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "d", "w", "1.5d", "1", "99999999999d", "1d2h", " 1d", "-"} {
		if d, err := duration(s); err == nil {
			t.Errorf("%q is %v", s, d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(-366, 366).Draw(t, "days")
		if d, err := duration(fmt.Sprintf("%dd", n)); err != nil || d != time.Duration(n)*day {
			t.Errorf("%d days are %v, %v", n, d, err)
		}
	})
}
