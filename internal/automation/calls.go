package automation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/secret"
)

const (
	// callers is how many calls are under way at once, and perEndpoint how many
	// of them to one endpoint, so that a slow one keeps no other waiting.
	callers     = 64
	perEndpoint = 8
	// maxCalls is how many calls are in memory. What is more is looked for again
	// where it is kept.
	maxCalls = 50_000
	// callFor is how long a call is tried, firstRest and lastRest how long it
	// rests between two tries.
	callFor   = 15 * time.Minute
	firstRest = time.Second
	lastRest  = time.Minute
)

// call is what a run asks an endpoint. What it says is read from the run each
// time.
type call struct {
	run      flow.ID
	effect   string
	endpoint string
	at       time.Time // when it was asked for
	next     time.Time
	tries    int
	outcome  *flow.Outcome // once it has one, until the run took that in
	busy     bool
}

type callID struct {
	run    flow.ID
	effect string
}

// calls are the calls that have no outcome yet, or whose outcome their run has
// not taken in.
type calls struct {
	d    *Driver
	wake chan struct{}

	mu      sync.Mutex
	all     map[callID]*call
	waiting map[string][]*call // by endpoint, in the order in which they came
	busy    map[string]int
	wg      sync.WaitGroup
}

func newCalls(d *Driver) *calls {
	return &calls{d: d, wake: make(chan struct{}, 1), all: map[callID]*call{}, waiting: map[string][]*call{}, busy: map[string]int{}}
}

// add begins a call, or goes on with it.
func (c *calls) add(id flow.ID, e *flow.Effect) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := callID{id, e.ID}
	if have := c.all[k]; have != nil || len(c.all) >= maxCalls {
		if have != nil && have.outcome != nil && !have.busy { // its flow stood still when it came
			have.busy = true
			c.tell(have)
		}
		return
	}
	v := &call{run: id, effect: e.ID, endpoint: e.Endpoint, at: e.At}
	c.all[k] = v
	c.waiting[e.Endpoint] = append(c.waiting[e.Endpoint], v)
	c.d.Counts.Calls.Store(int64(len(c.all)))
	c.poke()
}

func (c *calls) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// settled notes that a run was told the outcome of a call.
func (c *calls) settled(n *news) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := callID{n.id, n.effect}
	if n.aside {
		if v := c.all[k]; v != nil {
			v.busy = false // it is told again when its timer comes
		}
		return
	}
	delete(c.all, k)
	c.d.Counts.Calls.Store(int64(len(c.all)))
}

// run makes calls until ctx ends.
func (c *calls) run(ctx context.Context) {
	defer c.wg.Wait()
	t := time.NewTicker(firstRest / 4)
	defer t.Stop()
	for {
		c.begin(ctx)
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-t.C:
		}
	}
}

// begin begins the calls that may go.
func (c *calls) begin(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, total := time.Now(), 0
	for _, n := range c.busy {
		total += n
	}
	for endpoint, list := range c.waiting {
		var left []*call
		for i, v := range list {
			if total >= callers || c.busy[endpoint] >= perEndpoint {
				left = append(left, list[i:]...)
				break
			}
			if v.next.After(now) {
				left = append(left, v)
				continue
			}
			total++
			c.busy[endpoint]++
			c.wg.Go(func() { c.try(ctx, v) })
		}
		if c.waiting[endpoint] = left; len(left) == 0 {
			delete(c.waiting, endpoint)
		}
	}
}

// try makes one call.
func (c *calls) try(ctx context.Context, v *call) {
	res, gone := c.d.call(ctx, v)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[v.endpoint]--; c.busy[v.endpoint] == 0 {
		delete(c.busy, v.endpoint)
	}
	defer c.poke()
	if gone || ctx.Err() != nil {
		delete(c.all, callID{v.run, v.effect})
		return
	}
	now := c.d.Now().UTC()
	switch {
	case res.Taken():
		c.d.Counts.CallsTaken.Add(1)
		v.outcome = &flow.Outcome{State: job.Sent, At: now}
	case res.Gone() || now.Sub(v.at) >= callFor:
		c.d.Counts.CallsGivenUp.Add(1)
		c.d.Log.WarnContext(ctx, "a call of a flow is given up", "flow", v.run.Flow, "run", v.run.String(), "endpoint", v.endpoint, "error", res.Err)
		v.outcome = &flow.Outcome{State: job.Failed, At: now}
	default:
		c.d.Counts.CallsFailed.Add(1)
		rest := min(firstRest<<min(v.tries, 10), lastRest)
		v.tries++
		v.next = time.Now().Add(max(rest, min(res.Pause, lastRest)))
		c.waiting[v.endpoint] = append(c.waiting[v.endpoint], v)
		return
	}
	v.busy = true
	c.tell(v)
}

// tell has the run take the outcome in.
func (c *calls) tell(v *call) {
	n := &news{kind: settled, id: v.run, effect: v.effect, outcome: *v.outcome, called: true}
	c.d.beside.Go(func() error { return c.d.inbox.put(c.d.life, n) })
}

// errNoEndpoint says that nothing can be called.
var errNoEndpoint = errors.New("the endpoint is not defined any more")

// callType is what the body of a call says that it is.
const callType = "carillon.flow"

// body is what an endpoint is told. What it says of the run is the run's.
type body struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // when it was asked for
	Data      json.RawMessage `json:"data"`
}

// call makes one call as its run says. It reports true where the run asks for
// it no more.
func (d *Driver) call(ctx context.Context, v *call) (res push.Result, gone bool) {
	r, _, found, err := d.Runs.Get(ctx, v.run)
	if err != nil {
		return push.Result{Err: err}, false
	}
	for _, e := range r.Owes {
		if found && e.ID == v.effect && e.Kind == flow.Call {
			return d.push(ctx, v.run, &e), false
		}
	}
	return push.Result{}, true
}

func (d *Driver) push(ctx context.Context, id flow.ID, e *flow.Effect) push.Result {
	spec, err := d.Endpoint(ctx, e.Endpoint)
	if errors.Is(err, definition.ErrNotFound) {
		return push.Result{Status: 410, Err: errNoEndpoint}
	}
	if err != nil {
		return push.Result{Err: err}
	}
	data, err := json.Marshal(body{Type: callType, Timestamp: e.At.UTC(), Data: e.Data})
	if err != nil {
		return push.Result{Err: err}
	}
	secrets := make([]secret.Text, len(spec.Secrets))
	for i, ref := range spec.Secrets {
		if secrets[i], err = d.Secret(ref); err != nil {
			return push.Result{Err: fmt.Errorf("secret %d: %w", i+1, err)}
		}
	}
	return d.Push(ctx, push.Message{URL: spec.URL, AllowPrivate: spec.AllowPrivate, ID: webhookID(id, e.ID), At: d.Now(), Body: data, Secrets: secrets})
}

// webhookID names a call, the same for every try.
func webhookID(id flow.ID, effect string) string {
	h := sha256.Sum256([]byte(id.String() + "~" + effect))
	return "msg_" + base64.RawURLEncoding.EncodeToString(h[:20])
}
