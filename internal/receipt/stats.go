package receipt

import (
	"sync/atomic"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Stats counts what became of receipts, for the metrics.
type Stats struct {
	Sent, Delivered, Read, Failed atomic.Int64 // jobs moved there

	// Resolved counts jobs whose outcome was unknown, and that an echo or a
	// receipt showed to have been sent.
	Resolved atomic.Int64

	Stray atomic.Int64 // receipts of no message of ours: another app's, or a person's
	Later atomic.Int64 // receipts given back until a job has its outcome
}

func (s *Stats) moved(r ledger.Record) {
	switch r.State {
	case job.Sent:
		s.Sent.Add(1)
		if r.From == job.Unknown {
			s.Resolved.Add(1)
		}
	case job.Delivered:
		s.Delivered.Add(1)
	case job.Read:
		s.Read.Add(1)
	case job.Failed:
		s.Failed.Add(1)
	case job.Pending, job.Held, job.Claimed, job.Blocked, job.Unknown, job.Cancelled, job.Expired:
	}
}

// Moved returns how many jobs were moved where, by state.
func (s *Stats) Moved() map[string]int64 {
	return map[string]int64{
		string(job.Sent): s.Sent.Load(), string(job.Delivered): s.Delivered.Load(), string(job.Read): s.Read.Load(), string(job.Failed): s.Failed.Load(),
	}
}
