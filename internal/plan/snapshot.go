package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
)

// ChunkSize is how many contacts one stored chunk of a snapshot holds: about
// 800 kB, so that a reader holds little and a store call stays short.
const ChunkSize = 50_000

// Member is one contact of an audience with what its place depends on.
type Member struct {
	Key job.Key
	// rank orders: contacts whose window closes first come first, in µs
	// since the epoch; closed windows come last, since they may reopen.
	rank int64
}

// The times of any calendar, in µs, are far below these and their distance.
const (
	closedLast = int64(1) << 61
	neverLast  = int64(1) << 62
)

// NewMember returns a contact's place in the order of sending, judged at a
// moment. The window is that of the standard rule; the gate judges again when
// it comes to sending, so that the order need not be exact.
func NewMember(k job.Key, r contact.Record, at time.Time, window time.Duration) Member {
	if r.LastInbound.IsZero() {
		return Member{k, neverLast}
	}
	closes := r.LastInbound.Add(window)
	if !closes.After(at) {
		// Whoever wrote last is the likeliest to write again.
		return Member{k, closedLast - closes.UnixMicro()}
	}
	return Member{k, closes.UnixMicro()}
}

// Order sorts members into the order of sending. Equal places are ordered by
// key, so that the result does not depend on the order they came in.
func Order(ms []Member) {
	slices.SortFunc(ms, func(a, b Member) int {
		if a.rank != b.rank {
			if a.rank < b.rank {
				return -1
			}
			return 1
		}
		return slices.Compare(a.Key[:], b.Key[:])
	})
}

// Digest names a set of contacts whatever their order: the sum of the hashes
// of its members. Its zero value is the empty set.
type Digest [32]byte

// Add takes a member in. Adding one twice is not undone, so that a contact
// who stands twice shows.
func (d *Digest) Add(k job.Key) {
	h := sha256.Sum256(k[:])
	var carry uint16
	for i := len(d) - 1; i >= 0; i-- {
		sum := uint16(d[i]) + uint16(h[i]) + carry
		d[i], carry = byte(sum), sum>>8
	}
}

// String returns the digest as 64 hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

const keySize = len(job.Key{})

// EncodeChunk writes keys one after another, 16 bytes each.
func EncodeChunk(ms []Member) []byte {
	out := make([]byte, 0, len(ms)*keySize)
	for _, m := range ms {
		out = append(out, m.Key[:]...)
	}
	return out
}

// DecodeChunk reads what EncodeChunk wrote.
func DecodeChunk(b []byte) ([]job.Key, error) {
	if len(b) == 0 || len(b)%keySize != 0 || len(b) > ChunkSize*keySize {
		return nil, fmt.Errorf("audience chunk of %d bytes: %w", len(b), errChunk)
	}
	out := make([]job.Key, len(b)/keySize)
	for i := range out {
		copy(out[i][:], b[i*keySize:])
	}
	return out, nil
}

var errChunk = errors.New("want 16 bytes for each of 1 to 50000 contacts")

// Collect returns a function that takes the contacts of the audience into ms
// and counts the others in log. A contact for whom the expression can't be
// decided is left out and counted as such.
func (s *Selector) Collect(ms *[]Member, log *broadcast.FreezeLog, window time.Duration, at time.Time) func(job.Key, contact.Record) error {
	return func(k job.Key, r contact.Record) error {
		log.Seen++
		ok, err := s.Match(r)
		switch {
		case err != nil:
			log.Errors++
			if log.Example == "" {
				log.Example = err.Error()
			}
		case !ok:
			log.NotMatch++
		default:
			*ms = append(*ms, NewMember(k, r, at, window))
		}
		return nil
	}
}
