package sandbox

import "hash/maphash"

const peopleChunk = 1 << 10

// person is one person as one account knows them: 32 bytes, no pointers.
type person struct {
	id          ref
	lastInbound int64 // nanoseconds since 1970; 0: never wrote
	adMessage   int64 // the same, of the newest first message after an ad
	account     uint32
	flags       personFlags
}

type personFlags uint8

const (
	optedOutAll personFlags = 1 << iota
	optedOutMarketing
	blockedBusiness
	permissionUsed  // a one-time permission, kept as a person
	threadElsewhere // another app has the thread
)

func (p *person) standing() standing {
	return standing{lastInbound: p.lastInbound, adMessage: p.adMessage,
		optedOut: p.flags&optedOutAll != 0, blocked: p.flags&blockedBusiness != 0,
		elsewhere: p.flags&threadElsewhere != 0}
}

// wrote notes an inbound at the given time. Events come in any order: the
// newest counts. It lifts no opt-out.
func (p *person) wrote(at int64, ad bool) {
	p.lastInbound = max(p.lastInbound, at)
	if ad {
		p.adMessage = max(p.adMessage, at)
	}
}

// people is the book of persons: a list that only grows, and an index of it.
type people struct {
	seed  maphash.Seed
	index index // by account and id
	list  []*[peopleChunk]person
	n     uint32
	ids   *arena
}

func newPeople(ids *arena) people {
	return people{seed: maphash.MakeSeed(), ids: ids}
}

func (b *people) at(place uint32) *person { return personAt(b.list, place) }

func personAt(list []*[peopleChunk]person, place uint32) *person {
	return &list[place/peopleChunk][place%peopleChunk]
}

func (b *people) hash(account uint32, id string) uint64 {
	return mix(maphash.String(b.seed, id) + uint64(account))
}

// find is the place of a person, and whether the book has them.
func (b *people) find(account uint32, id string) (uint32, bool) {
	return b.index.find(b.hash(account, id), func(place uint32) bool {
		p := b.at(place)
		return p.account == account && string(b.ids.get(p.id)) == id
	})
}

// add is the place of a person, who is entered without an inbound if new.
func (b *people) add(account uint32, id string) (place uint32, added bool) {
	if place, ok := b.find(account, id); ok {
		return place, false
	}
	if b.n%peopleChunk == 0 {
		b.list = append(b.list, new([peopleChunk]person))
	}
	place = b.n
	b.n++
	*b.at(place) = person{id: b.ids.put(id), account: account}
	b.index.add(b.hash(account, id), place)
	return place, true
}
