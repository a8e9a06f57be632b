package e2e

import (
	"maps"
	"testing"

	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// reconcile compares the platform's books with audit, dead and why, contact
// by contact, and returns the audit. It holds at any moment, so that it can
// be called while a broadcast runs, provided that nothing moves meanwhile.
func (o *office) reconcile(pl *platform, id string, ps []person) client.Audit {
	t := o.t
	t.Helper()
	ctx := t.Context()
	audit, err := o.api.Audit(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if !audit.Balanced {
		t.Fatalf("the audit does not balance: %v", audit.Problems)
	}
	if sum := audit.Sent + audit.Blocked + audit.Failed + audit.Unknown + audit.Cancelled + audit.Expired + audit.Pending; sum != audit.Audience || audit.Audience != len(ps) {
		t.Fatalf("%d in buckets, audience %d, contacts %d", sum, audit.Audience, len(ps))
	}
	got := map[string][]accepted{} // by job
	for _, a := range pl.books(t) {
		if a.Account == first(pl.only, account) { // a flow's sender beside it has books of its own
			got[a.Metadata] = append(got[a.Metadata], a)
		}
	}
	members := o.members(id, audit)
	o.againstBooks(members, got)
	o.againstDead(id, members)
	o.againstWhy(members)
	return audit
}

// members lists every bucket and checks that the lists are what the audit
// counts.
func (o *office) members(id string, audit client.Audit) map[string]client.AuditMember {
	o.t.Helper()
	counts := map[string]int{"sent": audit.Sent, "blocked": audit.Blocked, "failed": audit.Failed, "unknown": audit.Unknown,
		"cancelled": audit.Cancelled, "expired": audit.Expired, "pending": audit.Pending}
	out := map[string]client.AuditMember{}
	for bucket, want := range counts {
		n := 0
		for m, err := range o.api.AuditMembers(o.t.Context(), id, bucket) {
			if err != nil {
				o.t.Fatal(err)
			}
			if old, twice := out[m.Job]; twice {
				o.t.Errorf("%s is in two buckets: %s and %s", m.Job, old.Bucket, m.Bucket)
			}
			out[m.Job] = m
			n++
		}
		if n != want {
			o.t.Errorf("bucket %s lists %d members, the audit counts %d", bucket, n, want)
		}
	}
	return out
}

func (o *office) againstBooks(members map[string]client.AuditMember, got map[string][]accepted) {
	o.t.Helper()
	for job, as := range got {
		m, ok := members[job]
		if !ok {
			o.t.Errorf("the platform got %q, which is nobody's job", job)
			continue
		}
		if len(as) > 1 {
			o.t.Errorf("%s reached the platform %d times", job, len(as))
		}
		if as[0].Person != m.ID {
			o.t.Errorf("%s went to %s, not to %s", job, as[0].Person, m.ID)
		}
	}
	for job, m := range members {
		n := len(got[job])
		switch m.Bucket {
		case "sent":
			if n != 1 {
				o.t.Errorf("%s is sent, and the platform got it %d times", job, n)
			}
		case "unknown":
		default:
			if n != 0 {
				o.t.Errorf("%s is %s (%s), and the platform got it", job, m.Bucket, m.Reason)
			}
		}
	}
}

// againstDead checks that the dead letters are the blocked, failed and
// unknown members, with the same reasons.
func (o *office) againstDead(id string, members map[string]client.AuditMember) {
	o.t.Helper()
	dead := map[string]reason.Code{}
	for l, err := range o.api.Dead(o.t.Context(), client.DeadFilter{Source: id}, 0) {
		if err != nil {
			o.t.Fatal(err)
		}
		dead[l.Job] = l.Reason
	}
	want := map[string]reason.Code{}
	for job, m := range members {
		if m.Bucket == "blocked" || m.Bucket == "failed" || m.Bucket == "unknown" {
			want[job] = m.Reason
			if m.Reason == "" {
				o.t.Errorf("%s is %s without a reason", job, m.Bucket)
			}
		}
	}
	if !maps.Equal(dead, want) {
		o.t.Errorf("%d dead letters, the audit has %d; they differ", len(dead), len(want))
	}
}

// againstWhy checks the story of a few jobs of every bucket.
func (o *office) againstWhy(members map[string]client.AuditMember) {
	o.t.Helper()
	asked := map[string]int{}
	for job, m := range members {
		if asked[m.Bucket]++; asked[m.Bucket] > 5 {
			continue
		}
		s, err := o.api.Job(o.t.Context(), job)
		if err != nil {
			o.t.Fatal(err)
		}
		if s.Bucket != m.Bucket || s.Reason != m.Reason && m.Bucket != "pending" {
			o.t.Errorf("why %s says %s %s, the audit %s %s", job, s.Bucket, s.Reason, m.Bucket, m.Reason)
		}
		if len(s.Steps) < 2 {
			o.t.Errorf("why %s tells only %d steps", job, len(s.Steps))
		}
	}
}

// sendables counts the contacts that may get the test's message.
func sendables(t *testing.T, ps []person) int {
	t.Helper()
	n := 0
	for _, x := range ps {
		if x.sendable(ps[0].inbound) {
			n++
		}
	}
	return n
}
