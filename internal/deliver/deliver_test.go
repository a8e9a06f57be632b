package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/use"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// world is everything around a worker: a platform that answers by script, and
// what was asked of it and of the others.
type world struct {
	*rig.Rooms
	t      *testing.T
	keys   []job.Key
	b      *broadcast.Broadcast
	worker *Worker

	mu       sync.Mutex
	answer   func(channel.Message) channel.Result
	batch    func([]channel.Message) []channel.Result
	sent     map[string]int // by address
	batches  []int
	back     []job.Ref
	why      []reason.Code
	blocked  []string
	paused   []reason.Code
	optedOut []string
	account  error
	claimed  func() // after claims were written
	settled  func() // after outcomes were written
	alone    func() // stops the projector, which would repair what a test harms
}

// Send answers by the script.
func (w *world) Send(_ context.Context, _ channel.Account, m channel.Message) channel.Result {
	w.mu.Lock()
	w.sent[m.Recipient]++
	answer := w.answer
	w.mu.Unlock()
	return answer(m)
}

// SendBatch answers by the script.
func (w *world) SendBatch(_ context.Context, _ channel.Account, ms []channel.Message) []channel.Result {
	w.mu.Lock()
	w.batches = append(w.batches, len(ms))
	for _, m := range ms {
		w.sent[m.Recipient]++
	}
	w.mu.Unlock()
	return w.batch(ms)
}

// GiveBack notes what comes back.
func (w *world) GiveBack(_ context.Context, s job.Source, jobs []job.Ref, _ time.Time, why reason.Code) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != w.b.Source() && s.Flow() == "" {
		w.t.Errorf("given back to %+v", s)
	}
	w.back, w.why = append(w.back, jobs...), append(w.why, why)
}

// Learn notes who is blocked, and takes all in.
func (w *world) Learn(ctx context.Context, sender string, us []contact.Update) error {
	w.mu.Lock()
	for _, u := range us {
		if !u.BlockedAt.IsZero() {
			w.blocked = append(w.blocked, u.Address)
		}
	}
	w.mu.Unlock()
	_, err := w.Facts.Merge(ctx, sender, us)
	return err
}

// PauseSender notes the reason.
func (w *world) PauseSender(_ context.Context, _ string, _ time.Time, why reason.Code, _ string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = append(w.paused, why)
	return true, nil
}

// OptOut notes the contact.
func (w *world) OptOut(_ context.Context, _, address string, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.optedOut = append(w.optedOut, address)
	return nil
}

// Commit writes to the real ledger, and lets a test act once jobs are claimed.
func (w *world) Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append) {
	w.Commits.Commit(ctx, p, entries)
	if len(entries) > 0 && entries[0].Record.State == job.Claimed && w.claimed != nil {
		w.claimed()
	}
	if len(entries) > 0 && entries[0].Record.From == job.Claimed && w.settled != nil {
		w.settled()
	}
}

func accept(m channel.Message) channel.Result {
	return channel.Result{Outcome: channel.Accepted, MessageID: "m-" + m.Recipient}
}

// newWorld is a running broadcast to n contacts with the gate open.
func newWorld(t *testing.T, n int, batch bool) *world {
	t.Helper()
	w := &world{Rooms: rig.Open(t, engines), t: t, answer: accept, sent: map[string]int{}}
	w.batch = func(ms []channel.Message) (out []channel.Result) {
		for _, m := range ms {
			out = append(out, accept(m))
		}
		return out
	}
	w.Apply(t, rig.Bakery+map[bool]string{true: "batch: true\n"}[batch])
	w.keys = w.Contacts(t, "bakery", n)
	w.b = w.Running(t, broadcast.Spec{ID: "spring", Sender: "bakery", Message: message.Message{Text: "Hello {{.name}}"}}, w.keys)
	_, w.alone = w.Project(t, nil)
	w.Rested(t)
	cache, err := definition.NewCache(t.Context(), w.Defs)
	rig.Must(t, err)
	t.Cleanup(cache.Close)
	uses, err := use.Open(t.Context(), engines.NATS, w.Streams, w.Names)
	rig.Must(t, err)
	w.worker = &Worker{
		Life: t.Context(), Gate: w.Gate, Commits: w, Defs: cache, Platform: func(string) channel.Platform { return w }, Effects: w, Uses: uses, Lane: w, Tracer: w.Tracer, Log: w.Log, Name: "w", Stats: &Stats{},
		Account: func(*sender.Spec) (channel.Account, error) { return channel.Account{}, w.account },
	}
	return w
}

