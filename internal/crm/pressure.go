package crm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Pressure keeps CRM systems from telling more than flows can take in: once
// too many events wait for flows, whoever tells is asked to come back, until
// fewer do. What was taken is durable and waits as long as it must; this bounds
// how late flows act on it. It is safe for concurrent use.
type Pressure struct {
	Waiting func(ctx context.Context) (uint64, error) // events that flows have not heard
	Most    uint64                                    // of them; 0: any number
	Log     *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	behind  bool
	waiting uint64
	refused atomic.Int64
}

// Refused returns how many calls were asked to come back, since the process
// started.
func (p *Pressure) Refused() int64 { return p.refused.Load() }

// lookEvery is how long what was seen counts: within it any number of calls
// are let in, each of at most 500 events.
const lookEvery = time.Second

// Behind says that flows are too far behind to take in more.
type Behind struct {
	Waiting uint64        // events that flows have not heard
	After   time.Duration // when it is worth telling again
}

// Error says what is the matter, and what to do.
func (b *Behind) Error() string {
	return fmt.Sprintf("nothing was taken: %d events wait for flows already; tell the same events again after %s", b.Waiting, b.After)
}

// after is how long who is refused should wait.
const after = 5 * time.Second

// check returns *Behind where no event may be taken, and an error where nobody
// knows.
func (p *Pressure) check(ctx context.Context) error {
	if p == nil || p.Most == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.looked) >= lookEvery {
		n, err := p.Waiting(ctx)
		if err != nil {
			return fmt.Errorf("how far flows are: %w", err)
		}
		p.looked = now
		p.take(ctx, n)
	}
	if !p.behind {
		return nil
	}
	p.refused.Add(1)
	return &Behind{Waiting: p.waiting, After: after}
}

// take notes how many events wait. Who was refused once is until a tenth less
// wait, lest every second lets in what the next refuses.
func (p *Pressure) take(ctx context.Context, waiting uint64) {
	was := p.behind
	p.waiting = waiting
	p.behind = waiting > p.Most || was && waiting > p.Most-p.Most/10
	switch {
	case p.behind && !was:
		p.Log.WarnContext(ctx, "flows are too far behind; CRM systems are asked to tell later", "events", waiting, "most", p.Most)
	case was && !p.behind:
		p.Log.InfoContext(ctx, "flows have caught up; CRM systems are heard again", "events", waiting)
	}
}
