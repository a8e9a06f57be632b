// Package backup copies an installation's truth into one file while it runs,
// checks such a file, and makes an empty installation out of it.
//
// It copies streams record by record, one after the other, each of which records
// are replaced to a moment at which nothing newer was there: definitions first, the ledgers behind
// everything that they speak of. It never copies the installation's key, and
// takes nothing from Redis.
//
// Its invariant: a file that Check has not refused holds what was written, every
// byte of it, and nothing leaves an installation that was restored before
// somebody lets it: every sender, broadcast and flow stands paused before a
// process may start on it.
package backup

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/subject"
)

// Format is the version of the file's form.
const Format = 1

// The names of a file's entries. It is a tar archive: the head first, then the
// parts of each stream, then the manifest, and the manifest's SHA-256.
const (
	headName     = "backup.json"
	manifestName = "manifest.json"
	sumName      = "manifest.sha256"
	partPrefix   = "streams/"
)

// Head is what a file begins with.
type Head struct {
	Format int       `json:"format"`
	By     string    `json:"by"`               // the program that wrote it
	Taken  time.Time `json:"taken"`            // when it was begun
	Prefix string    `json:"prefix,omitempty"` // of the installation
	Key    string    `json:"key"`              // fingerprint of the installation's key, which is not in the file
	Plan   []Planned `json:"plan"`             // in the order of the file
}

// Planned is a stream as it was when the backup began.
type Planned struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// Manifest is what a whole file ends with.
type Manifest struct {
	Head    string    `json:"head"` // SHA-256 of the head, hex
	Ended   time.Time `json:"ended"`
	Streams []Stream  `json:"streams"`
}

// Stream is one stream as it was copied.
type Stream struct {
	Name     string                 `json:"name"`
	Config   jetstream.StreamConfig `json:"config"`
	First    uint64                 `json:"first"` // sequence of the first record that there was; behind Last where there was none
	Last     uint64                 `json:"last"`  // no record beyond it was there when the copy ended
	Messages uint64                 `json:"messages"`
	Bytes    uint64                 `json:"bytes"` // of records, as they stand in the stream
	At       time.Time              `json:"at"`    // when the copy ended
	Parts    []Part                 `json:"parts"`
}

// Part is one piece of a stream's records.
type Part struct {
	Bytes   int64  `json:"bytes"` // in the file
	Records uint64 `json:"records"`
	SHA256  string `json:"sha256"` // hex
}

// partName names a part, from 1.
func partName(stream string, n int) string { return fmt.Sprintf("%s%s/%06d", partPrefix, stream, n) }

// streamOf reads whose part an entry is.
func streamOf(name string) (stream string, ok bool) {
	rest, ok := strings.CutPrefix(name, partPrefix)
	stream, _, found := strings.Cut(rest, "/")
	return stream, ok && found && stream != ""
}

// order returns the streams of an installation in the order in which they are
// copied: what refers to something comes before it, and what is written first
// comes last. So definitions come before the audiences that they name; how far
// events, facts and the ledger were counted comes before these; runs come
// before the events that they have seen; the ledgers come behind everything
// that has a job; and permissions that serve once, which are claimed before a
// job is, behind the ledgers.
//
// What is left out is made anew, or worth nothing in another installation:
// leases, and answers kept for repeats of requests.
func order(n subject.Names, there []string) []string {
	before := []string{
		"KV_" + n.Definitions(), "KV_" + n.Tallies(), "KV_" + n.Echoes(), "KV_" + n.Outlets(), "KV_" + n.Labels(), "KV_" + n.Access(),
		"OBJ_" + n.Audiences(), n.RunsStream(), n.TimersStream(), n.EventsStream(), n.FactsStream(), n.JournalStream(), n.DeadStream(),
	}
	var out, ledgers []string
	for _, s := range before {
		if slices.Contains(there, s) {
			out = append(out, s)
		}
	}
	for _, s := range there {
		if strings.HasPrefix(s, n.LedgerPrefix()) {
			ledgers = append(ledgers, s)
		}
	}
	slices.Sort(ledgers)
	out = append(out, ledgers...)
	if slices.Contains(there, n.UsesStream()) {
		out = append(out, n.UsesStream())
	}
	return out
}

// Restored is what an installation remembers of having been made out of a file.
type Restored struct {
	Taken time.Time `json:"taken"` // when the backup was begun
	At    time.Time `json:"at"`    // when it was restored
	Whole bool      `json:"whole"` // false: the restore was cut short, or is under way
}

// RestoredKey names it among what the installation is bound to.
const RestoredKey = "restored"

// ParseRestored reads what was remembered, nil for "".
func ParseRestored(text string) (*Restored, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // most installations were never restored
	}
	var r Restored
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("what is known of a restore can't be read: %w", err)
	}
	return &r, nil
}

// Check says why an installation can't be used, nil where it can.
func (r *Restored) Check() error {
	if r == nil || r.Whole {
		return nil
	}
	return fmt.Errorf("restoring the backup of %s began here at %s and did not end: empty the store, and run carillon restore again",
		r.Taken.Format(time.RFC3339), r.At.Format(time.RFC3339))
}