func (w *world) refs() (out []job.Ref) {
	for _, k := range w.keys {
		out = append(out, job.Ref{Contact: k})
	}
	return out
}

// deliver has the worker deliver an envelope, and once more what lost its slots
// to a busy machine, as the lane would.
func (w *world) deliver(refs []job.Ref) {
	for len(refs) > 0 {
		w.worker.Deliver(w.t.Context(), job.Envelope{Source: w.b.Source(), Jobs: refs})
		refs = w.late(refs)
	}
}

// late returns the jobs whose slots were over before they could leave.
func (w *world) late(refs []job.Ref) (out []job.Ref) {
	for _, ref := range refs {
		e, found, err := w.Ledger.Last(w.t.Context(), w.b.Source().Job(ref.Contact))
		if r := e.Record; err == nil && found && e.Seq != ref.Seq && r.State == job.Pending && r.Evidence == slotOver {
			out = append(out, job.Ref{Contact: ref.Contact, Seq: e.Seq, Attempt: r.Attempt})
		}
	}
	return out
}

// last returns a job's newest record.
func (w *world) last(i int) ledger.Record {
	w.t.Helper()
	e, _, err := w.Ledger.Last(w.t.Context(), w.b.Source().Job(w.keys[i]))
	rig.Must(w.t, err)
	return e.Record
}

// want asserts where the i-th job ended and how often it was sent.
func (w *world) want(i int, s job.State, why reason.Code, sent int) {
	w.t.Helper()
	if r := w.last(i); r.State != s || r.Reason != why {
		w.t.Errorf("job %d is %s, %q; want %s, %q: %+v", i, r.State, r.Reason, s, why, r)
	}
	if got := w.sent[rig.Address(i)]; got != sent {
		w.t.Errorf("job %d reached the platform %d times, want %d", i, got, sent)
	}
}

func optOut(i int) contact.Update {
	return contact.Update{Address: rig.Address(i), OptOut: &contact.OptOut{Scope: contact.All, At: time.Now()}}
}

