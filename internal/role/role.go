// Package role says what each kind of process needs to be allowed in NATS and
// Redis, and nothing beyond it. It grants nothing itself: the table is the
// documentation, and a test runs every role with only this.
//
// What it can't narrow down: a subject is matched word by word, so that the
// ledger's streams, of which a new one comes every month, can only be granted
// together with all streams of the account, those of tokens, kept answers and
// the audit log too. An installation should have an account of its own.
package role

import (
	"strings"

	"github.com/carillon-dev/carillon/internal/subject"
)

// Role is a kind of process.
type Role string

// The roles. A reader is a person with a tool, a restorer one who makes an
// installation out of a backup.
const (
	Scheduler Role = "scheduler"
	Worker    Role = "worker"
	Reader    Role = "reader"
	Restorer  Role = "restorer"
)

// All returns every role.
func All() []Role { return []Role{Scheduler, Worker, Reader, Restorer} }

// Rule is something that a role may do, and what for.
type Rule struct {
	Allow string // a NATS subject, or rules of Redis' ACL
	For   string
}

// Subjects are NATS permissions: what may be published to, and what may be
// subscribed to. Everything else is denied.
type Subjects struct{ Publish, Subscribe []Rule }

// Inbox is what the answers to a role's requests go to; it must be the
// connection's inbox prefix.
func (r Role) Inbox(n subject.Names) string { return n.Inbox(string(r)) }

// NATS returns what a role may do in NATS.
func (r Role) NATS(n subject.Names) Subjects {
	answers := Rule{r.Inbox(n) + ".>", "answers to its own requests"}
	look := []Rule{
		{"$JS.API.INFO", "whether JetStream is there"},
		{"$JS.API.STREAM.NAMES", "which ledgers there are"},
		{"$JS.API.STREAM.INFO.*", "the settings of streams, and how far they go"},
		{"$JS.API.STREAM.MSG.GET.*", "single records, from the stream's leader: the ledger's, and so those of every stream"},
	}
	switch r {
	case Scheduler:
		return scheduler(n, look, answers)
	case Worker:
		return worker(n, look, answers)
	case Restorer:
		return restorer(n, look, answers)
	case Reader:
		return Subjects{Publish: join(look, reading(), []Rule{{"$JS.API.STREAM.LIST", "the same with their settings, as the nats tool asks"}}), Subscribe: []Rule{answers}}
	}
	return Subjects{}
}

// reading is what it takes to read streams by consumers. Only streams whose
// records nobody acknowledges are read, so that it changes none of them.
func reading() []Rule {
	return []Rule{
		{"$JS.API.CONSUMER.CREATE.>", "reading a stream from a place on"},
		{"$JS.API.CONSUMER.INFO.>", "how far that is"},
		{"$JS.API.CONSUMER.MSG.NEXT.>", "the next records"},
		{"$JS.API.CONSUMER.DELETE.>", "ending it"},
		{"$JS.API.DIRECT.GET.>", "many contacts' records at once"},
		{"$JS.FC.>", "telling the server to go on"},
	}
}

