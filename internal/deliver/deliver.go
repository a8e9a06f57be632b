// Package deliver takes one envelope through the five steps: peek, claim,
// recheck, send, settle. The claim decides who may send, the recheck is the
// last thing before the wire, and every claimed job gets an outcome for as
// long as this process lives.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rate"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// The times of a claim. SendTimeout < ClaimDeadline, and whoever watches a
// claim waits ClaimDeadline and ClaimMargin from when it first saw it before
// it calls the outcome unknown.
const (
	SendTimeout   = 3500 * time.Millisecond
	ClaimDeadline = 6 * time.Second
	ClaimMargin   = 3 * time.Second
)

// wave is how far apart the slots of jobs are that are claimed and rechecked
// together: claims are made shortly before the wire, so that a crash leaves
// few of them.
const wave = 50 * time.Millisecond

// The lead is how long before a slot claim and recheck begin: what they took
// lately, within these bounds. They may take a slot's life longer. A worker
// that is busier than maxLead loses slots and takes others, which costs a
// round trip, instead of keeping claims waiting for theirs.
const (
	minLead = 5 * time.Millisecond
	maxLead = 60 * time.Millisecond
)

// Committer writes ledger records.
type Committer interface {
	Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append)
}

// Lane takes jobs back that may not go yet. It may lose them: what was
// released long ago and has no record is released again.
type Lane interface {
	GiveBack(ctx context.Context, s job.Source, jobs []job.Ref, notBefore time.Time, why reason.Code)
}

// Account turns a sender's document into the account that calls are made for.
type Account func(s *sender.Spec) (channel.Account, error)

// Uses says who has a permission that serves once.
type Uses interface {
	// Claim asks for a permission and returns the job that has it.
	Claim(ctx context.Context, account, permission string, id job.ID) (owner string, err error)
}

// Flows says what the jobs of flows say.
type Flows interface {
	// Plan returns what a source's job says; an *errand.Lost where nobody will
	// ever know.
	Plan(ctx context.Context, s job.Source) (*definition.Planned, error)
}

// Effects are what an answer asks for beyond its own job.
type Effects interface {
	// Learn takes in what answers say of contacts of a sender: that one can't
	// be reached, wants a rest, or that a permission is used up.
	Learn(ctx context.Context, sender string, us []contact.Update) error
	// PauseSender stops a sender until somebody resumes it, unless somebody
	// did since the call that asks for it began. It reports whether it did.
	PauseSender(ctx context.Context, sender string, since time.Time, why reason.Code, detail string) (bool, error)
	// OptOut records that the platform says that a contact opted out of
	// everything.
	OptOut(ctx context.Context, sender, address string, at time.Time) error
}

// Worker delivers envelopes. Its fields are set once.
type Worker struct {
	Life     context.Context // ends when the process must; outcomes are tried until then
	Gate     *gate.Gate
	Commits  Committer
	Defs     *definition.Cache
	Flows    Flows
	Platform func(channel string) channel.Platform // of a Sender's channel; never nil for one that a Sender can have
	Account  Account
	Effects  Effects
	Uses     Uses
	Lane     Lane
	Tracer   trace.Tracer
	Log      *slog.Logger
	Name     string // who writes the records
	Stats    *Stats
	Courtesy *Courtesy       // nil: envelopes begin when they come
	Kill     *killpoint.Plan // nil: at no point

	took atomic.Int64 // a moving average of claim and recheck, ns
}

func (w *Worker) lead() time.Duration {
	return min(maxLead, max(minLead, time.Duration(w.took.Load())))
}

// learn takes one claim and recheck into the average. Two at a time may lose
// one of them, which does not matter.
func (w *Worker) learn(d time.Duration) {
	old := w.took.Load()
	w.took.Store(old + (int64(d)-old)/8)
}

// Stats counts what deliveries cost, for the bench and the metrics.
type Stats struct {
	Envelopes, Looks, Takes, Calls, Requeued, Sent atomic.Int64

	// Lost counts claims that somebody else had won: jobs that came twice.
	Lost atomic.Int64
}

// run is one envelope on its way.
type run struct {
	*Worker
	source  job.Source
	plan    *definition.Planned
	sender  *sender.Spec
	to      channel.Platform
	account channel.Account
	app     string // names whose quota the calls share with other senders; empty: nobody's
	trace   string
	looked  time.Time // when facts were first looked at, by a clock that was believed
}

