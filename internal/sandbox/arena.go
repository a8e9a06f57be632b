package sandbox

const arenaChunk = 1 << 20

// ref is where a string lies in an arena: chunk, offset and length in 24, 20
// and 20 bits. The zero ref is the empty string.
type ref uint64

// arena keeps strings without a pointer each, so that millions of them cost
// their bytes and nothing at collection. What was put in is never changed:
// a copy of the arena taken under the owner's lock can be read without it.
type arena struct {
	chunks []*[arenaChunk]byte
	used   int // of the last chunk
}

// put keeps s, which must be shorter than a chunk.
func (a *arena) put(s string) ref {
	if s == "" {
		return 0
	}
	if len(a.chunks) == 0 || a.used+len(s) > arenaChunk {
		a.chunks, a.used = append(a.chunks, new([arenaChunk]byte)), 0
	}
	at := a.used
	copy(a.chunks[len(a.chunks)-1][at:], s)
	a.used += len(s)
	return ref(len(a.chunks)-1)<<40 | ref(at)<<20 | ref(len(s))
}

// get is the kept string as bytes that must not be changed.
func (a *arena) get(r ref) []byte {
	n := int(r & (arenaChunk - 1))
	if n == 0 {
		return nil
	}
	at := int(r >> 20 & (arenaChunk - 1))
	return a.chunks[r>>40][at : at+n : at+n]
}
