package sandbox

import (
	"time"
)

// listPeople lists how people stand, as the books have it while it is read: page by page it may change between two persons, never within one.
func (s *Sandbox) listPeople(f filter, out *lines) {
	s.mu.Lock()
	end := s.books.people.n
	s.mu.Unlock()
	for from := uint32(min(f.after, uint64(end))); from < end; from += atOnce {
		s.mu.Lock()
		var ends []int // of the lines, so that a limit cuts between two
		var buf []byte
		for place := from; place < min(end, from+atOnce); place++ {
			if line := s.books.appendPerson(nil, place, f); line != nil {
				buf = append(buf, line...)
				ends = append(ends, len(buf))
			}
		}
		s.mu.Unlock()
		start := 0
		for _, end := range ends {
			out.buf = append(out.buf, buf[start:end]...)
			start = end
			if !out.line(f.limit) {
				return
			}
		}
	}
}

// appendPerson is a person's line, or nothing where the filter leaves them out.
// Its seq is the person's place, so that it can be gone on after.
func (b *books) appendPerson(line []byte, place uint32, f filter) []byte {
	p := b.people.at(place)
	account, id := b.accounts[p.account].id, b.strings.get(p.id)
	if f.account != "" && f.account != account || f.person != "" && f.person != string(id) || p.lastInbound < f.since {
		return nil
	}
	line = appendStart(line, uint64(place)+1, p.lastInbound)
	line = appendField(line, "account", account)
	line = appendField(line, "person", id)
	if owner, ok := b.owners[place]; ok {
		line = appendField(line, "of", b.strings.get(b.people.at(owner).id))
	}
	if p.adMessage != 0 {
		line = appendField(line, "ad_message", time.Unix(0, p.adMessage).UTC().Format(time.RFC3339Nano))
	}
	if a, ok := b.asks[place]; ok {
		line = append(line, `,"asked_to_stop":true`...)
		if a.answered != 0 {
			line = appendField(line, "answered", time.Unix(0, a.answered).UTC().Format(time.RFC3339Nano))
		}
	}
	for i, name := range []string{"opted_out", "opted_out_of_marketing", "blocked", "used", "elsewhere"} {
		if p.flags&(1<<i) != 0 {
			line = append(append(append(line, `,"`...), name...), `":true`...)
		}
	}
	return append(line, '}')
}
