package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/run"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Held is what stands paused in an installation that was restored.
type Held struct {
	Senders    []string `json:"senders"`
	Broadcasts []string `json:"broadcasts"`
	Flows      []string `json:"flows"`
	Timers     int      `json:"timers"` // of runs, kept anew
}

// Restore makes an empty store the installation of a file that Check has read,
// and pauses everything in it. Cut short it leaves what no process starts on.
func (t Target) Restore(ctx context.Context, r io.Reader, c *Contents, keyer contact.Keyer, told func(Progress)) (*Held, error) {
	if print := keyer.Fingerprint(); print != c.Head.Key {
		return nil, errors.New("the key is not that of the backup: its contacts would be strangers; give the right installation.key")
	}
	if err := t.Empty(ctx, c); err != nil {
		return nil, err
	}
	names, err := subject.New(c.Head.Prefix)
	if err != nil {
		return nil, err
	}
	s := &settling{Target: t, names: names, keyer: keyer, streams: stream.Provider{JS: t.JS, Create: true, Replicas: t.Replicas}}
	s.note = Restored{Taken: c.Head.Taken, At: time.Now().UTC()}
	err = t.streams(ctx, r, c, told, func(ctx context.Context, name string) error {
		if name != "KV_"+names.Definitions() {
			return nil
		}
		return s.begin(ctx)
	})
	if err != nil {
		return nil, err
	}
	if s.defs == nil {
		return nil, errors.New("there are no definitions in it")
	}
	held, err := s.pause(ctx)
	if err != nil {
		return nil, err
	}
	s.note.Whole = true
	return held, s.remember(ctx)
}

// settling is a restored installation before it is let go.
type settling struct {
	Target
	names   subject.Names
	keyer   contact.Keyer
	streams stream.Provider
	defs    *definition.Store
	facts   *facts.Store
	note    Restored
	held    Held
}

// begin has the installation remember that it is not whole.
func (s *settling) begin(ctx context.Context) (err error) {
	if s.defs, err = definition.Open(ctx, s.streams, s.names); err != nil {
		return err
	}
	return s.remember(ctx)
}

func (s *settling) remember(ctx context.Context) error {
	b, err := json.Marshal(s.note)
	if err != nil {
		return err
	}
	return s.defs.Rebind(ctx, RestoredKey, string(b))
}

// why is what a paused sender says.
func (s *settling) why() string {
	return "restored from the backup of " + s.note.Taken.Format(time.RFC3339) + ": what was sent after it is not known here"
}

// pause pauses every sender, every broadcast that goes on by itself and every
// flow, and wakes runs whose timers the file lacks.
func (s *settling) pause(ctx context.Context) (_ *Held, err error) {
	if s.facts, err = facts.Open(ctx, s.NATS, s.streams, s.names, s.keyer); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.facts.Close()) }()
	s.held = Held{Senders: []string{}, Broadcasts: []string{}, Flows: []string{}}
	for _, step := range []func(context.Context) error{s.pauseSenders, s.pauseBroadcasts, s.pauseFlows, s.keepTimers} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("restored, and not paused: %w", err)
		}
	}
	return &s.held, nil
}

func (s *settling) pauseSenders(ctx context.Context) error {
	ids, err := s.defs.Senders(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := s.facts.EditControl(ctx, facts.SenderControl, id, func(old facts.Control) (facts.Control, bool) {
			return facts.Control{State: facts.Paused, Reason: reason.SenderPaused, Why: s.why(), Rev: old.Rev + 1, At: s.note.At}, true
		})
		if err != nil {
			return err
		}
		s.held.Senders = append(s.held.Senders, id)
	}
	return nil
}

func (s *settling) pauseBroadcasts(ctx context.Context) error {
	ids, err := s.defs.Broadcasts(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		b, rev, err := s.defs.Broadcast(ctx, id)
		if err != nil {
			return err
		}
		if b.State == broadcast.Paused {
			s.held.Broadcasts = append(s.held.Broadcasts, id)
		}
		if b.State != broadcast.Scheduled && b.State != broadcast.Running {
			continue
		}
		b.State = broadcast.Paused
		if rev, err = s.defs.PutBroadcast(ctx, b, rev); err != nil {
			return err
		}
		if err := s.control(ctx, broadcast.SourceName(id, b.Occurrence), facts.Control{State: facts.Paused, EndsAt: b.EndsAt, Rev: rev, At: s.note.At}); err != nil {
			return err
		}
		s.held.Broadcasts = append(s.held.Broadcasts, id)
	}
	return nil
}

// control writes what rechecks see of a source. Definitions go on beyond every
// revision that the facts could have heard of.
func (s *settling) control(ctx context.Context, source string, c facts.Control) error {
	_, err := s.facts.SetControl(ctx, facts.SourceControl, source, c)
	return err
}

func (s *settling) pauseFlows(ctx context.Context) error {
	ids, err := s.defs.Flows(ctx)
	if err != nil {
		return err
	}
	desk := &steering.Desk{Defs: s.defs, Controls: unheard{s.facts}, Now: func() time.Time { return s.note.At }}
	for _, id := range ids {
		f, _, err := s.defs.Flow(ctx, id)
		if err != nil {
			return err
		}
		if f.State == flow.Deleted {
			continue
		}
		if _, err := desk.Pause(ctx, id); err != nil {
			return err
		}
		s.held.Flows = append(s.held.Flows, id)
	}
	return nil
}

// unheard writes controls and waits for nobody to see them: no process runs.
type unheard struct{ *facts.Store }

// InForce returns at once.
func (unheard) InForce(context.Context, uint64) error { return nil }

// keepTimers keeps a timer for every run that is to be looked at. Runs were
// copied before timers: one that was handled in between is not in the file,
// and its run as it was before that is. One timer too many does no harm.
func (s *settling) keepTimers(ctx context.Context) error {
	runs, err := run.Open(ctx, s.NATS, s.streams, s.names)
	if err != nil {
		return err
	}
	timers, err := run.OpenTimers(ctx, s.NATS, s.streams, s.names)
	if err != nil {
		return err
	}
	var some []run.Timer
	keep := func() error {
		s.held.Timers += len(some)
		err := timers.Append(ctx, some)
		some = some[:0]
		return err
	}
	err = runs.Each(ctx, "", func(r run.Stored) error {
		if r.Run.State.Over() {
			return nil
		}
		if !r.Run.Due.IsZero() {
			some = append(some, run.Timer{Run: r.ID, At: r.Run.Due})
		}
		for _, e := range r.Run.Owes {
			if e.Kind == flow.Call {
				some = append(some, run.Timer{Run: r.ID, At: e.At, Call: e.ID})
			}
		}
		if len(some) < manyTimers {
			return nil
		}
		return keep()
	})
	if err != nil {
		return err
	}
	return keep()
}

// manyTimers is how many timers are kept at once.
const manyTimers = 1000
