package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/client"
)

// chunk is how many lines of a list are in hand at a time.
const chunk = 500

func (s *Server) audit(a *answer, r *http.Request) error {
	b, _, err := s.Defs.Broadcast(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if q := r.URL.Query(); q.Has("bucket") {
		return s.members(a, r, b, job.Bucket(q.Get("bucket")))
	}
	rep, err := s.Auditor.Run(r.Context(), b, nil)
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireAudit(b.State, rep))
}

// members lists one bucket of an audience, in send order.
func (s *Server) members(a *answer, r *http.Request, b *broadcast.Broadcast, bucket job.Bucket) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	return s.ofBucket(a, r, bucket, func(member func(audit.Member) error) error {
		_, err := s.Auditor.Run(r.Context(), b, member)
		return err
	})
}

// ofBucket lists those of whom each tells that are in a bucket.
func (s *Server) ofBucket(a *answer, r *http.Request, bucket job.Bucket, each func(func(audit.Member) error) error) error {
	return s.list(a, r, func(emit func(any) error) error {
		some := make([]audit.Member, 0, chunk)
		err := each(func(m audit.Member) error {
			if m.Bucket != bucket {
				return nil
			}
			if some = append(some, m); len(some) < chunk {
				return nil
			}
			defer func() { some = some[:0] }()
			return s.emitMembers(r.Context(), some, emit)
		})
		if err != nil {
			return err
		}
		return s.emitMembers(r.Context(), some, emit)
	})
}

func checkBucket(b job.Bucket) error {
	if !slices.Contains(job.Buckets(), b) {
		return badRequest(fmt.Sprintf("bucket %q: want one of %s", b, strings.Join(bucketNames(), ", ")))
	}
	return nil
}

// flowAudit is audit for a flow. An earlier version of it may have had senders
// that the caller does not see.
func (s *Server) flowAudit(a *answer, r *http.Request) error {
	id, sees := r.PathValue("id"), access.Of(r.Context()).Sees
	f, _, err := s.Defs.Flow(r.Context(), id)
	if err != nil {
		return err
	}
	if q := r.URL.Query(); q.Has("bucket") {
		bucket := job.Bucket(q.Get("bucket"))
		if err := checkBucket(bucket); err != nil {
			return err
		}
		return s.ofBucket(a, r, bucket, func(member func(audit.Member) error) error {
			_, err := s.Auditor.Flow(r.Context(), id, sees, member)
			return err
		})
	}
	parts, err := s.Auditor.Flow(r.Context(), id, sees, nil)
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireFlowAudit(f.State, parts))
}

func bucketNames() []string {
	var out []string
	for _, b := range job.Buckets() {
		out = append(out, string(b))
	}
	return out
}

func (s *Server) emitMembers(ctx context.Context, ms []audit.Member, emit func(any) error) error {
	ids := make([]job.ID, len(ms))
	for i, m := range ms {
		ids[i] = m.Job
	}
	addresses, err := s.addresses(ctx, ids)
	if err != nil {
		return err
	}
	for i, m := range ms {
		err := emit(client.AuditMember{
			Job: m.Job.String(), Contact: m.Job.Contact.String(), ID: addresses[i],
			Bucket: string(m.Bucket), State: string(m.State), Reason: m.Reason,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addresses returns the address of each job's contact, "" for one that
// nothing is known of.
func (s *Server) addresses(ctx context.Context, ids []job.ID) ([]string, error) {
	bySender := map[string][]job.Key{}
	for _, id := range ids {
		bySender[id.Sender] = append(bySender[id.Sender], id.Contact)
	}
	known := make(map[string]map[job.Key]contact.Record, len(bySender))
	for sender, keys := range bySender {
		var err error
		if known[sender], err = s.Facts.Contacts(ctx, sender, keys); err != nil {
			return nil, err
		}
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = known[id.Sender][id.Contact].Address
	}
	return out, nil
}
