package meta

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/carillon-dev/carillon/internal/event"
)

// Bounds of what is kept of one event, in bytes. The platform's own are
// below: 2,000 characters of a text, 1,000 of a payload, some 200 of an id.
// An event must fit into one message of the stream.
const (
	maxID      = 512
	maxText    = 16 << 10
	maxPayload = 4 << 10
	maxData    = 64 << 10
	maxMIDs    = 500 // ids of messages in one receipt; more become several events
)

// identify is the id of an event: of what a person wrote the message's own, by
// which it can be found when it is taken back; of a postback and an echo theirs
// too; of everything else a hash of
// all that was read of it, so that the same item is the same event however
// often and in whatever company it comes.
func identify(e *event.Event) string {
	if e.MessageID != "" {
		if e.Type == event.Message {
			return e.MessageID
		}
		if e.Type == event.Postback || e.Type == event.Echo { // both sides of a conversation may be ours, and tell of one message
			return string(e.Type) + "-" + e.MessageID
		}
	}
	h := sha256.New()
	b, err := json.Marshal(e)
	if err != nil {
		b = nil // its times are within the years that JSON has
	}
	fmt.Fprintf(h, "%s\n%d\n%s", e.Type, e.Time.UnixNano(), b)
	return string(e.Type) + "-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// id is an id of a bounded length. What is longer is none of the platform's,
// and must not be cut to another's.
func id(t text) string {
	if len(t) > maxID {
		return ""
	}
	return string(t)
}

// bounded is JSON as it came, compact, or how long it was where that is too
// much to keep.
func bounded(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil || b.Len() > maxData {
		return json.RawMessage(fmt.Sprintf(`{"left_out_bytes":%d}`, len(raw)))
	}
	return b.Bytes()
}

func trim(b []byte) []byte { return bytes.TrimSpace(b) }
