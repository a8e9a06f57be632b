package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// MaxBatch is how many messages one atomic batch carries at the most. Half of
// the server's limit: larger ones gain nothing and make others wait longer.
const MaxBatch = 500

// AckWait bounds one round trip to a stream's leader.
const AckWait = 3 * time.Second

// Expect returns a message that is stored only if its subject's newest
// message has the given sequence; 0: if it has none.
func Expect(subject string, data []byte, last uint64) *nats.Msg {
	return &nats.Msg{
		Subject: subject,
		Data:    data,
		Header:  nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{strconv.FormatUint(last, 10)}},
	}
}

// Batch stores all messages or none, with one sync, and returns the sequence
// of the first; the others follow it without a gap. They belong to one stream
// and no subject stands twice. An error does not say that nothing was stored:
// the acknowledgement may have been lost.
func Batch(ctx context.Context, nc *nats.Conn, ms []*nats.Msg) (first uint64, err error) {
	if len(ms) == 0 || len(ms) > MaxBatch {
		return 0, fmt.Errorf("batch of %d messages, want 1 to %d", len(ms), MaxBatch)
	}
	if len(ms) == 1 {
		return Publish(ctx, nc, ms[0])
	}
	id := nuid.Next()
	last := len(ms) - 1
	for i, m := range ms {
		m.Header["Nats-Batch-Id"] = []string{id}
		m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		if i < last {
			if err := nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("publish: %w", err)
			}
		}
	}
	ms[last].Header["Nats-Batch-Commit"] = []string{"1"}
	ack, err := request(ctx, nc, ms[last])
	if err != nil {
		return 0, err
	}
	if ack.Count != len(ms) {
		return 0, fmt.Errorf("publish: batch of %d acknowledged as %d", len(ms), ack.Count)
	}
	return ack.Seq - uint64(last), nil
}

// Publish stores one message and returns its sequence. As with Batch, an
// error does not say that it was not stored.
func Publish(ctx context.Context, nc *nats.Conn, m *nats.Msg) (uint64, error) {
	for _, h := range []string{"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"} {
		delete(m.Header, h)
	}
	ack, err := request(ctx, nc, m)
	return ack.Seq, err
}

// Conflict tells whether a publish was refused since its subject is not where
// the message expects it; so is a key of a bucket. A stream with replicas says
// so by another code than one without, which the library's ErrKeyExists misses.
func Conflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

type pubAck struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"`
	Count int                 `json:"count"`
}

func request(ctx context.Context, nc *nats.Conn, m *nats.Msg) (pubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, AckWait)
	defer cancel()
	r, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return pubAck{}, fmt.Errorf("publish: %w", err)
	}
	var ack pubAck
	if err := json.Unmarshal(r.Data, &ack); err != nil {
		return pubAck{}, fmt.Errorf("publish: acknowledgement: %w", err)
	}
	if ack.Error != nil {
		return pubAck{}, fmt.Errorf("publish: %w", ack.Error)
	}
	return ack, nil
}

// Last returns the newest message whose subject the filter matches, as the
// stream's leader has it; "" matches all. It reports false where there is none.
func Last(ctx context.Context, nc *nats.Conn, name, filter string) (Message, bool, error) {
	if filter == "" {
		filter = ">"
	}
	ctx, cancel := context.WithTimeout(ctx, AckWait)
	defer cancel()
	ask, err := json.Marshal(map[string]string{"last_by_subj": filter})
	if err != nil {
		return Message{}, false, err
	}
	r, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+name, ask)
	if err != nil {
		return Message{}, false, fmt.Errorf("read stream %s: %w", name, err)
	}
	var got struct {
		Error   *jetstream.APIError
		Message struct {
			Subject string
			Seq     uint64
			Data    []byte
			Time    time.Time
		}
	}
	if err := json.Unmarshal(r.Data, &got); err != nil {
		return Message{}, false, fmt.Errorf("read stream %s: %w", name, err)
	}
	if got.Error != nil && got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return Message{}, false, nil
	}
	if got.Error != nil {
		return Message{}, false, fmt.Errorf("read stream %s: %w", name, got.Error)
	}
	m := got.Message
	return Message{Subject: m.Subject, Data: m.Data, Seq: m.Seq, At: m.Time}, true, nil
}

// maxNewest is how many subjects one request for newest messages may name;
// the server's limit is 1,024.
const maxNewest = 1000

// maxAnswer is how many bytes of messages one answer has at most, some more
// for the last of them; the rest is asked for anew.
const maxAnswer = 8 << 20

// ErrTooMany says that one subject's wildcards match more than is answered at
// once: 1,024 subjects, or maxAnswer.
var ErrTooMany = errors.New("more is asked for than is answered at once")

// Newest returns the newest message of each subject that has one, in no
// order; a subject may have wildcards. The stream must allow direct reads, which any replica may answer: a
// writer that relies on the answer must name the sequence it saw. Its errors
// include ErrTooMany.
func Newest(ctx context.Context, nc *nats.Conn, name string, subjects []string) (map[string]Message, error) {
	return NewestSince(ctx, nc, name, Mark{}, subjects)
}

// Mark is a place in a stream of which somebody knows that it was reached. Its
// subject has a message.
type Mark struct {
	Subject string
	Seq     uint64
}

// NewestSince is Newest as it is once a mark was reached, with the mark's own
// subject. Its errors include ErrBehind.
func NewestSince(ctx context.Context, nc *nats.Conn, name string, since Mark, subjects []string) (map[string]Message, error) {
	out := make(map[string]Message, len(subjects))
	var parts [][]string
	for some := range slices.Chunk(subjects, maxNewest) {
		parts = append(parts, some)
	}
	for len(parts) > 0 {
		some := parts[0]
		parts = parts[1:]
		err := newest(ctx, nc, name, since, some, out)
		if errors.Is(err, errCut) && len(some) > 1 {
			parts = append(parts, some[:len(some)/2], some[len(some)/2:])
			continue
		}
		if errors.Is(err, errCut) {
			err = ErrTooMany
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", name, err)
		}
	}
	return out, nil
}

// errCut says that an answer ended before all of it was there.
var errCut = errors.New("the answer was cut short")

// The server says in words whether nothing matches, or something did not load.
const noResults = "No Results"

func newest(ctx context.Context, nc *nats.Conn, name string, since Mark, subjects []string, out map[string]Message) error {
	if since.Seq > 0 { // so that there is an answer that says how far the replica is
		subjects = append(slices.Clone(subjects), since.Subject)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*AckWait)
	defer cancel()
	req, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": maxAnswer})
	if err != nil {
		return err
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+name, inbox, req); err != nil {
		return err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
			if err != nil {
				return fmt.Errorf("answer without a sequence: %w", err)
			}
			out[m.Header.Get("Nats-Subject")] = Message{Subject: m.Header.Get("Nats-Subject"), Data: m.Data, Seq: seq}
		case "204":
			if left := m.Header.Get("Nats-Num-Pending"); left != "" && left != "0" {
				return errCut
			}
			if upTo, _ := strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64); upTo < since.Seq {
				return ErrBehind
			}
			return nil
		case "404":
			if why := m.Header.Get("Description"); why != noResults {
				return errors.New("direct read: " + why)
			}
			if since.Seq > 0 {
				return ErrBehind
			}
			return nil
		case "413":
			return ErrTooMany
		default:
			return errors.New("direct read: " + status + " " + m.Header.Get("Description"))
		}
	}
}
