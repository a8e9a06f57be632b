package crm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/carillon-dev/carillon/internal/event"
)

// Listener takes events from a subject of NATS, for CRM systems that are on it
// already. Who asks is answered once the events are taken; who only publishes
// is not, and has to ask where nothing may be lost. Several processes share
// what comes.
type Listener struct {
	Intake  *Intake
	NATS    *nats.Conn
	Subject string
	Decode  func(header map[string][]string, body []byte) ([]event.Event, error)
	Log     *slog.Logger

	refused atomic.Int64
}

// Refused returns how many messages could not be taken, since the process
// started.
func (l *Listener) Refused() int64 { return l.refused.Load() }

// The bounds of listening: how many messages are at work, and for how long one
// may be.
const (
	atWork = 16
	within = 5 * time.Second
)

// Reply answers who asked. Error is set where nothing was taken.
type Reply struct {
	New      int    `json:"new"`
	Repeated int    `json:"repeated"`
	Contacts int    `json:"contacts"`
	Nobody   int    `json:"nobody"` // events that name no contact
	Error    string `json:"error,omitempty"`
	Again    bool   `json:"again,omitempty"` // the same events may be taken later
	After    int    `json:"after,omitempty"` // and in how many seconds that is worth trying
	behind   bool
}

// Run listens until ctx ends, and ends what is at work.
func (l *Listener) Run(ctx context.Context) error {
	in := make(chan *nats.Msg, atWork)
	sub, err := l.NATS.ChanQueueSubscribe(l.Subject, "carillon", in)
	if err != nil {
		return fmt.Errorf("listen to %s: %w", l.Subject, err)
	}
	var wg sync.WaitGroup
	for range atWork {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-in:
					l.take(context.WithoutCancel(ctx), m)
				}
			}
		})
	}
	<-ctx.Done()
	err = sub.Unsubscribe()
	wg.Wait()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil
	}
	return err
}

func (l *Listener) take(ctx context.Context, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r := l.reply(ctx, m)
	if r.Error != "" {
		l.refused.Add(1)
	}
	if r.Error != "" && !r.behind { // that is counted, and said once
		l.Log.WarnContext(ctx, "events by NATS were not taken", "error", r.Error)
	}
	if m.Reply == "" {
		return
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		l.Log.WarnContext(ctx, "events by NATS could not be answered", "error", err)
	}
}

// reply takes a message, and says what became of it. The permissions of NATS
// say who may tell of any sender.
func (l *Listener) reply(ctx context.Context, m *nats.Msg) Reply {
	told, err := l.Decode(m.Header, m.Data)
	if err != nil {
		return Reply{Error: err.Error()}
	}
	found, err := l.Intake.Find(ctx, func(string) bool { return true }, told)
	if err != nil {
		if b, ok := errors.AsType[*Behind](err); ok {
			return Reply{Error: err.Error(), Again: true, After: int(b.After.Seconds()), behind: true}
		}
		_, refused := errors.AsType[*Refusal](err)
		return Reply{Error: err.Error(), Again: !refused}
	}
	taken, err := l.Intake.Take(ctx, found)
	if err != nil {
		return Reply{Error: err.Error(), Again: true}
	}
	return Reply{New: taken.New, Repeated: taken.Repeated, Contacts: found.About, Nobody: len(found.Lost)}
}