// now is the time by the clock that was believed when the envelope was looked
// at, however it was set since: what is recorded now, such as until when a job
// waits, others read by theirs.
func (r *run) now() time.Time { return r.looked.Add(time.Since(r.looked)) }

// task is one job of the envelope.
type task struct {
	ref      job.Ref
	decision gate.Decision
	slot     gate.Slot
	claimed  time.Time   // just before the claim was asked for, monotonic
	used     string      // id of the permission that it claimed; "" where it needs none
	seq      uint64      // of the claim
	units    int         // what it counts against the rate and the budget
	budget   gate.Budget // what units were taken from, until they are given back
}

// arrives is the latest moment at which the platform gets the message: what
// is judged then is judged as the platform will. It is told by the clock that is
// believed now: when the slot was taken it may have shown something else.
func (t *task) arrives(now time.Time) time.Time {
	return now.Add(t.slot.Until.Sub(now)).Add(rate.WireJitter)
}

// Deliver takes an envelope through the five steps.
func (w *Worker) Deliver(ctx context.Context, e job.Envelope) {
	ctx, span := w.Tracer.Start(ctx, "deliver envelope", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("carillon.source", e.Source.Name),
		attribute.String("carillon.sender", e.Source.Sender),
		attribute.Int("messaging.batch.message_count", len(e.Jobs)),
	))
	defer span.End()
	defer w.Kill.Pass(killpoint.BetweenEnvelopes)
	w.Stats.Envelopes.Add(1)
	r := &run{Worker: w, source: e.Source}
	if sc := span.SpanContext(); sc.HasTraceID() {
		r.trace = sc.TraceID().String()
	}
	if w.Courtesy != nil && r.priority() == ledger.Bulk && len(e.Jobs) > fewJobs {
		leave := w.Courtesy.enter(ctx)
		if leave == nil {
			r.giveBack(ctx, e.Jobs, time.Now(), reason.RateCapped)
			return
		}
		defer leave()
	}
	if !r.prepare(ctx, e) {
		return
	}
	tasks := r.peek(ctx, e.Jobs)
	if len(tasks) == 0 {
		return
	}
	if r.sender.Batch {
		r.asBatch(ctx, tasks)
		return
	}
	r.asSingles(ctx, tasks)
}

// prepare loads what the envelope's source and sender are. Where that fails
// the jobs go back.
func (r *run) prepare(ctx context.Context, e job.Envelope) bool {
	err := r.define(ctx, e.Source)
	if lost, ok := errors.AsType[*errand.Lost](err); ok {
		r.commit(ctx, r.lost(e.Jobs, lost))
		return false
	}
	if err != nil {
		r.Log.ErrorContext(ctx, "definitions can't be read; the envelope goes back", "source", e.Source.Name, "error", err)
		r.giveBack(ctx, e.Jobs, time.Now().Add(gate.Retry), reason.FactsUnavailable)
		return false
	}
	r.to, r.app = r.Platform(r.sender.Channel), r.sender.App()
	if r.account, err = r.Account(r.sender); err != nil {
		r.pause(ctx, time.Now(), reason.CredentialInvalid, err.Error())
		r.giveBack(ctx, e.Jobs, time.Now().Add(gate.Retry), reason.CredentialInvalid)
		return false
	}
	return true
}

// define finds out what the source's jobs say, and who sends them.
func (r *run) define(ctx context.Context, s job.Source) (err error) {
	ofFlow := s.Flow() != ""
	if ofFlow {
		r.plan, err = r.Flows.Plan(ctx, s)
	} else {
		r.plan, err = r.Defs.Broadcast(ctx, s.Name)
	}
	if err != nil {
		return err
	}
	if r.sender, err = r.Defs.Sender(ctx, s.Sender); ofFlow && errors.Is(err, definition.ErrNotFound) {
		return &errand.Lost{Reason: reason.Internal, Why: "sender " + s.Sender + " is not defined any more"}
	}
	return err
}

// lost are the records of jobs of which nobody knows what they say.
func (r *run) lost(refs []job.Ref, why *errand.Lost) []*ledger.Append {
	out := make([]*ledger.Append, len(refs))
	for i, ref := range refs {
		out[i] = r.append(ref, ledger.Record{State: job.Blocked, From: job.Pending, At: time.Now(), Attempt: ref.Attempt, Reason: why.Reason, Evidence: why.Why}, ref.Seq)
	}
	return out
}

