package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
)

const acceptedChunk = 1 << 12

// accepted is one accepted message in 40 bytes, without pointers; its
// sequence number is its place plus 1.
type accepted struct {
	at       int64 // arrival, nanoseconds since 1970
	metadata ref
	text     uint64 // a ref, or the hash of the text where texts are dropped
	person   uint32
	batch    uint32 // 0: a single send
	kind     uint8  // index of the messaging type in names
	tag      uint8  // index of the tag in names
	position uint8  // in the batch
	told     uint32 // what webhooks answered 200; changed and read atomically
}

// What the platform tells of an accepted message.
const (
	toldEcho uint32 = 1 << iota
	toldDelivered
	toldRead
)

// tell notes that a webhook answered 200 to what it was told of a message.
func (l *acceptedLog) tell(seq uint64, as uint32) {
	atomic.OrUint32(&l.at(uint32(seq-1)).told, as)
}

// acceptedLog is everything that was accepted, in that order. It only grows.
type acceptedLog struct {
	list     []*[acceptedChunk]accepted
	n        uint64
	names    []string // messaging types and tags; few, since unknown ones are refused
	strings  *arena
	dropText bool

	seed      maphash.Seed
	metadatas index // by metadata, the first message of each
	messages  index // by metadata and person, the same
}

func newAcceptedLog(strings *arena, dropText bool) acceptedLog {
	return acceptedLog{names: []string{""}, strings: strings, dropText: dropText, seed: maphash.MakeSeed()}
}

// add keeps a message and returns its sequence number.
func (l *acceptedLog) add(c *call, person uint32) uint64 {
	if l.n%acceptedChunk == 0 {
		l.list = append(l.list, new([acceptedChunk]accepted))
	}
	m := c.request.Message
	*l.at(uint32(l.n)) = accepted{
		at: c.at, metadata: l.strings.put(m.Metadata), text: l.keep(m.Text), person: person, batch: c.batch,
		kind: l.name(c.request.MessagingType), tag: l.name(c.request.Tag), position: uint8(c.position),
	}
	l.n++
	return l.n
}

func (l *acceptedLog) keep(text string) uint64 {
	if l.dropText {
		return textHash(text)
	}
	return uint64(l.strings.put(text))
}

// textHash is the first 8 bytes of the SHA-256, so that other programs can
// compute it.
func textHash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:8])
}

func (l *acceptedLog) name(s string) uint8 {
	for i, n := range l.names {
		if n == s {
			return uint8(i)
		}
	}
	l.names = append(l.names, s)
	return uint8(len(l.names) - 1)
}

func (l *acceptedLog) at(place uint32) *accepted {
	return &l.list[place/acceptedChunk][place%acceptedChunk]
}

// repeats says whether the newest message's metadata was accepted before, and
// whether that was for the same person, and enters it where not.
func (l *acceptedLog) repeats(metadata string) (sameMetadata, sameMessage bool) {
	if metadata == "" {
		return false, false
	}
	newest := uint32(l.n - 1)
	person := l.at(newest).person
	is := func(place uint32) bool { return string(l.strings.get(l.at(place).metadata)) == metadata }
	h := maphash.String(l.seed, metadata)
	if _, sameMetadata = l.metadatas.find(h, is); !sameMetadata {
		l.metadatas.add(h, newest)
	}
	h = mix(h + uint64(person))
	_, sameMessage = l.messages.find(h, func(place uint32) bool { return l.at(place).person == person && is(place) })
	if !sameMessage {
		l.messages.add(h, newest)
	}
	return sameMetadata, sameMessage
}

// mix scatters a number over all 64 bits, each to another (the finalizer of
// SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
