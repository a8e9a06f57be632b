package api

import (
	"time"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// The types of pkg/client are the wire's; everything here turns what a room
// says into them, field by field, so that a room can change without the wire.

func wireSender(n *sender.Spec, c facts.Control, loads []lane.Load, pace int) client.Sender {
	out := client.Sender{ID: n.ID, State: client.SenderOpen, Since: c.At, Pace: pace, Spec: wireSenderSpec(n)}
	if c.State == facts.Paused {
		out.State, out.Reason, out.Why = client.SenderPaused, c.Reason, c.Why
	}
	if e := c.Enforcement; e != nil {
		told := client.Enforcement(*e)
		out.Enforcement = &told
	}
	for _, l := range loads {
		if l.Sender == n.ID {
			out.Load = &client.LaneLoad{Sources: l.Sources, Unclaimed: l.Unclaimed, Claimed: l.Claimed, Held: l.Held, Waiting: l.Waiting}
			if l.Sidelined != nil {
				aside := client.Sidelined(*l.Sidelined)
				out.Load.Sidelined = &aside
			}
		}
	}
	return out
}

func wireLabels(st label.State) client.Labels {
	n := st.Run
	out := client.Labels{
		Waiting: st.Waits(), Began: n.Began, Ended: n.Ended,
		Labels: n.Labels, Unusable: n.Unusable, Contacts: n.Contacts, Read: n.Read, Changed: n.Changed, Gone: n.Gone, Failed: n.Failed,
	}
	if n.Error != nil {
		told := client.LabelsError(*n.Error)
		out.Error = &told
	}
	return out
}

func wireSenderSpec(n *sender.Spec) client.SenderSpec {
	out := client.SenderSpec{
		Kind: n.Kind, ID: n.ID, Channel: n.Channel, Account: n.Account, Credential: n.Credential, AppSecret: n.AppSecret,
		Capabilities: n.Capabilities, Rate: client.Rate(n.Rate), Batch: n.Batch, Weight: n.Weight, Timezone: n.Timezone,
		AdWindow: n.AdWindow, RelaxFlows: n.RelaxFlows, NumberType: n.NumberType,
		Restricted: n.Restricted, Withdrawn: n.Withdrawn, Disclosure: n.Disclosure,
		StopWords: n.StopWords, StartWords: n.StartWords, HelpWords: n.HelpWords,
		Unknown: client.Unknown(n.Unknown), Labels: client.LabelsSpec(n.Labels), AccountSID: n.AccountSID, StatusCallback: n.StatusCallback, TenDLC: (*client.TenDLC)(n.TenDLC),
	}
	if n.QuietHours != nil {
		q := client.QuietHours(*n.QuietHours)
		out.QuietHours = &q
	}
	return out
}

func wireBroadcastSpec(n *broadcast.Spec) client.BroadcastSpec {
	return client.BroadcastSpec{
		Kind: n.Kind, ID: n.ID, Sender: n.Sender, Audience: client.Audience(n.Audience), Message: wireMessage(n.Message),
		Schedule: client.Schedule(n.Schedule), Pace: client.Pace(n.Pace), ExpiresAfter: n.ExpiresAfter,
	}
}

func wireWarnings(ws []policy.Warning) []client.Warning {
	var out []client.Warning
	for _, w := range ws {
		out = append(out, client.Warning(w))
	}
	return out
}

func wireImported(n facts.Imported) client.ImportProgress {
	return client.ImportProgress{Rows: n.Rows, Written: n.Written, Unchanged: n.Unchanged, Other: n.Other, Bad: n.Bad}
}

func (s *Server) wireBroadcast(b *broadcast.Broadcast) client.Broadcast {
	p := s.progressOf(b)
	out := client.Broadcast{
		ID: b.Spec.ID, Sender: b.Spec.Sender, State: string(b.State), Spec: wireBroadcastSpec(&b.Spec), Occurrence: b.Occurrence,
		LaunchedAt: b.LaunchedAt, DueAt: b.DueAt, EndsAt: b.EndsAt, ClosedAt: b.ClosedAt, Progress: p,
		Counts: map[string]int{
			string(job.InSent): p.Counts.Sent, string(job.InBlocked): p.Counts.Blocked, string(job.InFailed): p.Counts.Failed,
			string(job.InUnknown): p.Counts.Unknown, string(job.InCancelled): p.Counts.Cancelled,
			string(job.InExpired): p.Counts.Expired, string(job.InPending): p.Counts.Pending,
		},
	}
	for _, a := range b.Acknowledged {
		out.Acknowledged = append(out.Acknowledged, client.Acknowledged(a))
	}
	if b.Occurrence > 0 {
		out.Source = broadcast.SourceName(b.Spec.ID, b.Occurrence)
	}
	if f := b.Frozen; f != nil {
		out.Frozen = &client.Frozen{At: f.At, Seen: f.Seen, NotMatching: f.NotMatch, Errors: f.Errors, Example: f.Example, FactsSeq: f.Facts}
		if b.Snapshot != nil {
			out.Frozen.Contacts = b.Snapshot.Count
		}
	}
	return out
}

// progressOf counts a broadcast by the running tally.
func (s *Server) progressOf(b *broadcast.Broadcast) client.Progress {
	p := client.Progress{ID: b.Spec.ID, State: string(b.State), ByReason: map[reason.Code]int{}, At: time.Now().UTC()}
	if b.Snapshot == nil {
		return p
	}
	p.Frozen, p.Audience = true, b.Snapshot.Count
	c := s.Tally.Of(b.Source())
	count(&p, c, b.State.Closing())
	if took := c.LastAt.Sub(b.Frozen.At).Seconds(); took > 0 {
		p.RatePerSecond = float64(p.Counts.Sent) / took
	}
	return p
}

// count puts a tally's states into buckets. Jobs without a record are in
// none: what is missing of the audience is as if pending.
func count(p *client.Progress, c ledger.Counts, closing job.State) {
	buckets := map[job.Bucket]int{job.State.Bucket(job.Pending, closing): p.Audience - c.Total()}
	for st, n := range c.States {
		b := st.Bucket(closing)
		buckets[b] += n
		switch {
		case st == job.Claimed:
			p.Counts.Claimed = n
		case st == job.Held && b == job.InPending:
			p.Counts.Held = n
		case st.Dead():
			for why, n := range c.Reasons[string(st)] {
				p.ByReason[why] += n
			}
		}
	}
	p.Counts.Sent, p.Counts.Blocked, p.Counts.Failed = buckets[job.InSent], buckets[job.InBlocked], buckets[job.InFailed]
	p.Counts.Unknown, p.Counts.Pending = buckets[job.InUnknown], buckets[job.InPending]
	p.Counts.Cancelled, p.Counts.Expired = buckets[job.InCancelled], buckets[job.InExpired]
	if n := p.Counts.Cancelled; n > 0 {
		p.ByReason[reason.Cancelled] += n
	}
	if n := p.Counts.Expired; n > 0 {
		p.ByReason[reason.Expired] += n
	}
}

// wireFlowAudit is the account of a flow, which stands as a broadcast would.
func wireFlowAudit(life flow.Life, parts []audit.Part) client.FlowAudit {
	state := map[flow.Life]broadcast.State{flow.Active: broadcast.Running, flow.Paused: broadcast.Paused, flow.Deleted: broadcast.Cancelled}[life]
	out := client.FlowAudit{Audit: wireAudit(state, audit.Sum(parts)), Parts: make([]client.AuditPart, len(parts))}
	for i, p := range parts {
		out.Parts[i] = client.AuditPart{Month: p.Month, Part: p.Part, Sender: p.Sender, Account: wireAudit(state, p.Report)}
	}
	return out
}

func wireAudit(state broadcast.State, r audit.Report) client.Audit {
	out := client.Audit{
		Audience: r.Audience, Sent: r.Buckets[job.InSent], Blocked: r.Buckets[job.InBlocked], Failed: r.Buckets[job.InFailed],
		Unknown: r.Buckets[job.InUnknown], Cancelled: r.Buckets[job.InCancelled], Expired: r.Buckets[job.InExpired],
		Pending: r.Buckets[job.InPending], ByReason: r.ByReason, Balanced: r.Balanced(), State: string(state),
		Frozen: r.Frozen, Held: r.Held, Claimed: r.Claimed, Doubtful: r.Doubtful, Problems: r.Problems, LedgerSeq: r.Seq,
		Delivered: r.Delivered, Read: r.Read,
		LikelyNotSent: r.Likely, RedrivenByStandingOrder: r.Redriven,
	}
	if out.Problems == nil {
		out.Problems = []string{}
	}
	return out
}

func wireForecast(f scheduler.Forecast) client.Forecast {
	return client.Forecast(f)
}

func wireStory(s story.Story) client.Story {
	out := client.Story{
		Job: s.Job.String(), Broadcast: s.Broadcast, State: string(s.State), Bucket: string(s.Bucket), Reason: s.Reason,
		Steps: make([]client.Step, len(s.Steps)),
	}
	for i, st := range s.Steps {
		out.Steps[i] = client.Step{At: st.At, What: st.What, Text: st.Text, Seq: st.Seq, Record: wireRecord(st.Record)}
	}
	if e := s.Errand; e != nil {
		out.Flow, out.Run, out.Step = e.Flow, e.Run, e.Step
	}
	if s.Now != nil {
		n := client.Now(*s.Now)
		out.Now = &n
	}
	if s.Doubt != nil {
		d := client.Doubt(*s.Doubt)
		out.Doubt = &d
	}
	return out
}

func wireRecord(r *ledger.Record) *client.Record {
	if r == nil {
		return nil
	}
	return &client.Record{
		State: string(r.State), From: string(r.From), Attempt: r.Attempt, At: r.At, Reason: r.Reason, Rule: r.Rule,
		Evidence: r.Evidence, FactsSeq: r.Facts, Until: r.Until, Deadline: r.Deadline, MessageID: r.MessageID, Code: r.Code,
		Subcode: r.Subcode, Status: r.Status, Detail: r.Detail, Trace: r.Trace, By: r.By, Discarded: r.Discarded,
	}
}

func wireContact(c story.Contact) client.ContactStory {
	out := client.ContactStory{Key: c.Key.String(), Known: c.Known, Stories: make([]client.Story, len(c.Stories)), Missed: make([]client.Missed, len(c.Missed))}
	if c.Known {
		out.Contact = wireRecordOf(c.Record)
	}
	for i, s := range c.Stories {
		out.Stories[i] = wireStory(s)
	}
	for i, m := range c.Missed {
		out.Missed[i] = client.Missed(m)
	}
	return out
}

func wireRecordOf(r contact.Record) *client.Contact {
	out := &client.Contact{
		ID: r.Address, Name: r.Name, Timezone: r.Timezone, Labels: r.Labels, Attributes: r.Attributes, LastInbound: r.LastInbound,
		OpenedBy: r.OpenedBy, AdMessageAt: r.AdMessageAt, BlockedAt: r.BlockedAt, SMSConsent: r.SMSConsent, ErasedAt: r.ErasedAt,
	}
	for _, o := range r.OptOuts {
		out.OptOuts = append(out.OptOuts, client.ContactOptOut{Scope: string(o.Scope), At: o.At, Source: o.Source})
	}
	return out
}

func wireLetter(l deadletter.Letter, address string, d *client.Doubt) client.Letter {
	return client.Letter{
		Job: l.Job, Sender: l.Sender, Contact: address, Source: l.Source, State: string(l.State), Reason: l.Reason, Rule: l.Rule,
		Evidence: l.Evidence, At: l.At, Attempt: l.Attempt, Code: l.Code, Subcode: l.Subcode, Detail: l.Detail, Trace: l.Trace, Seq: l.Seq, Doubt: d,
	}
}
