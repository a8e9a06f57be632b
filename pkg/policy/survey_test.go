package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A list that has a phrase in a text is never left out of its survey,
// whatever stands around the phrase.
func TestSurveyLeavesNothingOut(t *testing.T) {
	rb := book()
	var phrases []string
	for i := range rb.Checks {
		phrases = append(phrases, rb.Checks[i].Objects...)
	}
	for i := range rb.Advice {
		phrases = append(append(phrases, rb.Advice[i].Phrases...), rb.Advice[i].Links.Prefixes...)
	}
	part := rapid.OneOf(rapid.SampledFrom(phrases), rapid.StringN(0, 4, -1), rapid.SampledFrom([]string{" ", ".", "'", "é", "🎉", "7", "a", "\x80", "\n"}))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(part, 0, 6).Draw(t, "parts"), "")
		text = strings.ReplaceAll(text, "#", "42")
		if rapid.Bool().Draw(t, "upper") {
			text = strings.ToUpper(text)
		}
		digits, found := rb.index.survey.of(text)
		if want := strings.Count(strings.Map(digitsOnly, text), "0"); digits != want {
			t.Errorf("%d digits, want %d", digits, want)
		}
		for i := range rb.index.checks {
			if c := &rb.index.checks[i]; c.request != nil && c.request.objects.find(text, 0) >= 0 && found&c.objects == 0 {
				t.Errorf("%q: the objects of %s are left out", text, c.ID)
			}
		}
		for i := range rb.index.advice {
			a := &rb.index.advice[i]
			if a.wordings.asked() && a.wordings.in(text) && found&a.phrases == 0 {
				t.Errorf("%q: the phrases of %s are left out", text, a.ID)
			}
			if a.links.hasPrefix(text) && found&a.prefixes == 0 {
				t.Errorf("%q: the prefixes of %s are left out", text, a.ID)
			}
		}
	})
}

func digitsOnly(r rune) rune {
	if '0' <= r && r <= '9' {
		return '0'
	}
	return -1
}

// More lists than there are bits share the last one. Phrases that begin with
// anything but a plain letter or digit are looked for where that stands, those
// of one letter always.
func TestSurveyOfOddLists(t *testing.T) {
	var s survey
	var last lists
	for range 40 {
		last = s.add([]string{"sale"})
	}
	if last != 1<<31 {
		t.Errorf("the fortieth list has bit %x", last)
	}
	if s.add(nil) != 0 {
		t.Error("an empty list has a bit")
	}
	var odd survey
	in := func(text string) lists { _, f := odd.of(text); return f }
	for _, p := range []string{"%", "é", "$ off"} {
		if bit := odd.add([]string{p}); in("all"+p+"x")&bit == 0 || in("none of it")&bit != 0 {
			t.Errorf("%q is not looked for where it stands", p)
		}
	}
	if bit := odd.add([]string{"x"}); in("none of it")&bit == 0 {
		t.Error("a phrase of one letter is not always looked for")
	}
	if bit := odd.add([]string{"up#"}); in("it is UP7")&bit == 0 {
		t.Error("a number in the third place is left out")
	}
}
