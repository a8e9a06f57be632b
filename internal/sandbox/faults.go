package sandbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	maxFaults     = 256
	maxFaultCount = 100_000_000
	maxLatency    = 30 * time.Second
)

// FaultKind says what breaks; see the package comment.
type FaultKind string

// The kinds of fault.
const (
	FaultLatency        FaultKind = "latency"
	FaultHTTP500        FaultKind = "http_500"
	FaultHTTP500After   FaultKind = "http_500_after"
	FaultDropBefore     FaultKind = "drop_before"
	FaultDropAfter      FaultKind = "drop_after"
	FaultBatchHalf      FaultKind = "batch_half"
	FaultBatchDropAfter FaultKind = "batch_drop_after"
	FaultRateLimit      FaultKind = "rate_limit"
	FaultTokenExpired   FaultKind = "token_expired"
)

// FaultKinds lists every kind.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultLatency, FaultHTTP500, FaultHTTP500After, FaultDropBefore, FaultDropAfter,
		FaultBatchHalf, FaultBatchDropAfter, FaultRateLimit, FaultTokenExpired}
}

// perMessage faults meet messages, all others HTTP requests.
func (k FaultKind) perMessage() bool { return k == FaultRateLimit || k == FaultTokenExpired }

func (k FaultKind) batchOnly() bool { return k == FaultBatchHalf || k == FaultBatchDropAfter }

// Fault is one order to break. ID, Remaining and Fired are the sandbox's to
// set.
type Fault struct {
	ID          int       `json:"id"`
	Kind        FaultKind `json:"kind"`
	Account     string    `json:"account,omitempty"`     // "": every account
	Probability float64   `json:"probability,omitempty"` // 0 to 1; 0 with a count: every time
	Count       int       `json:"count,omitempty"`       // how often at most; 0 with a probability: no bound
	Remaining   int       `json:"remaining"`             // of Count; 0 without one
	Fired       int       `json:"fired"`
	LatencyMS   int       `json:"latency_ms,omitempty"` // with latency: 1 to 30,000
}

func (f Fault) validate() error {
	latency := f.Kind == FaultLatency
	switch {
	case !slices.Contains(FaultKinds(), f.Kind):
		return fmt.Errorf("fault kind %q is unknown: use one of %v", f.Kind, FaultKinds())
	case !(f.Probability >= 0 && f.Probability <= 1):
		return fmt.Errorf("fault probability %v: must be from 0 to 1", f.Probability)
	case f.Count < 0 || f.Count > maxFaultCount:
		return fmt.Errorf("fault count %d: must be from 0 to %d", f.Count, maxFaultCount)
	case f.Probability == 0 && f.Count == 0:
		return fmt.Errorf("fault %s: give a probability, a count, or both", f.Kind)
	case latency && (f.LatencyMS < 1 || f.LatencyMS > int(maxLatency.Milliseconds())):
		return fmt.Errorf("fault latency_ms %d: must be from 1 to %d", f.LatencyMS, maxLatency.Milliseconds())
	case !latency && f.LatencyMS != 0:
		return fmt.Errorf("fault %s takes no latency_ms: add a latency fault beside it", f.Kind)
	}
	return nil
}

// faults is the list of orders, and the dice. The same seed and the same
// calls in the same order break in the same places.
type faults struct {
	list []*Fault
	dice *rand.Rand
	next int
}

func newFaults(seed uint64) *faults {
	return &faults{dice: rand.New(rand.NewPCG(seed, 0x5eed)), next: 1}
}

func (fs *faults) add(f Fault) (Fault, error) {
	if err := f.validate(); err != nil {
		return Fault{}, err
	}
	if len(fs.list) >= maxFaults {
		return Fault{}, fmt.Errorf("there are %d faults already: clear them first", maxFaults)
	}
	f.ID, f.Remaining, f.Fired = fs.next, f.Count, 0
	f.Account = strings.Clone(f.Account)
	fs.next++
	fs.list = append(fs.list, &f)
	return f, nil
}

// fires says whether the fault meets a call of the account, and counts it.
func (fs *faults) fires(f *Fault, account string) bool {
	switch {
	case f.Account != "" && f.Account != account,
		f.Count > 0 && f.Remaining == 0,
		f.Probability > 0 && fs.dice.Float64() >= f.Probability:
		return false
	}
	f.Fired++
	f.Remaining = max(0, f.Remaining-1)
	return true
}

// forRequest picks what breaks an HTTP request: every latency, and the first
// of the others.
func (fs *faults) forRequest(account string, batch bool) wire {
	var w wire
	for _, f := range fs.list {
		switch {
		case f.Kind.perMessage() || f.Kind.batchOnly() && !batch:
		case f.Kind == FaultLatency:
			if fs.fires(f, account) {
				w.latency = min(maxLatency, w.latency+time.Duration(f.LatencyMS)*time.Millisecond)
			}
		case w.fault == "" && fs.fires(f, account):
			w.fault = f.Kind
		}
	}
	return w
}

// forMessage picks the error that meets one message; "" is none.
func (fs *faults) forMessage(account string) FaultKind {
	for _, f := range fs.list {
		if f.Kind.perMessage() && fs.fires(f, account) {
			return f.Kind
		}
	}
	return ""
}

// wire is what becomes of a request's answer.
type wire struct {
	fault   FaultKind
	latency time.Duration
	usage   usage
}

// accepts says whether item i of n is accepted at all under the fault.
func (w wire) accepts(i, n int, coin func() bool) bool {
	switch w.fault {
	case FaultHTTP500, FaultDropBefore:
		return false
	case FaultBatchHalf:
		return i < n/2 || coin()
	}
	return true
}

// answers says whether item i of n gets an answer.
func (w wire) answers(i, n int) bool {
	return w.fault == "" || w.fault == FaultBatchHalf && i < n/2
}

// hold waits for as long as the answer is late. It is false when the caller
// has gone in the meantime.
func (w wire) hold(ctx context.Context) bool {
	if w.latency == 0 {
		return true
	}
	timer := time.NewTimer(w.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// breaks gives the broken answer, if it is to break as a whole. A cut
// connection is a panic that net/http understands and does not log.
func (w wire) breaks(rw http.ResponseWriter) bool {
	switch w.fault {
	case FaultDropBefore, FaultDropAfter, FaultBatchDropAfter:
		panic(http.ErrAbortHandler)
	case FaultHTTP500, FaultHTTP500After:
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.WriteHeader(http.StatusInternalServerError)
		rw.Write([]byte("<html><body>Sorry, something went wrong.</body></html>"))
		return true
	}
	return false
}
