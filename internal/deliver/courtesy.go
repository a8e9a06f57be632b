package deliver

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// beat is how far apart envelopes begin: what one of them asks of the
// processors shows after about that long.
const beat = time.Millisecond

// longestWait bounds how long an envelope waits for its turn. The time of its
// task goes by meanwhile.
const longestWait = 5 * time.Second

// fewJobs is how many jobs an envelope may have that never waits: whoever has
// little to send is done before it is worth asking.
const fewJobs = 5

// Courtesy lets the envelopes of broadcasts begin while no goroutine of the
// process waits for a processor. While some do, as many are at work as there
// are processors, and between two there is a rest as long as the last took. A
// broadcast without a rate to speak of would else take whatever the orders, the
// webhooks and the messages of all others need: a processor knows nothing of
// shares.
type Courtesy struct {
	crowded func() bool
	most    int           // envelopes at work, however crowded it is
	first   chan struct{} // held by who is first in line

	mu      sync.Mutex
	working int
	began   time.Time     // when the last one began
	ended   time.Time     // when the last one ended
	took    time.Duration // what that took
}

// NewCourtesy returns a courtesy by the processors of this process.
func NewCourtesy() *Courtesy { return newCourtesy(crowded, runtime.GOMAXPROCS(0)) }

func newCourtesy(crowded func() bool, most int) *Courtesy {
	return &Courtesy{crowded: crowded, most: most, first: make(chan struct{}, 1)}
}

// crowded tells whether a goroutine of this process could go on and has no
// processor.
func crowded() bool {
	s := [1]metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(s[:])
	return s[0].Value.Uint64() > 0
}

// enter waits until an envelope may begin, longestWait at the most, and returns
// what to call at its end; nil where ctx ended first. Who came first goes first.
func (c *Courtesy) enter(ctx context.Context) (leave func()) {
	limit := time.NewTimer(longestWait)
	defer limit.Stop()
	late := false
	select {
	case c.first <- struct{}{}:
		defer func() { <-c.first }()
	case <-limit.C:
		late = true
	case <-ctx.Done():
		return nil
	}
	again := time.NewTicker(beat)
	defer again.Stop()
	for !c.begin(late) {
		select {
		case <-again.C:
		case <-limit.C:
			late = true
		case <-ctx.Done():
			return nil
		}
	}
	began := time.Now()
	return func() { c.end(began) }
}

// begin counts one more at work, if it may be.
func (c *Courtesy) begin(late bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	rested := c.working < c.most && now.Sub(c.ended) >= c.took
	if !late && (now.Sub(c.began) < beat || !rested && c.crowded()) {
		return false
	}
	c.working, c.began = c.working+1, now
	return true
}

func (c *Courtesy) end(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working, c.ended = c.working-1, time.Now()
	c.took = c.ended.Sub(began)
}
