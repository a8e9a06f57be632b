// Package subject names everything that lives in JetStream: streams, buckets
// and subjects, under one prefix for an installation. It does no I/O.
package subject

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// Names builds names under a prefix. The zero value has none.
type Names struct{ prefix string }

// New returns names under a prefix of a-z, 0-9 and '-'; empty means none. Two
// installations that share a server need different prefixes, none of which
// starts another.
func New(prefix string) (Names, error) {
	if prefix != "" && (!job.ValidToken(prefix) || strings.Contains(prefix, "~")) {
		return Names{}, fmt.Errorf("prefix %q: want a-z, 0-9 and '-'", prefix)
	}
	return Names{prefix}, nil
}

func (n Names) stream(s string) string {
	if n.prefix == "" {
		return s
	}
	return n.prefix + "_" + s
}

func (n Names) subject(s string) string {
	if n.prefix == "" {
		return s
	}
	return n.prefix + "." + s
}

// Definitions is the bucket of definitions.
func (n Names) Definitions() string { return n.stream("DEFS") }

// Tallies is the bucket of the checkpointed tallies.
func (n Names) Tallies() string { return n.stream("TALLIES") }

// Outlets is the bucket that says how far outcomes were pushed.
func (n Names) Outlets() string { return n.stream("OUTLETS") }

// Labels is the bucket of what pulling the labels of Pages came to.
func (n Names) Labels() string { return n.stream("LABELS") }

// Leases is the bucket that says who leads.
func (n Names) Leases() string { return n.stream("LEASES") }

// Audiences is the bucket of frozen audiences.
func (n Names) Audiences() string { return n.stream("AUDIENCES") }

// Access is the bucket of the API's tokens.
func (n Names) Access() string { return n.stream("ACCESS") }

// AccessStream is the stream that the bucket of tokens is kept in.
func (n Names) AccessStream() string { return "KV_" + n.Access() }

// FactsStream is the stream of facts and controls.
func (n Names) FactsStream() string { return n.stream("FACTS") }

// FactsSubjects are all subjects of the facts stream.
func (n Names) FactsSubjects() []string {
	return []string{n.subject("facts.>"), n.subject("control.>")}
}

// Facts is the subject of one contact's record.
func (n Names) Facts(sender string, k job.Key) string {
	return n.subject("facts." + sender + "." + k.String())
}

// FactsOf matches the records of a sender's contacts.
func (n Names) FactsOf(sender string) string { return n.subject("facts." + sender + ".*") }

// Control is the subject of one control record; kind is sender or source.
func (n Names) Control(kind, id string) string { return n.subject("control." + kind + "." + id) }

// ParseFacts splits a subject of the facts stream: a contact's record
// (control false, then sender and key) or a control record (kind and id).
func (n Names) ParseFacts(subject string) (control bool, first, second string, ok bool) {
	rest, ours := strings.CutPrefix(subject, n.subject(""))
	p := strings.Split(rest, ".")
	if !ours || len(p) != 3 || p[0] != "facts" && p[0] != "control" {
		return false, "", "", false
	}
	return p[0] == "control", p[1], p[2], true
}

// EventsStream is the stream of what was told from outside.
func (n Names) EventsStream() string { return n.stream("EVENTS") }

// AllEvents matches every event that was told.
func (n Names) AllEvents() string { return n.subject("events.>") }

// Event is the subject of one event: two of one source and id are the same.
func (n Names) Event(source, id string) string {
	return n.subject("events." + hashed(source, 8) + "." + hashed(id, 16))
}

// UsesStream is the stream of permissions that serve once.
func (n Names) UsesStream() string { return n.stream("USES") }

// AllUses matches every permission that was used.
func (n Names) AllUses() string { return n.subject("uses.>") }

// Use is the subject of one permission that an account of a platform has, such
// as a comment's id. Two senders that are one account share it.
func (n Names) Use(account, permission string) string {
	return n.subject("uses." + account + "." + hashed(permission, 16))
}

// RunsStream is the stream of what flows do with contacts.
func (n Names) RunsStream() string { return n.stream("RUNS") }

