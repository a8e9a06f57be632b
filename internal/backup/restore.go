package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Target is where a file is made an installation again.
type Target struct {
	NATS     *nats.Conn
	JS       jetstream.JetStream
	Replicas int // of every stream; 0: as many as the copied one had
}

// Empty says what is in the way: a restore never adds to what is there.
func (t Target) Empty(ctx context.Context, c *Contents) error {
	there, err := streamNames(ctx, t.JS)
	if err != nil {
		return err
	}
	var taken []string
	for _, s := range there {
		for _, p := range c.Head.Plan {
			if p.Name == s {
				taken = append(taken, s)
			}
		}
	}
	if taken == nil {
		return nil
	}
	return fmt.Errorf("the store is not empty: it has %s; restore into an empty one", strings.Join(taken, ", "))
}

// restTime bounds one answer of the server.
const restTime = 30 * time.Second

// spare is how many sequences of the definitions are passed over: revisions
// that were given out after the backup are not given out again.
const spare = 100_000

// streams makes the streams of a file that was checked, in its order. after is
// called when each is there.
func (t Target) streams(ctx context.Context, r io.Reader, c *Contents, told func(Progress), after func(context.Context, string) error) error {
	p := Progress{}
	for _, s := range c.Manifest.Streams {
		p.Of += s.Messages
	}
	i := 0 // of the manifest's streams
	var f *feed
	next := func() error {
		if f != nil {
			if err := f.end(ctx); err != nil {
				return err
			}
			if err := after(ctx, f.of.Name); err != nil {
				return err
			}
		}
		f = nil
		if i == len(c.Manifest.Streams) {
			return nil
		}
		s := c.Manifest.Streams[i]
		if i++; i == 1 { // the definitions
			s.Last += spare
		}
		var err error
		f, err = t.open(ctx, s)
		return err
	}
	if err := next(); err != nil {
		return err
	}
	err := each(r, func(name string, b []byte) error {
		stream, isPart := streamOf(name)
		if !isPart {
			return nil
		}
		for f != nil && f.of.Name != stream {
			if err := next(); err != nil {
				return err
			}
		}
		if f == nil {
			return fmt.Errorf("%s changed while it was read", name)
		}
		n, err := f.part(ctx, b)
		if p.Stream, p.Done, p.Bytes = stream, p.Done+n, p.Bytes+int64(len(b)); told != nil {
			told(p)
		}
		return err
	})
	for err == nil && f != nil {
		err = next()
	}
	return err
}

// feed is one stream that the server is given.
type feed struct {
	nc      *nats.Conn
	of      Stream
	to      string // subject
	out     bytes.Buffer
	packed  *s2.Writer
	records *archive.Writer
}

// reply is what the server says to a restore.
type reply struct {
	Error   *jetstream.APIError `json:"error"`
	Deliver string              `json:"deliver_subject"`
}

func (t Target) open(ctx context.Context, s Stream) (*feed, error) {
	if t.Replicas > 0 {
		s.Config.Replicas = t.Replicas
	}
	state := map[string]any{"messages": s.Messages, "bytes": s.Bytes, "first_seq": s.First, "last_seq": s.Last, "consumer_count": 0}
	body, err := json.Marshal(map[string]any{"config": s.Config, "state": state})
	if err != nil {
		return nil, err
	}
	f := &feed{nc: t.NATS, of: s}
	r, err := f.ask(ctx, "$JS.API.STREAM.RESTORE."+s.Name, body)
	if err != nil {
		return nil, err
	}
	f.to = r.Deliver
	f.packed = s2.NewWriter(&f.out, s2.WriterConcurrency(1), s2.WriterBlockSize(block))
	f.records = archive.NewWriter(f.packed)
	b, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	err = f.records.WriteHeader(&archive.Header{Name: "state.json", Timestamp: s.At.UnixNano(), PayloadSize: int64(len(b))})
	if err == nil {
		_, err = f.records.Write(b)
	}
	return f, err
}

// ask sends a request of which the answer may be a refusal.
func (f *feed) ask(ctx context.Context, subject string, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, restTime)
	defer cancel()
	var r reply
	m, err := f.nc.RequestWithContext(ctx, subject, body)
	if err == nil && len(m.Data) > 0 {
		err = json.Unmarshal(m.Data, &r)
	}
	if err == nil && r.Error != nil {
		err = r.Error
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: may this user restore (docs/permissions.md), and is the server nats-server 2.15 or later?", err)
	}
	if err != nil {
		return r, fmt.Errorf("stream %s can't be restored: %w", f.of.Name, err)
	}
	return r, nil
}

// part gives the server the records of a part.
func (f *feed) part(ctx context.Context, b []byte) (n uint64, err error) {
	err = records(b, func(h *archive.Header, data []byte) error {
		n++
		if err := f.records.WriteHeader(h); err != nil {
			return err
		}
		_, err := f.records.Write(data)
		return err
	})
	if err == nil {
		err = f.packed.Flush()
	}
	if err == nil {
		err = f.send(ctx)
	}
	return n, err
}

// How many bytes are packed, and sent, at once. The server gives up a restore
// of which it hears nothing for five seconds, and hears nothing while it
// writes what it was given: some hundred records, of which a server that syncs
// always syncs each.
const (
	block = 16 << 10
	chunk = 16 << 10
)

func (f *feed) send(ctx context.Context) error {
	for f.out.Len() > 0 {
		if _, err := f.ask(ctx, f.to, f.out.Next(chunk)); err != nil {
			return err
		}
	}
	f.out.Reset()
	return nil
}

// end says that this was all of the stream, and returns once it is there.
func (f *feed) end(ctx context.Context) error {
	err := f.records.WriteHeader(&archive.Header{})
	if err = errors.Join(err, f.records.Close(), f.packed.Close()); err != nil {
		return err
	}
	if err := f.send(ctx); err != nil {
		return err
	}
	_, err = f.ask(ctx, f.to, nil)
	return err
}