// priority says whose records go first: those of flows.
func (r *run) priority() ledger.Priority {
	if r.source.Flow() != "" {
		return ledger.Urgent
	}
	return ledger.Bulk
}

func (r *run) giveBack(ctx context.Context, jobs []job.Ref, notBefore time.Time, why reason.Code) {
	if len(jobs) == 0 {
		return
	}
	r.Stats.Requeued.Add(int64(len(jobs)))
	r.Lane.GiveBack(ctx, r.source, jobs, notBefore, why)
}

// peek judges all jobs in one round trip. What is refused settles now, what
// is held is recorded; the rest is returned.
func (r *run) peek(ctx context.Context, refs []job.Ref) []*task {
	keys := make([]job.Key, len(refs))
	for i, ref := range refs {
		keys[i] = ref.Contact
	}
	r.Stats.Looks.Add(1)
	look, err := r.Gate.Look(ctx, r.source, keys)
	if err != nil {
		r.giveBack(ctx, refs, time.Now().Add(gate.Retry), gate.Blind(err))
		return nil
	}
	now := time.Now()
	r.looked = now
	var tasks []*task
	var settle []*ledger.Append
	var back []job.Ref
	var why reason.Code
	for i, ref := range refs {
		d := r.Gate.Judge(look.Until(ref.Ends), i, r.plan, r.sender, now.Add(rate.SlotLife))
		if d.Do == gate.Send {
			tasks = append(tasks, &task{ref: ref, decision: d, units: r.sender.Units(d.Says.Text)})
			continue
		}
		// No closing record covers a flow's job: each has its own.
		if rec, ok := ofDecision(d, job.Pending, now); ok || d.Do == gate.Drop && r.source.Flow() != "" {
			rec.Attempt = ref.Attempt
			settle = append(settle, r.append(ref, rec, ref.Seq))
		} else if d.Do == gate.GiveBack {
			back, why = append(back, ref), d.Verdict.Reason
		}
	}
	r.giveBack(ctx, back, now.Add(gate.Retry), why)
	r.commit(ctx, settle)
	return tasks
}

func (r *run) append(ref job.Ref, rec ledger.Record, prev uint64) *ledger.Append {
	rec.Prev, rec.Trace, rec.By = prev, r.trace, r.Name
	return &ledger.Append{Entry: ledger.Entry{ID: r.source.Job(ref.Contact), Record: rec}}
}

// commit writes records of jobs that this worker does not own: losing one to
// somebody else is as good.
func (r *run) commit(ctx context.Context, entries []*ledger.Append) {
	r.Commits.Commit(ctx, r.priority(), entries)
	for _, e := range entries {
		if e.Err != nil && !errors.Is(e.Err, ledger.ErrConflict) {
			r.Log.WarnContext(ctx, "a refusal could not be recorded; the job is released again", "job", e.ID.String(), "error", e.Err)
		}
	}
}

// slots takes a slot for each task, or for all of them together, and gives
// those that got none back to their lane. It returns the tasks that have one.
func (r *run) slots(ctx context.Context, c rate.Charge, together bool, tasks []*task) (gate.Slots, []*task) {
	ask := gate.Ask{Sender: r.source.Sender, App: r.app, Charge: c, Units: units(tasks), Lead: r.lead()}
	if together {
		ask.Units = gate.Ones(1)
	}
	r.Stats.Takes.Add(1)
	s, err := r.take(ctx, &ask)
	if err != nil {
		r.giveBack(ctx, refs(tasks), time.Now().Add(gate.Retry), gate.Blind(err))
		return s, nil
	}
	n := len(s.Slots)
	if together && n > 0 {
		return s, tasks
	}
	for i, t := range tasks[:n] {
		t.slot, t.budget = s.Slots[i], ask.Budget
	}
	why := reason.RateCapped
	if s.Spent {
		why = reason.BudgetSpent
	}
	r.giveBack(ctx, refs(tasks[n:]), s.Place, why)
	return s, tasks[:n]
}

// take takes slots, and what they count from the sender's budget of the day.
func (r *run) take(ctx context.Context, ask *gate.Ask) (gate.Slots, error) {
	var err error
	if ask.Budget, err = r.Gate.Budget(r.sender, r.now()); err != nil {
		return gate.Slots{}, err
	}
	return r.Gate.Take(ctx, *ask)
}

