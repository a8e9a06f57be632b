package sandbox

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// couriers make requests at a time, so that a slow webhook is told as
	// busily as a platform would.
	couriers = 8
	// maxWaiting bounds the events that wait to be told, some 30 MB.
	maxWaiting = 1 << 16
	// maxTries and the waits between them give a webhook that is away about
	// half a minute.
	maxTries             = 12
	firstWait, waitLimit = 100 * time.Millisecond, 5 * time.Second
	// reorderedBy is how long an event is held so that others pass it.
	reorderedBy = 250 * time.Millisecond
)

// notice is one event on its way to one subscriber.
type notice struct {
	to     *subscriber
	letter letter
	due    time.Time
	order  uint64 // among notices due at the same moment
	tries  int
	mark   mark // what the books note when it is answered 200
}

// letter is what a notice says. A sealed one is a request of its own; the
// others are items that share a body.
type letter struct {
	object  string // page or instagram
	account string
	place   string // messaging, standby or changes
	at      int64  // nanoseconds since 1970
	item    []byte
	sealed  *sealed
}

// sealed is a whole request, as some platforms make one for each event.
type sealed struct {
	url         string
	contentType string
	header      http.Header
	body        []byte
}

// mark names places of the books.
type mark struct {
	told    uint64 // sequence number in the list of what was told; 0: none
	message uint64 // sequence number of an accepted message; 0: none
	as      uint32 // what was told of the message
}

// subscriber is a webhook that is never changed. One that replaces it goes on
// with its counts.
type subscriber struct {
	Webhook
	*counted
}

// counted is guarded by the outbox's lock.
type counted struct {
	stats Subscription
	gone  bool // unsubscribed
}

// outbox tells what happens. It is bounded, and what it can't take is counted.
type outbox struct {
	client   *http.Client
	log      *slog.Logger
	answered func(at time.Time, marks []mark) // called without the lock

	mu       sync.Mutex
	subs     []*subscriber
	waiting  queue
	draining bool // the end has come: nothing is late, nothing is tried again
	dice     *rand.Rand
	orders   uint64
	ids      int
	wake     chan struct{}

	telling atomic.Bool // somebody is told: read on every accepted message
}

func newOutbox(o Options, answered func(time.Time, []mark)) *outbox {
	return &outbox{
		client: &http.Client{Timeout: answerWithin, Transport: &http.Transport{TLSClientConfig: o.TLS, MaxIdleConnsPerHost: couriers, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		log: o.Log, answered: answered, dice: rand.New(rand.NewPCG(o.Seed, 0x401d)), wake: make(chan struct{}, couriers),
	}
}

func (o *outbox) subscribe(h Webhook) (Subscription, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, s := range o.subs {
		if s.URL == h.URL && s.Account == h.Account {
			o.subs[i] = &subscriber{h, s.counted}
			return s.stats, nil
		}
	}
	if len(o.subs) >= maxWebhooks {
		return Subscription{}, fmt.Errorf("there are %d webhooks already: end them first", maxWebhooks)
	}
	o.ids++
	s := &subscriber{h, &counted{stats: Subscription{ID: o.ids, URL: h.URL, Account: h.Account}}}
	o.subs = append(o.subs, s)
	o.telling.Store(true)
	return s.stats, nil
}

func (o *outbox) unsubscribe() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.subs {
		s.gone = true
	}
	o.subs, o.waiting = nil, nil
	o.telling.Store(false)
}

func (o *outbox) subscriptions() []Subscription {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Subscription, 0, len(o.subs))
	for _, s := range o.subs {
		out = append(out, s.stats)
	}
	return out
}

// subscribers are those who are told of an account's field.
func (o *outbox) subscribers(account, field string) []*subscriber {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []*subscriber
	for _, s := range o.subs {
		if s.wants(account, field) {
			out = append(out, s)
		}
	}
	return out
}

// post takes a letter to be told after a while, and later than that, twice or
// out of order as the subscriber's faults will have it.
func (o *outbox) post(to *subscriber, l letter, after time.Duration, m mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if to.gone {
		return
	}
	late := func() time.Duration {
		return time.Duration(o.dice.Int64N(max(1, int64(to.LateMS)*int64(time.Millisecond))))
	}
	n := &notice{to: to, letter: l, mark: m, due: time.Now().Add(after)}
	if o.meets(to.Late) {
		n.due = n.due.Add(late())
	}
	if o.meets(to.Reorder) {
		n.due = n.due.Add(time.Duration(o.dice.Int64N(int64(reorderedBy))))
	}
	o.enter(n)
	if o.meets(to.Repeat) {
		o.enter(&notice{to: to, letter: l, mark: m, due: n.due.Add(late())})
	}
}

