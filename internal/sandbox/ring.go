package sandbox

// row is what every record of a ring begins with, and is asked for by.
type row struct {
	seq     uint64
	at      int64 // nanoseconds since 1970
	account *account
	person  string
}

// head returns the row of the record that it begins.
func (r row) head() row { return r }

func (r row) matches(f filter) bool {
	return r.at >= f.since && (f.account == "" || r.account.id == f.account) && (f.person == "" || r.person == f.person)
}

// ring keeps the newest records of a kind.
type ring[T interface{ head() row }] struct {
	kept []T
	size int    // the most that are kept
	n    uint64 // records so far; the sequence number of the newest
}

// reserve takes the next sequence number.
func (r *ring[T]) reserve() uint64 {
	r.n++
	return r.n
}

func (r *ring[T]) place(seq uint64) int { return int((seq - 1) % uint64(r.size)) }

// put keeps a record under its reserved number.
func (r *ring[T]) put(t T) {
	place := r.place(t.head().seq)
	if place == len(r.kept) {
		r.kept = append(r.kept, t)
		return
	}
	r.kept[place] = t
}

// find is a record that is still kept, or nil.
func (r *ring[T]) find(seq uint64) *T {
	if place := r.place(seq); seq != 0 && place < len(r.kept) && r.kept[place].head().seq == seq {
		return &r.kept[place]
	}
	return nil
}

// after copies up to n records that follow seq, oldest first.
func (r *ring[T]) after(seq uint64, n int) []T {
	oldest := r.n - uint64(len(r.kept)) // the last one forgotten
	var out []T
	for at := max(seq, oldest) + 1; at <= r.n && len(out) < n; at++ {
		out = append(out, r.kept[r.place(at)])
	}
	return out
}

// listRing writes the records that are still kept, each as a line of its own. What
// is added while it streams is for the next page.
func listRing[T interface{ head() row }](s *Sandbox, r *ring[T], f filter, out *lines, line func(t *T, b []byte) []byte) {
	s.mu.Lock()
	end := r.n
	s.mu.Unlock()
	for after := f.after; after < end; {
		s.mu.Lock()
		some := r.after(after, atOnce)
		s.mu.Unlock()
		if len(some) == 0 {
			return
		}
		for i := range some {
			head := some[i].head()
			after = head.seq
			if after > end || !head.matches(f) {
				continue
			}
			out.buf = line(&some[i], out.buf)
			if !out.line(f.limit) {
				return
			}
		}
	}
}