func TestEachVerdictAndAnswerSettles(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(map[bool]string{false: "singles", true: "batch"}[batch], func(t *testing.T) {
			w := newWorld(t, 9, batch)
			w.Update(t, "bakery", optOut(0))
			w.Update(t, "bakery", contact.Update{Address: rig.Address(1), Profile: &contact.Profile{}}) // no name
			answers := map[string]channel.Result{
				rig.Address(2): {Outcome: channel.Refused, Reason: reason.PlatformRejected, Code: 100},
				rig.Address(3): {Outcome: channel.Refused, Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
				rig.Address(4): {Outcome: channel.Refused, Action: channel.SlowSender, Reason: reason.RateCapped, After: 20 * time.Second},
				rig.Address(5): {Outcome: channel.Refused, Action: channel.PauseSender, Reason: reason.SenderRestricted},
				rig.Address(6): {Outcome: channel.Unknown, Reason: reason.OutcomeUnknown},
				rig.Address(7): {Outcome: channel.NotSent, Reason: reason.PlatformUnreachable},
			}
			w.answer = func(m channel.Message) channel.Result {
				if res, ok := answers[m.Recipient]; ok {
					return res
				}
				return accept(m)
			}
			w.batch = func(ms []channel.Message) (out []channel.Result) {
				for _, m := range ms {
					out = append(out, w.answer(m))
				}
				return out
			}
			w.deliver(w.refs())
			w.want(0, job.Blocked, reason.OptedOut, 0)
			w.want(1, job.Blocked, reason.TemplateInvalid, 0)
			w.want(2, job.Failed, reason.PlatformRejected, 1)
			w.want(3, job.Failed, reason.RecipientUnavailable, 1)
			w.want(4, job.Pending, reason.RateCapped, 1)
			w.want(5, job.Pending, reason.SenderRestricted, 1)
			w.want(6, job.Unknown, reason.OutcomeUnknown, 1)
			w.want(7, job.Pending, reason.PlatformUnreachable, 1)
			w.want(8, job.Sent, "", 1)
			if r := w.last(8); r.MessageID != "m-"+rig.Address(8) || r.Rule != "standard_window" || r.Attempt != 1 || r.Facts == 0 || r.By != "w" || r.Evidence == "" {
				t.Errorf("sent as %+v", r)
			}
			if batch != (len(w.batches) == 1) {
				t.Errorf("batches %v", w.batches)
			}
			if !slices.Equal(w.blocked, []string{rig.Address(3)}) || !slices.Equal(w.paused, []reason.Code{reason.SenderRestricted}) {
				t.Errorf("blocked %v, paused %v", w.blocked, w.paused)
			}
			w.deliver([]job.Ref{{Contact: w.keys[8], Seq: 0}})
			if !slices.Contains(w.why, reason.RateCapped) {
				t.Errorf("the sender was not slowed: given back %v", w.why)
			}
			w.want(8, job.Sent, "", 1)
		})
	}
}

// Who blocked the account and writes while a message to them is being refused
// can be reached again.
func TestRefusedWhileTheContactWrites(t *testing.T) {
	w := newWorld(t, 2, false)
	w.answer = func(m channel.Message) channel.Result {
		if m.Recipient == rig.Address(0) {
			w.Update(t, "bakery", contact.Update{Address: m.Recipient, LastInbound: time.Now().UTC()})
		}
		return channel.Result{Outcome: channel.Refused, Action: channel.BlockContact, Reason: reason.RecipientUnavailable}
	}
	w.deliver(w.refs())
	for i, want := range []bool{false, true} {
		r, _, err := w.Facts.Contact(t.Context(), "bakery", w.keys[i])
		rig.Must(t, err)
		if r.BlockedAt.IsZero() || r.Blocked() != want {
			t.Errorf("contact %d counts as blocked: %t, want %t: since %s, wrote %s", i, r.Blocked(), want, r.BlockedAt, r.LastInbound)
		}
	}
}

func TestOptOutBetweenClaimAndRecheck(t *testing.T) {
	for _, batch := range []bool{false, true} {
		w := newWorld(t, 2, batch)
		var once sync.Once
		w.claimed = func() { once.Do(func() { w.Update(t, "bakery", optOut(0)) }) }
		w.deliver(w.refs())
		w.want(0, job.Blocked, reason.OptedOut, 0)
		w.want(1, job.Sent, "", 1)
		if got := w.States(t, w.b.Source().Job(w.keys[0])); !slices.Equal(got, []job.State{job.Claimed, job.Blocked}) {
			t.Errorf("history %v", got)
		}
		if r := w.last(0); r.Attempt != 0 {
			t.Errorf("attempt %d, though nothing was attempted", r.Attempt)
		}
	}
}

