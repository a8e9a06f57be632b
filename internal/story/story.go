// Package story tells what became of a job, or of everything that was meant
// for a contact, from what is recorded. It answers "why didn't she get it?"
// and changes nothing.
package story

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/errand"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Step is one thing that happened.
type Step struct {
	At     time.Time
	What   string // launched, frozen, or a state of the job
	Text   string // in words
	Record *ledger.Record
	Seq    uint64
}

// Story is what became of one job.
type Story struct {
	Job        job.ID
	Broadcast  string  // "" for a flow's
	Errand     *Errand // of a flow's; else nil
	InAudience bool
	State      job.State
	Bucket     job.Bucket
	Reason     reason.Code
	Steps      []Step
	Now        *Now   // what the gate would say now, of a job that can still move
	Doubt      *Doubt // what is known of an outcome that is unknown
}

// Now is what the gate would say at this moment.
type Now struct {
	Verdict string
	Rule    string
	Reason  reason.Code
	Text    string
}

// Doubt is what is known of a message of which the answer was lost.
type Doubt struct {
	LikelyNotSent bool
	Text          string
}

// Teller reads what stories need.
type Teller struct {
	Defs      *definition.Store
	Facts     *facts.Store
	Audiences *audience.Store
	Ledger    *ledger.Ledger
	Gate      *gate.Gate
	Witness   *receipt.Witness // of unknown outcomes
	Runs      errand.Runs
	Programs  errand.Programs
	Says      Says
}

// ErrUnknownJob says that no broadcast or flow has such a job.
var ErrUnknownJob = errors.New("no broadcast or flow has that job")

