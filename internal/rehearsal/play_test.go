package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/policy"
)

const senders = `
---
{kind: Sender, id: shop, channel: messenger, account: "1", credential: "env:X", capabilities: [utility], relax_flow_templates: true, timezone: UTC}
---
{kind: Sender, id: text, channel: sms, account: "+4759440000", account_sid: AC00000000000000000000000000000000, credential: "env:X", number_type: outside_us, timezone: UTC}
`

const contacts = `id,sender,name,last_inbound,sms_consent,labels
7,shop,Ada,2026-11-22T08:00:00Z,,old
8,shop,Bo,2026-11-22T08:00:00Z,,
9,shop,Cy,2026-11-22T08:00:00Z,,old
+4799999907,text,Ada,,true,
`

func stage(t *testing.T, docs string) *Stage {
	t.Helper()
	d, err := definition.Decode("flows.yaml", []byte(docs+senders))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := NewStage(t.Context(), "flows.yaml", d, gate.NewRules(policy.Default()), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rehearse(t *testing.T, docs, events string, o Options) *Report {
	t.Helper()
	if o.Contacts == nil {
		o.Contacts = []byte(contacts)
	}
	r, err := stage(t, docs).Play(t.Context(), read(t, events), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// told is a CRM's event at a clock time of the day.
func told(clock, id, typ, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"crm","type":%q,"time":"2026-11-22T%sZ","data":%s}`+"\n", id, typ, clock, data)
}

func did(clock, what, more string) string {
	return fmt.Sprintf(`{"event":%q,"at":"2026-11-22T%sZ","sender":"shop","contact":"7"%s}`+"\n", what, clock, more)
}

const begin = `kind: Flow
id: f
type: automation
sender: shop
contact: event.data.psid
also: {text: event.data.phone}
trigger: {events: [go]}
`

const ada = `{"psid":"7","phone":"+4799999907"}`

// path is a run's path in short: clock, step, what it did, and what came of it.
func path(r *Run) string {
	var out []string
	for _, v := range r.Path {
		line := v.At.Format("15:04:05 ") + strings.TrimSpace(v.Step+" "+v.Did)
		if v.State != "" {
			line += " " + string(v.State)
		}
		out = append(out, line)
	}
	return strings.Join(out, "; ")
}

func TestPlay(t *testing.T) {
	t.Parallel()
	send := begin + "steps:\n- {id: a, send: {text: 'Hi {{.name}}', expires_after: 2h, otherwise: [{sender: text, text: 'Sms {{.event.phone}}'}]}}\n"
	for _, c := range []struct{ name, docs, events, want, messages string }{
		{"sent at once", send, told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 a send sent; 09:00:00 done", "Hi Ada: sent"},
		{"failed, so otherwise", send, told("09:00:00", "1", "go", ada) + `{"outcome":"failed","sender":"shop","after":"3s"}`,
			"09:00:00 start; 09:00:00 a send failed; 09:00:03 a send sent; 09:00:03 done", "Hi Ada: failed; Sms +4799999907: sent"},
		{"unknown, so nothing otherwise", send, told("09:00:00", "1", "go", ada) + `{"outcome":"unknown","step":"a"}`,
			"09:00:00 start; 09:00:00 a send unknown; 09:00:00 done", "Hi Ada: unknown"},
		{"a fate for one alone", send, told("09:00:00", "1", "go", ada) + told("09:00:01", "2", "go", `{"psid":"8"}`) + `{"outcome":"failed","times":1,"sender":"shop"}`,
			"09:00:00 start; 09:00:00 a send failed; 09:00:00 a send sent; 09:00:00 done | 09:00:01 start; 09:00:01 a send sent; 09:00:01 done", "Hi Ada: failed; Sms +4799999907: sent; Hi Bo: sent"},
		{"a fate from later on", send, told("09:00:00", "1", "go", ada) + `{"outcome":"failed","at":"2026-11-22T09:00:01Z"}`,
			"09:00:00 start; 09:00:00 a send sent; 09:00:00 done", "Hi Ada: sent"},
		{"opted out before", send, did("08:30:00", "opt_out", "") + told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 a send blocked; 09:00:00 a send sent; 09:00:00 done", "Hi Ada: blocked; Sms +4799999907: sent"},
		{"their own word counts before the flow hears it", begin + "exit: [{events: [message]}]\nsteps: [{wait: {for: 1h}}, {id: a, send: {text: hi}}]\n",
			told("09:00:00", "1", "go", ada) + did("09:30:00", "message", `,"text":"STOP"`),
			"09:00:00 start; 09:00:00 steps-1 wait; 09:30:00 exited", ""},
		{"held for a person, and expired", send, did("08:30:00", "message", `,"text":"please stop texting me"`) + told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 a send expired; 11:00:00 done", "Hi Ada: expired"},
		{"held until their own word comes", send, did("08:30:00", "message", `,"text":"please stop texting me"`) + told("09:00:00", "1", "go", ada) + did("09:40:00", "message", `,"text":"STOP"`),
			"09:00:00 start; 09:00:00 a send blocked; 09:40:00 a send sent; 09:40:00 done", "Hi Ada: blocked; Sms +4799999907: sent"},
		{"an event in the moment at which a wait ends", begin + "steps: [{id: w, wait: {events: [paid], timeout: 1h, then: [{id: yes, end: true}], else: [{id: no, end: true}]}}]\n",
			told("09:00:00", "1", "go", ada) + told("10:00:00", "2", "paid", ada),
			"09:00:00 start; 09:00:00 w wait; 10:00:00 w event; 10:00:00 yes end; 10:00:00 done", ""},
		{"an event a moment later", begin + "steps: [{id: w, wait: {events: [paid], timeout: 1h, then: [{id: yes, end: true}], else: [{id: no, end: true}]}}]\n",
			told("09:00:00", "1", "go", ada) + strings.Replace(told("10:00:00", "2", "paid", ada), "00Z", "00.000000001Z", 1),
			"09:00:00 start; 09:00:00 w wait; 10:00:00 w timeout; 10:00:00 no end; 10:00:00 done", ""},
		{"one event is one event for two waits", begin + "steps: [{id: w, wait: {events: [paid], timeout: 1h}}, {id: v, wait: {events: [paid], timeout: 1h}}]\n",
			told("09:00:00", "1", "go", ada) + told("09:10:00", "2", "paid", ada),
			"09:00:00 start; 09:00:00 w wait; 09:10:00 w event; 09:10:00 v wait; 10:10:00 v timeout; 10:10:00 done", ""},
		{"a call that fails", begin + "steps: [{id: hook, webhook: {endpoint: crm, data: {n: '1'}}}, {branch: [{when: 'steps.hook.state == \"failed\"', do: [{id: sorry, end: true}]}]}]\n---\n{kind: Endpoint, id: crm, url: 'https://crm.example/', secrets: ['env:X']}\n",
			told("09:00:00", "1", "go", ada) + `{"outcome":"failed","step":"hook","after":"1m"}`,
			"09:00:00 start; 09:00:00 hook webhook failed; 09:01:00 steps-2 branch; 09:01:00 sorry end; 09:01:00 done", ""},
		{"a label begins another flow", begin + "steps: [{id: tag, set: {labels: {vip: true}}}]\n---\n{kind: Flow, id: g, type: automation, sender: shop, trigger: {label: {added: vip}}, steps: [{id: hi, send: {text: hello}}]}\n",
			told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 tag set; 09:00:00 done | 09:00:00 start; 09:00:00 hi send sent; 09:00:00 done", "hello: sent"},
		{"a label that was there before begins nothing, a new one does", "{kind: Flow, id: g, type: automation, sender: shop, trigger: {segment: {labels: [old]}}, steps: [{id: hi, send: {text: 'hello {{.name}}'}}]}\n",
			did("09:00:00", "reaction", "") + told("09:10:00", "1", "carillon.contact.changed", `{"sender":"shop","contact":"8","labels":{"old":true}}`) + told("09:20:00", "2", "carillon.contact.changed", `{"sender":"shop","contact":"9","labels":{"old":true}}`),
			"09:10:00 start; 09:10:00 hi send sent; 09:10:00 done", "hello Bo: sent"},
		{"a date of the contact", "{kind: Flow, id: g, type: automation, sender: shop, trigger: {date: {field: contact.attributes.renewal, offset: -1d, at: '10:00'}}, steps: [{id: hi, send: {text: 'soon'}}]}\n",
			did("09:00:00", "reaction", "") + told("09:10:00", "1", "carillon.contact.changed", `{"sender":"shop","contact":"8","attributes":{"renewal":"2026-11-24"}}`) + told("09:20:00", "2", "carillon.contact.changed", `{"sender":"shop","contact":"8","attributes":{"renewal":"2026-11-23"}}`),
			"09:10:00 gather; 09:20:00 moved; 10:00:00 start; 10:00:00 hi send sent; 10:00:00 done", "soon: sent"},
		{"a notice is about the run's contact, and judged for who gets it", begin + "steps: [{id: n, notify: {sender: text, to: ['+4799999907', '+4799999999'], text: '{{.name}} waits'}}]\n",
			told("09:00:00", "1", "go", `{"psid":"8"}`),
			"09:00:00 start; 09:00:00 n notify sent; 09:00:00 n notify blocked; 09:00:00 done", "Bo waits: sent; Bo waits: blocked"},
		{"one flow starts another and stops a third", begin + "steps: [{start: g}, {wait: {for: 1h}}, {stop: g}]\n---\n{kind: Flow, id: g, type: automation, sender: shop, contact: event.data.psid, trigger: {events: [never]}, steps: [{id: w, wait: {for: 1d}}]}\n",
			told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 steps-1 start; 09:00:00 steps-2 wait; 10:00:00 steps-3 stop; 10:00:00 done | 09:00:00 start; 09:00:00 w wait; 10:00:00 stopped", ""},
		{"a private reply answers a comment once", "{kind: Flow, id: f, type: auto_reply, sender: shop, trigger: {comment: true}, steps: [{id: a, send: {text: hi, via: private_reply}}, {id: b, send: {text: again, via: private_reply}}]}\n",
			did("09:00:00", "comment", `,"id":"c1"`),
			"09:00:00 start; 09:00:00 a send sent; 09:00:00 b send blocked; 09:00:00 done", "hi: sent; again: blocked"},
		{"a keyword", "{kind: Flow, id: f, type: auto_reply, sender: shop, trigger: {keywords: {words: [menu]}}, steps: [{id: a, send: {text: 'You said {{.event.text}}'}}]}\n",
			did("09:00:00", "message", `,"text":"Menu"`) + did("09:01:00", "message", `,"text":"the rest"`),
			"09:00:00 start; 09:00:00 a send sent; 09:00:00 done", "You said Menu: sent"},
		{"of two keywords in one text the longer is answered", "{kind: Flow, id: f, type: auto_reply, sender: shop, trigger: {keywords: {match: word, words: [menu]}}, steps: [{id: a, send: {text: menu}}]}\n---\n" +
			"{kind: Flow, id: g, type: auto_reply, sender: shop, trigger: {keywords: {match: word, words: [opening hours]}}, steps: [{id: b, send: {text: hours}}]}\n",
			did("09:00:00", "message", `,"text":"menu and opening hours?"`) + did("09:01:00", "message", `,"text":"the menu"`),
			"09:00:00 start; 09:00:00 b send sent; 09:00:00 done | 09:01:00 start; 09:01:00 a send sent; 09:01:00 done", "hours: sent; menu: sent"},
		{"quiet hours of the flow", begin + "quiet_hours: {from: '08:00', to: '10:30'}\nsteps: [{id: a, send: {text: hi}}]\n", told("09:00:00", "1", "go", ada),
			"09:00:00 start; 09:00:00 a quiet; 10:30:00 a send sent; 10:30:00 done", "hi: sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rehearse(t, c.docs, c.events, Options{})
			var paths, messages []string
			for _, run := range r.Runs {
				paths = append(paths, path(run))
				for _, m := range run.Messages {
					messages = append(messages, m.Text+": "+string(m.State))
				}
			}
			if got := strings.Join(paths, " | "); got != c.want {
				t.Errorf("path\n%s\nwant\n%s\n%s", got, c.want, r.Text())
			}
			if got := strings.Join(messages, "; "); got != c.messages {
				t.Errorf("messages %s, want %s\n%s", got, c.messages, r.Text())
			}
		})
	}
}

// What began nothing says why.
func TestQuiet(t *testing.T) {
	t.Parallel()
	docs := begin + "reentry: {never: true}\nsteps: [{send: {text: hi}}]\n"
	r := rehearse(t, docs, told("09:00:00", "1", "go", ada)+told("09:00:01", "2", "go", ada)+told("09:00:02", "3", "gone", ada)+told("09:00:03", "4", "go", `{}`), Options{})
	var got []string
	for _, q := range r.Quiet {
		got = append(got, q.What+": "+q.Why)
	}
	want := []string{"go 2 of crm: once for each contact: there was one", "gone 3 of crm: no flow hears it", "go 4 of crm: it names nobody: flow f: contact"}
	if len(got) != len(want) || !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A rehearsal that is broken off shows what waits.
func TestUntil(t *testing.T) {
	t.Parallel()
	docs := begin + "steps: [{wait: {for: 2h}}, {id: a, send: {text: hi}}]\n"
	end := time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)
	for until, want := range map[time.Time]flow.State{end: flow.Done, end.Add(-1): flow.Waiting} {
		r := rehearse(t, docs, told("09:00:00", "1", "go", ada), Options{Until: until})
		if got := r.Runs[0]; got.State != want || !r.Until.Equal(until) || want == flow.Waiting && !got.Due.Equal(end) {
			t.Errorf("until %v: %s until %v, want %s", until, got.State, got.Due, want)
		}
	}
}

// The order of the lines, and lines that stand there twice, change nothing.
func TestOrder(t *testing.T) {
	t.Parallel()
	docs := begin + "reentry: {key: event.data.order}\nsteps:\n- {id: w, wait: {events: [paid], timeout: 30s, then: [{send: {text: 'thanks for {{.event.order}}'}}], else: [{send: {text: 'waiting'}}]}}\n"
	var lines []string
	for i := range 60 {
		typ := []string{"go", "paid", "go"}[i%3]
		lines = append(lines, told(fmt.Sprintf("09:%02d:00", i/6), fmt.Sprint(i), typ, fmt.Sprintf(`{"psid":"%d","order":"%d"}`, 7+i%2, i%7)))
	}
	want := rehearse(t, docs, strings.Join(lines, ""), Options{}).Text()
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // an order, no secret
	for range 5 {
		some := append(slices.Clone(lines), lines[r.IntN(len(lines))], lines[r.IntN(len(lines))])
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		if got := rehearse(t, docs, strings.Join(some, ""), Options{}).Text(); got != want {
			t.Fatalf("in another order:\n%s\nwant\n%s", got, want)
		}
	}
	if strings.Count(want, "thanks for") == 0 || strings.Count(want, "| waiting") == 0 {
		t.Errorf("the script tries both ways:\n%s", want)
	}
}

func TestStageRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ docs, events, want string }{
		{"{kind: Broadcast, id: b, sender: shop, message: {text: x}}", "", "no document of kind: Flow"},
		{begin + "steps: [{send: {text: hi}}]\n", strings.Replace(did("09:00:00", "message", ""), "shop", "barn", 1), "line 1: sender barn is not defined"},
		{begin + "steps: [{branch: [{when: 'nonsense(', do: [{end: true}]}]}]\n", "", "branch[0].when"},
		{begin + "steps: [{send: {template: none}}]\n", "", "flows.yaml:8: flow f: steps[0].send.template none is not defined"},
		{strings.Replace(begin, "shop", "page", 1) + "steps: [{send: {text: hi}}]\n---\n{kind: Sender, id: page, channel: messenger, account: \"9\", credential: \"env:X\"}\n", "", "flow_template_required"},
	} {
		d, err := definition.Decode("flows.yaml", []byte(c.docs+senders))
		var s *Stage
		if err == nil {
			s, _, err = NewStage(t.Context(), "flows.yaml", d, gate.NewRules(policy.Default()), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
		}
		if err == nil && c.events != "" {
			_, err = s.Play(t.Context(), read(t, c.events), Options{})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// A rehearsal can be interrupted, and a report is JSON.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s, script := stage(t, begin+"steps: [{send: {text: hi}}]\n"), read(t, told("09:00:00", "1", "go", ada))
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := s.Play(ctx, script, Options{}); !errors.Is(err, stopped) {
		t.Errorf("%v, want %v", err, stopped)
	}
	r, err := s.Play(t.Context(), script, Options{Contacts: []byte(contacts)})
	if err != nil || r.Counts()[job.Sent] != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"text":"hi"`) || !strings.Contains(string(b), `"rule":"standard_window"`) {
		t.Errorf("%s, %v", b, err)
	}
}