// TestClaimsInDoubtAreTakenBack: nobody says in time what became of a claim,
// whether it was written or not. Nothing leaves, the job is let go of, and goes
// when its turn comes again.
func TestClaimsInDoubtAreTakenBack(t *testing.T) {
	for _, batch := range []bool{false, true} {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("batch %t, written %t", batch, written), func(t *testing.T) {
				w := newWorld(t, 3, batch)
				silence := true
				w.worker.Commits = committer(func(ctx context.Context, p ledger.Priority, entries []*ledger.Append) {
					silent := silence && len(entries) > 0 && entries[0].Record.State == job.Claimed && ctx != w.worker.Life
					if !silent || written {
						w.Commit(ctx, p, entries)
					}
					for _, e := range entries {
						if silent {
							e.Written, e.Err = 0, context.DeadlineExceeded
						}
					}
				})
				w.worker.Deliver(t.Context(), job.Envelope{Source: w.b.Source(), Jobs: w.refs()})
				silence = false
				if len(w.sent) != 0 {
					t.Errorf("sent: %v", w.sent)
				}
				for i := range w.keys {
					if got := w.States(t, w.b.Source().Job(w.keys[i])); !slices.Equal(got, []job.State{job.Claimed, job.Pending}) {
						t.Errorf("history %v", got)
					}
					if r := w.last(i); r.Attempt != 0 {
						t.Errorf("attempt %d, though nothing was attempted", r.Attempt)
					}
				}
				w.deliver(w.late(w.refs()))
				for i := range w.keys {
					w.want(i, job.Sent, "", 1)
				}
			})
		}
	}
}

// committer is a way to write records.
type committer func(context.Context, ledger.Priority, []*ledger.Append)

// Commit calls it.
func (c committer) Commit(ctx context.Context, p ledger.Priority, entries []*ledger.Append) {
	c(ctx, p, entries)
}

func TestCancelledBetweenClaimAndRecheck(t *testing.T) {
	w := newWorld(t, 1, false)
	w.claimed = func() {
		w.Seen(t, w.Control(t, facts.SourceControl, w.b.Source().Name, facts.Control{State: facts.Cancelled}))
	}
	w.deliver(w.refs())
	w.want(0, job.Cancelled, reason.Cancelled, 0)
}

func TestPausedAndCancelledNeedNoRecord(t *testing.T) {
	for state, back := range map[string]int{facts.Paused: 2, facts.Cancelled: 0} {
		w := newWorld(t, 2, false)
		w.Seen(t, w.Control(t, facts.SourceControl, w.b.Source().Name, facts.Control{State: state}))
		w.deliver(w.refs())
		if len(w.back) != back || len(w.sent) != 0 || len(w.States(t, w.b.Source().Job(w.keys[0]))) != 0 {
			t.Errorf("%s: %d given back, want %d; sent %v", state, len(w.back), back, w.sent)
		}
	}
}

// However many workers get the same jobs, at once, again or with a sequence
// from before, each job goes once.
func TestEachJobIsSentOnce(t *testing.T) {
	for _, batch := range []bool{false, true} {
		w := newWorld(t, 20, batch)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { w.deliver(w.refs()) })
		}
		wg.Wait()
		w.deliver(w.refs())
		for i := range w.keys {
			w.want(i, job.Sent, "", 1)
			if got := w.States(t, w.b.Source().Job(w.keys[i])); !slices.Equal(got, []job.State{job.Claimed, job.Sent}) {
				t.Errorf("history %v", got)
			}
		}
		if len(w.back) != 0 {
			t.Errorf("given back %v for %v", w.back, w.why)
		}
	}
}

func TestTaskFromBeforeARedriveIsFencedOff(t *testing.T) {
	w := newWorld(t, 1, false)
	id := w.b.Source().Job(w.keys[0])
	w.Record(t, id, ledger.Record{State: job.Blocked, Reason: reason.OptedOut})
	seq := w.Record(t, id, ledger.Record{State: job.Pending})
	w.deliver(w.refs())
	w.want(0, job.Pending, "", 0)
	w.deliver([]job.Ref{{Contact: w.keys[0], Seq: seq}})
	w.want(0, job.Sent, "", 1)
}

