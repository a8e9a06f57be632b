// Package scheduler moves broadcasts through their states. Anybody may ask
// for a move (Scheduler), in any process: it is a compare-and-set on the
// definition, and the control that rechecks see. One process at a time leads
// (Leader): it freezes audiences when they are due, feeds their jobs to lanes,
// and closes what is over. Whatever a leader holds in memory can be read back
// from the definitions, the snapshots and the ledger, which is how it starts;
// whatever it writes is a compare-and-set, so that one which was stopped in
// the middle and replaced changes nothing when it wakes up.
package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/audience"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/killpoint"
	"github.com/carillon-dev/carillon/internal/lane"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Config is what a scheduler works with. Its fields are set once.
type Config struct {
	NATS      *nats.Conn
	Names     subject.Names
	Defs      *definition.Store
	Facts     *facts.Store
	Audiences *audience.Store
	Ledger    *ledger.Ledger
	Commits   lane.Committer
	Tally     *ledger.Tally
	Dead      *deadletter.Store
	Witness   *receipt.Witness // of unknown outcomes
	Clock     gate.Clock       // nil: whoever leads looks after its clock itself
	Now       func() time.Time // when what is stopped is; nil: time.Now
	Tracer    trace.Tracer
	Log       *slog.Logger
	Kill      *killpoint.Plan // nil: at no point
}

// Scheduler takes orders. It keeps nothing, so that any number may run.
type Scheduler struct{ Config }

// New returns a scheduler.
func New(c Config) *Scheduler {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Scheduler{c}
}

// ended counts the jobs of a source that have an outcome.
func (s *Scheduler) ended(src job.Source) int {
	n := 0
	for st, c := range s.Tally.Of(src).States {
		if st.Ended() {
			n += c
		}
	}
	return n
}

// loadsTimeout bounds how long the leader may take to say what its lanes
// hold. While nobody leads, nobody answers at once.
const loadsTimeout = time.Second

// LaneLoads returns what each lane of the leader has in hand, or that of one
// sender; none while nobody leads.
func (s *Scheduler) LaneLoads(ctx context.Context, sender string) ([]lane.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, loadsTimeout)
	defer cancel()
	m, err := s.NATS.RequestWithContext(ctx, s.Names.Lanes(), []byte(sender))
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for lanes: %w", err)
	}
	var out []lane.Load
	if err := json.Unmarshal(m.Data, &out); err != nil {
		return nil, fmt.Errorf("ask for lanes: %w", err)
	}
	return out, nil
}

// Returned is how a worker gives jobs back. It says how long they are to wait,
// not until when: that would compare two machines' clocks.
type Returned struct {
	Source job.Source    `json:"source"`
	Jobs   []job.Ref     `json:"jobs"`
	Wait   time.Duration `json:"wait_ns"`
	Reason reason.Code   `json:"reason"`
}

// ignoreChanged drops what only means that somebody was quicker.
func ignoreChanged(err error) error {
	if errors.Is(err, definition.ErrChanged) || errors.Is(err, errIllegal) {
		return nil
	}
	return err
}
