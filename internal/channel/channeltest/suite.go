// Package channeltest is the conformance suite of channel.Platform: what a
// worker relies on, whatever the platform. It runs an adapter against a real
// HTTP server that accepts, refuses and fails in every way that matters, and
// holds each result against what that server has in fact read.
//
// It knows no wire form; an adapter's test brings a Dialect.
//
// Invariant: no test waits for time to pass, only for signals and deadlines of
// the calls themselves.
package channeltest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Subject is an adapter under test and the server that it talks to.
type Subject struct {
	Platform channel.Platform
	Account  channel.Account
	Server   *Server
}

// Patience bounds the calls that are answered: it should be the timeout of an
// adapter under test too, so that a slow machine is not taken for a dead server.
const Patience = 10 * time.Second

// Run runs the suite. open is called once for each of its tests.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, size := range []int{1, 2, 7, 50} {
		for _, c := range []struct {
			name string
			step Step
		}{
			{"accepts", Accept}, {"refuses", Refuse}, {"drops before reading", DropUnread}, {"drops after reading", DropRead},
			{"cuts its answer", CutAnswer}, {"fails", Fail}, {"babbles", Babble}, {"redirects", Redirect}, {"closes after its answer", CloseAfter},
		} {
			t.Run(fmt.Sprintf("%s/%d", c.name, size), func(t *testing.T) {
				t.Parallel()
				testStep(t, open(t), c.step, size)
			})
		}
	}
	for name, test := range map[string]func(*testing.T, Subject){
		"hangs": testHang, "accepts half a batch": testHalf, "is not there": testStopped, "is too late": testLate,
		"closes idle connections": testIdle, "does anything at once": testMixed, "gets nothing": testEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// messages are n messages to recipients of their own, whose numbers are of the
// range kept for fiction.
func messages(series, n int) []channel.Message {
	ms := make([]channel.Message, n)
	for i := range ms {
		ms[i] = channel.Message{
			Job: fmt.Sprintf("job-%d-%d", series, i), Recipient: fmt.Sprintf("+1555%03d0%03d", series, i),
			Type: "UPDATE", Text: `Café "Über" & Söhne: 100% + ☕` + "\n",
		}
	}
	return ms
}

// send makes one call, by Send where one message allows it.
func send(ctx context.Context, s Subject, ms []channel.Message) []channel.Result {
	if len(ms) == 1 {
		return []channel.Result{s.Platform.Send(ctx, s.Account, ms[0])}
	}
	return s.Platform.SendBatch(ctx, s.Account, ms)
}

// sent makes one call and checks every result.
func sent(t *testing.T, s Subject, step Step, ms []channel.Message) []channel.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	results := send(ctx, s, ms)
	check(t, s, step, ms, results)
	return results
}

func check(t *testing.T, s Subject, step Step, ms []channel.Message, results []channel.Result) {
	t.Helper()
	if len(results) != len(ms) {
		t.Fatalf("%d results for %d messages", len(results), len(ms))
	}
	for i, r := range results {
		if err := verify(step, r, s.Server.Seen(ms[i].Recipient)); err != nil {
			t.Errorf("message %d of %d: %v (%+v)", i, len(ms), err, r)
		}
	}
}

// testStep meets the step on a new connection and then on one that has served
// before, where HTTP clients are tempted to try again.
func testStep(t *testing.T, s Subject, step Step, size int) {
	s.Server.Script(step)
	sent(t, s, step, messages(1, size))
	s.Server.Script(Accept)
	ids := map[string]bool{}
	before := messages(2, size)
	// What a connection closed meanwhile costs is CloseAfter's to allow.
	for _, r := range sent(t, s, CloseAfter, before) {
		if r.Outcome == channel.Accepted && ids[r.MessageID] {
			t.Errorf("two messages have the id %s", r.MessageID)
		}
		ids[r.MessageID] = true
	}
	s.Server.Script(step)
	want := step
	if step == Accept || step == CloseAfter {
		want = CloseAfter
	}
	sent(t, s, want, messages(3, size))
}

