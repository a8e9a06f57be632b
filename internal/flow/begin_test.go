package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestReentry: how often a contact goes through, at both sides of each limit.
func TestReentry(t *testing.T) {
	t.Parallel()
	const steps = "trigger: {events: [a]}\nsteps: [{set: {labels: {x: true}}}]\n"
	for name, c := range map[string]struct {
		doc    string
		gaps   []time.Duration // before each event after the first
		keys   []string
		starts int
		why    string
	}{
		"each event":           {"", []time.Duration{0, 0}, nil, 3, ""},
		"never again":          {"reentry: {never: true}", []time.Duration{0, 1000 * time.Hour}, nil, 1, whyOnce},
		"once for a key":       {"reentry: {key: event.data.k}", []time.Duration{1000 * time.Hour}, []string{"1", "1"}, 1, whyKey},
		"another key":          {"reentry: {key: event.data.k}", []time.Duration{0}, []string{"1", "2"}, 2, ""},
		"a moment too early":   {"reentry: {after: 1h}", []time.Duration{time.Hour - 1}, nil, 1, "the run before began less than 1h ago"},
		"after the time":       {"reentry: {after: 1h}", []time.Duration{time.Hour}, nil, 2, ""},
		"a key after the time": {"reentry: {key: event.data.k, after: 1h}", []time.Duration{time.Hour - 1, 1}, []string{"1", "1", "1"}, 2, "the run before began less than 1h ago"},
		"two in an hour":       {"frequency: {at_most: 2, per: 1h}", []time.Duration{0, time.Hour - 1}, nil, 2, whyFrequent},
		"the first is old":     {"frequency: {at_most: 2, per: 1h}", []time.Duration{0, time.Hour}, nil, 3, ""},
	} {
		s := play(t, steps+c.doc)
		for i, gap := range append([]time.Duration{0}, c.gaps...) {
			s.after(gap)
			data := ""
			if c.keys != nil {
				data = `"k":"` + c.keys[i] + `"`
			}
			told := s.tell("a", of("7", data))
			s.hear(told) // a repeat
		}
		if s.starts != c.starts || c.why != "" && !slices.Contains(s.whys, c.why) {
			t.Errorf("%s: %d runs began, want %d; %q", name, s.starts, c.starts, s.whys)
		}
	}
}

// TestRoundsHaveJobsOfTheirOwn: what a contact gets when it goes through again
// is not what it got before.
func TestRoundsHaveJobsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nreentry: {after: 1s}\nsteps: [{send: {text: x}}]")
	s.tell("a", of("7", ""))
	s.settle(job.Sent, "")
	s.after(time.Second)
	s.tell("a", of("7", ""))
	_, r := s.only()
	if r.Round != 1 || len(s.asked) != 2 || s.asked[0].ID != "1-0-1-0" || s.asked[1].ID != "1-0-2-0" || len(r.Path) != 2 {
		t.Errorf("%+v, %+v", r, s.asked)
	}
}

// TestNews: the same key while its run goes on replaces the event, unless it
// is older, and ends or moves the run as any other event would.
func TestNews(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: ["deal.*"]}
reentry: {key: event.data.deal}
exit: [{events: [deal.updated], where: event.data.stage == "lost"}]
steps: [{wait: {for: 1h}}, {branch: [{when: event.data.stage == "won", do: [{set: {labels: {won: true}}}]}]}]
`
	at := func(s *stage, when time.Time, stage string) {
		s.seq++
		e := deal("deal.updated", stage, of("7", `"deal":"1","stage":"`+stage+`"`))
		e.Time = when
		s.hear(&Told{Event: e, Seq: s.seq})
	}
	for name, c := range map[string]struct {
		first  string
		second string
		late   time.Duration // of the second
		want   string
	}{
		"won in the meantime":   {"new", "won", 0, "start wait news branch set done"},
		"an older one is late":  {"won", "new", time.Nanosecond, "start wait branch set done"},
		"lost in the meantime":  {"new", "lost", 0, "start wait news exited"},
		"the first ends no run": {"lost", "new", 0, "start wait news branch done"},
	} {
		s := play(t, doc)
		at(s, noon(), c.first)
		at(s, noon().Add(-c.late), c.second)
		s.after(time.Hour)
		if got := s.did(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestNewsIsForTheVersionOfTheRun: nothing of another version goes on with a
// run.
func TestNewsIsForTheVersionOfTheRun(t *testing.T) {
	t.Parallel()
	s := play(t, "trigger: {events: [a]}\nreentry: {key: event.data.psid}\nsteps: [{wait: {for: 1h}}]")
	s.tell("a", of("7", ""))
	id, r := s.only()
	newer := compiled(t, s.p.Spec, 2)
	if _, err := newer.Begin(id, r, nil, r.Identities, &Told{Event: deal("a", "x", of("7", "")), Seq: 9}, s.world()); err == nil {
		t.Error("a run of version 1 took its news by version 2")
	}
}

// TestCoalesce: what comes within the time starts one run, with the last of it
// by the teller's clock.
func TestCoalesce(t *testing.T) {
	t.Parallel()
	const doc = `