// Job tells the story of one job.
func (t *Teller) Job(ctx context.Context, id job.ID) (Story, error) {
	if id.Flow() != "" {
		return t.ofFlow(ctx, id)
	}
	b, _, err := t.Defs.Broadcast(ctx, broadcast.IDOf(id.Name))
	if errors.Is(err, definition.ErrNotFound) {
		return Story{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	if err != nil {
		return Story{}, err
	}
	if b.Snapshot == nil || b.Source() != id.Source {
		return Story{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	_, recorded, err := t.Ledger.Last(ctx, id)
	if err != nil {
		return Story{}, err
	}
	s, err := t.tell(ctx, b, id, recorded)
	if err == nil && !s.InAudience {
		return Story{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	return s, err
}

// tell tells the story of a broadcast's job. Who has a record in the ledger is
// in the audience; who has none is looked for there.
func (t *Teller) tell(ctx context.Context, b *broadcast.Broadcast, id job.ID, recorded bool) (Story, error) {
	s := Story{Job: id, Broadcast: b.Spec.ID, State: job.Pending, InAudience: recorded}
	if !recorded {
		var err error
		if s.InAudience, err = t.inAudience(ctx, b, id.Contact); err != nil || !s.InAudience {
			return s, err
		}
	}
	s.Steps = []Step{
		{At: b.LaunchedAt, What: "launched", Text: "broadcast " + b.Spec.ID + " was launched, due " + stamp(b.DueAt)},
		{At: b.Frozen.At, What: "planned", Text: fmt.Sprintf("audience frozen with %d contacts, this one among them", b.Snapshot.Count)},
	}
	var since time.Time
	var err error
	if recorded {
		if since, err = t.history(ctx, &s, ""); err != nil {
			return s, err
		}
	}
	t.close(b, &s)
	if err := t.doubt(ctx, &s, since); err != nil {
		return s, err
	}
	if !s.State.Ended() && !b.State.Over() || s.State.Dead() {
		s.Now, err = t.now(ctx, b, id)
	}
	return s, err
}

// doubt adds what is known of an outcome that is unknown since a moment.
func (t *Teller) doubt(ctx context.Context, s *Story, since time.Time) error {
	if s.State != job.Unknown {
		return nil
	}
	evidence, err := t.Witness.Evidence(ctx, s.Job.Sender)
	if err == nil {
		s.Doubt = &Doubt{LikelyNotSent: evidence.LikelyNotSent(since), Text: evidence.Text(since)}
	}
	return err
}

// close adds what the end of the broadcast made of the job.
func (t *Teller) close(b *broadcast.Broadcast, s *Story) {
	s.Bucket = s.State.Bucket(b.State.Closing())
	switch {
	case s.State.Ended():
		return
	case s.Bucket == job.InCancelled:
		s.Reason = reason.Cancelled
		s.Steps = append(s.Steps, Step{At: b.ClosedAt, What: "cancelled", Text: "the broadcast was cancelled before this message left"})
	case s.Bucket == job.InExpired:
		s.Reason = reason.Expired
		s.Steps = append(s.Steps, Step{At: b.ClosedAt, What: "expired", Text: "the broadcast ended at " + stamp(b.EndsAt) + " before this message left"})
	case b.State == broadcast.Paused:
		s.Steps = append(s.Steps, Step{At: time.Now().UTC(), What: "waiting", Text: "the broadcast is paused; resume it with: carillon broadcast resume " + b.Spec.ID})
	case len(s.Steps) == 2:
		s.Steps = append(s.Steps, Step{At: time.Now().UTC(), What: "waiting", Text: "not tried yet: its turn has not come"})
	}
}

func (t *Teller) inAudience(ctx context.Context, b *broadcast.Broadcast, k job.Key) (bool, error) {
	found := false
	for i := 0; !found; i++ {
		keys, err := t.Audiences.Chunk(ctx, *b.Snapshot, i)
		if err != nil {
			return false, err
		}
		if keys == nil {
			return false, nil
		}
		found = slices.Contains(keys, k)
	}
	return true, nil
}

func (t *Teller) now(ctx context.Context, b *broadcast.Broadcast, id job.ID) (*Now, error) {
	p, err := t.Defs.Plan(ctx, b)
	if err != nil {
		return nil, err
	}
	return t.judge(ctx, p, id)
}

// judge is what the gate would say now of a message, nil where its contact is
// not known.
func (t *Teller) judge(ctx context.Context, p *definition.Planned, id job.ID) (*Now, error) {
	r, ok, err := t.Facts.Contact(ctx, id.Sender, id.Contact)
	if err != nil || !ok {
		return nil, err
	}
	spec, _, err := t.Defs.Sender(ctx, id.Sender)
	if err != nil {
		return nil, err
	}
	v := t.Gate.Forecast(r, p, spec, time.Now()).Verdict
	return &Now{Verdict: v.Kind.String(), Rule: v.Rule, Reason: v.Reason, Text: v.Explain()}, nil
}

// Contact is everything that was meant for one contact of a sender.
type Contact struct {
	Key     job.Key
	Known   bool
	Record  contact.Record
	Stories []Story  // of broadcasts with the contact in their audience, and of flows, oldest first
	Missed  []Missed // broadcasts without it
}

// Missed says why a contact is not in a broadcast's audience.
type Missed struct {
	Broadcast string
	Why       string
}

// Contact tells everything that was meant for a contact.
func (t *Teller) Contact(ctx context.Context, sender, address string) (Contact, error) {
	c := Contact{Key: t.Facts.Key(sender, address)}
	var err error
	if c.Record, c.Known, err = t.Facts.Contact(ctx, sender, c.Key); err != nil {
		return c, err
	}
	launched, err := t.launched(ctx, sender)
	if err != nil {
		return c, err
	}
	entries, err := t.Ledger.JobsOf(ctx, sender, c.Key)
	if err != nil {
		return c, err
	}
	recorded := map[job.ID]bool{}
	for _, e := range entries {
		recorded[e.ID] = true
	}
	told, err := each(ctx, launched, func(ctx context.Context, b *broadcast.Broadcast) (Story, error) {
		if b.Snapshot == nil {
			return Story{}, nil
		}
		id := b.Source().Job(c.Key)
		return t.tell(ctx, b, id, recorded[id])
	})
	if err != nil {
		return c, err
	}
	for i, b := range launched {
		switch {
		case told[i].InAudience:
			c.Stories = append(c.Stories, told[i])
		case b.Snapshot == nil:
			c.Missed = append(c.Missed, Missed{b.Spec.ID, "its audience is not frozen; it is " + string(b.State)})
		default:
			c.Missed = append(c.Missed, Missed{b.Spec.ID, whyMissed(b, c)})
		}
	}
	flows, err := t.ofFlows(ctx, entries)
	c.Stories = append(c.Stories, flows...)
	slices.SortStableFunc(c.Stories, func(a, b Story) int { return a.Steps[0].At.Compare(b.Steps[0].At) })
	return c, err
}

// launched returns a sender's broadcasts that were launched, oldest first.
func (t *Teller) launched(ctx context.Context, sender string) ([]*broadcast.Broadcast, error) {
	ids, err := t.Defs.Broadcasts(ctx)
	if err != nil {
		return nil, err
	}
	all, err := each(ctx, ids, func(ctx context.Context, id string) (*broadcast.Broadcast, error) {
		b, _, err := t.Defs.Broadcast(ctx, id)
		return b, err
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(b *broadcast.Broadcast) bool { return b.Spec.Sender != sender || b.LaunchedAt.IsZero() })
	slices.SortFunc(all, func(a, b *broadcast.Broadcast) int { return a.LaunchedAt.Compare(b.LaunchedAt) })
	return all, nil
}

// atOnce is how many things are read side by side for one question: nearly all
// of the time is spent waiting for answers.
const atOnce = 16

// each calls fn for every value, and returns what it returned in their order.
func each[T, R any](ctx context.Context, from []T, fn func(context.Context, T) (R, error)) ([]R, error) {
	out := make([]R, len(from))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, v := range from {
		g.Go(func() (err error) {
			out[i], err = fn(ctx, v)
			return err
		})
	}
	return out, g.Wait()
}

// whyMissed says what keeps a contact out of an audience, by what is known of
// it now.
func whyMissed(b *broadcast.Broadcast, c Contact) string {
	if !c.Known {
		return "nothing is known of this contact; was it imported for this sender?"
	}
	sel, err := plan.NewSelector(b.Spec.Audience)
	if err != nil {
		return err.Error()
	}
	if why := sel.Why(c.Record); why != "" {
		return why
	}
	return "it was not known, or did not match, when the audience was frozen at " + stamp(b.Frozen.At) + "; it would match now"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// redriver names who had a job go again.
func redriver(by string) string {
	if by == ledger.ByStandingOrder {
		return "the sender's standing order (unknown.redrive)"
	}
	return by
}

// Sentence says in words what a record means.
func Sentence(r ledger.Record) string {
	var b strings.Builder
	switch r.State {
	case job.Claimed:
		fmt.Fprintf(&b, "attempt %d: a worker claimed it to send it by rule %s", r.Attempt, r.Rule)
	case job.Sent:
		b.WriteString("the platform accepted it")
		if r.MessageID != "" {
			fmt.Fprintf(&b, " as %s", r.MessageID)
		}
		if r.By == ledger.ByReceipt {
			fmt.Fprintf(&b, ", as it told by this job's id when the job was %s", r.From)
		}
	case job.Delivered:
		b.WriteString("the platform says that it was delivered")
	case job.Read:
		b.WriteString("the platform says that it was read")
	case job.Pending:
		switch {
		case r.From.Ended():
			fmt.Fprintf(&b, "redriven by %s: it goes through every check again", redriver(r.By))
		case r.From == job.Held:
			b.WriteString("the time it was held until has come")
		case r.Status != 0 || r.Code != 0:
			b.WriteString("the platform did not take it this time; it goes again")
		default:
			b.WriteString("nothing left; it goes again")
		}
	default:
		b.WriteString(string(r.State))
	}
	if r.Discarded {
		return "taken off the dead letters by " + r.By
	}
	if r.Reason != "" {
		fmt.Fprintf(&b, ": %s", r.Reason)
		if e, ok := reason.Lookup(r.Reason); ok && r.State != job.Pending { // a meaning is of an end
			fmt.Fprintf(&b, " (%s)", strings.TrimSuffix(e.Meaning, "."))
		}
	}
	if r.Code != 0 {
		fmt.Fprintf(&b, "; platform error %d/%d", r.Code, r.Subcode)
	}
	if r.Detail != "" {
		fmt.Fprintf(&b, " %q", r.Detail)
	}
	if r.Evidence != "" && r.State != job.Sent {
		fmt.Fprintf(&b, "; %s", r.Evidence)
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(&b, "; not before %s", stamp(r.Until))
	}
	return b.String()
}
