package ingest

import (
	"context"
	"fmt"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Meant is a kept event as it is about one sender.
type Meant struct {
	event.Event
	Word policy.Keyword // what the rulebook, and the sender's own words, take its text for
}

// Prevail gives kept events their meaning once more, which changes nothing
// where they have it, and returns each as it is about the senders of its
// account, once no message leaves by facts from before them. Whoever kept them
// may have been cut short; whoever answers them relies on it.
func (d *Desk) Prevail(ctx context.Context, events []event.Event) ([][]Meant, error) {
	out := make([][]Meant, len(events))
	var all []event.Event
	for i := range events {
		known, _, err := d.assign(ctx, events[i:i+1])
		if err != nil {
			return nil, err
		}
		for _, e := range known {
			m := Meant{Event: e}
			if e.Channel != "" && e.Text != "" {
				read, err := d.reader(ctx, &e)
				if err != nil {
					return nil, err
				}
				m.Word = read(e.Text)
			}
			out[i] = append(out[i], m)
			if !e.Receipt() {
				all = append(all, e)
			}
		}
	}
	m, err := d.mean(ctx, all)
	if err != nil || m.seq == 0 {
		return out, err
	}
	if _, err := d.Facts.Prevails(ctx, m.seq, m.at); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return out, nil
}
