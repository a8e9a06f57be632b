package subject

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

func names(t testing.TB, prefix string) Names {
	t.Helper()
	n, err := New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNew(t *testing.T) {
	t.Parallel()
	for prefix, ok := range map[string]bool{
		"": true, "acme": true, "a-1": true, strings.Repeat("a", 100): true, strings.Repeat("a", 101): false,
		"a.b": false, "a~b": false, "A": false, "a_b": false, "{a}": false, "*": false, ">": false, " ": false,
	} {
		n, err := New(prefix)
		if (err == nil) != ok || err != nil && n != (Names{}) {
			t.Errorf("New(%q) = %+v, %v; want it taken: %t", prefix, n, err, ok)
		}
	}
}

// TestNames writes every name down: they are what is stored under.
func TestNames(t *testing.T) {
	t.Parallel()
	id := job.Source{Month: "202611", Part: 7, Sender: "bakery", Name: "menu~1"}.Job(job.Key{})
	run := flow.ID{Flow: "cart", Slot: "abc"}
	const k = "AAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		name func(Names) string
		want string // without a prefix; streams begin with a capital
	}{
		{Names.Definitions, "DEFS"},
		{Names.Tallies, "TALLIES"},
		{Names.Audiences, "AUDIENCES"},
		{Names.FactsStream, "FACTS"},
		{Names.DeadStream, "DEAD"},
		{Names.LedgerPrefix, "LEDGER_"},
		{func(n Names) string { return n.Ledger("202611", 7) }, "LEDGER_202611_7"},
		{func(n Names) string { return n.FactsSubjects()[0] }, "facts.>"},
		{func(n Names) string { return n.FactsSubjects()[1] }, "control.>"},
		{func(n Names) string { return n.Facts("bakery", job.Key{}) }, "facts.bakery." + k},
		{func(n Names) string { return n.FactsOf("bakery") }, "facts.bakery.*"},
		{func(n Names) string { return n.Control("sender", "bakery") }, "control.sender.bakery"},
		{func(n Names) string { return n.LedgerSubjects("202611", 7) }, "ledger.202611.7.>"},
		{func(n Names) string { return n.Job(id) }, "ledger.202611.7.bakery." + k + ".menu~1"},
		{func(n Names) string { return n.JobsOfSource(id.Source) }, "ledger.202611.7.bakery.*.menu~1"},
		{func(n Names) string { return n.JobsOfContact("202611", 7, "bakery", job.Key{}) }, "ledger.202611.7.bakery." + k + ".*"},
		{Names.RunsStream, "RUNS"},
		{Names.TimersStream, "TIMERS"},
		{func(n Names) string { return n.Run(run) }, "runs.cart." + k + ".abc"},
		{func(n Names) string { return n.RunsOf("cart", job.Key{}) }, "runs.cart." + k + ".*"},
		{func(n Names) string { return n.RunsOfFlow("cart") }, "runs.cart.*.*"},
		{func(n Names) string { return n.RunsOfFlow("") }, "runs.*.*.*"},
		{func(n Names) string { return n.RunsOfContact(job.Key{}) }, "runs.*." + k + ".*"},
		{func(n Names) string { return n.Memory("cart", job.Key{}) }, "memory.cart." + k},
		{func(n Names) string { return n.Alias(run, job.Key{}) }, "aliases.cart." + k + "." + k + ".abc"},
		{func(n Names) string { return n.AliasesOf("cart", job.Key{}) }, "aliases.cart." + k + ".*.*"},
		{func(n Names) string { return n.Due(time.Date(2026, 11, 22, 23, 59, 59, 0, time.FixedZone("", 3600))) }, "due.20261122.2259"},
		{func(n Names) string { return n.Calls(time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)) }, "calls.20261122.2359"},
		{func(n Names) string { return n.Dead(id) }, "dead.202611.7.bakery." + k + ".menu~1"},
		{func(n Names) string { return n.DeadOf("bakery", "*") }, "dead.*.*.bakery.*.*"},
		{Names.AllDead, "dead.>"},
		{func(n Names) string { return n.Returned("bakery") }, "returned.bakery"},
		{Names.AllJobs, "ledger.>"},
		{Names.Applied, "applied"},
		{Names.JournalStream, "JOURNAL"},
		{func(n Names) string { return n.Journal("202611", "bakery") }, "journal.202611.bakery"},
		{func(n Names) string { return n.Journal("202611", "") }, "journal.202611._"},
		{func(n Names) string { return n.Journal("202611", "a.b") }, "journal.202611._"},
		{func(n Names) string { return n.JournalOf("bakery") }, "journal.*.bakery"},
		{Names.AllJournal, "journal.>"},
		{Names.Idempotency, "IDEMPOTENCY"},
		{Names.Echoes, "ECHOES"},
		{Names.EventsStream, "EVENTS"},
		{Names.AllEvents, "events.>"},
		{func(n Names) string { return n.Event("meta/shop", "mid.1 > *") }, "events.evB7MJpDCYE.vURfv0ddMt3QNbMM27T7Sw"},
		{Names.UsesStream, "USES"},
		{Names.AllUses, "uses.>"},
		{func(n Names) string { return n.Use("bakery", "token.1") }, "uses.bakery.-eYdZx1VUdBd15WkIHo2HA"},
	} {
		join := "."
		if c.want[0] >= 'A' && c.want[0] <= 'Z' {
			join = "_"
		}
		for prefix, want := range map[string]string{"": c.want, "acme": "acme" + join + c.want} {
			if got := c.name(names(t, prefix)); got != want {
				t.Errorf("with prefix %q: %s, want %s", prefix, got, want)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, err := New(rapid.SampledFrom([]string{"", "acme", "ledger", "facts"}).Draw(t, "prefix"))
		if err != nil {
			t.Fatal(err)
		}
		token := rapid.StringMatching(`[a-z0-9~-]{1,20}`)
		id := job.Source{Month: "202611", Part: rapid.IntRange(0, 999).Draw(t, "part"), Sender: token.Draw(t, "sender"), Name: token.Draw(t, "source")}.
			Job(job.Key(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key")))
		if got, err := n.ParseJob(n.Job(id)); err != nil || got != id {
			t.Fatalf("ParseJob(%s) = %v, %v", n.Job(id), got, err)
		}
		if control, s, k, ok := n.ParseFacts(n.Facts(id.Sender, id.Contact)); control || !ok || s != id.Sender || k != id.Contact.String() {
			t.Fatalf("ParseFacts: %t, %s, %s, %t", control, s, k, ok)
		}
		if control, kind, name, ok := n.ParseFacts(n.Control("source", id.Name)); !control || !ok || kind != "source" || name != id.Name {
			t.Fatalf("ParseFacts: %t, %s, %s, %t", control, kind, name, ok)
		}
	})
}

// TestParseForeign asserts that another installation's subjects are not taken
// for ours, nor other kinds of our own.
func TestParseForeign(t *testing.T) {
	t.Parallel()
	const jobID = "202611.0.bakery.AAAAAAAAAAAAAAAAAAAAAA.menu~1"
	for _, c := range []struct{ prefix, subject string }{
		{"acme", "facts.bakery.k"}, {"acme", "other.facts.bakery.k"}, {"acme", "acme2.facts.bakery.k"}, {"", "acme.facts.bakery.k"},
		{"", "facts.bakery"}, {"", "facts.bakery.k.x"}, {"", "ledger.bakery.k"}, {"", ""},
	} {
		if _, a, b, ok := names(t, c.prefix).ParseFacts(c.subject); ok || a != "" || b != "" {
			t.Errorf("with prefix %q, %q is facts of %q, %q", c.prefix, c.subject, a, b)
		}
	}
	for _, c := range []struct{ prefix, subject string }{
		{"acme", "ledger." + jobID}, {"", "acme.ledger." + jobID}, {"", "dead." + jobID}, {"", jobID}, {"", "ledger."}, {"", "ledger." + jobID + ".x"},
	} {
		if id, err := names(t, c.prefix).ParseJob(c.subject); err == nil || id != (job.ID{}) {
			t.Errorf("with prefix %q, %q is job %v", c.prefix, c.subject, id)
		}
	}
}

// Every role's answers come to a place of their own, which no wildcard of
// another's covers.
func TestInbox(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "_INBOX_worker", "acme": "_INBOX_acme_worker"} {
		if got := names(t, prefix).Inbox("worker"); got != want {
			t.Errorf("with prefix %q: %s, want %s", prefix, got, want)
		}
	}
}

// TestParseRuns asserts that what names runs is read back, under any prefix,
// and that nothing else is.
func TestParseRuns(t *testing.T) {
	t.Parallel()
	id, other := flow.ID{Flow: "cart", Contact: job.Key{1}, Slot: "abc"}, job.Key{2}
	for _, prefix := range []string{"", "acme"} {
		n := names(t, prefix)
		if got, ok := n.ParseRun(n.Run(id)); !ok || got != id {
			t.Errorf("run: %+v, %t", got, ok)
		}
		if f, k, ok := n.ParseMemory(n.Memory("cart", other)); !ok || f != "cart" || k != other {
			t.Errorf("memory: %s %s, %t", f, k, ok)
		}
		if got, as, ok := n.ParseAlias(n.Alias(id, other)); !ok || got != id || as != other {
			t.Errorf("alias: %+v %s, %t", got, as, ok)
		}
		at := time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)
		if got, calls, ok := n.ParseDue(n.Due(at.Add(time.Minute - 1))); !ok || calls || !got.Equal(at) {
			t.Errorf("due: %v %t, %t", got, calls, ok)
		}
		if got, calls, ok := n.ParseDue(n.Calls(at)); !ok || !calls || !got.Equal(at) {
			t.Errorf("calls: %v %t, %t", got, calls, ok)
		}
		for _, s := range []string{"", n.subject("runs.cart.x.abc"), n.subject("runs.cart.abc"), "other." + n.Run(id), n.Memory("cart", other) + ".x", n.subject("due.20261122"), n.subject("facts.20261122.2359")} {
			_, r := n.ParseRun(s)
			_, _, m := n.ParseMemory(s)
			_, _, a := n.ParseAlias(s)
			_, _, d := n.ParseDue(s)
			if r || m || a || d {
				t.Errorf("%q is read: %t %t %t %t", s, r, m, a, d)
			}
		}
	}
}
