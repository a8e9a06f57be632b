package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// soaked is one account under the soak.
type soaked struct {
	sender, channel, account, more string
	ps                             []person
}

// soak is one run: people at play, broadcasts one after the other.
type soak struct {
	*layout
	pl      *platform
	senders []*soaked
	sent    []string // broadcasts, in order
}

// happening is one line of the platform's list of what people did.
type happening struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Account  string    `json:"account"`
	Person   string    `json:"person"`
	Kind     string    `json:"kind"`
	Asks     string    `json:"asks"`
	Standby  bool      `json:"standby"`
	Told     bool      `json:"told"`
	Answered time.Time `json:"answered"`
}

// TestSoak plays people while broadcasts run: they write, react, comment, opt
// out in every way, block and come back, and the platform tells it late,
// twice, out of order and not on the first try. At the end the platform's
// books and ours agree contact by contact, and no message was accepted for
// anybody after the webhook with their opt-out was answered.
//
// SOAK=10m plays for longer, SOAK_SEED=7 plays the same people again.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(first(os.Getenv("SOAK_SEED"), strconv.FormatUint(rand.Uint64N(1<<32)+1, 10)), 10, 64)
	if err != nil {
		t.Fatal("SOAK_SEED:", err)
	}
	long, err := time.ParseDuration(first(os.Getenv("SOAK"), "20s"))
	if err != nil {
		t.Fatal("SOAK:", err)
	}
	t.Logf("play these people again with SOAK_SEED=%d", seed)
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000, Seed: seed})
	s := newSoak(t, pl)
	s.subscribe()
	s.faults()
	played := make(chan sandbox.Played, 1)
	go func() {
		done, err := pl.Play(context.WithoutCancel(t.Context()), sandbox.Play{Rate: 50, Seconds: long.Seconds(), Seed: seed})
		if err != nil {
			t.Error(err)
		}
		played <- done
	}()
	rounds := 0
	for over := false; !over; rounds++ {
		s.round(fmt.Sprintf("round-%d", rounds), 10*time.Second)
		select {
		case done := <-played:
			t.Logf("%d rounds; people did %v", rounds+1, done.Deeds)
			over = true
		default:
		}
	}
	s.settle()
	pl.ClearFaults()
	s.round("last", 20*time.Second) // so that nobody is missed since the machine was slow
	s.settle()
	s.agree()
	books, told := pl.books(t), lines[happening](t, pl, "told")
	s.noneAfter(books, told)
	s.facts(told)
	s.last(books, told)
	for name, n := range pl.Summary("").Violations {
		if n != 0 {
			t.Errorf("%d violations: %s", n, name)
		}
	}
	if n := pl.Summary("").Duplicates.Message; n != 0 {
		t.Errorf("%d messages were accepted twice", n)
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// newSoak lays out two schedulers and two workers, with a Page that takes
// batches and an Instagram account.
func newSoak(t *testing.T, pl *platform) *soak {
	t.Helper()
	s := &soak{pl: pl, senders: []*soaked{
		{sender: "page", channel: "messenger", account: "1062540011223344", more: "batch: true"},
		{sender: "insta", channel: "instagram", account: "17841400099887766"},
	}}
	s.layout = ground(t, pl)
	s.env = append(s.env, "CARILLON_NATS_URL="+natsServer(t, s.dir), "CARILLON_REDIS_URL="+redisServer(t, s.dir),
		"SOAK_APP_SECRET=hush", "SOAK_VERIFY_TOKEN=please")
	s.run(2, 2)
	docs := "kind: Hook\nid: soak\ntype: meta\nsecrets: [env:SOAK_APP_SECRET]\nverify_token: env:SOAK_VERIFY_TOKEN\napp_id: \"1517776481860111\"\n"
	for _, x := range s.senders {
		docs += fmt.Sprintf("---\nkind: Sender\nid: %s\nchannel: %s\naccount: %q\ncredential: env:BAKERY_TOKEN\n%s\n", x.sender, x.channel, x.account, x.more)
	}
	if _, err := s.api.Apply(t.Context(), "soak.yaml", strings.NewReader(docs)); err != nil {
		t.Fatal(err)
	}
	for _, x := range s.senders {
		x.ps = people(300, time.Now())
		if err := pl.Declare(sandbox.Account{Account: x.account, Channel: x.channel}); err != nil {
			t.Fatal(err)
		}
		if _, err := pl.LoadPeople(x.account, strings.NewReader(csv(x.ps))); err != nil {
			t.Fatal(err)
		}
		if done, err := s.api.ImportContacts(t.Context(), x.sender, strings.NewReader(csv(x.ps)), false, func(client.ImportEvent) {}); err != nil || done.Bad != 0 {
			t.Fatalf("import %+v, %v", done, err)
		}
	}
	return s
}

// subscribe has each account told to another scheduler, badly.
func (s *soak) subscribe() {
	s.t.Helper()
	for i, x := range s.senders {
		h := sandbox.Webhook{
			URL: s.base(s.schedulers[i]) + "/hooks/meta/soak", AppSecret: "hush", VerifyToken: "please", AppID: "1517776481860111", Account: x.account,
			Late: 0.2, LateMS: 2000, Repeat: 0.1, Reorder: 0.3, Drop: 0.05,
		}
		if _, err := s.pl.Subscribe(s.t.Context(), h); err != nil {
			s.t.Fatal(err)
		}
	}
}

// faults lose answers of the Page's calls. Its echoes carry the job, so that
// every outcome which is unknown by that becomes known.
func (s *soak) faults() {
	s.t.Helper()
	for _, f := range []sandbox.Fault{
		{Kind: sandbox.FaultDropAfter, Account: s.senders[0].account, Probability: 0.05, Count: 3},
		{Kind: sandbox.FaultHTTP500, Account: s.senders[0].account, Probability: 0.05, Count: 5},
	} {
		if _, err := s.pl.AddFault(f); err != nil {
			s.t.Fatal(err)
		}
	}
}

// round sends one broadcast from each account and waits until they are over.
// Messages that wait for a review or for a thread are waited for until they
// expire.
func (s *soak) round(id string, expires time.Duration) {
	s.t.Helper()
	for _, x := range s.senders {
		doc := fmt.Sprintf("kind: Broadcast\nid: %s-%s\nsender: %s\naudience: {labels: [regular]}\npace: {per_second: 60}\nexpires_after: %s\nmessage: {text: \"Hello {{.name}}, the menu of %s is here.\", promotional: true}\n",
			x.sender, id, x.sender, expires, id)
		if _, err := s.api.Apply(s.t.Context(), "round.yaml", strings.NewReader(doc)); err != nil {
			s.t.Fatal(err)
		}
		var warned []string
		if x.channel == "messenger" {
			warned = append(warned, "bulk_discouraged")
		}
		if _, err := s.api.Launch(s.t.Context(), x.sender+"-"+id, warned...); err != nil {
			s.t.Fatal(err)
		}
		s.sent = append(s.sent, x.sender+"-"+id)
	}
	for _, x := range s.senders {
		audit := s.ended(x.sender + "-" + id)
		if !audit.Balanced || audit.Audience != len(x.ps) {
			s.t.Errorf("%s-%s does not balance: %v", x.sender, id, audit.Problems)
		}
	}
}

// settle waits until everything that happened is told and answered.
func (s *soak) settle() {
	s.t.Helper()
	s.until("everything is told and answered", func() bool {
		for _, w := range s.pl.Subscriptions() {
			if w.Lost != 0 {
				s.t.Fatalf("webhooks were lost: %+v", w)
			}
			if w.Waiting != 0 {
				return false
			}
		}
		return !slices.ContainsFunc(lines[happening](s.t, s.pl, "told"), func(h happening) bool { return h.Told && h.Answered.IsZero() }) &&
			!slices.ContainsFunc(s.pl.books(s.t), func(a accepted) bool { return !a.Echoed || !a.Delivered && a.Account == s.senders[0].account })
	})
	for _, w := range s.pl.Subscriptions() {
		if w.Dropped == 0 || w.Answered == 0 {
			s.t.Errorf("the faults of a webhook do not show: %+v", w)
		}
		s.t.Logf("webhook %+v", w)
	}
}

// of is a person of an account.
type of struct{ account, person string }

// noneAfter checks the promise P3 over the wire: from the answer to the
// webhook with an opt-out until the person asks to hear again nothing was
// accepted for them. All broadcasts promote, so that every kind of opt-out
// forbids them, and one that is to be reviewed too. On a machine that stands
// still for seconds a message may outlast the wait for it, which is then
// counted; so many may arrive later, and no more.
func (s *soak) noneAfter(books []accepted, told []happening) {
	s.t.Helper()
	wishes := map[of][]happening{}
	for _, h := range told {
		if h.Asks != "" {
			wishes[of{h.Account, h.Person}] = append(wishes[of{h.Account, h.Person}], h)
		}
	}
	n, outlasted := 0, 0
	for _, p := range s.schedulers {
		v, _ := p.figure("carillon_optouts_outlasted_total")
		outlasted += int(v)
	}
	for who, hs := range wishes {
		for i, h := range hs {
			if h.Asks == "start" || h.Asks == "resume_notifications" {
				continue
			}
			until := time.Now()
			if back := slices.IndexFunc(hs[i:], func(h happening) bool { return h.Asks == "start" || h.Asks == "resume_notifications" }); back > 0 {
				until = hs[i+back].Time
			}
			n++
			for _, a := range books {
				if (of{a.Account, a.Person}) != who || !a.Time.After(h.Answered) || !a.Time.Before(until) {
					continue
				}
				if outlasted--; outlasted < 0 {
					s.t.Errorf("%s of %s said %s at %s, which was answered at %s; %s was accepted at %s", who.person, who.account, h.Asks, h.Time, h.Answered, a.Metadata, a.Time)
				}
			}
		}
	}
	if s.t.Logf("%d wishes to hear no more, %d messages", n, len(books)); n == 0 {
		s.t.Error("nobody asked to hear no more")
	}
}

// agree compares every message with every job, and waits until they agree:
// a receipt that came before its job's outcome is read again by the leader, and
// one that is on its way while the books are read is told in them a moment
// later.
func (s *soak) agree() {
	s.t.Helper()
	var problems []string
	limit, tick := time.Now().Add(patience), time.NewTicker(500*time.Millisecond)
	defer tick.Stop()
	for {
		if problems = s.disagreements(s.pl.books(s.t)); len(problems) == 0 || time.Now().After(limit) {
			break
		}
		<-tick.C
	}
	for i, p := range problems {
		if i == 20 {
			s.t.Errorf("… %d more", len(problems)-i)
			break
		}
		s.t.Error(p)
	}
}

// disagreements lists where our books and the platform's differ.
func (s *soak) disagreements(books []accepted) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	got := map[string][]accepted{}
	people := map[of][]accepted{}
	for _, a := range books {
		got[a.Metadata] = append(got[a.Metadata], a)
		people[of{a.Account, a.Person}] = append(people[of{a.Account, a.Person}], a)
	}
	states := map[string]int{}
	for _, id := range s.sent {
		audit, err := s.api.Audit(s.t.Context(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		for job, m := range s.members(id, audit) {
			states[m.State]++
			as := got[job]
			delete(got, job)
			switch {
			case len(as) == 0 && m.Bucket == "sent":
				say("%s is %s, and the platform never took it", job, m.State)
			case len(as) == 1 && m.State == "unknown" && as[0].Account != s.senders[0].account:
				continue // its answer was lost to a slow machine, and Instagram's echoes name no job
			case len(as) == 1 && m.Bucket != "sent":
				say("%s is %s (%s), and the platform took it at %s", job, m.State, m.Reason, as[0].Time)
			case len(as) > 1:
				say("%s was taken %d times", job, len(as))
			}
			if len(as) != 1 {
				continue
			}
			if as[0].Person != m.ID {
				say("%s went to %s, not to %s", job, as[0].Person, m.ID)
			}
			least, most := s.told(as[0], people[of{as[0].Account, m.ID}])
			if is := rank(m.State); is < least || is > most {
				say("%s is %s; by what was told it is %d to %d (0 sent, 1 delivered, 2 read)", job, m.State, least, most)
			}
		}
	}
	for job := range got {
		say("the platform took %q, which is nobody's job", job)
	}
	s.t.Logf("jobs by state: %v", states)
	return problems
}

func rank(state string) int { return slices.Index([]string{"sent", "delivered", "read"}, state) }

// told is how far a message must have come by what was told of it and of the
// others to the person, and how far it may have come. On Messenger a watermark
// covers everything before it, and by clocks that differ a little after it.
func (s *soak) told(a accepted, others []accepted) (least, most int) {
	if a.Account != s.senders[0].account { // Instagram tells of single messages, and only that they were read
		if a.Read {
			return 2, 2
		}
		return 0, 0
	}
	const skew = 15 * time.Second
	for _, b := range others {
		if b.Delivered && !a.Time.Truncate(time.Millisecond).After(b.Time) {
			least = max(least, 1)
		}
		if b.Delivered && !a.Time.After(b.Time.Add(skew)) {
			most = max(most, 1)
		}
		if b.Read && !a.Time.Truncate(time.Millisecond).After(b.ReadAt) {
			least = 2
		}
		if b.Read && !a.Time.After(b.ReadAt.Add(skew)) {
			most = 2
		}
	}
	return least, most
}

// opens tells whether the platform says that a happening opens the window, in
// a thread that is the sender's.
func (h *happening) opens() bool {
	return !h.Standby && slices.Contains([]string{"message", "ad_message", "postback", "referral", "optin", "reaction"}, h.Kind)
}

// wrote is when each person opened the window last, imports included.
func (s *soak) wrote(told []happening) map[of]time.Time {
	newest := map[of]time.Time{}
	for _, x := range s.senders {
		for _, p := range x.ps {
			if !p.inbound.IsZero() {
				newest[of{x.account, p.id}] = p.inbound.UTC().Truncate(time.Second)
			}
		}
	}
	for _, h := range told {
		if at := h.Time.Truncate(time.Millisecond); h.opens() && at.After(newest[of{h.Account, h.Person}]) {
			newest[of{h.Account, h.Person}] = at
		}
	}
	return newest
}

// facts compares what is known of every contact with what they did.
func (s *soak) facts(told []happening) {
	s.t.Helper()
	newest, stopped := s.wrote(told), map[of]map[string]time.Time{} // when each said first to hear no more, by scope
	for _, h := range told {
		scope := map[string]string{"stop": "all", "stop_notifications": "marketing"}[h.Asks]
		who := of{h.Account, h.Person}
		if scope == "" {
			continue
		}
		if stopped[who] == nil {
			stopped[who] = map[string]time.Time{}
		}
		if stopped[who][scope].IsZero() {
			stopped[who][scope] = h.Time.Truncate(time.Millisecond)
		}
	}
	blocked := map[of]bool{}
	for _, p := range lines[standing](s.t, s.pl, "people") {
		blocked[of{p.Account, p.Person}] = p.Blocked
	}
	for _, x := range s.senders {
		for _, p := range x.ps {
			who := of{x.account, p.id}
			c, err := s.api.Contact(s.t.Context(), x.sender, p.id)
			if err != nil || c.Contact == nil {
				s.t.Fatalf("%s: %v", p.id, err)
			}
			if !c.Contact.LastInbound.Equal(newest[who]) {
				s.t.Errorf("%s of %s wrote at %s; we know %s", p.id, x.sender, newest[who], c.Contact.LastInbound)
			}
			if at := c.Contact.BlockedAt; at.After(c.Contact.LastInbound) && !blocked[who] {
				s.t.Errorf("%s of %s has blocked nobody; we think since %s", p.id, x.sender, at)
			}
			if p.out != "" { // imported as opted out
				continue
			}
			known := map[string]time.Time{}
			for _, o := range c.Contact.OptOuts {
				known[o.Scope] = o.At
			}
			for _, scope := range []string{"all", "marketing"} {
				if !known[scope].Equal(stopped[who][scope]) {
					s.t.Errorf("%s of %s opted out of %s at %s; we know %s", p.id, x.sender, scope, stopped[who][scope], known[scope])
				}
			}
		}
	}
}

// standing is one line of the platform's list of people.
type standing struct {
	Account     string `json:"account"`
	Person      string `json:"person"`
	AskedToStop bool   `json:"asked_to_stop"`
	OptedOut    bool   `json:"opted_out"`
	NoMarketing bool   `json:"opted_out_of_marketing"`
	Blocked     bool   `json:"blocked"`
	Elsewhere   bool   `json:"elsewhere"`
}

// wish is what somebody asked for in the end, where the platform's books and
// ours say it in different ways.
type wish struct {
	all  bool // to hear again, of everything: to the platform that leaves its own control of marketing as it was
	torn bool // to hear no more and to hear again within the same millisecond, which is all that we are told: then not
}

// wished returns what each person asked for in the end.
func wished(told []happening) map[of]wish {
	type asked struct{ stop, quiet, start, resume time.Time }
	newest := map[of]*asked{}
	for _, h := range told {
		who := of{h.Account, h.Person}
		if newest[who] == nil {
			newest[who] = &asked{}
		}
		a := newest[who]
		for asks, at := range map[string]*time.Time{"stop": &a.stop, "stop_notifications": &a.quiet, "start": &a.start, "resume_notifications": &a.resume} {
			if t := h.Time.Truncate(time.Millisecond); h.Asks == asks && t.After(*at) {
				*at = t
			}
		}
	}
	out := map[of]wish{}
	for who, a := range newest {
		back := a.start
		if a.resume.After(back) {
			back = a.resume
		}
		out[who] = wish{
			all:  a.start.After(a.quiet) && a.start.After(a.stop),
			torn: !a.stop.IsZero() && a.start.Equal(a.stop) || !a.quiet.IsZero() && back.Equal(a.quiet),
		}
	}
	return out
}

// last checks that the last broadcast, which was sent when everything was
// known and nobody did anything, reached exactly those whom it may by the
// platform's books.
func (s *soak) last(books []accepted, told []happening) {
	s.t.Helper()
	newest, review, wishes := s.wrote(told), map[of]bool{}, wished(told)
	for _, h := range told {
		who := of{h.Account, h.Person}
		review[who] = review[who] && h.Asks != "start" || h.Asks == "maybe_stop"
	}
	reached := map[of]bool{}
	for _, a := range books {
		if strings.Contains(a.Text, "menu of last") {
			reached[of{a.Account, a.Person}] = true
		}
	}
	jobs := map[of]client.AuditMember{}
	for i, x := range s.senders {
		id := s.sent[len(s.sent)-len(s.senders)+i]
		audit, err := s.api.Audit(s.t.Context(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range s.members(id, audit) {
			jobs[of{x.account, m.ID}] = m
		}
	}
	names := map[string]bool{}
	for _, p := range s.senders[0].ps {
		names[p.id] = p.name != ""
	}
	n := 0
	wanted := 0
	for _, p := range lines[standing](s.t, s.pl, "people") {
		who := of{p.Account, p.Person}
		if strings.Contains(p.Person, ":") || review[who] && !reached[who] { // a permission; one whose review ended is sent to or not
			continue
		}
		out := p.AskedToStop || p.OptedOut || p.NoMarketing && !wishes[who].all || wishes[who].torn
		may := names[p.Person] && !out && !p.Blocked && !p.Elsewhere && !review[who] && time.Since(newest[who]) < 24*time.Hour
		// A slow machine runs out of time, and may not see an answer; it must
		// not decide otherwise.
		slow := slices.Contains([]string{"unknown", "expired", "pending"}, jobs[who].Bucket)
		if reached[who] != may && (reached[who] || !slow) {
			s.t.Errorf("reached %t, and may be %t: %+v, wrote %s: %+v", reached[who], may, p, newest[who], jobs[who])
		}
		if may {
			wanted++
		}
		if reached[who] {
			n++
		}
	}
	if s.t.Logf("the last broadcast reached %d of %d", n, wanted); wanted < 300 || n < wanted/2 {
		s.t.Error("that is less than half of them, or of all")
	}
}
