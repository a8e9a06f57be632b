package flow

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestKeywordsAreFound(t *testing.T) {
	words := []string{"menu", "opening hours", "🍞", "menu of the day"}
	in := map[string][]string{"nb": {"meny", "åpent"}}
	for _, c := range []struct{ match, text, word, language string }{
		{"", "  MENÚ!! ", "menu", ""},
		{"", "menu please", "", ""},
		{Exact, "Opening   hours?", "opening hours", ""},
		{Exact, "hours opening", "", ""},
		{Exact, "menu 🍞", "menu", ""},
		{Exact, "🍞", "🍞", ""},
		{Exact, "Åpent", "åpent", "nb"},
		{Exact, "apent", "åpent", "nb"},
		{Exact, "m e n y", "meny", "nb"},
		{Word, "the menu, please", "menu", ""},
		{Word, "what is on the menu of the day?", "menu of the day", ""},
		{Word, "menus", "", ""},
		{Word, "bread 🍞 please", "🍞", ""},
		{Prefix, "menus please", "menu", ""},
		{Prefix, "Menu of the days", "menu of the day", ""},
		{Prefix, "the menu", "", ""},
		{Prefix, "menyen", "meny", "nb"},
		{Word, "", "", ""},
	} {
		k := &Keywords{Match: c.match, Words: words, Languages: in}
		if word, language, ok := k.Find(c.text); word != c.word || language != c.language || ok != (c.word != "") {
			t.Errorf("%s %q: %q in %q, %v", c.match, c.text, word, language, ok)
		}
	}
}

func answers(id, from, match string, words ...string) *Spec {
	return &Spec{ID: id, Sender: from, Trigger: Trigger{Keywords: &Keywords{Match: match, Words: words}}}
}

func TestOneFlowAnswersFirst(t *testing.T) {
	flows := []*Spec{
		answers("word-b", "bakery", Word, "please"),
		answers("word-a", "bakery", Word, "orders"),
		answers("prefix", "bakery", Prefix, "order"),
		answers("longer", "bakery", Prefix, "order status"),
		answers("exact", "bakery", "", "order status please"),
		answers("silent", "bakery", Exact, "orders"),
		{ID: "event"},
	}
	for text, want := range map[string][]string{
		"Order status, please": {"exact", "longer", "prefix", "word-b"},
		"orders please":        {"prefix", "word-a", "word-b"},
		"orders":               {"silent", "prefix", "word-a"},
		"nothing":              nil,
	} {
		var got []string
		for _, s := range Answering(text, flows) {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestTheOrderOfFlowsIsNoMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "ab", "a b", "b"})
		match := rapid.SampledFrom([]string{"", Exact, Word, Prefix})
		var flows []*Spec
		for _, id := range []string{"one", "two", "three"} {
			flows = append(flows, answers(id, "bakery", match.Draw(t, "match"), word.Draw(t, "word")))
		}
		text := rapid.StringMatching(`[ab ]{0,6}`).Draw(t, "text")
		first := Answering(text, flows)
		if again := Answering(text, rapid.Permutation(flows).Draw(t, "order")); !slices.Equal(first, again) {
			t.Errorf("%q: %v and %v", text, first, again)
		}
	})
}

func TestFlowsThatWouldBothAnswer(t *testing.T) {
	a := answers("a", "bakery", Word, "opening hours", "Menu")
	for _, c := range []struct {
		other *Spec
		want  string
	}{
		{answers("b", "bakery", Exact, "MENU!"), "Menu"},
		{answers("b", Auto, Exact, "menu"), "Menu"},
		{answers("b", "florist", Exact, "menu"), ""},
		{answers("b", "bakery", Exact, "hours"), ""},
		{&Spec{ID: "b", Sender: "bakery", Trigger: Trigger{Comment: true}}, ""},
	} {
		if got := Conflict(a, c.other); got != c.want {
			t.Errorf("%+v: %q", c.other, got)
		}
		if (Conflict(c.other, a) == "") != (c.want == "") {
			t.Errorf("%+v: it differs by who is asked", c.other)
		}
	}
}
