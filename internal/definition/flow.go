package definition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/flow"
)

// Flow returns what became of a flow, and its revision.
func (s *Store) Flow(ctx context.Context, id string) (*flow.Flow, uint64, error) {
	if strings.Contains(id, ".") { // that would be a version
		return nil, 0, fmt.Errorf("flow %s: %w", id, ErrNotFound)
	}
	return get[flow.Flow](ctx, s, "flow", id)
}

// PutFlow stores what became of a flow at the revision that it was read at.
func (s *Store) PutFlow(ctx context.Context, v *flow.Flow, rev uint64) (uint64, error) {
	return put(ctx, s, "flow", v.ID, v, rev)
}

// FlowSpec returns one version of a flow, which nothing changes any more.
func (s *Store) FlowSpec(ctx context.Context, id string, version int) (*flow.Spec, error) {
	v, _, err := get[flow.Spec](ctx, s, "flow", id+"."+strconv.Itoa(version))
	return v, err
}

// Flows returns the ids of all flows, sorted, those that were deleted too.
func (s *Store) Flows(ctx context.Context) ([]string, error) { return s.keys(ctx, "flow.", "*") }

// putVersion stores a document as a version of its flow and returns which: the
// first from the given one on that is free, or has the same document, as one
// that was stored when storing its flow failed. What a version says is never
// changed, since runs may be on it.
func (s *Store) putVersion(ctx context.Context, n *flow.Spec, version int) (int, error) {
	for {
		_, err := put(ctx, s, "flow", n.ID+"."+strconv.Itoa(version), n, 0)
		if !errors.Is(err, ErrChanged) {
			return version, err
		}
		old, err := s.FlowSpec(ctx, n.ID, version)
		if err != nil || same(old, n) {
			return version, err
		}
		version++
	}
}

// changeFlow makes a document the newest version of its flow. One that is
// paused stays so.
func (s *Store) changeFlow(ctx context.Context, n *flow.Spec, here beside, check Check) (change, error) {
	c := change{Applied: Applied{Kind: "Flow", ID: n.ID, Action: "created"}}
	old, rev, err := s.Flow(ctx, n.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		old = &flow.Flow{ID: n.ID, State: flow.Active}
	case err != nil:
		return c, err
	default:
		before, err := s.FlowSpec(ctx, n.ID, old.Version)
		if err != nil {
			return c, err
		}
		switch {
		case !check.seesFlow(before):
			return c, fmt.Errorf("flow %s: the id is taken; give it another", n.ID)
		case old.State == flow.Deleted:
			return c, fmt.Errorf("flow %s was deleted and never comes back; give the new one another id", n.ID)
		case same(before, n):
			c.Action = "unchanged"
		default:
			c.Action = "updated"
		}
	}
	if c.Warnings, err = s.checkFlow(ctx, n, here, check); err != nil || c.Action == "unchanged" {
		c.Version = old.Version
		return c, err
	}
	c.Version = old.Version + 1
	if c.Action == "updated" && check.Impact != nil {
		if c.Impact, err = check.Impact(ctx, old, n); err != nil {
			return c, fmt.Errorf("flow %s: %w", n.ID, err)
		}
	}
	c.store = func(ctx context.Context, done *Applied) (err error) {
		now := *old
		if now.Version, err = s.putVersion(ctx, n, old.Version+1); err != nil {
			return err
		}
		now.At, done.Version = time.Now().UTC(), now.Version
		_, err = s.PutFlow(ctx, &now, rev)
		return err
	}
	return c, nil
}

// SeesFlow tells whether somebody who may know of some senders, or of all (""),
// may know of a flow: of all senders that it names, and of every sender where
// it is for any.
func SeesFlow(sees func(sender string) bool, s *flow.Spec) bool {
	if s.Sender == flow.Auto {
		return sees("")
	}
	return !slices.ContainsFunc(s.Senders(), func(id string) bool { return !sees(id) })
}

func (c Check) seesFlow(s *flow.Spec) bool { return SeesFlow(c.sees, s) }

// liveFlow is a flow that was not deleted, with its newest version.
func (s *Store) liveFlow(ctx context.Context, id string) (*flow.Spec, error) {
	f, _, err := s.Flow(ctx, id)
	if err == nil && f.State == flow.Deleted {
		err = fmt.Errorf("flow %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return s.FlowSpec(ctx, id, f.Version)
}
