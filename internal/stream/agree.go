package stream

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// setting is one that a stream must have as it was made, because something
// could get lost, be refused or be read out of date otherwise.
type setting struct {
	name     string // as the server writes it in JSON
	is, want string
	differs  bool
	restore  func(c *jetstream.StreamConfig) // nil: the server changes it for no stream that exists
}

// agree compares a stream with what it should be. Limits that make the server
// refuse are the operator's own business where nothing is discarded; so are
// more replicas, more that is denied, compression, placement and whatever
// else changes no answer.
func agree(is, want jetstream.StreamConfig) error {
	var said []string
	var fixed = is
	lasting := false
	for _, s := range settings(is, want) {
		if !s.differs {
			continue
		}
		said = append(said, fmt.Sprintf("%s is %s, want %s", s.name, s.is, s.want))
		if s.restore == nil {
			lasting = true
		} else {
			s.restore(&fixed)
		}
	}
	switch {
	case said == nil:
		return nil
	case lasting:
		return fmt.Errorf("its settings were changed: %s; a stream that exists can't be changed so: restore it from a backup, or, if it holds nothing yet, remove it with: nats stream rm %s", strings.Join(said, "; "), is.Name)
	}
	cmd, err := update(fixed)
	if err != nil {
		return fmt.Errorf("its settings were changed: %s; %w", strings.Join(said, "; "), err)
	}
	return fmt.Errorf("its settings were changed: %s; restore them with: %s", strings.Join(said, "; "), cmd)
}

// update returns the command that gives a stream these settings. It speaks
// the server's own API: the nats tool has no flag for some of them.
func update(c jetstream.StreamConfig) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(c)
	body := strings.ReplaceAll(strings.TrimSpace(b.String()), "'", `'\''`)
	return fmt.Sprintf("nats request '$JS.API.STREAM.UPDATE.%s' '%s'", c.Name, body), err
}

// settings are those that matter. Which of them an existing stream can be
// given is in the server's configUpdateCheck.
func settings(is, want jetstream.StreamConfig) []setting {
	return slices.Concat(kept(is, want), bounds(is, want), []setting{
		yes("deny_delete", is.DenyDelete, want.DenyDelete || is.DenyDelete, func(c *jetstream.StreamConfig) { c.DenyDelete = true }),
		yes("deny_purge", is.DenyPurge, want.DenyPurge || is.DenyPurge, func(c *jetstream.StreamConfig) { c.DenyPurge = true }),
		yes("allow_atomic", is.AllowAtomicPublish, want.AllowAtomicPublish, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = want.AllowAtomicPublish }),
		yes("allow_rollup_hdrs", is.AllowRollup, want.AllowRollup, func(c *jetstream.StreamConfig) { c.AllowRollup = want.AllowRollup }),
		direct(is, want),
		yes("allow_msg_ttl", is.AllowMsgTTL, want.AllowMsgTTL, nil),
		yes("allow_msg_counter", is.AllowMsgCounter, want.AllowMsgCounter, nil),
		yes("sealed", is.Sealed, want.Sealed, nil),
		yes("no_ack", is.NoAck, want.NoAck, func(c *jetstream.StreamConfig) { c.NoAck = want.NoAck }),
		yes("mirror", is.Mirror != nil, want.Mirror != nil, func(c *jetstream.StreamConfig) { c.Mirror = nil }),
		yes("sources", len(is.Sources) > 0, len(want.Sources) > 0, func(c *jetstream.StreamConfig) { c.Sources = nil }),
		yes("subject_transform", is.SubjectTransform != nil, want.SubjectTransform != nil, func(c *jetstream.StreamConfig) { c.SubjectTransform = nil }),
		replicas(is, want),
	})
}

// kept says what a stream holds and where.
func kept(is, want jetstream.StreamConfig) []setting {
	a, b := slices.Sorted(slices.Values(is.Subjects)), slices.Sorted(slices.Values(want.Subjects))
	return []setting{
		{"subjects", strings.Join(a, " "), strings.Join(b, " "), !slices.Equal(a, b), func(c *jetstream.StreamConfig) { c.Subjects = want.Subjects }},
		named("storage", is.Storage, want.Storage, nil),
		named("retention", is.Retention, want.Retention, nil),
		named("persist_mode", is.PersistMode, want.PersistMode, nil),
	}
}

// bounds are what makes a stream forget. With discard new a bound on the
// whole only makes it refuse.
func bounds(is, want jetstream.StreamConfig) []setting {
	out := []setting{
		named("discard", is.Discard, want.Discard, func(c *jetstream.StreamConfig) { c.Discard = want.Discard }),
		yes("discard_new_per_subject", is.DiscardNewPerSubject, want.DiscardNewPerSubject, func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = want.DiscardNewPerSubject }),
		limit("max_age", is.MaxAge, want.MaxAge, func(c *jetstream.StreamConfig) { c.MaxAge = want.MaxAge }),
		limit("max_msgs_per_subject", is.MaxMsgsPerSubject, want.MaxMsgsPerSubject, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = want.MaxMsgsPerSubject }),
	}
	if is.Discard == jetstream.DiscardNew && want.Discard == jetstream.DiscardNew {
		return out
	}
	return append(out,
		limit("max_msgs", is.MaxMsgs, want.MaxMsgs, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }),
		limit("max_bytes", is.MaxBytes, want.MaxBytes, func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }),
	)
}

// direct compares whether any replica may answer. A bucket of one replica
// made by an earlier version allows it, and only its leader answers there.
func direct(is, want jetstream.StreamConfig) setting {
	s := yes("allow_direct", is.AllowDirect, want.AllowDirect, func(c *jetstream.StreamConfig) { c.AllowDirect = want.AllowDirect })
	if is.AllowDirect && is.AllowRollup && max(is.Replicas, want.Replicas) <= 1 {
		s.differs = false
	}
	return s
}

// replicas compares how many there are: more than wanted are as good.
func replicas(is, want jetstream.StreamConfig) setting {
	return setting{
		"num_replicas", fmt.Sprint(is.Replicas), fmt.Sprintf("at least %d (CARILLON_NATS_REPLICAS)", want.Replicas), is.Replicas < want.Replicas,
		func(c *jetstream.StreamConfig) { c.Replicas = want.Replicas },
	}
}

// named compares one of the server's words.
func named[T interface {
	comparable
	fmt.Stringer
}](name string, is, want T, restore func(*jetstream.StreamConfig)) setting {
	word := func(v T) string { return strings.TrimPrefix(strings.ToLower(v.String()), "discard") }
	return setting{name, word(is), word(want), is != want, restore}
}

func yes(name string, is, want bool, restore func(*jetstream.StreamConfig)) setting {
	return setting{name, fmt.Sprint(is), fmt.Sprint(want), is != want, restore}
}

// limit compares a bound, of which the server has two ways to say none.
func limit[T int64 | time.Duration](name string, is, want T, restore func(*jetstream.StreamConfig)) setting {
	text := func(n T) string {
		if n <= 0 {
			return "none"
		}
		return fmt.Sprint(n)
	}
	return setting{name, text(is), text(want), text(is) != text(want), restore}
}
