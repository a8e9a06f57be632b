package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/subject"
)

// Source is the installation that is copied.
type Source struct {
	JS     jetstream.JetStream
	Names  subject.Names
	Prefix string
	Key    string // fingerprint of its key
	By     string // the program that copies
}

// partSize is how many bytes of records a part has at the most, but for the
// last record: what is lost with one damaged byte is found by part.
const partSize = 4 << 20

// Write copies the installation into w.
func (s Source) Write(ctx context.Context, w io.Writer) error {
	there, err := streamNames(ctx, s.JS)
	if err != nil {
		return err
	}
	head := Head{Format: Format, By: s.By, Taken: time.Now().UTC(), Prefix: s.Prefix, Key: s.Key}
	for _, name := range order(s.Names, there) {
		st, err := s.JS.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		state := st.CachedInfo().State
		head.Plan = append(head.Plan, Planned{name, state.Msgs, state.Bytes})
	}
	f := &writer{tar: tar.NewWriter(w), at: head.Taken}
	var m Manifest
	if m.Head, err = f.json(headName, head); err != nil {
		return err
	}
	for _, p := range head.Plan {
		c, err := s.copy(ctx, f, p.Name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", p.Name, err)
		}
		m.Streams = append(m.Streams, *c)
	}
	m.Ended = time.Now().UTC()
	sum, err := f.json(manifestName, m)
	if err != nil {
		return err
	}
	if err := f.entry(sumName, []byte(sum+"\n")); err != nil {
		return err
	}
	return f.tar.Close()
}

func streamNames(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	var out []string
	l := js.StreamNames(ctx)
	for name := range l.Name() {
		out = append(out, name)
	}
	if err := l.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return out, nil
}

// writer writes entries.
type writer struct {
	tar *tar.Writer
	at  time.Time
}

func (f *writer) entry(name string, b []byte) error {
	h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(b)), ModTime: f.at.Truncate(time.Second), Typeflag: tar.TypeReg}
	if err := f.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := f.tar.Write(b)
	return err
}

// json writes an entry and returns its SHA-256.
func (f *writer) json(name string, v any) (string, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return "", err
	}
	b = append(b, '\n')
	return sum(b), f.entry(name, b)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// part gathers records, to be written as one entry. They stand in it in the
// form in which the server takes them back.
type part struct {
	buf     bytes.Buffer
	packed  *s2.Writer
	records *archive.Writer
	raw     int
	n       uint64
}

func newPart() *part {
	p := &part{}
	p.packed = s2.NewWriter(&p.buf, s2.WriterConcurrency(1))
	p.records = archive.NewWriter(p.packed)
	return p
}

func (p *part) add(m *nats.Msg, meta *jetstream.MsgMetadata) (size int, err error) {
	h := wireHeader(m.Header)
	err = p.records.WriteHeader(&archive.Header{
		Name: m.Subject, Timestamp: meta.Timestamp.UnixNano(), Sequence: meta.Sequence.Stream, HeaderSize: int64(len(h)), PayloadSize: int64(len(m.Data)),
	})
	for _, b := range [][]byte{h, m.Data} {
		if err == nil && len(b) > 0 {
			_, err = p.records.Write(b)
		}
	}
	size = len(m.Subject) + len(h) + len(m.Data)
	p.raw += size
	p.n++
	return size, err
}