func TestSlotOverBeforeSendIsAskedForAgain(t *testing.T) {
	for _, batch := range []bool{false, true} {
		w := newWorld(t, 3, batch)
		var once sync.Once
		w.claimed = func() {
			once.Do(func() { <-time.After(200 * time.Millisecond) }) // a stall longer than a slot lives
		}
		w.deliver(w.refs())
		for i := range w.keys {
			w.want(i, job.Sent, "", 1)
		}
		if got := w.worker.Stats.Takes.Load(); got < 2 {
			t.Errorf("batch %v: slots were asked for %d times, want again", batch, got)
		}
	}
}

func TestStalledClaimIsLetGo(t *testing.T) {
	w := newWorld(t, 1, false)
	r := &run{Worker: w.worker}
	now := time.Now()
	task := &task{claimed: now}
	for _, c := range []struct {
		until time.Duration
		holds bool
	}{{ClaimDeadline - SendTimeout - 1, true}, {ClaimDeadline - SendTimeout, false}} {
		if task.slot.Until = now.Add(c.until); r.claimHolds(task) != c.holds {
			t.Errorf("a slot that ends %s after the claim: holds %v, want %v", c.until, !c.holds, c.holds)
		}
	}
}

func TestLateOwnerMovesUnknownOn(t *testing.T) {
	for name, c := range map[string]struct {
		res   channel.Result
		state job.State
		why   reason.Code
	}{
		"sent":     {channel.Result{Outcome: channel.Accepted, MessageID: "m"}, job.Sent, ""},
		"failed":   {channel.Result{Outcome: channel.Refused, Reason: reason.PlatformRejected}, job.Failed, reason.PlatformRejected},
		"not sent": {channel.Result{Outcome: channel.NotSent, Reason: reason.PlatformUnreachable}, job.Pending, reason.PlatformUnreachable},
		"unknown":  {channel.Result{}, job.Unknown, reason.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, false)
			id := w.b.Source().Job(w.keys[0])
			w.answer = func(channel.Message) channel.Result {
				w.Record(t, id, ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown, By: "lane"})
				return c.res
			}
			w.deliver(w.refs())
			w.want(0, c.state, c.why, 1)
			if r := w.last(0); c.state != job.Unknown && (r.From != job.Unknown || r.FromReason != reason.OutcomeUnknown) {
				t.Errorf("record %+v", r)
			}
		})
	}
}

// That an echo was quicker to say what the owner's answer says is nothing to
// warn of; that it speaks of another message is.
func TestEchoBeforeTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		is    ledger.Record
		res   channel.Result
		quiet bool
	}{
		"the same":             {ledger.Record{State: job.Sent, MessageID: "m", By: ledger.ByReceipt}, channel.Result{Outcome: channel.Accepted, MessageID: "m"}, true},
		"read by then":         {ledger.Record{State: job.Read, MessageID: "m", By: ledger.ByReceipt}, channel.Result{Outcome: channel.Accepted, MessageID: "m"}, true},
		"no answer":            {ledger.Record{State: job.Sent, MessageID: "m", By: ledger.ByReceipt}, channel.Result{}, true},
		"another message":      {ledger.Record{State: job.Sent, MessageID: "m", By: ledger.ByReceipt}, channel.Result{Outcome: channel.Accepted, MessageID: "n"}, false},
		"the platform refused": {ledger.Record{State: job.Sent, MessageID: "m", By: ledger.ByReceipt}, channel.Result{Outcome: channel.Refused, Reason: reason.PlatformRejected}, false},
		"another worker's":     {ledger.Record{State: job.Sent, MessageID: "m", By: "worker"}, channel.Result{Outcome: channel.Accepted, MessageID: "m"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, false)
			var log strings.Builder
			w.worker.Log = slog.New(slog.NewTextHandler(&log, nil))
			id := w.b.Source().Job(w.keys[0])
			w.answer = func(channel.Message) channel.Result {
				sent := c.is
				sent.State = job.Sent
				w.Record(t, id, sent)
				if c.is.State == job.Read {
					w.Record(t, id, c.is)
				}
				return c.res
			}
			w.deliver(w.refs())
			if got := w.last(0).State; got != c.is.State || strings.Contains(log.String(), "too late") == c.quiet {
				t.Errorf("%s, logged %q", got, log.String())
			}
		})
	}
}