func scheduler(n subject.Names, look []Rule, answers Rule) Subjects {
	return Subjects{
		Publish: join(look, reading(), []Rule{
			{"$JS.API.STREAM.CREATE.*", "making what is missing"},
			{"$JS.API.STREAM.PURGE.OBJ_" + n.Audiences(), "taking back an audience that could not be stored in full"},
			{n.FactsSubjects()[0], "facts"},
			{n.FactsSubjects()[1], "pausing, cancelling, ending"},
			{n.AllJobs(), "the ledger"},
			{n.AllDead(), "dead letters"},
			{n.AllEvents(), "what platforms and CRM systems tell"},
			{"$JS.API.STREAM.PURGE." + n.EventsStream(), "forgetting what was taken back or must be erased"},
			{n.RunsSubjects()[0], "where runs of flows stand"},
			{n.RunsSubjects()[1], "what flows remember of contacts"},
			{n.RunsSubjects()[2], "runs by the other identities of their contacts"},
			{n.TimersSubjects()[0], "when runs are looked at next"},
			{n.TimersSubjects()[1], "which calls of runs have no outcome yet"},
			{"$JS.API.STREAM.PURGE." + n.TimersStream(), "forgetting timers that are handled"},
			{"$KV." + n.Definitions() + ".>", "definitions"},
			{"$KV." + n.Tallies() + ".>", "running counts"},
			{"$KV." + n.Outlets() + ".>", "how far outcomes were pushed to endpoints"},
			{"$KV." + n.Labels() + ".>", "what pulling the labels of Pages came to"},
			{"$KV." + n.Leases() + ".>", "leading, one of all"},
			{"$KV." + n.Echoes() + ".>", "how far a sender's echoes have come"},
			{"$KV." + n.Access() + ".>", "the API's tokens"},
			{"$KV." + n.Idempotency() + ".>", "answers kept for repeats"},
			{n.AllJournal(), "the audit log"},
			{"$O." + n.Audiences() + ".>", "frozen audiences"},
			{n.Applied(), "telling that facts are in force"},
			{n.Lanes(), "asking the leader what it has in hand"},
			{Scheduler.Inbox(n) + ".>", "answering that"},
			{n.Inbox("crm") + ".>", "answering CRM systems that are on NATS"},
		}),
		Subscribe: []Rule{
			answers, {n.Applied(), "hearing that facts are in force"}, {n.Returned("*"), "jobs that workers give back"}, {n.Lanes(), "being asked, as the leader"},
			{n.CRMEvents(), "events of CRM systems that are on NATS"},
		},
	}
}

func worker(n subject.Names, look []Rule, answers Rule) Subjects {
	defs := "KV_" + n.Definitions()
	return Subjects{
		Publish: join(look, []Rule{
			{"$JS.API.DIRECT.GET." + n.FactsStream(), "what is known of contacts"},
			{"$JS.API.DIRECT.GET." + defs + ".>", "definitions in a bucket of an earlier build"},
			{"$JS.API.CONSUMER.CREATE." + defs + ".>", "hearing of changed senders and flows"},
			{"$JS.API.CONSUMER.INFO." + defs + ".*", "how far that is"},
			{"$JS.API.CONSUMER.DELETE." + defs + ".*", "ending it"},
			{"$JS.FC." + defs + ".>", "telling the server to go on"},
			{n.FactsSubjects()[0], "contacts that can't be reached"},
			{n.Control("sender", "*"), "pausing a sender that the platform refuses"},
			{n.AllJobs(), "claims and outcomes"},
			{n.AllUses(), "using up permissions that serve once"},
			{n.Returned("*"), "giving jobs back"},
		}),
		Subscribe: []Rule{answers, {n.Applied(), "hearing that facts are in force"}},
	}
}

// restorer makes the streams, and writes into them what has everything stand
// paused. It is good for nothing once an installation is there, but it could
// write into that: give it to nobody for longer than a restore takes.
func restorer(n subject.Names, look []Rule, answers Rule) Subjects {
	return Subjects{
		Publish: join(look, reading(), []Rule{
			{"$JS.API.STREAM.RESTORE.*", "making streams out of a backup"},
			{"$JS.SNAPSHOT.RESTORE.>", "their records"},
			{"$JS.API.STREAM.CREATE.*", "making what the backup lacks"},
			{"$KV." + n.Definitions() + ".>", "pausing broadcasts and flows"},
			{n.FactsSubjects()[1], "pausing senders, broadcasts and flows"},
			{n.TimersSubjects()[0], "when runs are looked at next"},
			{n.TimersSubjects()[1], "which calls of runs have no outcome yet"},
		}),
		Subscribe: []Rule{answers, {n.Applied(), "what whoever reads facts hears"}},
	}
}

func join(lists ...[]Rule) []Rule {
	var out []Rule
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// List returns what rules allow.
func List(rules []Rule) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.Allow
	}
	return out
}

// Line returns rules as one line, as an ACL is written.
func Line(rules []Rule) string { return strings.Join(List(rules), " ") }
