package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/pkg/client"
)

// small is how many senders have one message each.
const small = 200

// launchers is how many of them are launched at a time.
const launchers = 8

// fairness holds 200 senders with one message each against themselves: alone,
// and while another sender has far more waiting than the workers can do.
func (b *bench) fairness(ctx context.Context) (err error) {
	if b.waiting == 0 {
		return nil
	}
	in, err := b.start(ctx, "fairness")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.dev.Stop()) }()
	if err := in.broadcast(ctx, "giant", "rate: {per_second: 100000}", b.waiting); err != nil {
		return err
	}
	for _, name := range []string{"alone", "beside"} {
		if err := in.settle(ctx, name); err != nil {
			return err
		}
	}
	alone, err := in.crowd(ctx, "alone")
	if err != nil {
		return err
	}
	began := time.Now()
	beside, sent, err := besideGiant(ctx, in, b.waiting/100, "the small ones", in.crowd)
	if err != nil {
		return err
	}
	ratio := beside.Seconds() / alone.Seconds()
	verdict := fmt.Sprintf("%.2f  ok", ratio)
	if ratio > 2 {
		verdict = fmt.Sprintf("%.2f  missed", ratio)
	}
	b.add(fmt.Sprintf("%d senders with one message beside one with %d", small, b.waiting), beside.Round(time.Millisecond).String(),
		"the same senders alone "+alone.Round(time.Millisecond).String(), verdict, "≤ 2")
	b.add("  the large one meanwhile", fmt.Sprintf("%.0f/s", float64(sent)/time.Since(began).Seconds()), "", "", "")
	return nil
}

// besideGiant measures what goes on while the broadcast giant runs, of which so
// many are sent before and which is cancelled after. What was measured must end
// before it does. It returns how many of the giant's were sent by then too.
func besideGiant[T any](ctx context.Context, in *instance, sent int, what string, measure func(context.Context, string) (T, error)) (took T, giant int, err error) {
	if _, err := in.api.Launch(ctx, "giant", bulkAdvice); err != nil {
		return took, 0, err
	}
	if err := in.sent(ctx, "giant", sent); err != nil {
		return took, 0, err
	}
	if took, err = measure(ctx, "beside"); err != nil {
		return took, 0, err
	}
	p, err := in.api.Progress(ctx, "giant")
	if err != nil {
		return took, 0, err
	}
	if p.Counts.Pending == 0 {
		return took, 0, fmt.Errorf("the large broadcast was over before %s were: give it more recipients", what)
	}
	_, err = in.api.Cancel(ctx, "giant")
	return took, p.Counts.Sent, err
}

// settle makes the small senders, each with a broadcast to its one contact.
func (in *instance) settle(ctx context.Context, name string) error {
	var doc strings.Builder
	for i := range small {
		fmt.Fprintf(&doc, "---\nkind: Sender\nid: %[1]s-%[2]d\nchannel: messenger\naccount: \"%[3]d\"\ncredential: env:NONE\n---\nkind: Broadcast\nid: %[1]s-%[2]d\nsender: %[1]s-%[2]d\nmessage: {text: \"Hello {{.name}}\"}\n",
			name, i, 2_000_000+len(name)*1000+i)
	}
	if _, err := in.api.Apply(ctx, "small.yaml", strings.NewReader(doc.String())); err != nil {
		return err
	}
	for i := range small {
		if _, err := in.api.ImportContacts(ctx, fmt.Sprintf("%s-%d", name, i), contacts(1, time.Now()), false, func(client.ImportEvent) {}); err != nil {
			return err
		}
	}
	return nil
}

// crowd launches the small broadcasts and returns how long it took from the
// first launch until the last of them was done.
func (in *instance) crowd(ctx context.Context, name string) (time.Duration, error) {
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(launchers)
	for i := range small {
		g.Go(func() error {
			_, err := in.api.Launch(gctx, fmt.Sprintf("%s-%d", name, i), bulkAdvice)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	launched := time.Since(began)
	var last, frozen time.Time
	for i := range small {
		b, err := in.over(ctx, fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			return 0, err
		}
		if b.ClosedAt.After(last) {
			last = b.ClosedAt
		}
		if b.Frozen.At.After(frozen) {
			frozen = b.Frozen.At
		}
	}
	fmt.Fprintf(os.Stderr, "  %s: launched by %s, frozen by %s, done by %s\n", name, launched.Round(time.Millisecond),
		frozen.Sub(began).Round(time.Millisecond), last.Sub(began).Round(time.Millisecond))
	return last.Sub(began), nil
}

// sent waits until a broadcast has sent n messages.
func (in *instance) sent(ctx context.Context, id string, n int) error {
	return in.poll(ctx, func() (bool, error) {
		p, err := in.api.Progress(ctx, id)
		return p.Counts.Sent >= n, err
	})
}

// over waits until a broadcast has ended, with everything sent.
func (in *instance) over(ctx context.Context, id string) (out client.Broadcast, err error) {
	err = in.poll(ctx, func() (bool, error) {
		if out, err = in.api.Broadcast(ctx, id); err != nil || !out.Over() {
			return false, err
		}
		if out.Counts["sent"] != out.Frozen.Contacts {
			return false, fmt.Errorf("%s: %v of %d", id, out.Counts, out.Frozen.Contacts)
		}
		return true, nil
	})
	return out, err
}

// poll asks until the answer is yes.
func (in *instance) poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
