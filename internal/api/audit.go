package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/broadcast"
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
	return writeJSON(a, http.StatusOK, wireAudit(b, rep))
}

// members lists one bucket of an audience, in send order.
func (s *Server) members(a *answer, r *http.Request, b *broadcast.Broadcast, bucket job.Bucket) error {
	if !slices.Contains(job.Buckets(), bucket) {
		return badRequest(fmt.Sprintf("bucket %q: want one of %s", bucket, strings.Join(bucketNames(), ", ")))
	}
	return s.list(a, r, func(emit func(any) error) error {
		some := make([]audit.Member, 0, chunk)
		_, err := s.Auditor.Run(r.Context(), b, func(m audit.Member) error {
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

// lookups is how many contacts are looked up at a time.
const lookups = 16

// addresses returns the address of each job's contact, "" for one that
// nothing is known of.
func (s *Server) addresses(ctx context.Context, ids []job.ID) ([]string, error) {
	out := make([]string, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	for i, id := range ids {
		g.Go(func() error {
			c, _, err := s.Facts.Contact(ctx, id.Sender, id.Contact)
			out[i] = c.Address
			return err
		})
	}
	return out, g.Wait()
}
