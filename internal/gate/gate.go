// Package gate decides whether a job may go now: it reads facts, controls and
// caps from Redis, asks the rulebook, and says send, hold or block. It writes
// nothing but slots, and when it can't read it never says send.
package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Rules judges by a rulebook alone, asking no engine: authors, forecasts, and
// contacts that somebody else looked up. NewRules makes one.
type Rules struct {
	book  *policy.Rulebook
	zones *Zones
}

// NewRules returns what judges by a rulebook.
func NewRules(book *policy.Rulebook) Rules { return Rules{book: book, zones: NewZones()} }

// Clock tells whether this process' clock may be believed at a moment.
type Clock interface{ Check(now time.Time) error }

// Gate judges jobs by its Rules and what the engines know.
type Gate struct {
	Rules
	Clock Clock // nil: whoever asks looks after its clock itself

	rdb  redis.UniversalClient
	keys facts.Keys
	view *facts.View

	take, give, slow, strike *redis.Script
	cut, paces               *redis.Script
	back, lost, found        *redis.Script // of budgets

	lastEased sync.Map // name of a pace → when this process last had it eased
}

// New returns a gate over a projection and a rulebook.
func New(rdb redis.UniversalClient, keys facts.Keys, view *facts.View, book *policy.Rulebook) *Gate {
	return &Gate{
		Rules: NewRules(book), rdb: rdb, keys: keys, view: view,
		take: takeScript(), give: giveScript(), slow: slowScript(), strike: strikeScript(),
		cut: cutScript(), paces: pacesScript(),
		back: returnScript(), lost: lostScript(), found: foundScript(),
	}
}

// Do is what to do with a job.
type Do uint8

// What a decision asks for. The zero value gives the job back, so that a
// forgotten decision never sends.
const (
	GiveBack Do = iota // nothing about this contact: ask again later
	Send
	Block // the job ends
	Hold  // this contact only, until the verdict's Until
	Drop  // its source is closed; the audience counts it without a record
)

// Decision is what the gate says of one job.
type Decision struct {
	Do      Do
	Verdict policy.Verdict
	Closed  job.State          // with Drop: Cancelled or Expired
	Says    message.Rendered   // with Send
	Address string             // with Send
	Ends    time.Time          // with Send: when nobody wants the message any more; zero: never
	Uses    contact.Permission // with Send by a permission that serves once: which; else zero
	Facts   uint64             // the watermark that it was decided on
}

// Retry is how long a job that was given back for no reason of its own waits.
const Retry = time.Second

// ErrClock says that this process' clock can't be believed, so that nobody
// knows which windows are open.
var ErrClock = errors.New("no moment can be judged")

// Look reads what Judge needs for the contacts of one source. A flow's is
// paused and closed with all of its flow. The moment that is judged next is one
// of a clock that is believed.
func (g *Gate) Look(ctx context.Context, s job.Source, keys []job.Key) (facts.Look, error) {
	l, err := g.view.Look(ctx, s.Sender, s.Whole().Name, keys)
	if err == nil && g.Clock != nil { // after the round trip, during which it may have been set
		if off := g.Clock.Check(time.Now()); off != nil {
			return facts.Look{}, fmt.Errorf("%w: %w", ErrClock, off)
		}
	}
	return l, err
}

// Blind returns the reason for holding everything after Look failed.
func Blind(err error) reason.Code {
	switch {
	case errors.Is(err, ErrClock):
		return reason.ClockUncertain
	case errors.Is(err, facts.ErrRebuilding):
		return reason.Rebuilding
	}
	return reason.FactsUnavailable
}