trigger: {events: [cart]}
coalesce: 1m
reentry: {key: event.data.psid}
exit: [{events: [bought]}]
steps: [{branch: [{when: event.data.n == 3, do: [{set: {labels: {three: true}}}]}]}]
`
	s := play(t, doc)
	for n, data := range []string{`"n":1`, `"n":2`, `"n":3`} {
		s.tell("cart", of("7", data))
		s.after(time.Duration(n+1) * time.Second)
	}
	s.until(noon().Add(time.Minute - 1))
	s.wantDid("gather news news")
	s.after(1)
	s.wantDid("gather news news start branch set done")
	if s.tell("cart", of("7", "")); s.starts != 1 {
		t.Errorf("%d starts", s.starts)
	}

	s = play(t, doc)
	s.tell("cart", of("7", ""))
	s.tell("bought", of("7", ""))
	s.after(time.Hour)
	s.wantDid("gather exited")
}

// TestKeywords: the text says which flow it is for; a word of the rulebook's
// never is.
func TestKeywords(t *testing.T) {
	t.Parallel()
	p := compiled(t, document(t, "sender: auto\ntype: auto_reply\ntrigger: {keywords: {match: word, words: [menu], languages: {nb: [meny]}}}\nsteps: [{send: {text: a}}]"), 1)
	for text, c := range map[string]struct {
		word policy.Keyword
		want string // keyword and language
	}{
		"the MENU, please": {policy.NoKeyword, "menu "},
		"Meny?":            {policy.NoKeyword, "meny nb"},
		"menus":            {policy.NoKeyword, ""},
		"stop menu":        {policy.OptOutMaybe, ""},
		"menu help":        {policy.Help, ""},
	} {
		told := &Told{Event: event.Event{Source: "meta", ID: text, Type: event.Message, Channel: "messenger", Sender: "shop", Person: "7", Text: text, Time: noon()}, Seq: 1, Word: c.word}
		s := staged(t, p)
		s.hear(told)
		if c.want == "" {
			if s.starts != 0 {
				t.Errorf("%q started a run", text)
			}
			continue
		}
		_, r := s.only()
		e := restored(r.Event)
		if got := e["keyword"].(string) + " " + e["language"].(string); got != c.want || r.Sender != "shop" || r.Choice != Auto || r.Data()["text"] != text {
			t.Errorf("%q: %q, %+v", text, got, r)
		}
	}
}

// TestMainIdentity: whom an event is about, for each way in which a flow finds its
// sender.
func TestMainIdentity(t *testing.T) {
	t.Parallel()
	const steps = "\ntrigger: {events: [a]}\nsteps: [{send: {text: a}}]"
	inbound := "type: auto_reply\ntrigger: {inbound: [message]}\nsteps: [{send: {text: a}}]"
	crm := func(e event.Event) event.Event { e.Source, e.ID, e.Type = "crm", "1", "a"; return e }
	data := []byte(`{"psid":"7","phone":"+47","owner":"kari"}`)
	for name, c := range map[string]struct {
		doc  string
		e    event.Event
		want Identity // zero: nobody
		err  string
	}{
		"by contact":                      {"sender: shop" + steps, crm(event.Event{Data: data}), Identity{"shop", "7"}, ""},
		"told of the same":                {"sender: shop" + steps, crm(event.Event{Data: data, Sender: "shop", Person: "7"}), Identity{"shop", "7"}, ""},
		"told of another identity":        {"sender: shop" + steps, crm(event.Event{Data: data, Sender: "sms", Person: "+47"}), Identity{}, ""},
		"told again":                      {"sender: shop" + steps, crm(event.Event{Data: data, Sender: "shop", Person: "7", Silent: true}), Identity{}, ""},
		"no contact":                      {"sender: shop" + steps, crm(event.Event{}), Identity{}, ""},
		"no id":                           {"sender: shop" + steps, crm(event.Event{Data: []byte(`{"psid":[1]}`)}), Identity{}, "contact: gives something else"},
		"auto: the first of also":         {"sender: auto\nalso: {sms: event.data.phone, z: event.data.psid}" + steps, crm(event.Event{Data: data}), Identity{"sms", "+47"}, ""},
		"an owner":                        {"sender: record_owner\nowner: event.data.owner\nowners: {kari: sms}\ncontact: event.data.phone" + steps, crm(event.Event{Data: data}), Identity{"sms", "+47"}, ""},
		"no owner":                        {"sender: record_owner\nowner: event.data.owner\nowners: {ola: sms}\ncontact: event.data.phone" + steps, crm(event.Event{Data: data}), Identity{}, "owners:"},
		"no owner, and somebody all same": {"sender: record_owner\nowner: event.data.owner\nowners: {ola: sms}\ncontact: event.data.phone\nalso: {shop: event.data.psid}" + steps, crm(event.Event{Data: data}), Identity{"shop", "7"}, ""},
		"written to the sender":           {inbound, event.Event{Channel: "sms", Sender: "shop", Person: "8"}, Identity{"shop", "8"}, ""},
		"written to another":              {inbound, event.Event{Channel: "sms", Sender: "sms", Person: "8"}, Identity{}, ""},
		"written to one beside it":        {"also: {sms: event.data.phone}\n" + inbound, event.Event{Channel: "sms", Sender: "sms", Person: "8"}, Identity{"sms", "8"}, ""},
		"written to an owner's":           {"sender: record_owner\nowner: event.data.owner\nowners: {kari: sms}\ncontact: event.data.phone" + steps, event.Event{Channel: "sms", Sender: "sms", Person: "8"}, Identity{"sms", "8"}, ""},
		"written to any":                  {"sender: auto\n" + inbound, event.Event{Channel: "sms", Sender: "sms", Person: "8"}, Identity{"sms", "8"}, ""},
	} {
		got, ok, err := compiled(t, document(t, c.doc), 1).Main(&Told{Event: c.e})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || ok != (c.want != Identity{}) || ok && got != c.want {
			t.Errorf("%s: %+v, %t, %v", name, got, ok, err)
		}
	}
}

// TestWrittenToAnother: what is written to another of a run's senders moves it
// and begins none.
func TestWrittenToAnother(t *testing.T) {
	t.Parallel()
	p := compiled(t, document(t, "type: auto_reply\nalso: {sms: event.data.phone}\ntrigger: {inbound: [message]}\nsteps: [{wait: {events: [message], timeout: 1h}}]"), 1)
	for sender, want := range map[string]bool{"shop": true, "sms": false} {
		told := wrote("x", 1, noon())
		told.Sender = sender
		who, is, err := p.Main(told)
		if !is || err != nil || who.Sender != sender {
			t.Fatalf("%s: %+v, %t, %v", sender, who, is, err)
		}
		if _, begins, err := p.Slot(told, who, *nowhere()); begins != want || err != nil {
			t.Errorf("%s: it begins: %t, %v", sender, begins, err)
		}
	}
}

// TestSenders: how a run finds its sender. Without one its messages are
// blocked, the run says why, and what is sent otherwise by another goes out.
func TestSenders(t *testing.T) {
	t.Parallel()
	s := play(t, "sender: auto\nalso: {a: event.data.a, b: event.data.b}\ntrigger: {events: [x]}\nsteps: [{send: {text: t}}]")
	s.contacts["b"] = contact.Record{LastInbound: noon()}
	s.tell("x", `{"a":"1","b":"2"}`)
	if _, r := s.only(); r.Sender != "b" || r.Choice != Auto || r.Identities[0].Sender != "a" || s.asked[0].Identity != (Identity{"b", "2"}) {
		t.Errorf("where it wrote last: %+v", r)
	}
	s = play(t, "sender: auto\ntype: auto_reply\nalso: {b: \"'2'\"}\ntrigger: {inbound: [message]}\nsteps: [{send: {text: t}}]")
	s.contacts["b"] = contact.Record{LastInbound: noon()}
	s.hear(wrote("x", 1, noon()))
	if _, r := s.only(); r.Sender != "shop" {
		t.Errorf("where it wrote: %+v", r)
	}
	const owned = "sender: record_owner\nowner: event.data.owner\nowners: {kari: kari-sms}\ncontact: event.data.phone\nalso: {shop: event.data.psid}\ntrigger: {events: [x]}\nsteps: [{id: s, send: {text: t, otherwise: [{text: t, sender: shop}]}}]"
	for owner, want := range map[string]string{"kari": "start send", "ola": "start send:blocked send"} {
		s = play(t, owned)
		s.tell("x", `{"psid":"7","phone":"+47","owner":"`+owner+`"}`)
		_, r := s.only()
		if got := s.did(); got != want || r.Choice != RecordOwner || len(r.Path) > 2 && r.Path[1].Reason != reason.SenderUnresolved {
			t.Errorf("%s: %s, %+v", owner, got, r)
		}
	}
}

// TestTimeoutThatNobodyWoke: what came until the end of a wait counts, and
// what came after it does not, whenever it is taken in.
func TestTimeoutThatNobodyWoke(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Duration]string{time.Hour: "start wait event set done", time.Hour + 1: "start wait timeout done"} {
		s := play(t, "trigger: {events: [a]}\nsteps: [{wait: {events: [b], timeout: 1h, then: [{set: {labels: {x: true}}}]}}]")
		s.tell("a", of("7", ""))
		s.now = noon().Add(5 * time.Hour)
		e := deal("b", "b", of("7", ""))
		e.Time = noon().Add(at)
		s.hear(&Told{Event: e, Seq: 9})
		if got := s.did(); got != want {
			t.Errorf("%s: %s", at, got)
		}
	}
	s := play(t, "trigger: {events: [a]}\nsteps: [{wait: {events: [b], timeout: 1h, then: [{set: {labels: {x: true}}}]}}]")
	s.tell("a", of("7", ""))
	e := deal("b", "b", of("7", ""))
	e.Time = noon().Add(2 * time.Hour) // by a clock that is ahead
	s.hear(&Told{Event: e, Seq: 9})
	s.wantDid("start wait event set done")
}
