package label

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
)

const (
	// atOnce is how many contacts are read at once: a slow answer must not
	// hold the pace.
	atOnce = 4
	// maxPages bounds the pages of one list: 10,000 labels.
	maxPages = 100
	// maxFailures is how many failures in a row are the platform's and not one
	// contact's.
	maxFailures = 5
	// maxUsage is the percentage of the platform's budget from which on calls
	// are left to messages.
	maxUsage = 80
	// keepEvery is how often a run that goes on says how far it is.
	keepEvery = 10 * time.Second
)

// person is a contact that is to be read.
type person struct {
	key     job.Key
	address string
	inbound time.Time
}

// pulling is one run.
type pulling struct {
	*Puller
	spec    *sender.Spec
	account channel.Account
	calls   <-chan time.Time // each lets one call go
	none    bool             // the Page has no labels: nobody has any

	mu  sync.Mutex
	out Run
	row int // failures in a row
}

// pull reads the Page's labels, then each contact's, those who wrote last
// first: their windows are open.
func (p *Puller) pull(ctx context.Context, spec *sender.Spec, run Run) Run {
	pace := time.NewTicker(p.Pace)
	defer pace.Stop()
	l := &pulling{Puller: p, spec: spec, calls: pace.C, out: run}
	if err := l.all(ctx); err != nil {
		l.out.Error = shown(err)
	}
	return l.out
}

func (l *pulling) all(ctx context.Context) (err error) {
	if l.account, err = l.Account(l.spec); err != nil {
		return err
	}
	page, err := l.names(ctx, "")
	if err != nil {
		return err
	}
	l.out.Labels, l.none = len(page), len(page) == 0
	l.out.Unusable = len(page) - len(usable(page))
	people, err := l.people(ctx)
	if err != nil {
		return err
	}
	l.out.Contacts = len(people)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	kept := time.Now()
	for _, who := range people {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return l.one(gctx, who) })
		if time.Since(kept) >= keepEvery {
			kept = time.Now()
			err = errors.Join(err, l.keep(gctx))
		}
	}
	return cmp.Or(g.Wait(), err)
}

// keep says how far the run is.
func (l *pulling) keep(ctx context.Context) error {
	l.mu.Lock()
	run := l.out
	l.mu.Unlock()
	_, err := l.Store.edit(ctx, l.spec.ID, func(st *State) { st.Run = run })
	return err
}

// people returns the sender's contacts, those who wrote last first.
func (l *pulling) people(ctx context.Context) ([]person, error) {
	var out []person
	_, err := l.Facts.Each(ctx, l.spec.ID, func(k job.Key, r contact.Record) error {
		if r.Address != "" { // else it was erased
			out = append(out, person{k, r.Address, r.LastInbound})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b person) int { return cmp.Or(b.inbound.Compare(a.inbound), slices.Compare(a.key[:], b.key[:])) })
	return out, err
}

// one brings one contact's labels up to the Page's word. It returns an error
// only where the run can't go on.
func (l *pulling) one(ctx context.Context, who person) error {
	at := time.Now().UTC() // before the question: what is told meanwhile is newer
	var has []string
	if !l.none {
		var err error
		if has, err = l.names(ctx, who.address); err != nil {
			return l.failed(err)
		}
	}
	changed, err := l.merge(ctx, who, usable(has), at)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Read, l.row = l.out.Read+1, 0
	if changed {
		l.out.Changed++
	}
	return nil
}

// failed counts a contact that could not be read, and returns the error where
// the cause is not the contact.
func (l *pulling) failed(err error) error {
	f, ok := errors.AsType[*channel.Fault](err)
	if !ok {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch judge(f) {
	case gone:
		l.out.Gone, l.row = l.out.Gone+1, 0
	case passing:
		l.out.Failed, l.row = l.out.Failed+1, l.row+1
		if l.row >= maxFailures {
			return err
		}
	case final:
		return err
	}
	return nil
}

// blame says whose a fault is.
type blame int

const (
	final   blame = iota // the account's: others would be answered the same
	gone                 // the contact's: it is not there for this account
	passing              // nobody's: another time it may go well
)

// judge reads Graph's codes: 100 names an object that is not there or not
// shown, 551 a person who is not available; 1 and 2, without a subcode, are the
// platform's own trouble, as are answers without a code.
func judge(f *channel.Fault) blame {
	switch {
	case f.Code == 100 || f.Code == 551:
		return gone
	case f.Code == 0 && f.Status != 401 && f.Status != 403 && f.Status != 429, (f.Code == 1 || f.Code == 2) && f.Subcode == 0:
		return passing
	}
	return final
}

// names reads all pages of the account's labels, or of a person's.
func (l *pulling) names(ctx context.Context, who string) ([]string, error) {
	var out []string
	after := ""
	for range maxPages {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.calls:
		}
		page, err := l.Reader.Labels(ctx, l.account, who, after)
		switch {
		case err != nil:
			return nil, err
		case page.Usage >= maxUsage:
			return nil, fmt.Errorf("%d%% of the platform's budget of calls is used: the rest is left to messages", page.Usage)
		}
		out = append(out, page.Names...)
		if page.After == "" {
			slices.Sort(out)
			return slices.Compact(out), nil
		}
		after = page.After
	}
	return nil, fmt.Errorf("a list of labels has more than %d pages", maxPages)
}

// usable returns the names that can be labels here, with their prefix.
func usable(names []string) []string {
	var out []string
	for _, n := range names {
		c := contact.Change{Labels: map[string]bool{Prefix + n: true}}
		if n == strings.TrimSpace(n) && c.Validate() == nil {
			out = append(out, Prefix+n)
		}
	}
	return out
}

// merge writes the difference between what a contact has now and the Page's
// word, if there is any.
func (l *pulling) merge(ctx context.Context, who person, want []string, at time.Time) (changed bool, err error) {
	r, _, err := l.Facts.Contact(ctx, l.spec.ID, who.key)
	if err != nil || r.Address == "" { // it was erased meanwhile
		return false, err
	}
	var us []contact.Update
	for _, c := range difference(r.Labels, want, at) {
		us = append(us, c.Update(who.address))
	}
	m, err := l.Facts.Merge(ctx, l.spec.ID, us)
	return m.Written > 0, err
}

// difference returns the changes that make have's labels with the prefix those
// wanted. It says nothing of others, nor of what is so already.
func difference(have, want []string, at time.Time) (out []*contact.Change) {
	say := func(label string, on bool) {
		if len(out) == 0 || len(out[len(out)-1].Labels) == contact.MaxParts {
			out = append(out, &contact.Change{At: at, Labels: map[string]bool{}})
		}
		out[len(out)-1].Labels[label] = on
	}
	for _, l := range have {
		if strings.HasPrefix(l, Prefix) && !slices.Contains(want, l) {
			say(l, false)
		}
	}
	for _, l := range want {
		if !slices.Contains(have, l) {
			say(l, true)
		}
	}
	return out
}

// shown makes an error one that an operator may see.
func shown(err error) *Error {
	if f, ok := errors.AsType[*channel.Fault](err); ok {
		return &Error{Code: f.Code, Subcode: f.Subcode, Detail: f.Detail, Link: f.Link}
	}
	return &Error{Detail: err.Error()}
}
