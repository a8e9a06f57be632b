package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

// toldKept bounds the list of what happened to some 20 MB.
const toldKept = 1 << 17

// toldRecord is one happening as the list of them shows it.
type toldRecord struct {
	seq      uint64
	at       int64 // nanoseconds since 1970
	account  *account
	person   string
	kind     string
	id       string
	asks     string
	told     bool  // to anybody
	standby  bool  // while another app had the thread
	answered int64 // when the first webhook answered it 200; 0: not yet
}

// toldRing keeps the newest happenings.
type toldRing struct {
	ring []toldRecord
	n    uint64
}

func (r *toldRing) reserve() uint64 {
	r.n++
	return r.n
}

func (r *toldRing) put(t toldRecord) {
	place := int((t.seq - 1) % toldKept)
	if place == len(r.ring) {
		r.ring = append(r.ring, t)
		return
	}
	r.ring[place] = t
}

// find is a happening that is still kept, or nil.
func (r *toldRing) find(seq uint64) *toldRecord {
	if place := int((seq - 1) % toldKept); seq != 0 && place < len(r.ring) && r.ring[place].seq == seq {
		return &r.ring[place]
	}
	return nil
}

// after copies up to n records that follow seq, oldest first.
func (r *toldRing) after(seq uint64, n int) []toldRecord {
	var out []toldRecord
	for at := max(seq, r.n-uint64(len(r.ring))) + 1; at <= r.n && len(out) < n; at++ {
		out = append(out, r.ring[(at-1)%toldKept])
	}
	return out
}

// answered notes what was answered 200, and when.
func (s *Sandbox) answered(ended time.Time, marks []mark) {
	at := s.opts.Now().Add(-time.Since(ended)).UnixNano() // the moment of the answer, by the sandbox's clock
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks {
		if r := s.books.told.find(m.told); r != nil && r.answered == 0 {
			r.answered = at
			if place, ok := s.books.people.find(r.account.index, r.person); ok {
				s.books.asks.answer(place, m.told, at)
			}
		}
		if m.message != 0 {
			s.books.accepted.tell(m.message, m.as)
		}
	}
}

// serveTold streams the happenings that are still kept.
func (s *Sandbox) serveTold(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		badRequest(w, err)
		return
	}
	out := newLines(w)
	s.mu.Lock()
	end := s.books.told.n
	s.mu.Unlock()
	for after := f.after; after < end; {
		s.mu.Lock()
		some := s.books.told.after(after, callsAtOnce)
		s.mu.Unlock()
		if len(some) == 0 {
			break
		}
		for i := range some {
			t := &some[i]
			after = t.seq
			if t.seq > end || !t.matches(f) {
				continue
			}
			out.buf = t.append(out.buf)
			if !out.line(f.limit) {
				return
			}
		}
	}
	out.flush()
}

func (t *toldRecord) matches(f filter) bool {
	return t.at >= f.since && (f.account == "" || t.account.id == f.account) && (f.person == "" || t.person == f.person)
}

func (t *toldRecord) append(b []byte) []byte {
	b = appendStart(b, t.seq, t.at)
	b = appendField(b, "account", t.account.id)
	b = appendField(b, "person", t.person)
	b = appendField(b, "kind", t.kind)
	b = appendField(b, "id", t.id)
	b = appendField(b, "asks", t.asks)
	if t.standby {
		b = append(b, `,"standby":true`...)
	}
	b = strconv.AppendBool(append(b, `,"told":`...), t.told)
	if t.answered != 0 {
		b = appendField(b, "answered", time.Unix(0, t.answered).UTC().Format(time.RFC3339Nano))
	}
	return append(b, '}')
}
