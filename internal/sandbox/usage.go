package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// quotaPerPerson is the calls that each engaged person adds to a quota:
// 200 per hour to the app's, 200 per 24 hours to the account's (Graph rate
// limits page). The quotas are reported, not enforced.
const quotaPerPerson = 200

// rolling counts events of the last len(buckets) widths, in steps of one.
type rolling struct {
	width   time.Duration
	buckets []uint32
	newest  int64 // number of the bucket that counts now
	sum     int
}

func newRolling(width time.Duration, n int) rolling {
	return rolling{width: width, buckets: make([]uint32, n)}
}

// add counts one event; one that is told late counts as new.
func (r *rolling) add(at int64) {
	r.advance(at / int64(r.width))
	r.buckets[r.newest%int64(len(r.buckets))]++
	r.sum++
}

func (r *rolling) advance(to int64) {
	n := int64(len(r.buckets))
	for b := max(r.newest+1, to-n+1); b <= to; b++ {
		r.sum -= int(r.buckets[b%n])
		r.buckets[b%n] = 0
	}
	r.newest = max(r.newest, to)
}

// usage is what the usage headers say, in percent of the quotas.
type usage struct {
	app      int
	business int
	account  string // "": no account's quota is told
}

// percent is the used part of the quota that people give, at most 100.
func percent(calls, people int) int {
	return min(100, calls*100/(quotaPerPerson*max(1, people)))
}

// set writes the headers. Time and CPU move with the calls.
func (u usage) set(h http.Header) {
	app := strconv.Itoa(u.app)
	h["X-App-Usage"] = []string{`{"call_count":` + app + `,"total_time":` + app + `,"total_cputime":` + app + `}`}
	if u.account == "" {
		return
	}
	n := strconv.Itoa(u.business)
	b := appendString([]byte{'{'}, u.account)
	b = append(b, `:[{"type":"messenger","call_count":`+n+`,"total_cputime":`+n+`,"total_time":`+n+
		`,"estimated_time_to_regain_access":0}]}`...)
	h["X-Business-Use-Case-Usage"] = []string{string(b)}
}