// unspend gives back what was taken from a budget for tasks of which nothing
// left. What can't be given back is found when the budget is counted anew.
func (r *run) unspend(ctx context.Context, tasks []*task) {
	back := map[gate.Budget]int{}
	for _, t := range tasks {
		if t.budget.Limit > 0 {
			back[t.budget] += t.units
			t.budget = gate.Budget{}
		}
	}
	for b, n := range back {
		ctx, cancel := context.WithTimeout(ctx, SendTimeout)
		_ = r.Gate.Return(ctx, b, n)
		cancel()
	}
}

// segments is what a claim's record says that its message counts.
func (r *run) segments(t *task) int {
	if r.sender.SMS() {
		return t.units
	}
	return 0
}

func units(tasks []*task) []int {
	out := make([]int, len(tasks))
	for i, t := range tasks {
		out[i] = t.units
	}
	return out
}

func refs(tasks []*task) []job.Ref {
	out := make([]job.Ref, len(tasks))
	for i, t := range tasks {
		out[i] = t.ref
	}
	return out
}

// claim claims tasks and returns those that this worker won. A lost race
// means that somebody else has the job: it is dropped quietly.
func (r *run) claim(ctx context.Context, tasks []*task) []*task {
	if tasks = r.use(ctx, tasks); len(tasks) == 0 {
		return nil
	}
	now := r.now()
	entries := make([]*ledger.Append, len(tasks))
	for i, t := range tasks {
		t.claimed = now
		entries[i] = r.append(t.ref, ledger.Record{
			State: job.Claimed, From: job.Pending, At: now, Attempt: t.ref.Attempt + 1, Rule: t.decision.Verdict.Rule,
			Facts: t.decision.Facts, Deadline: ClaimDeadline, Segments: r.segments(t),
		}, t.ref.Seq)
	}
	r.Kill.Pass(killpoint.BeforeClaim)
	r.Commits.Commit(ctx, r.priority(), entries)
	r.Kill.Pass(killpoint.AfterClaim)
	var won, lost, open []*task
	var doubtful []*ledger.Append
	for i, e := range entries {
		switch t := tasks[i]; {
		case e.Err == nil:
			t.seq = e.Written
			won = append(won, t)
		case errors.Is(e.Err, ledger.ErrConflict):
			r.Stats.Lost.Add(1)
			lost = append(lost, t)
		default:
			open, doubtful = append(open, t), append(doubtful, e)
		}
	}
	r.unspend(ctx, lost)
	if len(open) > 0 {
		r.Log.WarnContext(ctx, "claims could not be decided in time; nothing is sent, and they are taken back", "source", r.source.Name, "claims", len(open), "error", doubtful[0].Err)
		r.takeBack(open, doubtful)
	}
	return won
}

// takeBack settles tasks of which nobody could tell in time whether this worker
// claimed them. Nothing of them leaves, and what was asked for may still be
// written by a connection that comes back: so it is asked for until it is
// decided, for as long as the process lives, and let go of.
func (r *run) takeBack(tasks []*task, entries []*ledger.Append) {
	asked := make([]string, len(entries))
	for i, e := range entries {
		asked[i] = e.Record.Nonce
	}
	r.Commits.Commit(r.Life, r.priority(), entries)
	var mine, lost []*task
	for i, e := range entries {
		conflict, moved := errors.AsType[*ledger.Conflict](e.Err)
		switch t := tasks[i]; {
		case e.Err == nil:
			t.seq = e.Written
			mine = append(mine, t)
		case moved && conflict.Last.Record.Nonce == asked[i]: // written at the first try
			t.seq = conflict.Last.Seq
			mine = append(mine, t)
		default:
			lost = append(lost, t)
		}
	}
	r.unspend(r.Life, lost)
	r.refuse(mine)
}

