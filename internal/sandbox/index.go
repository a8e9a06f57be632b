package sandbox

const indexShards = 256

// index finds the places of things in a list by the hash of their keys, at 8
// bytes per slot and without pointers. The list holds the keys themselves, and
// its owner compares them, so that equal hashes are never taken for equal
// keys. Many small shards grow in turn: none makes its caller wait long.
type index struct {
	shards [indexShards]shard
}

type shard struct {
	slots []slot // a power of two, at most three quarters full
	n     int
}

// slot is free where place is 0; a taken one holds its place plus 1.
type slot struct {
	hash  uint32
	place uint32
}

// find is the place whose key has this hash and that is says it is.
func (x *index) find(hash uint64, is func(place uint32) bool) (uint32, bool) {
	s := &x.shards[hash>>56]
	if s.n == 0 {
		return 0, false
	}
	for i := uint32(hash); ; i++ {
		switch at := s.slots[i&uint32(len(s.slots)-1)]; {
		case at.place == 0:
			return 0, false
		case at.hash == uint32(hash) && is(at.place-1):
			return at.place - 1, true
		}
	}
}

// add enters a place whose key is not there yet.
func (x *index) add(hash uint64, place uint32) {
	s := &x.shards[hash>>56]
	if s.n >= len(s.slots)/4*3 {
		old := s.slots
		s.slots = make([]slot, max(8, 2*len(old)))
		for _, o := range old {
			if o.place != 0 {
				s.put(o)
			}
		}
	}
	s.put(slot{uint32(hash), place + 1})
	s.n++
}

func (s *shard) put(o slot) {
	i := o.hash
	for s.slots[i&uint32(len(s.slots)-1)].place != 0 {
		i++
	}
	s.slots[i&uint32(len(s.slots)-1)] = o
}