// Redriven meanwhile, the job is somebody else's: the late answer is not
// written over it.
func TestLateOwnerAfterARedrive(t *testing.T) {
	w := newWorld(t, 1, false)
	id := w.b.Source().Job(w.keys[0])
	w.answer = func(m channel.Message) channel.Result {
		w.Record(t, id, ledger.Record{State: job.Unknown, Reason: reason.OutcomeUnknown})
		w.Record(t, id, ledger.Record{State: job.Pending})
		return accept(m)
	}
	w.deliver(w.refs())
	w.want(0, job.Pending, "", 1)
}

func TestUnreadableCredential(t *testing.T) {
	w := newWorld(t, 2, false)
	w.account = errors.New("credential env:NONE is empty")
	w.deliver(w.refs())
	if !slices.Equal(w.paused, []reason.Code{reason.CredentialInvalid}) || len(w.back) != 2 || len(w.sent) != 0 {
		t.Errorf("paused %v, given back %v, sent %v", w.paused, w.back, w.sent)
	}
}

func TestBlindGateGivesBackAndClaimsNothing(t *testing.T) {
	w := newWorld(t, 2, false)
	w.alone()
	rig.Must(t, engines.Redis.Client.HSet(t.Context(), w.Keys.Meta(), "epoch", "another").Err())
	w.deliver(w.refs())
	if len(w.back) != 2 || !slices.Equal(w.why, []reason.Code{reason.Rebuilding}) || len(w.States(t, w.b.Source().Job(w.keys[0]))) != 0 {
		t.Errorf("given back %v for %v", w.back, w.why)
	}
}

func TestGateGoesBlindAfterTheClaim(t *testing.T) {
	w := newWorld(t, 1, false)
	w.claimed = func() {
		w.alone()
		rig.Must(t, engines.Redis.Client.HSet(t.Context(), w.Keys.Meta(), "epoch", "another").Err())
	}
	w.deliver(w.refs())
	w.want(0, job.Pending, reason.Rebuilding, 0)
}

func TestUnknownSourceGoesBack(t *testing.T) {
	w := newWorld(t, 1, false)
	w.b.Spec.ID = "nobody"
	w.deliver(w.refs())
	if len(w.back) != 1 || len(w.sent) != 0 {
		t.Errorf("given back %v, sent %v", w.back, w.sent)
	}
}

// A defect after the call ends neither the process nor the other messages of
// the envelope.
func TestPanicWhileSettling(t *testing.T) {
	w := newWorld(t, 3, false)
	var once sync.Once
	w.settled = func() { once.Do(func() { panic("a bug in a room below") }) }
	w.deliver(w.refs())
	for i := range 3 {
		w.want(i, job.Sent, "", 1)
	}
}

func TestPanicOrShortAnswerIsUnknown(t *testing.T) {
	w := newWorld(t, 2, false)
	w.answer = func(m channel.Message) channel.Result {
		if m.Recipient == rig.Address(0) {
			panic("a bug in a platform")
		}
		return accept(m)
	}
	w.deliver(w.refs())
	w.want(0, job.Unknown, reason.OutcomeUnknown, 1)
	w.want(1, job.Sent, "", 1)

	w = newWorld(t, 3, true)
	w.batch = func(ms []channel.Message) []channel.Result { return []channel.Result{accept(ms[0])} }
	w.deliver(w.refs())
	w.want(0, job.Sent, "", 1)
	w.want(1, job.Unknown, reason.OutcomeUnknown, 1)
	w.want(2, job.Unknown, reason.OutcomeUnknown, 1)
}
