package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// flushAt is the size of a write while a list streams.
	flushAt = 32 << 10
	// atOnce is how many records are copied under one lock.
	atOnce = 512
)

// filter is what a list is asked for. Zero fields ask for everything.
type filter struct {
	account, person string
	since           int64 // nanoseconds since 1970, included
	after           uint64
	limit           uint64 // 0: no limit
}

func parseFilter(q url.Values) (filter, error) {
	f := filter{account: q.Get("account"), person: q.Get("person")}
	if v := q.Get("since"); v != "" {
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return f, fmt.Errorf("since=%q: give a time as 2026-11-22T10:00:00Z", v)
		}
		f.since = t.UnixNano()
	}
	for _, n := range []struct {
		name string
		into *uint64
	}{{"after", &f.after}, {"limit", &f.limit}} {
		if v := q.Get(n.name); v != "" {
			parsed, err := strconv.ParseUint(v, 10, 63)
			if err != nil {
				return f, fmt.Errorf("%s=%q: give a number from 0 on", n.name, v)
			}
			*n.into = parsed
		}
	}
	return f, nil
}

// acceptedView is everything that was accepted up to one moment. What it
// holds is never changed again, so that it is read without the lock.
type acceptedView struct {
	seed     uint64
	list     []*[acceptedChunk]accepted
	n        uint64
	names    []string
	hashed   bool                   // texts are hashes
	people   []*[peopleChunk]person // only ids and accounts may be read
	strings  arena
	accounts []*account // only ids may be read
}

func (s *Sandbox) view() acceptedView {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.books
	return acceptedView{
		seed: s.opts.Seed, n: b.accepted.n, hashed: b.accepted.dropText,
		list: slices.Clone(b.accepted.list), names: slices.Clone(b.accepted.names), people: slices.Clone(b.people.list),
		strings: arena{chunks: slices.Clone(b.strings.chunks)}, accounts: slices.Clone(b.accounts),
	}
}

// listed streams a list of what a request asks for.
func listed(list func(filter, *lines)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := parseFilter(r.URL.Query())
		if err != nil {
			badRequest(w, err)
			return
		}
		out := newLines(w)
		list(f, out)
		out.flush()
	}
}

// listAccepted lists the accepted messages; memory does not grow with their
// number.
func (s *Sandbox) listAccepted(f filter, out *lines) {
	v := s.view()
	for seq := f.after + 1; seq <= v.n; seq++ {
		m := &v.list[(seq-1)/acceptedChunk][(seq-1)%acceptedChunk]
		if m.at < f.since || !v.matches(f, m.person) {
			continue
		}
		out.buf = v.append(out.buf, seq, m)
		if !out.line(f.limit) {
			return
		}
	}
}

func (v *acceptedView) matches(f filter, place uint32) bool {
	if f.account == "" && f.person == "" {
		return true
	}
	p := personAt(v.people, place)
	return (f.account == "" || v.accounts[p.account].id == f.account) &&
		(f.person == "" || string(v.strings.get(p.id)) == f.person)
}

func (v *acceptedView) append(b []byte, seq uint64, m *accepted) []byte {
	p := personAt(v.people, m.person)
	b = appendStart(b, seq, m.at)
	b = appendField(b, "account", v.accounts[p.account].id)
	b = appendField(b, "person", v.strings.get(p.id))
	b = appendField(b, "message_id", messageID(v.seed, seq))
	b = appendField(b, "metadata", v.strings.get(m.metadata))
	b = appendField(b, "messaging_type", v.names[m.kind])
	b = appendField(b, "tag", v.names[m.tag])
	if v.hashed {
		b = appendField(b, "text_hash", fmt.Sprintf("%016x", m.text))
	} else {
		b = appendField(b, "text", v.strings.get(ref(m.text)))
	}
	return append(appendPlace(appendTold(b, m), m.batch, m.position), '}')
}

// appendTold lists what webhooks took in of a message, and when it was read.
func appendTold(b []byte, m *accepted) []byte {
	told := atomic.LoadUint32(&m.told)
	for i, name := range []string{"echoed", "delivered", "read"} {
		if told&(1<<i) != 0 {
			b = append(append(append(b, `,"`...), name...), `":true`...)
		}
	}
	if told&toldRead != 0 {
		b = appendField(b, "read_at", time.Unix(0, m.at).Add(readAfter).UTC().Format(time.RFC3339Nano))
	}
	return b
}

func appendPlace(b []byte, batch uint32, position uint8) []byte {
	if batch == 0 {
		return b
	}
	return appendNumber(appendNumber(b, "batch", int64(batch)), "position", int64(position))
}

// listCalls lists the calls that are still kept.
func (s *Sandbox) listCalls(f filter, out *lines) {
	listRing(s, &s.books.calls, f, out, func(c *callRecord, b []byte) []byte { return c.append(b, s.opts.Seed) })
}

func (c *callRecord) append(b []byte, seed uint64) []byte {
	b = appendStart(b, c.seq, c.at)
	b = appendField(b, "account", c.account.id)
	b = appendField(b, "person", c.person)
	b = appendField(b, "outcome", c.outcome.String())
	b = strconv.AppendBool(append(b, `,"answered":`...), c.answered)
	b = appendNumber(b, "status", int64(c.status))
	if c.code != 0 {
		b = appendNumber(b, "code", int64(c.code))
	}
	if c.subcode != 0 {
		b = appendNumber(b, "subcode", int64(c.subcode))
	}
	if c.outcome == outRefused {
		b = appendField(b, "fbtrace_id", traceID(seed, c.seq))
	}
	for i, name := range c.violations.names() {
		b = append(b, [...]string{`,"violations":[`, `,`}[min(i, 1)]...)
		b = appendString(b, name)
	}
	if c.violations != 0 {
		b = append(b, ']')
	}
	b = appendField(b, "fault", string(c.fault))
	b = appendField(b, "metadata", c.metadata)
	if c.message != 0 {
		b = appendField(b, "message_id", messageID(seed, c.message))
	}
	return append(appendPlace(b, c.batch, c.position), '}')
}

// lines writes NDJSON in large writes.
type lines struct {
	w       io.Writer
	buf     []byte
	written uint64
	broken  bool // the reader has gone
}

func newLines(w http.ResponseWriter) *lines {
	liftDeadlines(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &lines{w: w, buf: make([]byte, 0, flushAt+4096)}
}

// line ends a line. It is false when that was the last one wanted.
func (l *lines) line(limit uint64) bool {
	l.buf = append(l.buf, '\n')
	l.written++
	last := limit != 0 && l.written >= limit
	if last || len(l.buf) >= flushAt {
		l.flush()
	}
	return !last && !l.broken
}

func (l *lines) flush() {
	if len(l.buf) == 0 {
		return
	}
	_, err := l.w.Write(l.buf)
	l.broken = l.broken || err != nil
	l.buf = l.buf[:0]
}

// liftDeadlines lets a long list or upload take its time. A writer without
// deadlines, as in tests, needs none lifted.
func liftDeadlines(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}