// recheck judges claimed tasks again and returns those that may still go. The
// others settle.
func (r *run) recheck(ctx context.Context, tasks []*task) []*task {
	if len(tasks) == 0 {
		return nil
	}
	keys := make([]job.Key, len(tasks))
	for i, t := range tasks {
		keys[i] = t.ref.Contact
	}
	r.Stats.Looks.Add(1)
	look, err := r.Gate.Look(ctx, r.source, keys)
	var ok, no []*task
	for i, t := range tasks {
		if err != nil {
			t.decision = gate.Decision{}
			t.decision.Verdict.Reason = gate.Blind(err)
		} else {
			t.decision = r.Gate.Judge(look.Until(t.ref.Ends), i, r.plan, r.sender, t.arrives(time.Now()))
		}
		if t.decision.Do == gate.Send && r.sender.Units(t.decision.Says.Text) > t.units { // its values changed: it asks for more
			t.decision = gate.Decision{Facts: t.decision.Facts, Verdict: policy.Verdict{Reason: reason.RateCapped}}
		}
		if t.decision.Do == gate.Send && t.decision.Uses.ID != t.used { // a newer one came: the next try claims that
			t.decision = gate.Decision{Facts: t.decision.Facts, Verdict: policy.Verdict{Reason: reason.FactsUnavailable}}
		}
		if t.decision.Do == gate.Send && r.claimHolds(t) {
			ok = append(ok, t)
		} else {
			no = append(no, t)
		}
	}
	r.refuse(no)
	return ok
}

// claimHolds tells whether the call would be over before anybody may think
// that the claim was abandoned.
func (r *run) claimHolds(t *task) bool {
	return t.slot.Until.Sub(t.claimed)+SendTimeout < ClaimDeadline
}

// refuse settles claimed tasks of which nothing left this process.
func (r *run) refuse(tasks []*task) {
	if len(tasks) == 0 {
		return
	}
	now := r.now()
	entries := make([]*ledger.Append, len(tasks))
	for i, t := range tasks {
		rec, _ := ofDecision(t.decision, job.Claimed, now)
		rec.Attempt = t.ref.Attempt // nothing was attempted
		entries[i] = r.append(t.ref, rec, t.seq)
	}
	r.record(entries)
	r.unspend(r.Life, tasks)
}

// record writes outcomes of claimed jobs, for as long as the process lives.
// One that somebody called unknown meanwhile is moved on from there.
func (r *run) record(entries []*ledger.Append) {
	r.Commits.Commit(r.Life, r.priority(), entries)
	for _, e := range entries {
		if errors.Is(e.Err, ledger.ErrConflict) {
			r.late(e)
			continue
		}
		if e.Err != nil {
			r.Log.Error("an outcome could not be recorded; the job becomes unknown", "job", e.ID.String(), "trace_id", r.trace, "error", e.Err)
		}
	}
}

// late moves a job from unknown to what its answer says. That an echo was
// quicker to say that it was sent is as good.
func (r *run) late(e *ledger.Append) {
	conflict, ok := errors.AsType[*ledger.Conflict](e.Err)
	if ok && echoed(conflict.Last.Record, e.Record) {
		return
	}
	// The unknown must be of this very claim: after a redrive there may be
	// another's, which this answer says nothing about.
	if !ok || conflict.Last.Record.State != job.Unknown || conflict.Last.Record.Prev != e.Record.Prev || job.CheckMove(job.Unknown, e.Record.State) != nil {
		if e.Record.State != job.Unknown {
			r.Log.Warn("an outcome came too late", "job", e.ID.String(), "outcome", e.Record.State, "error", e.Err)
		}
		return
	}
	e.Record.From, e.Record.FromReason, e.Record.Prev = job.Unknown, conflict.Last.Record.Reason, conflict.Last.Seq
	r.Commits.Commit(r.Life, r.priority(), []*ledger.Append{e})
	if e.Err != nil {
		r.Log.Warn("an outcome came too late", "job", e.ID.String(), "outcome", e.Record.State, "error", e.Err)
	}
}

// echoed tells whether a receipt said before what an answer says: that the
// platform has the message. An unknown outcome says nothing against it; the id
// of another message does, for then two have left.
func echoed(is, answer ledger.Record) bool {
	return is.By == ledger.ByReceipt && is.State.Told() > 0 && (answer.State == job.Unknown || answer.State == job.Sent && is.MessageID == answer.MessageID)
}

