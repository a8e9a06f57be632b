package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestCriteria: all that hold are taken, in order, until one says stop; each
// schedule is a line of its own.
func TestCriteria(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [deal]}
criteria:
  - id: big
    when: event.data.total > 100
    do: [{set: {labels: {big: true}}}]
    schedule:
      - {after: 1h, do: [{set: {labels: {hour: true}}}]}
      - {date: {field: event.data.close, offset: -1d, at: "09:00"}, do: [{set: {labels: {close: true}}}]}
    then: next
  - when: event.data.total > 10
    do: [{set: {labels: {middle: true}}}]
  - do: [{set: {labels: {rest: true}}}]
`
	for name, c := range map[string]struct {
		data   string
		want   string
		labels string // in the order in which they are put on
	}{
		"both":        {`"total":101,"close":"2026-11-24"`, "start criterion criterion set wait wait set set set done", "big middle hour close"},
		"the second":  {`"total":11`, "start criterion set done", "middle"},
		"the rest":    {`"total":10`, "start criterion set done", "rest"},
		"no date yet": {`"total":101`, "start criterion criterion set wait wait set set", "big middle hour"},
		"a past date": {`"total":101,"close":"2026-11-23"`, "start criterion criterion set wait wait set set set done", "big close middle hour"},
	} {
		s := play(t, doc)
		s.tell("deal", of("7", c.data))
		s.after(100 * time.Hour)
		var labels []string
		for _, e := range s.asked {
			for l := range e.Labels {
				labels = append(labels, l)
			}
		}
		if got := strings.Join(labels, " "); s.did() != c.want || got != c.labels {
			t.Errorf("%s: %s, %s", name, s.did(), got)
		}
	}
}

// TestNoCriterionHolds: nothing begins, and a key is not used up by it.
func TestNoCriterionHolds(t *testing.T) {
	t.Parallel()
	for _, coalesce := range []string{"", "coalesce: 1s\n"} {
		s := play(t, coalesce+`
