package sandbox

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// books are all that the sandbox knows. Sandbox.mu guards them.
type books struct {
	opts     Options
	accounts []*account
	byID     map[string]*account
	byToken  map[string]*account // for "me"
	strings  *arena
	people   people
	accepted acceptedLog
	calls    ring[callRecord]
	told     ring[toldRecord]
	asks     asks
	owners   map[uint32]uint32 // of permissions: the person who gave each
	hour     rolling           // calls of all accounts
	batches  uint32
	traces   uint64 // errors that belong to no call
}

func newBooks(o Options) *books {
	strings := &arena{}
	return &books{opts: o, byID: map[string]*account{}, byToken: map[string]*account{}, asks: asks{}, owners: map[uint32]uint32{}, strings: strings,
		people: newPeople(strings), accepted: newAcceptedLog(strings, o.DropText),
		calls: ring[callRecord]{size: o.CallsKept}, told: ring[toldRecord]{size: toldKept}, hour: newRolling(time.Minute, 60)}
}

// account is the account of that id, entered with the defaults if new.
func (b *books) account(id string) *account {
	if a, ok := b.byID[id]; ok {
		return a
	}
	a := &account{id: strings.Clone(id), index: uint32(len(b.accounts)), day: newRolling(time.Hour, 24),
		declared: Account{RatePerSecond: b.opts.RatePerSecond}}
	b.accounts = append(b.accounts, a)
	b.byID[a.id] = a
	return a
}

// declare replaces what is declared of an account; its books stay.
func (b *books) declare(d Account) {
	a := b.account(d.Account)
	if old := a.declared.Token; b.byToken[old] == a {
		delete(b.byToken, old)
	}
	if d.RatePerSecond == 0 {
		d.RatePerSecond = b.opts.RatePerSecond
	}
	a.declared = d
	if d.Token != "" {
		b.byToken[d.Token] = a
	}
}

// resolve is the account of a path, where "me" is the one its token is bound
// to; nil where there is none.
func (b *books) resolve(path, token string) *account {
	if path == "me" {
		return b.byToken[token]
	}
	return b.account(path)
}

// person is a person to change, entered as one who wrote at the given time
// if new.
func (b *books) person(a *account, id string, wrote int64) *person {
	return b.people.at(b.place(a, id, wrote))
}

// place is where a person stands in the book, entered as above.
func (b *books) place(a *account, id string, wrote int64) uint32 {
	place, added := b.people.add(a.index, id)
	if added {
		a.people++
		b.people.at(place).lastInbound = wrote
	}
	return place
}

// standing is how a person stands at a call, and whether the books hold them.
func (b *books) standing(a *account, id string, at int64) (s standing, known, used bool) {
	place, known := b.people.find(a.index, id)
	if !known {
		return standing{lastInbound: at}, false, false
	}
	p := b.people.at(place)
	s = p.standing()
	if owner, ok := b.owners[place]; ok {
		place = owner
	}
	s.stopped = b.asks.broken(place, at)
	return s, true, p.flags&permissionUsed != 0
}

func (b *books) nextBatch() uint32 {
	b.batches++
	return b.batches
}

// nextTrace is a trace id for an error that belongs to no call. They come
// from the far end of the numbers, so that they never meet a call's.
func (b *books) nextTrace() string {
	b.traces++
	return traceID(b.opts.Seed, ^b.traces)
}

// messageID is the platform's id of accepted message n: it is computed, so
// that a million of them need no memory. Different n give different ids.
func messageID(seed, n uint64) string { return "m_" + scatter(mix(seed)+n) }

// traceID is the fbtrace_id of call n.
func traceID(seed, n uint64) string { return "A" + scatter(mix(seed+1)+n) }

// scatter writes a number as 22 characters that look random.
func scatter(n uint64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], mix(n))
	binary.BigEndian.PutUint64(raw[8:], mix(^n))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}