// testHang cancels a call that the server has read, and bounds another by a
// deadline.
func testHang(t *testing.T, s Subject) {
	s.Server.Script(Hang)
	for series, size := range []int{1, 3} {
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			<-s.Server.Waiting()
			cancel()
		}()
		ms := messages(series, size)
		check(t, s, Hang, ms, send(ctx, s, ms))
	}
	const limit = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	ms := messages(9, 1)
	check(t, s, Hang, ms, send(ctx, s, ms))
	if took := time.Since(start); took < limit || took > limit+2*time.Second {
		t.Errorf("the call took %v, its deadline was %v", took, limit)
	}
}

func testHalf(t *testing.T, s Subject) {
	for series, size := range []int{2, 5, 50} {
		s.Server.ScriptHalf(size)
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		ms := messages(series, size)
		results := send(ctx, s, ms)
		cancel()
		if len(results) != size {
			t.Fatalf("%d results for %d messages", len(results), size)
		}
		check(t, s, Accept, ms[:size/2], results[:size/2])
		check(t, s, DropRead, ms[size/2:], results[size/2:])
	}
}

func testStopped(t *testing.T, s Subject) {
	s.Server.Stop()
	for series, size := range []int{1, 3} {
		for _, r := range sent(t, s, DropUnread, messages(series, size)) {
			if r.Outcome != channel.NotSent || r.Action != channel.Retry || r.Reason != reason.PlatformUnreachable {
				t.Errorf("%v, %v, %s: want not_sent, retry, platform_unreachable", r.Outcome, r.Action, r.Reason)
			}
		}
	}
}

func testLate(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for series, size := range []int{1, 3} {
		ms := messages(series, size)
		results := send(ctx, s, ms)
		check(t, s, DropUnread, ms, results)
		for i, r := range results {
			if r.Outcome != channel.NotSent || r.Action != channel.Retry || s.Server.Seen(ms[i].Recipient) != 0 {
				t.Errorf("%v, %v: want not_sent, retry", r.Outcome, r.Action)
			}
		}
	}
}

// testIdle races calls against connections that the server closes as soon as
// they are idle.
func testIdle(t *testing.T, s Subject) {
	s.Server.Script(CloseAfter)
	for series := range 100 {
		sent(t, s, CloseAfter, messages(series, 1))
	}
}

// testMixed makes many calls at once, each of which meets another step.
func testMixed(t *testing.T, s Subject) {
	steps := []Step{Accept, Refuse, DropRead, CutAnswer, Fail, Babble, Redirect, CloseAfter}
	by := map[string]Step{}
	calls := make([][]channel.Message, 96)
	for i := range calls {
		calls[i] = messages(i, 1+i%3)
		for _, m := range calls[i] {
			by[m.Recipient] = steps[i%len(steps)]
		}
	}
	s.Server.ScriptEach(func(recipients []string) Step {
		if len(recipients) == 0 {
			return Accept
		}
		return by[recipients[0]]
	})
	var wg sync.WaitGroup
	for i, ms := range calls {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), Patience)
			defer cancel()
			for j, r := range send(ctx, s, ms) {
				step := steps[i%len(steps)]
				err := verify(step, r, s.Server.Seen(ms[j].Recipient))
				// A connection that another call's CloseAfter ended is anybody's.
				if err != nil && verify(CloseAfter, r, s.Server.Seen(ms[j].Recipient)) != nil {
					t.Errorf("step %d: %v (%+v)", step, err, r)
				}
			}
		})
	}
	wg.Wait()
}

func testEmpty(t *testing.T, s Subject) {
	if results := s.Platform.SendBatch(context.Background(), s.Account, nil); len(results) != 0 {
		t.Errorf("%d results for no message", len(results))
	}
}
