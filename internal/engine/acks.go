package engine

import (
	"bytes"
	"encoding/json"
	"math"
	"net"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/carillon-dev/carillon/internal/store"
)

// watched is a connection of which what comes in is read along.
type watched struct {
	net.Conn
	marks *store.Marks
	acks  acks
}

// Read notes before it returns.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	for stream, last := range w.acks.in(p[:n]) {
		w.marks.Acked(stream, last)
	}
	return n, err
}

// acks finds acknowledgements in what a server writes: lines, of which MSG and
// HMSG announce so many bytes that are not lines. Its zero value stands at the
// beginning of a line.
type acks struct {
	part []byte // of a line or an acknowledgement that is not whole yet
	left int    // bytes of a message that are still to come
	kept bool   // that message may be an acknowledgement
}

// maxAck is longer than any acknowledgement: a name of 255 bytes, a batch's id
// and some numbers.
const maxAck = 1024

// in takes what was read and returns the highest sequence of each stream that
// is acknowledged by it; nil for none.
func (a *acks) in(b []byte) (last map[string]uint64) {
	for len(b) > 0 {
		if a.left == 0 {
			end := bytes.IndexByte(b, '\n') + 1
			if end == 0 {
				a.part = append(a.part, b...)
				return last
			}
			a.part = append(a.part, b[:end]...)
			b = b[end:]
			a.left, a.kept = announced(a.part)
			a.part = a.part[:0]
			continue
		}
		n := min(a.left, len(b))
		if a.kept {
			a.part = append(a.part, b[:n]...)
		}
		b, a.left = b[n:], a.left-n
		if a.left > 0 || !a.kept {
			continue
		}
		if stream, seq := acknowledged(a.part); seq > 0 {
			if last == nil {
				last = map[string]uint64{}
			}
			last[stream] = max(last[stream], seq)
		}
		a.part = a.part[:0]
	}
	return last
}

// announced reads a line: how many bytes follow that belong to it, and whether
// they may be an acknowledgement, which comes without headers and to an inbox.
func announced(line []byte) (size int, ack bool) {
	isMsg := bytes.HasPrefix(line, []byte("MSG "))
	if !isMsg && !bytes.HasPrefix(line, []byte("HMSG ")) {
		return 0, false
	}
	fields := bytes.Fields(line)
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 || size > math.MaxInt32 {
		return 0, false // no server writes this
	}
	size += len("\r\n")
	return size, isMsg && size <= maxAck && bytes.HasPrefix(fields[1], []byte(nats.InboxPrefix))
}

// acknowledged reads an acknowledgement; a sequence of 0 means that it is none.
func acknowledged(b []byte) (stream string, seq uint64) {
	if !bytes.HasPrefix(b, []byte(`{"stream":`)) {
		return "", 0
	}
	var ack struct {
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
	}
	if json.Unmarshal(b, &ack) != nil {
		return "", 0
	}
	return ack.Stream, ack.Seq
}