// wireHeader writes headers as they are stored, in one order.
func wireHeader(h nats.Header) []byte {
	if len(h) == 0 {
		return nil
	}
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte("NATS/1.0\r\n")
	for _, name := range names {
		for _, v := range h[name] {
			b = append(b, name+": "+v+"\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}

// How records are read: so many at a time, and how long one that was promised
// may take.
const (
	pull     = 2000
	pullWait = 5 * time.Second
)

// copy copies one stream. Where records are replaced it goes on to a moment at
// which nothing newer was there: a record that was replaced meanwhile has its
// successor in it; who stopped at what was the end at the beginning would have
// neither. Where none is, such as in a ledger, it ends at that, however much is
// written meanwhile.
func (s Source) copy(ctx context.Context, f *writer, name string) (*Stream, error) {
	st, err := s.JS.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	info := st.CachedInfo()
	cons, err := st.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullWait)
		defer cancel()
		_ = st.DeleteConsumer(dctx, cons.CachedInfo().Name) // it would end by itself a minute later
	}()
	c := &copying{f: f, part: newPart(), replaced: info.Config.MaxMsgsPerSubject > 0, head: info.State.LastSeq, lags: info.Config.Replicas > 1, late: time.Now().Add(behind), out: &Stream{Name: name, Config: info.Config, First: info.State.FirstSeq, Last: info.State.LastSeq, Parts: []Part{}}}
	for done := false; !done; {
		if done, err = c.some(ctx, cons); err != nil {
			return nil, err
		}
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	c.out.First, c.out.At = c.first(), time.Now().UTC()
	return c.out, nil
}

// behind bounds how long a replica that lags is waited for.
const behind = 10 * time.Second

// copying is one stream on its way into the file.
type copying struct {
	f        *writer
	part     *part
	out      *Stream
	head     uint64 // the newest record that the leader had at the beginning
	replaced bool   // records are replaced by newer ones of their subject
	lags     bool   // who is read may be behind that
	from     uint64 // the first record that was copied
	seen     uint64 // the last
	read     uint64 // how many were read
	late     time.Time
}

// first returns the sequence that the restored stream begins with.
func (c *copying) first() uint64 {
	switch {
	case c.from > 0:
		return c.from
	case c.out.Last > 0:
		return c.out.Last + 1
	}
	return 0
}

// some copies what is there at once, and tells whether that was all.
func (c *copying) some(ctx context.Context, cons jetstream.Consumer) (done bool, err error) {
	b, err := cons.FetchNoWait(pull)
	if err != nil {
		return false, err
	}
	left, n := uint64(0), 0
	for m := range b.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return false, err
		}
		if c.read++; meta.Sequence.Consumer != c.read {
			return false, errors.New("a record was lost on the way; try again")
		}
		left, n = meta.NumPending, n+1
		if !c.replaced && meta.Sequence.Stream > c.head {
			done = true
			continue
		}
		if err := c.add(m, meta); err != nil {
			return false, err
		}
	}
	if err := errors.Join(b.Error(), ctx.Err()); err != nil {
		return false, err
	}
	if done || !c.replaced && c.seen >= c.head {
		return true, nil
	}
	if n == 0 {
		info, err := cons.Info(ctx)
		if err != nil {
			return false, err
		}
		left = info.NumPending
	}
	if left > 0 || c.seen >= c.head || !c.lags {
		return left == 0, nil
	}
	// What is missing up to the head was deleted meanwhile, or the replica
	// that answers lacks it still.
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return time.Now().After(c.late), ctx.Err()
}

func (c *copying) add(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
	size, err := c.part.add(&nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()}, meta)
	if err != nil {
		return err
	}
	if c.from == 0 {
		c.from = meta.Sequence.Stream
	}
	c.seen = meta.Sequence.Stream
	c.out.Messages, c.out.Bytes, c.out.Last = c.out.Messages+1, c.out.Bytes+uint64(size), max(c.out.Last, c.seen)
	if c.part.raw >= partSize {
		return c.flush()
	}
	return nil
}

// flush writes the part, if anything is in it.
func (c *copying) flush() error {
	if c.part.n == 0 {
		return nil
	}
	if err := errors.Join(c.part.records.Close(), c.part.packed.Close()); err != nil {
		return err
	}
	b := c.part.buf.Bytes()
	c.out.Parts = append(c.out.Parts, Part{int64(len(b)), c.part.n, sum(b)})
	err := c.f.entry(partName(c.out.Name, len(c.out.Parts)), b)
	c.part = newPart()
	return err
}
