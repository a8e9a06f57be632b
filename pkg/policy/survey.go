package policy

// survey tells in one pass over a text what is worth a closer look: how many
// digits it has, and which lists of phrases may have one in it. Looking for
// every list by itself took most of the time of a verdict.
type survey struct {
	lists  [4096]lists // by the first three bytes of a word
	signs  [256]lists  // by the first byte of what is no plain word
	always lists       // with phrases of one letter
	count  int
}

// lists is a set of lists of phrases, one bit each.
type lists uint32

// add takes in a list and returns its bit, 0 for an empty one. Lists beyond
// the last bit share it.
func (s *survey) add(phrases []string) lists {
	if len(phrases) == 0 {
		return 0
	}
	bit := lists(1) << min(s.count, 31)
	s.count++
	for _, p := range lower(phrases) {
		if !asciiWord(p[0]) {
			s.signs[p[0]] |= bit
			continue
		}
		if len(p) < 2 {
			s.always |= bit
			continue
		}
		for third := range 256 {
			c := byte(third)
			if len(p) == 2 || p[2] == c || p[2] == '#' && isDigit(c) {
				s.lists[start(p[0], p[1], c)] |= bit
			}
		}
	}
	return bit
}

// of returns the digits of a text and the lists that may have a phrase in it:
// none is left out that has.
func (s *survey) of(text string) (digits int, found lists) {
	found = s.always
	for i := 0; i < len(text); {
		if !asciiWord(text[i]) {
			found |= s.signs[text[i]]
			i++
			continue
		}
		// A phrase begins where a word does.
		var second, third byte
		if i+2 < len(text) {
			second, third = text[i+1], text[i+2]
		} else if i+1 < len(text) {
			second = text[i+1]
		}
		found |= s.lists[start(fold(text[i]), fold(second), fold(third))]
		for ; i < len(text); i++ {
			if isAlpha(text[i]) {
				continue
			}
			if !isDigit(text[i]) {
				break
			}
			digits++
		}
	}
	return digits, found
}

// asciiWord says whether b is certain to belong to a word: what is beyond
// ASCII may be a letter or a sign.
func asciiWord(b byte) bool { return isAlpha(b) || isDigit(b) }

// start is where words that begin with these bytes are looked up. Different
// ones may share a place, which costs a look.
func start(a, b, c byte) int { return (int(a)*961 + int(b)*31 + int(c)) & 4095 }
