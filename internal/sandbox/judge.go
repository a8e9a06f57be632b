package sandbox

import (
	"net/http"
	"time"
)

// call is one send, alone or in a batch, as it arrived.
type call struct {
	at       int64  // arrival, nanoseconds since 1970
	account  string // as in the path; "" where the path had none
	request  request
	problem  *graphError // found while reading it
	batch    uint32      // 0: none
	position int
	text     *text // nil: no text message
}

// decision is what a call is answered.
type decision struct {
	err       *graphError
	trace     uint64 // the call's sequence number
	recipient string
	message   uint64 // sequence number of the accepted message; 0: none
	null      bool   // no answer at all
}

// process judges calls that came in one HTTP request and enters them in the
// books.
func (s *Sandbox) process(cs []call, batched bool) ([]decision, wire) {
	ds := make([]decision, len(cs))
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch uint32
	if batched {
		batch = s.books.nextBatch()
	}
	var name string
	a := s.books.resolve(cs[0].account, cs[0].request.Token)
	if a != nil {
		name = a.id
	}
	w := s.faults.forRequest(name, batched)
	for i := range cs {
		cs[i].batch = batch
		ds[i] = s.one(&cs[i], w, len(cs))
	}
	w.usage = s.books.usage(a)
	return ds, w
}

// one judges one of n calls. Every rule is asked even where a fault or the
// rate decides, so that what a business tries is seen whatever it is answered.
func (s *Sandbox) one(c *call, w wire, n int) decision {
	a := s.books.owner(c)
	r := callRecord{row: row{s.books.calls.reserve(), c.at, a, c.request.Recipient.key()},
		batch: c.batch, position: uint8(c.position), fault: w.fault, answered: w.answers(c.position, n)}
	if len(r.person) > maxRecipientBytes {
		r.person = ""
	}
	if m := c.request.Message; m != nil && len(m.Metadata) <= maxMetadata {
		r.metadata = m.Metadata
	}
	over := s.books.arrive(a, c)
	err, broken := s.verdict(a, c)
	r.violations = broken
	if over {
		r.violations |= brokeRate
	}
	if !w.accepts(c.position, n, s.coin) {
		r.outcome = outFailed
		if w.fault == FaultDropBefore {
			r.outcome = outDropped
		}
		return s.books.enter(r, r.person, nil)
	}
	if first, fault := s.precede(a, c, over); first != nil {
		err = first
		if fault != "" {
			r.fault = fault
		}
	}
	if err != nil {
		r.outcome = outRefused
		return s.books.enter(r, r.person, err)
	}
	var to string
	r.message, to = s.books.accept(a, c, r.person)
	if r.message == 0 {
		r.outcome = outActed
	} else if c.text == nil && s.outbox.telling.Load() {
		s.receiptsOf(a, c, to, r.message)
	}
	if c.text != nil && r.message != 0 {
		s.statusesOf(c, r.message)
	}
	return s.books.enter(r, to, nil)
}

func (s *Sandbox) coin() bool { return s.faults.dice.Uint64()&1 == 0 }

// owner is the account that a call counts for. One without a path counts for
// the account "", and "me" with a token that is bound to none for "me".
func (b *books) owner(c *call) *account {
	if a := b.resolve(c.account, c.request.Token); a != nil {
		return a
	}
	if c.request.Token != "" {
		c.problem = errToken()
	}
	return b.account(c.account)
}

// arrive counts a call and says whether it exceeds a rate.
func (b *books) arrive(a *account, c *call) (over bool) {
	b.hour.add(c.at)
	a.day.add(c.at)
	over = a.calls.add(c.at) > a.declared.RatePerSecond
	if c.request.Message.media() {
		over = a.media.add(c.at) > mediaRate || over
	}
	return over
}

// verdict is what the rules say to a call, whoever makes it.
func (s *Sandbox) verdict(a *account, c *call) (*graphError, violation) {
	if c.problem != nil {
		return c.problem, 0
	}
	if c.text != nil {
		place, ok := s.books.people.find(a.index, string(c.request.Recipient.ID))
		stopped := ok && s.books.people.at(place).flags&optedOutAll != 0
		err := judgeText(c, stopped)
		if stopped {
			return err, wroteAfterStop
		}
		return err, 0
	}
	circ := circumstances{at: time.Unix(0, c.at), instagram: a.instagram(), strict: s.opts.Strict,
		adWindow: a.adWindow(), permits: a.permits, approved: a.approved}
	circ.person, circ.known, circ.used = s.books.standing(a, c.request.Recipient.key(), c.at)
	err, broken := s.rules.judge(&c.request, circ)
	if circ.person.stopped && c.request.Message != nil {
		broken |= wroteAfterStop
	}
	return err, broken
}

// precede is what is asked before any rule: who calls, how often, and the
// errors that were ordered.
func (s *Sandbox) precede(a *account, c *call, over bool) (*graphError, FaultKind) {
	if err := a.authorize(c.request.Token, c.request.Proof); err != nil {
		return err, ""
	}
	if a.restricted {
		return errRestricted(), ""
	}
	if over {
		return errRate(), ""
	}
	switch fault := s.faults.forMessage(a.id); fault {
	case FaultRateLimit:
		return errRate(), fault
	case FaultTokenExpired:
		return errToken(), fault
	}
	return nil, ""
}

// accept enters an accepted call and returns the sequence number of its
// message, 0 for a sender action, and the person it goes to.
func (b *books) accept(a *account, c *call, who string) (seq uint64, to string) {
	if c.request.Message == nil {
		return 0, who
	}
	place := b.place(a, who, c.at)
	if c.request.Recipient.ID == "" {
		b.people.at(place).flags |= permissionUsed
	}
	if owner, ok := b.owners[place]; ok {
		who = string(b.strings.get(b.people.at(owner).id))
	}
	seq = b.accepted.add(c, place)
	metadata, message := b.accepted.repeats(c.request.Message.Metadata)
	if metadata {
		a.counts.metadata++
	}
	if message {
		a.counts.message++
	}
	return seq, who
}

// enter keeps a call's record and makes its decision.
func (b *books) enter(r callRecord, to string, err *graphError) decision {
	switch {
	case !r.answered && (r.fault == FaultHTTP500 || r.fault == FaultHTTP500After):
		r.status = http.StatusInternalServerError
	case !r.answered:
	case err != nil:
		r.status = err.status
	default:
		r.status = http.StatusOK
	}
	if err != nil {
		r.code, r.subcode = err.code, err.subcode
	}
	r.account.counts.count(r, err)
	b.calls.put(r)
	return decision{err: err, trace: r.seq, recipient: to, message: r.message, null: !r.answered}
}

// usage is what the usage headers tell after a call of the account.
func (b *books) usage(a *account) usage {
	u := usage{app: percent(b.hour.sum, int(b.people.n))}
	if a != nil {
		u.account, u.business = a.id, percent(a.day.sum, a.people)
	}
	return u
}

// render is the status and body of a decision.
func (s *Sandbox) render(d decision) (int, []byte) {
	if d.err != nil {
		return d.err.status, d.err.render(traceID(s.opts.Seed, d.trace))
	}
	b := appendString([]byte(`{"recipient_id":`), d.recipient)
	if d.message != 0 {
		b = append(b, `,"message_id":"`...)
		b = append(b, messageID(s.opts.Seed, d.message)...)
		b = append(b, '"')
	}
	return http.StatusOK, append(b, '}')
}
