// Package automation carries flows out: it hears what happens, begins runs and
// moves them, wakes those whose time has come, and does what they ask for. What
// a run does next is decided by the flow's program; whether a message may go is
// decided by the gate, later. Whoever leads runs it. Every write is a
// compare-and-set, so that two at once do no harm.
//
// It works in rounds. A round takes in what happened since the last one, loads
// the runs that it concerns, stores them as they are then, and does what they
// owe; only then is anything forgotten that led to it.
//
// Invariant: an event, an outcome, a change or a timer is taken in at least
// once, whoever leads and whenever a process is killed, and a run that it
// concerns takes it in once. What happened to one contact is taken in in the
// order in which it was kept.
package automation

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Catalog tells which flows there are.
type Catalog interface {
	// Flows returns all flows as they were last heard of, those that were deleted
	// too.
	Flows(ctx context.Context) ([]Flow, error)
	// Catch returns once every change of a flow was heard of that was answered
	// before.
	Catch(ctx context.Context) error
	// Program returns one version of a flow, which never changes.
	Program(ctx context.Context, id string, version int) (*flow.Program, error)
	// Sender returns a sender as it is now.
	Sender(ctx context.Context, id string) (*sender.Spec, error)
}

// Flow is a flow as it is now.
type Flow struct {
	flow.Flow
	Since time.Time // it hears of what was kept from then on
}

// Desk makes sure that what was told is in force.
type Desk interface {
	// Prevail gives kept events their meaning once more, and returns each as it
	// is about the senders of its account, once no check is answered any more by
	// what was known before.
	Prevail(ctx context.Context, events []event.Event) ([][]ingest.Meant, error)
}

// Contacts is what is known of people.
type Contacts interface {
	Key(sender, address string) job.Key
	Contacts(ctx context.Context, sender string, keys []job.Key) (map[job.Key]contact.Record, error)
}

// Planner makes jobs of messages.
type Planner interface {
	// Place returns the id of the job that a source of the month (yyyymm) is for
	// one person.
	Place(ctx context.Context, month, sender, person, source string) (job.ID, error)
	// Plan plans a job, unless it is there already.
	Plan(ctx context.Context, id job.ID, expires time.Time, trace string) error
	// Cancel ends a job that has not left. Its errors include errand.ErrClaimed.
	Cancel(ctx context.Context, id job.ID, why string) error
	// State returns what became of a job, and false where it has no outcome.
	State(ctx context.Context, id job.ID) (flow.Outcome, bool, error)
}

// Config is what a driver works with.
type Config struct {
	JS       jetstream.JetStream
	Names    subject.Names
	Catalog  Catalog
	Tell     func(ctx context.Context, id string) error // has every recheck know how a flow stands
	Desk     Desk
	Contacts Contacts
	Learn    func(ctx context.Context, sender string, us []contact.Update) error
	Planner  Planner
	Runs     *run.Store
	Timers   *run.Timers
	Marks    jetstream.KeyValue // where it is kept how far events were heard
	Endpoint func(ctx context.Context, id string) (*endpoint.Spec, error)
	Push     func(context.Context, push.Message) push.Result
	Secret   func(ref string) (secret.Text, error) // what env:NAME or file:PATH names
	Counts   *Counts
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
	Kill     *killpoint.Plan  // nil: at no point
	Clock    gate.Clock       // nil: what Now says is believed
}

// Driver carries flows out for as long as one leads. See New.
type Driver struct {
	Config
	life   context.Context // of Run
	inbox  *inbox
	wheel  *wheel
	calls  *calls
	wake   chan struct{} // something may be due
	reload chan struct{} // timers are to be looked for
	beside errgroup.Group

	follower *follower

	// By the rounds alone:
	first   *stream.Message // an event that ended a rest
	heard   position
	flows   map[string]*live    // by id, as they were last looked at
	hearers map[sort][]listener // of the flows, as far as it was asked for
	done    map[flow.ID]uint64  // revisions of runs whose effects are known to be done
	zones   map[string]*time.Location
	warned  map[string]time.Time // when a flow's trouble was last logged
}

// Counts are figures of a process.
type Counts struct {
	Heard, Started, Woken, Settled, Refused atomic.Int64
	Ended                                   ByState
	CallsTaken, CallsFailed, CallsGivenUp   atomic.Int64
	Behind, Loaded, Calls                   atomic.Int64 // events not heard yet; timers in memory; calls without an outcome
	Late                                    atomic.Int64 // how late the last timer was woken, in milliseconds
}

// ByState counts by the state of a run.
type ByState struct {
	mu sync.Mutex
	n  map[string]int64
}

func (b *ByState) add(s flow.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == nil {
		b.n = map[string]int64{}
	}
	b.n[string(s)]++
}

// All returns the counts so far.
func (b *ByState) All() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]int64, len(b.n))
	for k, v := range b.n {
		out[k] = v
	}
	return out
}
