package sandbox

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

type toldLine struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Account  string    `json:"account"`
	Person   string    `json:"person"`
	Kind     string    `json:"kind"`
	ID       string    `json:"id"`
	Asks     string    `json:"asks"`
	Told     bool      `json:"told"`
	Answered time.Time `json:"answered"`
}

type personLine struct {
	Seq          uint64    `json:"seq"`
	Time         time.Time `json:"time"`
	Account      string    `json:"account"`
	Person       string    `json:"person"`
	Of           string    `json:"of"`
	AdMessage    time.Time `json:"ad_message"`
	AskedToStop  bool      `json:"asked_to_stop"`
	OptedOut     bool      `json:"opted_out"`
	NoMarketing  bool      `json:"opted_out_of_marketing"`
	Blocked      bool      `json:"blocked"`
	Used         bool      `json:"used"`
	Elsewhere    bool      `json:"elsewhere"`
	AnsweredStop time.Time `json:"answered"`
}

// TestPlayIsSeeded: the same seed and the same people do the same.
func TestPlayIsSeeded(t *testing.T) {
	var runs [3][]Happening
	for i, seed := range []uint64{5, 5, 6} {
		b := newBench(t, Options{})
		b.admin("POST", "people?account=77", "id\n1\n2\n3\n")
		b.admin("POST", "people?account=88", "id\n1\n")
		c := newCrowd(b.Sandbox, Play{Seed: seed})
		for range 3000 {
			runs[i] = append(runs[i], c.next())
		}
	}
	if !slices.Equal(runs[0], runs[1]) || slices.Equal(runs[0], runs[2]) {
		t.Error("deeds do not follow the seed alone")
	}
	did := map[string]bool{}
	for _, h := range runs[0] {
		if err := h.validate(); err != nil {
			t.Fatalf("%+v: %v", h, err)
		}
		did[h.Kind+meaning(h.Text)] = true
	}
	for _, want := range []string{"message", "messagestop", "messagemaybe_stop", "messagestart", "stop_notifications", "resume_notifications", "block", "comment",
		"one_time", "delete", "thread_taken", "thread_back"} {
		if !did[want] {
			t.Errorf("nobody ever did %s", want)
		}
	}
}

// TestPlayed recounts from the lists what a crowd did.
func TestPlayed(t *testing.T) {
	h := newHookServer(t, nil)
	b := newBench(t, Options{Now: time.Now})
	b.running()
	b.subscribe(Webhook{URL: h.url, Items: 50, Repeat: 0.2, Late: 0.2, Reorder: 0.2, LateMS: 20})
	b.admin("POST", "people?account=77", "id\n1\n2\n3\n4\n5\n")
	done, err := b.Play(t.Context(), Play{Rate: maxRate, Seconds: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	b.until("everything is told", func() bool { return !strings.Contains(b.admin("GET", "told", ""), `"told":true}`) })
	did := map[string]int{}
	asked, elsewhere := map[string]bool{}, map[string]bool{}
	newest := map[string]time.Time{}
	for _, l := range list[toldLine](t, b.admin("GET", "told", "")) {
		did[l.Kind]++
		switch l.Asks {
		case asksStop, asksStart:
			asked[l.Person] = l.Asks == asksStop
		}
		if strings.HasPrefix(l.Kind, "thread_") {
			elsewhere[l.Person] = l.Kind == "thread_taken"
		}
		if deeds()[l.Kind].opens {
			newest[l.Person] = l.Time
		}
		if l.Told != (l.Kind != "block") || l.Told && l.Answered.Before(l.Time) {
			t.Errorf("%+v", l)
		}
	}
	if len(did) < 8 || !maps.Equal(did, done.Deeds) {
		t.Errorf("played %v, listed %v", done.Deeds, did)
	}
	for _, p := range list[personLine](t, b.admin("GET", "people?account=77", "")) {
		if p.Of != "" {
			if !strings.Contains(p.Person, ":") || p.Used {
				t.Errorf("a permission that nobody used: %+v", p)
			}
			continue
		}
		if p.AskedToStop != asked[p.Person] || p.AskedToStop == p.AnsweredStop.IsZero() || p.Elsewhere != elsewhere[p.Person] || !newest[p.Person].IsZero() && !p.Time.Equal(newest[p.Person]) {
			t.Errorf("%+v: asked %t, elsewhere %t, newest %s", p, asked[p.Person], elsewhere[p.Person], newest[p.Person])
		}
	}
	if n := len(list[personLine](t, b.admin("GET", "people?limit=2&after=1", ""))); n != 2 {
		t.Errorf("%d people of 2", n)
	}
}

func TestPlayRefuses(t *testing.T) {
	b := newBench(t, Options{})
	for _, body := range []string{
		`{"rate":1,"seconds":1}`, // nobody is there
		`{}`, `{"rate":2001,"seconds":1}`, `{"rate":1}`, `{"rate":1,"seconds":86401}`, `{"rate":1,"seconds":1,"mix":{"dance":1}}`,
		`{"rate":1,"seconds":1,"mix":{}}`, `{"rate":1,"seconds":1,"mix":{"stop":-1}}`,
	} {
		if a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/play", strings.NewReader(body))); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}