// RunsSubjects are all subjects of the stream of runs.
func (n Names) RunsSubjects() []string {
	return []string{n.subject("runs.>"), n.subject("memory.>"), n.subject("aliases.>")}
}

// Run is the subject of one run.
func (n Names) Run(id flow.ID) string {
	return n.subject("runs." + id.Flow + "." + id.Contact.String() + "." + id.Slot)
}

// RunsOf matches the runs of a contact in a flow.
func (n Names) RunsOf(flowID string, k job.Key) string {
	return n.subject("runs." + flowID + "." + k.String() + ".*")
}

// RunsOfFlow matches the runs of a flow, "" for those of all.
func (n Names) RunsOfFlow(flowID string) string {
	if flowID == "" {
		flowID = "*"
	}
	return n.subject("runs." + flowID + ".*.*")
}

// RunsOfContact matches the runs of a contact in all flows.
func (n Names) RunsOfContact(k job.Key) string { return n.RunsOf("*", k) }

// ParseRun reads what Run built.
func (n Names) ParseRun(subject string) (flow.ID, bool) {
	p, ok := n.parts(subject, "runs", 3)
	if !ok {
		return flow.ID{}, false
	}
	k, err := job.ParseKey(p[1])
	return flow.ID{Flow: p[0], Contact: k, Slot: p[2]}, err == nil
}

// Memory is the subject of what a flow remembers of a contact.
func (n Names) Memory(flowID string, k job.Key) string {
	return n.subject("memory." + flowID + "." + k.String())
}

// ParseMemory reads what Memory built.
func (n Names) ParseMemory(subject string) (flowID string, k job.Key, ok bool) {
	p, ok := n.parts(subject, "memory", 2)
	if !ok {
		return "", k, false
	}
	k, err := job.ParseKey(p[1])
	return p[0], k, err == nil
}

// Alias is the subject that says that a run is also of another identity.
func (n Names) Alias(id flow.ID, as job.Key) string {
	return n.subject("aliases." + id.Flow + "." + as.String() + "." + id.Contact.String() + "." + id.Slot)
}

// AliasesOf matches the runs of a flow that a contact is not the first
// identity of.
func (n Names) AliasesOf(flowID string, k job.Key) string {
	return n.subject("aliases." + flowID + "." + k.String() + ".*.*")
}

// ParseAlias reads what Alias built.
func (n Names) ParseAlias(subject string) (id flow.ID, as job.Key, ok bool) {
	p, ok := n.parts(subject, "aliases", 4)
	if !ok {
		return id, as, false
	}
	as, err := job.ParseKey(p[1])
	if err != nil {
		return id, as, false
	}
	k, err := job.ParseKey(p[2])
	return flow.ID{Flow: p[0], Contact: k, Slot: p[3]}, as, err == nil
}

// parts splits a subject of a kind into so many tokens after it.
func (n Names) parts(subject, kind string, want int) ([]string, bool) {
	rest, ours := strings.CutPrefix(subject, n.subject(kind+"."))
	p := strings.Split(rest, ".")
	return p, ours && len(p) == want
}

// TimersStream is the stream of when runs are looked at next.
func (n Names) TimersStream() string { return n.stream("TIMERS") }

// TimersSubjects are all subjects of the stream of timers.
func (n Names) TimersSubjects() []string {
	return []string{n.subject("due.>"), n.subject("calls.>")}
}

// minute is how a minute stands in a subject.
const minute = "20060102.1504"

// Due is the subject of what is due within a minute.
func (n Names) Due(at time.Time) string { return n.subject("due." + at.UTC().Format(minute)) }

// Calls is the subject of calls that began within a minute.
func (n Names) Calls(at time.Time) string { return n.subject("calls." + at.UTC().Format(minute)) }

// ParseDue reads what Due and Calls built: the minute's beginning, and whether
// it is of calls.
func (n Names) ParseDue(subject string) (at time.Time, calls, ok bool) {
	rest, due := strings.CutPrefix(subject, n.subject("due."))
	if !due {
		rest, calls = strings.CutPrefix(subject, n.subject("calls."))
	}
	at, err := time.Parse(minute, rest)
	return at, calls, err == nil && (due || calls)
}