// Judge decides on the i-th contact of a look, as of the moment at which the
// message would leave at the latest.
func (g Rules) Judge(l facts.Look, i int, p *definition.Planned, s *sender.Spec, at time.Time) Decision {
	d := Decision{Facts: l.Watermark}
	if closed := closing(l.Source, at); closed != "" {
		d.Do, d.Closed = Drop, closed
		return d
	}
	r := l.Contacts[i]
	if l.Source == nil || r == nil {
		d.Verdict = policy.Verdict{Kind: policy.Hold, Reason: reason.FactsUnavailable}
		return d
	}
	if newer(l, i) {
		d.Verdict = policy.Verdict{Kind: policy.Hold, Reason: reason.FactsUnavailable, Evidence: policy.Evidence{Note: "a newer version wrote what this one can't read"}}
		return d
	}
	if l.Source.State == facts.Paused {
		d.Verdict = policy.Verdict{Kind: policy.Hold, Reason: reason.SenderPaused, Evidence: policy.Evidence{Note: "the " + p.Says.Policy().Origin + " is paused"}}
		return d
	}
	says, rerr := p.Says.Render(*r)
	m := p.Says.Policy()
	m.Text, m.Words = says.Text, says.Words
	if rerr != nil { // which the rules then find to be a message without content
		m.Text, m.Words, m.HasTemplate = "", "", false
	}
	ps := s.Policy(g.zones.Load)
	ps.Paused = l.Sender != nil && l.Sender.State == facts.Paused
	f := r.Facts(g.zones.Load)
	d.Verdict = policy.Evaluate(g.book, at, &m, &f, &ps)
	if rerr != nil && d.Verdict.Reason == reason.TemplateInvalid {
		d.Verdict.Evidence.Note = rerr.Error()
	}
	if d.Verdict.Kind == policy.Send && r.Address == "" {
		d.Verdict = policy.Verdict{Kind: policy.Block, Reason: reason.RecipientNotFound, Evidence: policy.Evidence{Note: "the contact was erased"}}
	}
	if v, ok := rest(r, at); ok && d.Verdict.Kind == policy.Send {
		d.Verdict = v
	}
	switch d.Verdict.Kind {
	case policy.Send:
		d.Do, d.Says, d.Address, d.Ends, d.Uses = Send, says, r.Address, l.Source.EndsAt, uses(r, m.Via)
	case policy.Block:
		d.Do = Block
	case policy.Hold:
		if d.Verdict.Reason != reason.SenderPaused {
			d.Do = Hold
		}
	case policy.Undecided:
	}
	return d
}

// rest is the hold of a contact whom no rule forbids to write to, but whom the
// platform would not let us reach: another app has the conversation, or it
// asked to be left alone for a while.
func rest(r *contact.Record, at time.Time) (policy.Verdict, bool) {
	v := policy.Verdict{Kind: policy.Hold, Evidence: policy.Evidence{At: at.UTC()}}
	switch {
	case r.Elsewhere(at):
		v.Reason, v.Until = reason.ThreadControlled, r.Thread.Taken.Add(contact.ThreadIdle)
		v.Evidence.Fact, v.Evidence.Since, v.Evidence.Limit = "another app took the thread", r.Thread.Taken, contact.ThreadIdle
		v.Evidence.Age = max(0, at.Sub(r.Thread.Taken))
	case r.CooledUntil.After(at):
		v.Reason, v.Until = reason.ContactCapped, r.CooledUntil
		v.Evidence.Note = "the platform asks to send this contact fewer tagged messages"
	default:
		return v, false
	}
	return v, true
}

// uses is the permission that a message goes by, where it serves once.
func uses(r *contact.Record, via string) (p contact.Permission) {
	switch via {
	case message.PrivateReply:
		p, _ = r.Comment()
	case message.OneTimeNotification:
		p, _ = r.Token()
	}
	return p
}

// newer tells whether a newer version wrote what this one has no rule for: a
// state of a control, or a fact. It may forbid what would be sent here.
func newer(l facts.Look, i int) bool {
	known := []string{facts.Running, facts.Paused}
	return !slices.Contains(known, l.Source.State) || l.Sender != nil && !slices.Contains(known, l.Sender.State) || len(l.Contacts[i].Newer) > 0
}

func closing(c *facts.Control, at time.Time) job.State {
	switch {
	case c == nil:
		return ""
	case c.State == facts.Cancelled:
		return job.Cancelled
	case c.State == facts.Ended, !c.EndsAt.IsZero() && !at.Before(c.EndsAt):
		return job.Expired
	}
	return ""
}

// Forecast judges one contact as the gate would, from a record instead of a
// look.
func (g Rules) Forecast(r contact.Record, p *definition.Planned, s *sender.Spec, at time.Time) Decision {
	return g.Judge(facts.Look{Source: &facts.Control{State: facts.Running}, Contacts: []*contact.Record{&r}}, 0, p, s, at)
}

// Zones remembers time zones by name: loading one reads its rules.
type Zones struct{ m sync.Map }

// NewZones returns an empty memory.
func NewZones() *Zones { return &Zones{} }

// Load returns the zone of an IANA name, nil for one that does not exist.
func (z *Zones) Load(name string) *time.Location {
	if v, ok := z.m.Load(name); ok {
		return v.(*time.Location)
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		l = nil
	}
	z.m.Store(name, l)
	return l
}
