package segment

import (
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       Count
	}{
		{"nothing", "", Count{GSM7, 0, 1}},
		{"160 of the alphabet", strings.Repeat("a", 160), Count{GSM7, 160, 1}},
		{"161", strings.Repeat("a", 161), Count{GSM7, 161, 2}},
		{"two full parts", strings.Repeat("a", 306), Count{GSM7, 306, 2}},
		{"one more", strings.Repeat("a", 307), Count{GSM7, 307, 3}},
		{"an extended character counts twice", strings.Repeat("€", 80), Count{GSM7, 160, 1}},
		{"and is too much", strings.Repeat("€", 80) + "a", Count{GSM7, 161, 2}},
		{"152 and an extended one: it moves as a whole", strings.Repeat("a", 152) + "{" + strings.Repeat("a", 152), Count{GSM7, 306, 3}},
		{"151 and an extended one fit", strings.Repeat("a", 151) + "{" + strings.Repeat("a", 153), Count{GSM7, 306, 2}},
		{"accents of the alphabet", "Çà et là, né", Count{GSM7, 12, 1}},
		{"a lower c with cedilla is not of it", "façade", Count{UCS2, 6, 1}},
		{"a curly quote turns all", "it’s", Count{UCS2, 4, 1}},
		{"70 of UCS-2", strings.Repeat("я", 70), Count{UCS2, 70, 1}},
		{"71", strings.Repeat("я", 71), Count{UCS2, 71, 2}},
		{"134", strings.Repeat("я", 134), Count{UCS2, 134, 2}},
		{"135", strings.Repeat("я", 135), Count{UCS2, 135, 3}},
		{"35 pairs", strings.Repeat("😀", 35), Count{UCS2, 70, 1}},
		{"33 pairs in a part, none cut", strings.Repeat("😀", 66), Count{UCS2, 132, 2}},
		{"67 pairs need a third", strings.Repeat("😀", 67), Count{UCS2, 134, 3}},
		{"in UCS-2 a brace is one place", strings.Repeat("{", 69) + "я", Count{UCS2, 70, 1}},
		{"no UTF-8", "\xff", Count{UCS2, 1, 1}},
		{"line ends and form feed", "a\r\nb\f", Count{GSM7, 6, 1}},
		{"a tab is not of it", "a\tb", Count{UCS2, 3, 1}},
		{"no backtick either", "`", Count{UCS2, 1, 1}},
	} {
		if got := Of(c.text); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestAlphabet(t *testing.T) {
	t.Parallel()
	// 128 codes, less the escape.
	if n := len([]rune(basic)); n != 127 {
		t.Errorf("the alphabet has %d characters, want 127", n)
	}
	if n := len([]rune(extended)); n != 10 {
		t.Errorf("%d extended characters, want 10", n)
	}
	if GSM7.String() != "GSM-7" || UCS2.String() != "UCS-2" {
		t.Errorf("encodings are %s and %s", GSM7, UCS2)
	}
}

// parts cuts a text as a carrier would: as late as it can, never inside a
// character.
func parts(units [][]uint16, joined int) (n int) {
	for n = 0; len(units) > 0; n++ {
		room := joined
		for len(units) > 0 && len(units[0]) <= room {
			room -= len(units[0])
			units = units[1:]
		}
	}
	return n
}

func TestOfCutsAsACarrierDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom([]string{basic, basic + extended, basic + "я😀", extended, "😀я"}).Draw(t, "alphabet")
		text := string(rapid.SliceOfN(rapid.SampledFrom([]rune(alphabet)), 0, 500).Draw(t, "text"))
		got := Of(text)
		var units [][]uint16
		total := 0
		for _, r := range text {
			u := utf16.Encode([]rune{r})
			if got.Encoding == GSM7 && strings.ContainsRune(extended, r) {
				u = []uint16{0x1b, uint16(r)}
			}
			units, total = append(units, u), total+len(u)
		}
		alone, joined := 160, 153
		if got.Encoding == UCS2 {
			alone, joined = 70, 67
		}
		want := 1
		if total > alone {
			want = parts(units, joined)
		}
		if got.Places != total || got.Segments != want {
			t.Fatalf("%+v, want %d places in %d", got, total, want)
		}
		if more := Of(text + "a"); more.Segments < got.Segments {
			t.Fatalf("a longer text takes %d, the shorter %d", more.Segments, got.Segments)
		}
	})
}
