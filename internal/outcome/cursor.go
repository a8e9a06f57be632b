package outcome

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// Cursor is how far each of the ledger's streams was read: the sequence of the
// last record that was looked at, by the stream's name. A stream that is not
// in it was not read. The zero Cursor is the beginning.
type Cursor map[string]uint64

// maxCursor bounds a cursor's text, and so what reading one costs: a stream a
// month takes thirty bytes.
const maxCursor = 16 << 10

var errCursor = errors.New("want what an earlier answer gave as cursor")

// String returns the cursor as one word.
func (c Cursor) String() string {
	b, err := json.Marshal(map[string]uint64(c))
	if err != nil { // a map of numbers always can
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote.
func ParseCursor(s string) (Cursor, error) {
	if len(s) > maxCursor {
		return nil, errCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errCursor
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var c Cursor
	if err := d.Decode(&c); err != nil || d.More() || c == nil {
		return nil, errCursor
	}
	return c, nil
}

// With returns the cursor with one stream moved.
func (c Cursor) With(name string, seq uint64) Cursor {
	out := maps.Clone(c)
	if out == nil {
		out = Cursor{}
	}
	out[name] = seq
	return out
}

// Ahead says that a cursor is past the end of a stream: it is of another
// installation, or the ledger was restored from a backup that is older.
type Ahead struct {
	Stream    string
	Have, End uint64
}

// Error says what it means.
func (a *Ahead) Error() string {
	return fmt.Sprintf("the cursor is at %d of %s, which ends at %d: it is another installation's, or the ledger was restored from an older backup", a.Have, a.Stream, a.End)
}
