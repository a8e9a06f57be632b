package sandbox

import (
	"strconv"
	"time"
)

// toldKept bounds the list of what happened to some 20 MB.
const toldKept = 1 << 17

// toldRecord is one happening as the list of them shows it.
type toldRecord struct {
	row
	kind     string
	id       string
	asks     string
	told     bool  // to anybody
	standby  bool  // while another app had the thread
	answered int64 // when the first webhook answered it 200; 0: not yet
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

// listTold lists the happenings that are still kept.
func (s *Sandbox) listTold(f filter, out *lines) {
	listRing(s, &s.books.told, f, out, (*toldRecord).append)
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