// hashed makes a token of text that may hold anything, from the first n bytes
// of its SHA-256.
func hashed(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:n])
}

// Echoes is the bucket of how far each sender's echoes have come.
func (n Names) Echoes() string { return n.stream("ECHOES") }

// LedgerPrefix begins the names of all ledger streams.
func (n Names) LedgerPrefix() string { return n.stream("LEDGER_") }

// Ledger is the stream of one month and part.
func (n Names) Ledger(month string, part int) string {
	return n.LedgerPrefix() + month + "_" + strconv.Itoa(part)
}

// LedgerSubjects matches all jobs of one month and part.
func (n Names) LedgerSubjects(month string, part int) string {
	return n.subject("ledger." + month + "." + strconv.Itoa(part) + ".>")
}

// AllJobs matches every job of every ledger.
func (n Names) AllJobs() string { return n.subject("ledger.>") }

// Job is the subject of one job in its ledger.
func (n Names) Job(id job.ID) string { return n.subject("ledger." + id.String()) }

// JobsOfSource matches the jobs of one source.
func (n Names) JobsOfSource(s job.Source) string {
	return n.subject("ledger." + s.Month + "." + strconv.Itoa(s.Part) + "." + s.Sender + ".*." + s.Name)
}

// JobsOfContact matches the jobs of one contact in one month and part.
func (n Names) JobsOfContact(month string, part int, sender string, k job.Key) string {
	return n.subject("ledger." + month + "." + strconv.Itoa(part) + "." + sender + "." + k.String() + ".*")
}

// JobsOfSender matches the subjects of a sender's jobs in one ledger stream.
func (n Names) JobsOfSender(month string, part int, sender string) string {
	return n.subject("ledger." + month + "." + strconv.Itoa(part) + "." + sender + ".>")
}

// ParseJob reads what Job built.
func (n Names) ParseJob(subject string) (job.ID, error) {
	id, ok := strings.CutPrefix(subject, n.subject("ledger."))
	if !ok {
		return job.ID{}, fmt.Errorf("subject %q: no job's subject, want %s…", subject, n.subject("ledger."))
	}
	return job.ParseID(id)
}

// DeadStream is the stream of dead letters.
func (n Names) DeadStream() string { return n.stream("DEAD") }

// Dead is the subject of a job's dead letter.
func (n Names) Dead(id job.ID) string { return n.subject("dead." + id.String()) }

// DeadOf matches dead letters; "*" or an id for each.
func (n Names) DeadOf(sender, source string) string {
	return n.subject("dead.*.*." + sender + ".*." + source)
}

// AllDead matches every dead letter.
func (n Names) AllDead() string { return n.subject("dead.>") }

// Returned is where a worker gives jobs back to a sender's lane.
func (n Names) Returned(sender string) string { return n.subject("returned." + sender) }

// Lanes is where the leader is asked what its lanes have in hand.
func (n Names) Lanes() string { return n.subject("lanes") }

// Inbox begins the subjects that answers to one role's requests come to.
func (n Names) Inbox(role string) string { return "_INBOX_" + n.stream(role) }

// CRMEvents is where CRM systems that are on NATS tell their events.
func (n Names) CRMEvents() string { return n.subject("crm.events") }

// Applied is where the projector tells how far Redis has come.
func (n Names) Applied() string { return n.subject("applied") }

// JournalStream is the stream of who did what.
func (n Names) JournalStream() string { return n.stream("JOURNAL") }

// Journal is the subject of what was done in one month with one sender, "" or
// what can be no sender for everything else.
func (n Names) Journal(month, sender string) string {
	if !job.ValidToken(sender) {
		sender = "_"
	}
	return n.subject("journal." + month + "." + sender)
}

// JournalOf matches what was done with one sender, in any month.
func (n Names) JournalOf(sender string) string { return n.Journal("*", sender) }

// AllJournal matches everything that was done.
func (n Names) AllJournal() string { return n.subject("journal.>") }

// Idempotency is the bucket of the answers that are kept for their repeats.
func (n Names) Idempotency() string { return n.stream("IDEMPOTENCY") }
