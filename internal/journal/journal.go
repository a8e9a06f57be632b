// Package journal is the audit log: who did what, and what came of it, in
// a stream that nothing deletes from. It decides nothing.
//
// Its invariants: what is to be done is durable before it is begun, so that
// nothing can have been done without a trace; what came of it is a second
// record that names the first; neither is ever changed. No address, no text
// of a person and no secret enters a record: a contact is its keyed hash, and
// a caller's address only its network.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// Caller is who did something.
type Caller struct {
	ID   string `json:"id"` // of the token, or root
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

// Entry is one thing that was done, or that somebody was not allowed to do.
type Entry struct {
	Seq     uint64            `json:"-"` // its place in the log, from 1
	At      time.Time         `json:"-"` // when the log stored it: one clock for all schedulers
	Caller  Caller            `json:"caller"`
	Via     string            `json:"via,omitempty"` // the API's route
	Verb    string            `json:"verb"`
	Object  string            `json:"object,omitempty"`  // what it was done to: an id, a contact's key
	Sender  string            `json:"sender,omitempty"`  // whose it is; empty: nobody's, or several senders'
	Details map[string]string `json:"details,omitempty"` // what else matters, such as the warnings that a launch acknowledged
	Trace   string            `json:"trace,omitempty"`   // id of the trace
	Network string            `json:"network,omitempty"` // where the caller is, as Network gives it
	Result  *Result           `json:"-"`                 // nil: none was recorded
}

// Result is what came of an entry.
type Result struct {
	At      time.Time         `json:"-"` // when the log stored it
	Status  int               `json:"status"`
	Details map[string]string `json:"details,omitempty"` // such as how many jobs were redriven
}

// record is what the stream holds: an entry, a result of an earlier one, or,
// for what was refused at once, both.
type record struct {
	Entry  *Entry  `json:"entry,omitempty"`
	Of     uint64  `json:"of,omitempty"` // without an entry: whose result it is
	Result *Result `json:"result,omitempty"`
}

// Journal appends to the log and reads it.
type Journal struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names
}

// Config returns the settings of the log's stream. It has no limit of age or
// size and is never written over: records can't be deleted, nor the stream
// purged, and a full disk refuses new records and thereby every action.
func Config(names subject.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: names.JournalStream(), Description: "who did what", Subjects: []string{names.AllJournal()},
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
	}
}

// Open opens the log's stream.
func Open(ctx context.Context, nc *nats.Conn, p stream.Provider, names subject.Names) (*Journal, error) {
	if _, err := p.Open(ctx, Config(names)); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return &Journal{nc, p.JS, names}, nil
}

// Begun is an entry that waits for its result.
type Begun struct {
	journal *Journal
	subject string
	seq     uint64
}

// Begin appends an entry, before what it says is done. With an error nothing
// may be done: the entry may be missing, or stand there without a result.
func (j *Journal) Begin(ctx context.Context, e Entry) (*Begun, error) {
	b := &Begun{journal: j, subject: j.names.Journal(time.Now().UTC().Format("200601"), e.Sender)}
	var err error
	b.seq, err = j.append(ctx, b.subject, record{Entry: &e})
	return b, err
}

// End appends what came of it.
func (b *Begun) End(ctx context.Context, r Result) error {
	_, err := b.journal.append(ctx, b.subject, record{Of: b.seq, Result: &r})
	return err
}

// Refused appends an entry together with its result, for what was not begun.
func (j *Journal) Refused(ctx context.Context, e Entry, r Result) error {
	_, err := j.append(ctx, j.names.Journal(time.Now().UTC().Format("200601"), e.Sender), record{Entry: &e, Result: &r})
	return err
}

func (j *Journal) append(ctx context.Context, subj string, r record) (uint64, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("audit log: %w", err)
	}
	seq, err := stream.Publish(ctx, j.nc, &nats.Msg{Subject: subj, Data: b})
	if err != nil {
		return 0, fmt.Errorf("audit log: %w", err)
	}
	return seq, nil
}
