package automation

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
)

// people is what is known of the contacts of one wave.
type people struct {
	d    *Driver
	keys map[flow.Identity]job.Key
	want map[string][]job.Key // by sender, not read yet
	have map[flow.Identity]contact.Record
	at   map[string]map[job.Key]flow.Identity
}

func newPeople(d *Driver) *people {
	return &people{
		d: d, keys: map[flow.Identity]job.Key{}, want: map[string][]job.Key{}, have: map[flow.Identity]contact.Record{},
		at: map[string]map[job.Key]flow.Identity{},
	}
}

// key returns the key of an identity.
func (p *people) key(id flow.Identity) job.Key {
	k, ok := p.keys[id]
	if !ok {
		k = p.d.Contacts.Key(id.Sender, id.Person)
		p.keys[id] = k
	}
	return k
}

// ask has people read with the next load.
func (p *people) ask(ids ...flow.Identity) {
	for _, id := range ids {
		k := p.key(id)
		if p.at[id.Sender] == nil {
			p.at[id.Sender] = map[job.Key]flow.Identity{}
		}
		if _, asked := p.at[id.Sender][k]; asked {
			continue
		}
		p.at[id.Sender][k] = id
		p.want[id.Sender] = append(p.want[id.Sender], k)
	}
}

// load reads who was asked for since the last time.
func (p *people) load(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	found := make(map[string]*map[job.Key]contact.Record, len(p.want))
	for id, keys := range p.want {
		var some map[job.Key]contact.Record
		found[id] = &some
		g.Go(func() (err error) { some, err = p.d.Contacts.Contacts(gctx, id, keys); return err })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("contacts of flows: %w", err)
	}
	for id, some := range found {
		for k, r := range *some {
			p.have[p.at[id][k]] = r
		}
	}
	clear(p.want)
	return nil
}

// record returns what is known of somebody, nil for nothing.
func (p *people) record(id flow.Identity) *contact.Record {
	if r, ok := p.have[id]; ok {
		return &r
	}
	return nil
}

// world is what is known at a moment, as one contact's flows see it.
func (p *people) world(ctx context.Context, now time.Time, ids []flow.Identity) flow.World {
	w := flow.World{Now: now, Contacts: make(map[string]contact.Record, len(ids)), Senders: p.d.sender(ctx), Zone: p.d.zone}
	for _, id := range ids {
		if r, ok := p.have[id]; ok {
			w.Contacts[id.Sender] = r
		}
	}
	return w
}

// sender tells how senders are defined now.
func (d *Driver) sender(ctx context.Context) func(string) *sender.Spec {
	return func(id string) *sender.Spec {
		s, err := d.Catalog.Sender(ctx, id)
		if err != nil {
			return nil
		}
		return s
	}
}

// zone returns a time zone by its name, nil for one that does not exist.
func (d *Driver) zone(name string) *time.Location {
	z, ok := d.zones[name]
	if ok {
		return z
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	d.zones[name] = z // there are some 600
	return z
}
