package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

// orders is how many messages of a flow are timed, alone and beside, and
// orderEvery how far apart their events are.
const (
	orders     = 200
	orderEvery = 10 * time.Millisecond
)

// flow times a flow's message from its planned record to its sent one, alone
// and while a broadcast of another sender has far more waiting than the workers
// can do.
func (b *bench) flow(ctx context.Context) (err error) {
	if b.waiting == 0 {
		return nil
	}
	in, err := b.start(ctx, "flow")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.dev.Stop()) }()
	if err := in.broadcast(ctx, "giant", "rate: {per_second: 100000}", b.waiting); err != nil {
		return err
	}
	if err := in.shop(ctx); err != nil {
		return err
	}
	alone, err := in.orders(ctx, "alone")
	if err != nil {
		return err
	}
	beside, _, err := besideGiant(ctx, in, b.waiting/100, "the flow's messages", in.orders)
	if err != nil {
		return err
	}
	b.quantile("p50", alone, beside, 50)
	b.quantile("p99", alone, beside, 99)
	return nil
}

// quantile adds a line for a percentile of what the messages took; what is
// aimed at is that of the slowest.
func (b *bench) quantile(name string, alone, beside []time.Duration, percent int) {
	at := func(ds []time.Duration) time.Duration { return ds[(len(ds)-1)*percent/100] }
	ratio := at(beside).Seconds() / at(alone).Seconds()
	verdict, aim := fmt.Sprintf("%.2f", ratio), ""
	if name == "p99" {
		aim = "≤ 3"
		if verdict += "  ok"; ratio > 3 {
			verdict = fmt.Sprintf("%.2f  missed", ratio)
		}
	}
	b.add("a flow's message beside a full broadcast, "+name, at(beside).Round(100*time.Microsecond).String(), "alone "+at(alone).Round(100*time.Microsecond).String(), verdict, aim)
}

// shop makes a sender with a flow that answers an order by a text.
func (in *instance) shop(ctx context.Context) error {
	const doc = `kind: Sender
id: shop
channel: messenger
account: "999"
credential: env:NONE
relax_flow_templates: true
rate: {per_second: 1000}
---
kind: Flow
id: order
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [order.shipped]}
steps: [{id: told, send: {text: "Hello {{.name}}, {{.event.order_id}} is on its way."}}]
`
	if _, err := in.api.Apply(ctx, "shop.yaml", strings.NewReader(doc)); err != nil {
		return err
	}
	_, err := in.api.ImportContacts(ctx, "shop", contacts(orders, time.Now()), false, func(client.ImportEvent) {})
	return err
}

// orders tells of orders, one after the other, and returns what their messages
// took, the quickest first.
func (in *instance) orders(ctx context.Context, name string) ([]time.Duration, error) {
	began := time.Now()
	t := time.NewTicker(orderEvery)
	defer t.Stop()
	for i := range orders {
		e, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": fmt.Sprintf("%s-%d", name, i), "source": "https://shop.example", "type": "order.shipped",
			"data": map[string]any{"psid": address(i), "order_id": fmt.Sprintf("%s-%d", name, i)},
		})
		if err != nil {
			return nil, err
		}
		if _, err := in.api.SendEvents(ctx, bytes.TrimSpace(e)); err != nil {
			return nil, err
		}
		<-t.C
	}
	var out []time.Duration
	err := in.poll(ctx, func() (bool, error) {
		a, err := in.api.FlowAudit(ctx, "order")
		if err != nil || a.Audience < orders || a.Pending > 0 || a.Sent != a.Audience {
			return false, err
		}
		out, err = in.took(ctx, began)
		return len(out) == orders, err
	})
	return out, err
}

// took returns what the flow's messages took that were planned since a moment.
func (in *instance) took(ctx context.Context, since time.Time) ([]time.Duration, error) {
	var out []time.Duration
	for m, err := range in.api.FlowAuditMembers(ctx, "order", "sent") {
		if err != nil {
			return nil, err
		}
		s, err := in.api.Job(ctx, m.Job)
		if err != nil {
			return nil, err
		}
		var planned, sent time.Time
		for _, step := range s.Steps {
			switch step.What {
			case "planned":
				planned = step.At
			case "sent":
				sent = step.At
			}
		}
		if !planned.Before(since) {
			out = append(out, sent.Sub(planned))
		}
	}
	slices.Sort(out)
	return out, nil
}
