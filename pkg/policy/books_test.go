package policy

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// book is the embedded rulebook, read once for all tests that change nothing
// in it.
var book = sync.OnceValue(Default)

// books runs check on drawn rulebooks: Default with other advice, and here
// and there without a permission.
func books(t *testing.T, check func(t *rapid.T, rb *Rulebook)) {
	base := book()
	rapid.Check(t, func(t *rapid.T) {
		rb := *base
		rb.Permissions = nil
		for _, p := range base.Permissions {
			if rapid.IntRange(0, 9).Draw(t, "dropped") != 7 {
				rb.Permissions = append(rb.Permissions, p)
			}
		}
		rb.Advice = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Advice { return drawAdvice(t, &rb) }), 0, 4).Draw(t, "advice")
		if err := rb.validate(); err != nil {
			t.Fatal(err)
		}
		rb.index = rb.compile()
		check(t, &rb)
	})
}

// drawAdvice asks for each thing that advice can ask for as often as not, but
// mostly of whatever permission, tag and author, since all at once fit few cases.
func drawAdvice(t *rapid.T, rb *Rulebook) Advice {
	some := func(name string, of []string) []string {
		if len(of) == 0 || rapid.Bool().Draw(t, name+" asked") {
			return nil
		}
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, min(3, len(of)), rapid.ID).Draw(t, name)
	}
	var ids, tags []string
	seen := map[string]bool{}
	for _, p := range rb.Permissions {
		if !seen[p.ID] {
			ids = append(ids, p.ID)
		}
		seen[p.ID] = true
		for _, tag := range p.Tags {
			if !seen[tag] {
				tags = append(tags, tag)
			}
			seen[tag] = true
		}
	}
	a := Advice{
		Clause:  Clause{ID: rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "id"), Says: "Beware.", Source: []string{"DESIGN"}},
		Phrases: some("phrases", []string{"sale", "big", "off"}), Harmless: some("harmless", []string{"big sale", "sale of work"}),
		Links: Links{Prefixes: some("prefixes", []string{"https://", "www."}), Domains: some("domains", []string{"com", "no"})},
	}
	switch rapid.IntRange(0, 5).Draw(t, "narrowed") {
	case 0:
		a.Under, a.UnderBy, a.NotUnder = some("under", ids), some("under_by", wayNames()), some("not_under", ids)
	case 1:
		a.Tags = some("tags", tags)
	case 2:
		a.Authors = some("authors", originNames())
	}
	for _, ch := range some("channels", []string{string(Messenger), string(Instagram), string(SMS)}) {
		a.Channels = append(a.Channels, Channel(ch))
	}
	if rapid.IntRange(0, 4).Draw(t, "dated") == 0 {
		a.From, _ = ParseDate("2022-01-01")
	}
	return a
}
