package rehearsal

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
)

// people is what is known of everybody.
type people struct {
	records map[flow.Identity]contact.Record
	keyer   contact.Keyer
}

// newPeople knows nobody. Keys of contacts are made with a secret that is none:
// they must be the same in every rehearsal.
func newPeople() *people {
	return &people{records: map[flow.Identity]contact.Record{}, keyer: contact.NewKeyer(bytes.Repeat([]byte("rehearsal"), 4))}
}

func (p *people) key(who flow.Identity) job.Key { return p.keyer.Key(who.Sender, who.Person) }

// record returns what is known of somebody, of a stranger the address alone.
func (p *people) record(who flow.Identity) contact.Record {
	if r, known := p.records[who]; known {
		return r
	}
	return contact.Record{Address: who.Person}
}

// learn takes in what is said of somebody, and tells whether it was news.
func (p *people) learn(who flow.Identity, u contact.Update) bool {
	r, changed := contact.Merge(p.records[who], u)
	if changed {
		p.records[who] = r
	}
	return changed
}

// enter takes in a file of contacts as an import at a moment does. A bad row
// refuses the file: a rehearsal with other people than meant proves nothing. nil is no file.
func (p *people) enter(file []byte, senders []string, at time.Time) error {
	if file == nil {
		return nil
	}
	head, err := csv.NewReader(bytes.NewReader(file)).Read()
	if err == nil && len(senders) > 1 && !slices.ContainsFunc(head, func(c string) bool { return strings.EqualFold(strings.TrimSpace(c), "sender") }) {
		return fmt.Errorf("contacts: there are %d senders: want a column sender that says whose each contact is", len(senders))
	}
	for _, id := range senders {
		rows, err := contact.NewRows(bytes.NewReader(file), id, at)
		if err != nil {
			return fmt.Errorf("contacts: %w", err)
		}
		if err := p.all(rows, id); err != nil {
			return fmt.Errorf("contacts: %w", err)
		}
	}
	return nil
}

func (p *people) all(rows *contact.Rows, sender string) error {
	for {
		u, err := rows.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, contact.ErrOther):
		case err != nil:
			return err
		default:
			p.learn(flow.Identity{Sender: sender, Person: u.Address}, u)
		}
	}
}

// sorted returns everybody known, by sender and id.
func (p *people) sorted() []flow.Identity {
	return slices.SortedFunc(maps.Keys(p.records), func(a, b flow.Identity) int {
		return strings.Compare(a.Sender+"/"+a.Person, b.Sender+"/"+b.Person)
	})
}
