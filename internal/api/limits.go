package api

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/limit"
)

const (
	// failureRate and failureBurst bound the requests without a valid token
	// that one address is told about: a person with a wrong token is, a
	// program that goes through a list is not.
	failureRate  = 1
	failureBurst = 20
	// refusalRate and refusalBurst bound the refusals for role or scope that
	// the audit log, which nothing is ever removed from, takes of one caller.
	refusalRate  = 1
	refusalBurst = 20
	// strangerRate and strangerBurst bound the calls of hooks without a valid
	// signature that one address is told about. They are more than of tokens: a
	// platform whose secret was changed sends many, and is to find out why.
	strangerRate  = 10
	strangerBurst = 300
	// maxCallers and maxAddresses bound the memory that limits take.
	maxCallers   = 10_000
	maxAddresses = 10_000
	// maxHeavy is how many requests that read or write much are worked on at a
	// time, and heavyWait how long one more waits for its turn.
	maxHeavy  = 16
	heavyWait = 5 * time.Second
)

// limits say who has to wait.
type limits struct {
	calls     *limit.Limiter // by caller
	failures  *limit.Limiter // by address
	refusals  *limit.Limiter // by caller; what the audit log gets of them
	strangers *limit.Limiter // by address
	heavy     chan struct{}
	now       func() time.Time
}

func newLimits(perSecond int) limits {
	return limits{
		calls:     limit.New(perSecond, 2*perSecond, maxCallers),
		failures:  limit.New(failureRate, failureBurst, maxAddresses),
		refusals:  limit.New(refusalRate, refusalBurst, maxCallers),
		strangers: limit.New(strangerRate, strangerBurst, maxAddresses),
		heavy:     make(chan struct{}, maxHeavy),
		now:       time.Now,
	}
}

// later is an error that goes away by waiting.
type later struct {
	error
	wait time.Duration
}

// Unwrap returns the error itself.
func (l *later) Unwrap() error { return l.error }

// call counts a request of a caller.
func (l limits) call(p access.Principal) error {
	if wait := l.calls.Take(p.ID, l.now()); wait > 0 {
		return &later{refuse(http.StatusTooManyRequests, "this token makes more requests a second than it may: wait as Retry-After says"), wait}
	}
	return nil
}

// failure counts a request without a valid token, and says what to answer.
// One with a valid token is never refused for what others at its address do.
func (l limits) failure(from netip.Addr, why error) error {
	if statusOf(why) != http.StatusUnauthorized {
		return why
	}
	if wait := l.failures.Take(household(from), l.now()); wait > 0 {
		return &later{refuse(http.StatusTooManyRequests, "too many requests without a valid token from this address: wait as Retry-After says"), wait}
	}
	return why
}

// household is what one customer of a network has at least: an address of
// IPv4, and of IPv6 the network of 64 bits in which they choose their own.
func household(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// isHeavy tells the routes whose work grows with what is stored.
func (rt route) isHeavy() bool {
	switch rt.path {
	case "/v1/broadcasts/{id}/audit", "/v1/broadcasts/{id}/forecast", "/v1/policy/diff", "/v1/contacts", "/v1/dead", "/v1/dead/redrive", "/v1/dead/discard", logPath, backupPath:
		return true
	}
	return false
}

// inTurn works on a request when it may be, or returns why it may not.
func (l limits) inTurn(rt route, r *http.Request, work func() error) error {
	if !rt.isHeavy() {
		return work()
	}
	t := time.NewTimer(heavyWait)
	defer t.Stop()
	select {
	case l.heavy <- struct{}{}:
		defer func() { <-l.heavy }()
		return work()
	case <-r.Context().Done():
		return errGone
	case <-t.C:
		return &later{refuse(http.StatusTooManyRequests, "too many requests that read or write much are being worked on: wait as Retry-After says"), time.Second}
	}
}