trigger: {events: [order]}
reentry: {key: event.data.id}
criteria: [{when: event.data.state == "shipped", do: [{end: true}]}]
`)
		s.tell("order", of("7", `"id":"1","state":"new"`))
		s.after(time.Second)
		if coalesce == "" && len(s.runs) != 0 {
			t.Error("a run began that had nothing to do")
		}
		s.tell("order", of("7", `"id":"1","state":"shipped"`))
		s.after(time.Second)
		if _, r := s.only(); r.State != Done || r.Why != "" {
			t.Errorf("%q: %+v", coalesce, r)
		}
	}
}

// TestChanged: an event is compared with the one before of the same subject,
// or key, or contact; the first counts as a change, and what comes late as none.
func TestChanged(t *testing.T) {
	t.Parallel()
	type told struct {
		stage   string // JSON
		subject string
		late    time.Duration
	}
	for name, c := range map[string]struct {
		when string
		told []told
		want string // which of them start a run
	}{
		"the first, and each other one": {"changed(event.data.stage)", []told{{`"new"`, "", 0}, {`"new"`, "", 0}, {`"won"`, "", 0}, {`"new"`, "", 0}}, "0 2 3"},
		"from and to":                   {`changed(event.data.stage, "new", "won")`, []told{{`"won"`, "", 0}, {`"new"`, "", 0}, {`"won"`, "", 0}, {`"won"`, "", 0}}, "2"},
		"from nothing":                  {`changed(event.data.stage, null, "won")`, []told{{`"won"`, "", 0}}, "0"},
		"a null is a value":             {"changed(event.data.stage)", []told{{"null", "", 0}, {"null", "", 0}, {"1", "", 0}}, "0 2"},
		"numbers":                       {"changed(event.data.stage, 1, 2)", []told{{"1", "", 0}, {"2.0", "", 0}}, "1"},
		"other subjects":                {"changed(event.data.stage)", []told{{`"new"`, "deal/1", 0}, {`"won"`, "deal/2", 0}, {`"new"`, "deal/1", 0}}, "0 1"},
		"what comes late":               {"changed(event.data.stage)", []told{{`"won"`, "", 0}, {`"new"`, "", 1}, {`"won"`, "", 0}}, "0"},
		"another path too":              {`changed(event.data["stage"]) || changed(contact.labels)`, []told{{`"a"`, "", 0}, {`"a"`, "", 0}}, "0"},
		"long ones":                     {"changed(event.data.stage)", []told{{`"` + strings.Repeat("x", 1000) + `"`, "", 0}, {`"` + strings.Repeat("x", 1001) + `"`, "", 0}}, "0 1"},
		"and something else":            {"changed(event.data.stage) && event.data.stage == 'b'", []told{{`"a"`, "", 0}, {`"b"`, "", 0}}, "1"},
	} {
		s := play(t, "trigger: {events: [deal]}\ncriteria: [{when: '"+strings.ReplaceAll(c.when, "'", "''")+"', do: [{end: true}]}]")
		var got []string
		for i, told := range c.told {
			before := s.starts
			s.seq++
			e := deal("deal", fmt.Sprint(i), of("7", `"stage":`+told.stage))
			e.Subject, e.Time = told.subject, s.now.Add(-told.late)
			s.hear(&Told{Event: e, Seq: s.seq})
			s.hear(&Told{Event: e, Seq: s.seq})
			if s.starts > before {
				got = append(got, fmt.Sprint(i))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestCriteriaByNews: a run that goes on begins what holds by news of it, each
// criterion once, as far as none before it says stop; news that can't be
// decided changes nothing.
func TestCriteriaByNews(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [deal]}
reentry: {key: event.data.deal}
criteria:
  - {id: won, when: 'changed(event.data.stage, "new", "won")', do: [{set: {labels: {won: true}}}], then: next}
  - {id: big, when: event.data.total > 100, do: [{set: {labels: {big: true}}}]}
  - {id: stay, do: [{wait: {for: 10h}}]}
`
	for name, c := range map[string]struct {
		told []string // by the hour
		want string
	}{
		"as it was":      {[]string{`"stage":"new","total":1`, `"stage":"new","total":2`}, "start stay news done"},
		"won":            {[]string{`"stage":"new","total":1`, `"stage":"won","total":1`, `"stage":"won","total":1`}, "start stay news won set news done"},
		"once":           {[]string{`"stage":"new","total":1`, `"stage":"won","total":1`, `"stage":"new","total":1`, `"stage":"won","total":1`}, "start stay news won set news news done"},
		"won and big":    {[]string{`"stage":"new","total":1`, `"stage":"won","total":101`}, "start stay news won big set set done"},
		"undecided":      {[]string{`"stage":"new","total":1`, `"stage":"won","total":"many"`}, "start stay news big:undecided won set done"},
		"lacking":        {[]string{`"stage":"new","total":1`, `"stage":"won"`}, "start stay news won set done"},
		"stop before it": {[]string{`"stage":"new","total":101`}, "start big set done"},
	} {
		s := play(t, doc)
		for _, data := range c.told {
			s.tell("deal", of("7", `"deal":"D1",`+data))
			s.after(time.Hour)
		}
		s.after(20 * time.Hour)
		_, r := s.only()
		var did []string
		for _, v := range r.Path {
			switch v.Did {
			case "wait":
			case "criterion":
				did = append(did, v.Step)
			case "undecided":
				did = append(did, v.Step+":undecided")
			default:
				did = append(did, v.Did)
			}
		}
		if got := strings.Join(did, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMemoryIsBounded: what was seen of the keys that were used last is kept.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := &Memory{}
	for i := range maxRemembered + 2 {
		m.remember(fmt.Sprint(i), Last{Seq: uint64(i)})
	}
	_, second := m.Values["1"]
	if _, third := m.Values["2"]; len(m.Values) != maxRemembered || second || !third {
		t.Errorf("%d are kept, %t, %t", len(m.Values), second, third)
	}
}

// TestCompileRefuses: what only the expressions show is told when a document
// is applied, with the field.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	const head = "trigger: {events: [a]}\n"
	for doc, want := range map[string]string{
		"steps: [{branch: [{when: evnt.id == '', do: [{end: true}]}]}]":                                         "steps-1.branch[0].when: undeclared reference to 'evnt'",
		"steps: [{id: b, branch: [{when: '1', do: [{end: true}]}]}]":                                            "b.branch[0].when: gives int, want bool",
		"steps: [{wait: {date: {field: '1'}}}]":                                                                 "steps-1.wait.date.field: gives int, want",
		"steps: [{set: {attributes: {a: '[1]'}}}]":                                                              "steps-1.set.attributes.a: gives list(int)",
		"criteria: [{when: changed(1), do: [{end: true}]}]":                                                     "criteria[0].when: changed() wants a path",
		"criteria: [{when: changed(steps.a), do: [{end: true}]}]":                                               "criteria[0].when: changed() wants a path",
		"criteria: [{when: changed(event), do: [{end: true}]}]":                                                 "criteria[0].when: changed() wants a path",
		"criteria: [{when: 'true', schedule: [{date: {field: x}, do: [{end: true}]}]}]":                         "criteria-1-schedule-1.date.field: undeclared",
		"steps: [{end: true}]\nexit: [{where: x}]":                                                              "exit[0].where: undeclared",
		"steps: [{end: true}]\ngoal: {where: x}":                                                                "goal.where: undeclared",
		"steps: [{end: true}]\nreentry: {key: 'x'}":                                                             "reentry.key: undeclared",
		"steps: [{end: true}]\nalso: {b: '1.5'}":                                                                "also.b: gives double",
		"steps: [{repeat: {at_most: 2, while: x, do: [{end: true}]}}]":                                          "steps-1.repeat.while: undeclared",
		"steps: [{branch: [{when: changed(event.data.x), do: [{end: true}]}]}]":                                 "steps-1.branch[0].when: changed() is for the conditions of criteria",
		"steps: [{end: true}]\nexit: [{where: 'changed(event.data.x)'}]":                                        "exit[0].where: changed() is for",
		"steps: [{webhook: {endpoint: crm, data: {a: 'event.'}}}]":                                              "steps-1.webhook.data.a: Syntax error",
		"steps: [{notify: {endpoint: crm, text: '{{.name}}'}}, {handover: {tell: {endpoint: crm, text: 'x'}}}]": "",
	} {
		_, err := Compile(document(t, head+doc), 1)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v, want %q", doc, err, want)
		}
	}
}
