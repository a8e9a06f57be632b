package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// moment is the newest last_inbound of the file. Whoever uses the file later
// moves all its times by the same length, so that the spread stays.
func moment() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

// source gives the same numbers in every version of Go: PCG is a published
// algorithm, while the standard library's ways of drawing from a range from it
// may change.
type source struct{ pcg *rand.PCG }

func newSource() source { return source{rand.NewPCG(2026, 1122)} }

// below returns a number from 0 to n-1.
func (s source) below(n int) int { return int(s.pcg.Uint64() % uint64(n)) }

// between returns a length from a (included) to b (excluded), whole seconds.
func (s source) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.below(int((b-a)/time.Second)))*time.Second
}

func (s source) chance(percent int) bool { return s.below(100) < percent }

func pick[T any](s source, from []T) T { return from[s.below(len(from))] }

// part is a part of a deck: what, and how many cards of it.
type part struct {
	what  string
	cards int
}

// deck returns n cards, shuffled. Those of no part are blank.
func (s source) deck(n int, parts ...part) []string {
	cards := make([]string, n)
	next := 0
	for _, p := range parts {
		for range p.cards {
			cards[next] = p.what
			next++
		}
	}
	for i := n - 1; i > 0; i-- {
		j := s.below(i + 1)
		cards[i], cards[j] = cards[j], cards[i]
	}
	return cards
}

func header() []string {
	return []string{"id", "sender", "name", "last_inbound", "opened_by", "opted_out", "labels", "timezone", "city", "favourite"}
}

// Columns of a row, for those who change one.
const (
	colID = iota
	colSender
	colName
	colInbound
	colOpenedBy
	colOptedOut
	colLabels
	colZone
	colCity
	colFavourite
)

// write writes the whole file. The writer keeps its own errors.
func write(w io.Writer) {
	s := newSource()
	out := csv.NewWriter(w)
	_ = out.Write(header())
	seen := map[string]bool{}
	for _, sh := range shops() {
		rows := s.rows(sh, seen)
		gap := len(rows) / (len(sh.bad) + 1)
		for i, r := range rows {
			if n := i / gap; i%gap == 0 && n >= 1 && n <= len(sh.bad) {
				_ = out.Write(spoil(s.like(r, sh, seen), sh.bad[n-1]))
			}
			_ = out.Write(r)
		}
	}
	out.Flush()
}

// rows returns a shop's contacts, all of them good ones.
func (s source) rows(sh shop, seen map[string]bool) [][]string {
	n := sh.people
	ages := s.deck(n, part{"inside", n*70/100 - closing}, part{"closing", closing}, part{"week", n * 20 / 100}, part{"older", n * 5 / 100})
	outs := s.deck(n, part{"all", n * 3 / 100}, part{"marketing", n * 2 / 100})
	rows := make([][]string, n)
	for i := range rows {
		rows[i] = s.row(sh, ages[i], outs[i], s.id(sh.digits, seen))
	}
	if sh.sender == shops()[0].sender {
		rows[0][colInbound], rows[0][colOpenedBy] = moment().Format(time.RFC3339), "message"
	}
	return rows
}

// closing is how many contacts of a shop have only minutes left.
const closing = 16

func (s source) row(sh shop, age, optedOut, id string) []string {
	r := make([]string, len(header()))
	c := s.city(sh.cities)
	r[colID], r[colSender], r[colName], r[colOptedOut] = id, sh.sender, s.name(), optedOut
	r[colInbound], r[colOpenedBy] = s.inbound(age)
	r[colLabels], r[colCity] = s.labels(), c.name
	if !s.chance(6) {
		r[colZone] = c.zone
	}
	if !s.chance(7) {
		r[colFavourite] = pick(s, favourites())
	}
	return r
}

// like returns a contact of its own that is made like a neighbour.
func (s source) like(r []string, sh shop, seen map[string]bool) []string {
	n := append([]string(nil), r...)
	n[colID] = s.id(sh.digits, seen)
	return n
}

func (s source) id(digits int, seen map[string]bool) string {
	for {
		var b strings.Builder
		b.WriteByte(byte('1' + s.below(9)))
		for range digits - 1 {
			b.WriteByte(byte('0' + s.below(10)))
		}
		if id := b.String(); !seen[id] {
			seen[id] = true
			return id
		}
	}
}

func (s source) city(from []city) city {
	n := s.below(100)
	for _, c := range from {
		if n < c.share {
			return c
		}
		n -= c.share
	}
	return from[0]
}

func (s source) name() string {
	switch n := s.below(100); {
	case n < 4:
		return "" // never told us
	case n < 22:
		return pick(s, givenNames())
	}
	return pick(s, givenNames()) + " " + pick(s, familyNames())
}

// inbound draws when a contact last wrote, and how. Nobody's window closes
// within three minutes of the moment, so that a run that takes a while to
// begin finds the same contacts inside.
func (s source) inbound(age string) (at, openedBy string) {
	var d time.Duration
	switch age {
	case "inside":
		d = s.between(time.Second, 23*time.Hour+50*time.Minute)
	case "closing":
		d = s.between(23*time.Hour+52*time.Minute, 23*time.Hour+57*time.Minute)
	case "week":
		d = s.between(24*time.Hour, 7*24*time.Hour)
	case "older":
		d = s.between(7*24*time.Hour, 120*24*time.Hour)
	default:
		return "", "" // never wrote
	}
	return moment().Add(-d).Format(time.RFC3339), s.opener()
}

func (s source) opener() string {
	switch n := s.below(100); {
	case n < 62:
		return "message"
	case n < 78:
		return "postback"
	case n < 86:
		return "reaction"
	case n < 92:
		return "referral"
	case n < 96:
		return "optin"
	}
	return "ad_message"
}

func (s source) labels() string {
	var ls []string
	for _, l := range []struct {
		name    string
		percent int
	}{{"regular", 80}, {"sourdough", 28}, {"vip", 9}, {"vegan", 12}, {"newsletter", 35}, {"staff", 2}} {
		if s.chance(l.percent) {
			ls = append(ls, l.name)
		}
	}
	return strings.Join(ls, ";")
}

// spoil makes a good row one that an import must refuse.
func spoil(r []string, how string) []string {
	switch how {
	case "time":
		r[colInbound] = "22.11.2026 09:00"
	case "zone":
		r[colZone] = "Europe/Kristiania"
	case "columns":
		return r[:colOptedOut]
	case "id":
		r[colID] = ""
	case "opened_by":
		r[colOpenedBy] = "poke"
	case "opted_out":
		r[colOptedOut] = "yes"
	case "utf8":
		r[colName] = "Bj\xf8rn Lien" // Latin-1, as spreadsheets save it
	case "future":
		r[colInbound] = moment().AddDate(73, 0, 0).Format(time.RFC3339)
	default:
		panic(fmt.Sprintf("no way to spoil a row is called %q", how))
	}
	return r
}
