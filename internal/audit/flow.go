package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
)

// Part is the account of what one sender sent for a flow in one part of one
// month.
type Part struct {
	Month  string
	Part   int
	Sender string
	Report
}

// Flow counts one flow, its parts by month, part and sender, of the senders
// that sees says. Who was meant to get a message are those of whom a planned
// record says so. member, where it
// is not nil, is called for every one of them, by part in the order in which
// they were planned.
func (a *Auditor) Flow(ctx context.Context, id string, sees func(sender string) bool, member func(Member) error) ([]Part, error) {
	fail := func(err error) error { return fmt.Errorf("audit of flow %s: %w", id, err) }
	cctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	if err := a.Tally.CatchUpAll(cctx); err != nil {
		return nil, fail(fmt.Errorf("the tally does not catch up: %w", err))
	}
	var out []Part
	for whole := range a.Tally.OfFlow(id) {
		if sees(whole.Sender) {
			out = append(out, Part{Month: whole.Month, Part: whole.Part, Sender: whole.Sender, Report: newReport()})
		}
	}
	slices.SortFunc(out, func(a, b Part) int {
		return strings.Compare(fmt.Sprintf("%s.%03d.%s", a.Month, a.Part, a.Sender), fmt.Sprintf("%s.%03d.%s", b.Month, b.Part, b.Sender))
	})
	for i := range out {
		if err := a.part(ctx, id, &out[i], member); err != nil {
			return nil, fail(err)
		}
	}
	return out, nil
}

// part counts one part of a flow.
func (a *Auditor) part(ctx context.Context, id string, p *Part, member func(Member) error) error {
	tally, upTo := a.Tally.At(job.Source{Month: p.Month, Part: p.Part, Sender: p.Sender, Name: id})
	evidence, err := a.Witness.Evidence(ctx, p.Sender)
	if err != nil {
		return err
	}
	p.Frozen, p.Seq = true, upTo
	c := newCount(&p.Report, evidence, func(id job.ID) job.ID { return id })
	var planned []job.ID
	err = a.Ledger.OfFlows(ctx, p.Month, p.Part, p.Sender, upTo, func(e ledger.Entry) error {
		if e.ID.Flow() != id {
			return nil
		}
		if e.Record.Planned {
			planned = append(planned, e.ID)
		}
		return c.record(e)
	})
	if err != nil {
		return err
	}
	p.Audience = len(planned)
	for _, id := range planned {
		where := c.jobs[id]
		if where.seen {
			c.problem("%s was planned twice", id)
			continue
		}
		where.seen = true
		c.jobs[id] = where
		m := c.member(id, where, "")
		if member == nil {
			continue
		}
		if err := member(m); err != nil {
			return err
		}
	}
	if n := len(c.jobs); n != len(planned) {
		c.problem("%d jobs in the ledger were never planned", n-len(planned))
	}
	c.holdAgainst(tally)
	return nil
}

// Sum is the account of all parts together: it balances where each of them
// does. The sequence of the moment is that of one ledger, and of none here.
func Sum(parts []Part) Report {
	out := newReport()
	out.Frozen = true
	for _, p := range parts {
		out.Audience += p.Audience
		out.Delivered, out.Read, out.Claimed = out.Delivered+p.Delivered, out.Read+p.Read, out.Claimed+p.Claimed
		out.Doubtful, out.Likely, out.Redriven = out.Doubtful+p.Doubtful, out.Likely+p.Likely, out.Redriven+p.Redriven
		addTo(out.Buckets, p.Buckets)
		addTo(out.ByReason, p.ByReason)
		addTo(out.Held, p.Held)
		for _, problem := range p.Problems {
			out.Problems = append(out.Problems, p.Month+"."+p.Sender+": "+problem)
		}
	}
	return out
}

func addTo[K comparable](sum, more map[K]int) {
	for k, n := range more {
		sum[k] += n
	}
}