func (o *outbox) meets(probability float64) bool {
	return probability > 0 && o.dice.Float64() < probability
}

// enter queues a notice, new or again.
func (o *outbox) enter(n *notice) {
	if len(o.waiting) >= maxWaiting {
		n.to.stats.Lost++
		return
	}
	o.orders++
	n.order = o.orders
	n.to.stats.Waiting++
	heap.Push(&o.waiting, n)
	o.alert()
}

// alert wakes a courier, unless all are awake.
func (o *outbox) alert() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run carries letters until ctx ends, and then what waits, once and at once,
// for as long as a stop may take.
func (o *outbox) run(ctx context.Context) {
	stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var done sync.WaitGroup
	for range couriers {
		done.Go(func() { o.carry(stop) })
	}
	<-ctx.Done()
	o.mu.Lock()
	o.draining = true
	o.mu.Unlock()
	for range couriers {
		o.alert()
	}
	late := time.AfterFunc(stopTimeout, cancel)
	done.Wait()
	late.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.waiting); n > 0 {
		o.log.Info("webhooks were not told before the end", "events", n)
	}
	o.waiting, o.draining = nil, false
}

// carry makes one request after the other. It ends with ctx, or when all is
// told at the end.
func (o *outbox) carry(ctx context.Context) {
	for ctx.Err() == nil {
		some, wait, drained := o.take()
		if drained {
			return
		}
		if len(some) > 0 {
			o.deliver(ctx, some)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-o.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// take is the notices of the next request, or how long there is none.
func (o *outbox) take() (some []*notice, wait time.Duration, drained bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for len(o.waiting) > 0 {
		n := o.waiting[0]
		if !o.draining && n.due.After(now) {
			return some, n.due.Sub(now), false
		}
		if len(some) > 0 && !some[0].joins(n, len(some)) {
			o.alert() // for another courier
			return some, 0, false
		}
		heap.Pop(&o.waiting)
		n.to.stats.Waiting--
		if n.tries++; n.tries == 1 && !o.draining && o.meets(n.to.Drop) {
			n.to.stats.Dropped++
			o.again(n, now)
			continue
		}
		some = append(some, n)
	}
	return some, time.Hour, o.draining && len(some) == 0
}

// joins says whether one more notice fits into a request of n that begins
// with this one.
func (n *notice) joins(m *notice, count int) bool {
	most := n.to.Items
	if most == 0 {
		most = usualItems
	}
	return n.to == m.to && n.letter.object == m.letter.object && n.letter.sealed == nil && m.letter.sealed == nil && count < most
}

// again queues a notice that was not answered 200.
func (o *outbox) again(n *notice, now time.Time) {
	if n.tries >= maxTries || o.draining || n.to.gone {
		n.to.stats.Lost++
		return
	}
	n.due = now.Add(min(waitLimit, firstWait<<n.tries))
	o.enter(n)
}

// deliver makes one request and notes what became of it.
func (o *outbox) deliver(ctx context.Context, some []*notice) {
	to := some[0].to
	o.mu.Lock()
	if to.Reorder > 0 {
		o.dice.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	}
	o.mu.Unlock()
	start := time.Now()
	ok := o.request(ctx, some)
	end := time.Now()
	if ok {
		marks := make([]mark, len(some))
		for i, n := range some {
			marks[i] = n.mark
		}
		o.answered(end, marks)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	to.stats.Posts++
	if ok {
		to.stats.Answered += uint64(len(some))
		to.stats.Slowest = max(to.stats.Slowest, end.Sub(start).Milliseconds())
		return
	}
	to.stats.Refused++
	for _, n := range some {
		o.again(n, time.Now())
	}
}

// request posts letters and tells whether they were answered 200 in time.
func (o *outbox) request(ctx context.Context, some []*notice) bool {
	to, l := some[0].to, some[0].letter
	p := l.sealed
	if p == nil {
		p = envelope(to, some)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return false
	}
	if p.header != nil {
		req.Header = p.header.Clone()
	}
	req.Header.Set("Content-Type", p.contentType)
	resp, err := o.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return err == nil && (resp.StatusCode == http.StatusOK || l.sealed != nil && resp.StatusCode/100 == 2)
}

// queue is a heap of notices by when they are due.
type queue []*notice

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].order < q[j].order
}

func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(n any) { *q = append(*q, n.(*notice)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	*q = slices.Delete(*q, last, last+1)
	return n
}
