package story

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Says says what a flow's job says.
type Says interface {
	Plan(ctx context.Context, s job.Source) (*definition.Planned, error)
}

// Errand is which run of a flow asked for a message, and at which step. What
// the run did besides tells carillon flow explain.
type Errand struct {
	Flow string
	Run  string
	Step string // its id; "" where its version can't be read any more
}

// ofFlow tells the story of a flow's job.
func (t *Teller) ofFlow(ctx context.Context, id job.ID) (Story, error) {
	run, place, ok := flow.ParseSource(id.Name)
	if !ok {
		return Story{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	s := Story{Job: id, InAudience: true, Errand: &Errand{Flow: run.Flow, Run: run.String()}}
	if p, err := t.Programs.Program(ctx, run.Flow, place.Version); err == nil {
		s.Errand.Step = p.Step(place.At)
	}
	r, _, found, err := t.Runs.Get(ctx, run)
	if err != nil {
		return s, err
	}
	if found {
		s.Steps = []Step{{At: r.StartedAt, What: "began", Text: "run " + run.String() + " of flow " + run.Flow + " began; it is " + string(r.State)}}
	}
	since, err := t.history(ctx, &s, s.Errand.words(place))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) { // its month never was, or was dropped
		return s, err
	}
	if s.State == "" {
		return Story{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	s.Bucket = s.State.Bucket("")
	if err := t.flowStands(ctx, &s, run.Flow); err != nil {
		return s, err
	}
	if err := t.doubt(ctx, &s, since); err != nil {
		return s, err
	}
	if !s.State.Ended() || s.State.Dead() {
		s.Now, err = t.nowOfFlow(ctx, id)
	}
	return s, err
}

// words are what asked for the message.
func (e *Errand) words(p flow.Place) string {
	step := "a step"
	if e.Step != "" {
		step = "step " + e.Step
	}
	out := fmt.Sprintf("%s of version %d asked for it", step, p.Version)
	if p.Try > 0 {
		out += ", since what comes before it there was not sent"
	}
	return out
}

// history adds what the ledger has of a job, and returns since when it stands
// as it does. asked is what asked for it, in words.
func (t *Teller) history(ctx context.Context, s *Story, asked string) (since time.Time, err error) {
	return since, t.Ledger.History(ctx, s.Job, func(e ledger.Entry) error {
		r := e.Record
		if !r.Discarded {
			s.State, s.Reason, since = r.State, r.Reason, r.At
		}
		what, text := string(r.State), Sentence(r)
		switch {
		case r.Discarded:
			what = "discarded"
		case r.Planned:
			what, text = "planned", asked
			if !r.Expires.IsZero() {
				text += "; nobody wants it after " + stamp(r.Expires)
			}
		}
		s.Steps = append(s.Steps, Step{At: r.At, What: what, Text: text, Record: &r, Seq: e.Seq})
		return nil
	})
}

// flowStands adds what keeps a job waiting.
func (t *Teller) flowStands(ctx context.Context, s *Story, id string) error {
	if s.State.Ended() || s.State == job.Claimed {
		return nil
	}
	c, _, err := t.Facts.Control(ctx, facts.SourceControl, id)
	if err != nil {
		return err
	}
	waits := Step{At: time.Now().UTC(), What: "waiting"}
	switch {
	case c.State == facts.Paused:
		waits.Text = "the flow is paused; resume it with: carillon flow resume " + id
	case c.State == facts.Cancelled:
		waits.Text = "the flow was deleted; this message is being cancelled"
	case s.Steps[len(s.Steps)-1].What == "planned":
		waits.Text = "not tried yet: its turn has not come"
	default:
		return nil
	}
	s.Steps = append(s.Steps, waits)
	return nil
}

// nowOfFlow is what the gate would say now of a flow's job, nil where nobody
// knows what it says, or to whom.
func (t *Teller) nowOfFlow(ctx context.Context, id job.ID) (*Now, error) {
	p, err := t.Says.Plan(ctx, id.Source)
	if err != nil {
		return nil, nil //nolint:nilerr // the history says what became of it
	}
	return t.judge(ctx, p, id)
}

// ofFlows tells the stories of those jobs that are of flows, in no order.
func (t *Teller) ofFlows(ctx context.Context, entries []ledger.Entry) ([]Story, error) {
	entries = slices.DeleteFunc(entries, func(e ledger.Entry) bool { return e.ID.Flow() == "" })
	return each(ctx, entries, func(ctx context.Context, e ledger.Entry) (Story, error) { return t.ofFlow(ctx, e.ID) })
}
