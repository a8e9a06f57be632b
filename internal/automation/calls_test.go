package automation

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/push"
	"github.com/carillon-dev/carillon/internal/rig"
)

const hooks = `
kind: Endpoint
id: crm
url: https://crm.example/told
secrets: [env:NONE]
---
kind: Flow
id: hook
type: automation
sender: bakery
contact: event.data.id
trigger: {events: [go]}
steps:
  - {id: tell, webhook: {endpoint: crm, data: {order: event.data.order}}}
  - {id: after, wait: {for: 1h}}
`

// receiver takes the messages that are pushed to it, or refuses the first ones.
type receiver struct {
	mu     sync.Mutex
	refuse int
	status int
	got    []push.Message
}

func (r *receiver) push(_ context.Context, m push.Message) push.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, m)
	if r.refuse > 0 {
		r.refuse--
		return push.Result{Status: r.status, Err: errors.New("no")}
	}
	return push.Result{Status: 200}
}

func (r *receiver) all() []push.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]push.Message(nil), r.got...)
}

// TestCall tells an endpoint until it takes it, by the same id each time, and
// the run goes on once it did.
func TestCall(t *testing.T) {
	t.Parallel()
	h := open(t)
	r := &receiver{refuse: 2, status: 503}
	h.pushed = r.push
	h.Apply(t, hooks)
	d, stop := h.drive()
	h.tell(order("go", "1", 1, map[string]any{"id": rig.Address(1), "order": "A7"}))
	h.waiting("hook", 1, time.Hour)
	stop()
	got := r.all()
	if len(got) != 3 || got[0].ID != got[1].ID || got[0].ID != got[2].ID || got[0].AllowPrivate || len(got[0].Secrets) != 1 || got[0].URL != "https://crm.example/told" {
		t.Fatalf("%d pushes: %+v", len(got), got)
	}
	var b struct {
		Type string
		Data struct {
			Flow, Run, Contact, Step string
			Data                     map[string]string
		}
	}
	if err := json.Unmarshal(got[0].Body, &b); err != nil || b.Type != callType || b.Data.Flow != "hook" || b.Data.Contact != rig.Address(1) || b.Data.Data["order"] != "A7" {
		t.Errorf("%s, %v", got[0].Body, err)
	}
	if _, err := flow.ParseID(b.Data.Run); err != nil {
		t.Error(err)
	}
	if d.Counts.CallsTaken.Load() != 1 || d.Counts.CallsFailed.Load() != 2 || d.Counts.Calls.Load() != 0 {
		t.Errorf("%d taken, %d failed, %d wait", d.Counts.CallsTaken.Load(), d.Counts.CallsFailed.Load(), d.Counts.Calls.Load())
	}
}

// TestCallGivenUp asserts that a run goes on by a failed step where an endpoint
// wants nothing, is not there, or was tried for long enough.
func TestCallGivenUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		later  time.Duration
	}{{"it is gone", 410, 0}, {"it never took it", 500, callFor}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			r := &receiver{refuse: 1000, status: c.status}
			h.pushed = r.push
			h.Apply(t, hooks)
			h.drive()
			h.tell(order("go", "1", 1, map[string]any{"id": rig.Address(1), "order": "A7"}))
			h.until("hook", flow.Waiting, 1)
			h.later(c.later)
			h.waiting("hook", 1, time.Hour)
			if x := h.of("hook", 1)[0].Run; x.Outcomes["tell"].State != job.Failed {
				t.Errorf("%+v", x.Outcomes)
			}
		})
	}
}

// TestCallGoesOn asserts that a call whose driver was killed is made by the
// next one.
func TestCallGoesOn(t *testing.T) {
	t.Parallel()
	h := open(t)
	r := &receiver{refuse: 1, status: 500}
	began := make(chan struct{})
	var once sync.Once
	h.pushed = func(ctx context.Context, _ push.Message) push.Result {
		once.Do(func() { close(began) })
		<-ctx.Done()
		return push.Result{Err: ctx.Err()}
	}
	h.Apply(t, hooks)
	_, stop := h.drive()
	h.tell(order("go", "1", 1, map[string]any{"id": rig.Address(1), "order": "A7"}))
	<-began
	stop()
	h.pushed = r.push
	h.drive()
	h.waiting("hook", 1, time.Hour)
	if n := len(r.all()); n != 2 {
		t.Errorf("%d pushes", n)
	}
}