// call makes one call for n messages and returns n results. What a panic or a
// short answer leaves open may have been accepted: the zero Result says so.
func (r *run) call(ctx context.Context, n int, ask func() []channel.Result) (out []channel.Result) {
	out = make([]channel.Result, n)
	r.Stats.Calls.Add(1)
	r.Kill.Pass(killpoint.AfterRecheck)
	defer func() {
		if v := recover(); v != nil {
			r.Log.ErrorContext(ctx, "a call to the platform panicked; its messages become unknown", "source", r.source.Name, "messages", n, "panic", defect(v))
		}
	}()
	if copied := copy(out, ask()); copied < n {
		r.Log.ErrorContext(ctx, "the platform answered for fewer messages than it was given; the others become unknown", "source", r.source.Name, "messages", n, "answers", copied)
	}
	return out
}

// guard keeps a panic over n claimed messages to these. They have no outcome
// then, and become unknown when their claims have stood long enough.
func (r *run) guard(ctx context.Context, n int, do func()) {
	defer func() {
		if v := recover(); v != nil {
			r.Log.ErrorContext(ctx, "a delivery panicked; its messages become unknown", "source", r.source.Name, "messages", n, "panic", defect(v))
		}
	}()
	do()
}

// defect is what may be logged of a panic: its kind and where it came from.
// Its words may quote a text or an address.
func defect(v any) slog.Value {
	return slog.GroupValue(slog.String("type", fmt.Sprintf("%T", v)), slog.String("stack", string(debug.Stack())))
}

func (r *run) message(t *task) channel.Message {
	says := t.decision.Says
	to, recipient := recipientOf(t.decision)
	typ, tag := wireType(t.decision.Verdict.Rule, r.plan.Says.Policy().Tag, says.Body)
	return channel.Message{
		Job: r.source.Job(t.ref.Contact).String(), Recipient: recipient, To: to, Type: typ, Tag: tag, Text: says.Text, Body: says.Body,
		Expires: t.decision.Ends,
	}
}

// recipientOf is whom the platform is told to write to: the contact, or what
// it did that allows one message.
func recipientOf(d gate.Decision) (channel.RecipientKind, string) {
	switch {
	case d.Uses.ID == "":
		return channel.ToContact, d.Address
	case d.Verdict.Rule == message.OneTimeNotification:
		return channel.ToToken, d.Uses.ID
	case d.Uses.Post:
		return channel.ToPost, d.Uses.ID
	}
	return channel.ToComment, d.Uses.ID
}

// wireType says how the platform is told by which permission a message goes.
// Inside a window a tag is not put on the wire; a utility template goes as one
// in and outside.
func wireType(rule, tag string, body *content.Body) (messagingType, onWire string) {
	switch {
	case body != nil && body.Utility != nil:
		return "UTILITY", ""
	case rule == message.PrivateReply, rule == message.OneTimeNotification:
		return "", "" // the recipient says it
	case rule == "customer_feedback":
		return "MESSAGE_TAG", "CUSTOMER_FEEDBACK"
	case rule == "standard_window", rule == "ad_window", rule == "plus_one", tag == "":
		return "UPDATE", ""
	default:
		return "MESSAGE_TAG", tag
	}
}

// settle records what a call said of its messages, and does what it asks for.
func (r *run) settle(ctx context.Context, tasks []*task, results []channel.Result) {
	now := r.now()
	entries := make([]*ledger.Append, len(tasks))
	for i, t := range tasks {
		if results[i].Outcome == channel.Refused {
			results[i] = lastWord(results[i], t.ref.Attempt+1)
		}
		rec := ofResult(results[i], t.ref.Attempt+1, now)
		rec.Rule, rec.Facts = t.decision.Verdict.Rule, t.decision.Facts
		if rec.State == job.Sent {
			rec.Evidence = t.decision.Verdict.Explain()
			r.Stats.Sent.Add(1)
		}
		entries[i] = r.append(t.ref, rec, t.seq)
	}
	r.Kill.Pass(killpoint.BeforeOutcome)
	r.record(entries)
	r.Kill.Pass(killpoint.AfterOutcome)
	r.unspend(context.WithoutCancel(ctx), unsent(tasks, results))
	r.effects(ctx, tasks, results)
}

// unsent are the tasks that the platform certainly does not have.
func unsent(tasks []*task, results []channel.Result) (out []*task) {
	for i, res := range results {
		if res.Outcome == channel.Refused || res.Outcome == channel.NotSent {
			out = append(out, tasks[i])
		}
	}
	return out
}

// sleepUntil waits for a moment and reports whether ctx lasted that long.
func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
