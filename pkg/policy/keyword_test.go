package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestKeyword(t *testing.T) {
	tests := map[Keyword][]string{
		// The carriers' words alone, however they are written.
		OptOut: {
			"STOP", "stop", " stop. ", "Stop!!!", "Stop  all", "opt-out", "OptOut", "Opt out", "Unsubscribe!", "END", "Cancel", "quit", "Revoke",
			"remove", "td", "ARRET", "arrêt", "ARRÊT.", "arre\u0302t", "STOP 🙏", "🛑STOP🛑", "(stop)", "\"STOP\"", "S T O P", "s.t.o.p.", "S-T-O-P",
			"ＳＴＯＰ", "st\u200bop", "stop\n",
		},
		OptIn: {"START", "yes", "Yes!", "unstop", "ＹＥＳ"},
		Help:  {"Help?", "INFO", "help 🙏"},
		// What a reasonable person may take for a wish to stop, in any length.
		OptOutMaybe: {
			"stop please", "STOP TEXTING ME", "Please stop.", "stop it 😡", "please cancel", "end it now", "yes 🛑", "🛑", "stop, start",
			"I would really like you to please stop sending me these texts",
			"I said stop. This is the third time that I ask you.",
			"Hello, I have been a customer of yours for many years and was always happy, but could you please stop with the daily offers, thank you.",
			"opt me out", "I'd like to opt-out of this", "I want out", "leave me alone", "Leave me alone!!", "do not contact me again",
			"Don't contact me again", "Don’t text me", "dont message me any more", "DO NOT WRITE TO ME ANYMORE, PLEASE",
			"take me off your list", "Please take my number off this list", "No more messages", "no more texts please", "no more of these!!!",
			"Remove me from this", "please remove my number", "lose my number", "I no longer wish to receive these", "not interested",
			"I don't want to hear from you again", "I never signed up for this", "you have the wrong number", "this is spam",
			"Quit texting me", "cease and desist", "Cancel my subscription", "I withdraw my consent", "I will report you", "unsubscribe me",
			"Unsuscribe", "How do I unsubscribe from this list? I have tried the link twice and nothing happens at all", "go away",
			"Arrêtez de m'écrire", "je veux me désabonner", "Je ne veux plus recevoir vos messages", "no me escriban más", "Quiero darme de baja",
			"Bitte keine Nachrichten mehr", "abmelden", "stopp", "ikke send meg mer", "meld meg av", "quero parar de receber", "non scrivetemi più",
			"S T O P texting me", "Full stop: do not contact me.", "bus stop. And stop writing to me",
			"I am on the bus. Stop texting me", "I am on the bus stop texting me", "First, stop", "The next: stop!", "the last: stop", "full stop. Stop",
			"On the bus. Stop", "Why won't this stop", "may I stop this?",
			// Innocent perhaps, but not to be told from a wish by its words.
			"I can't stop smiling", "Please don't stop", "we never stop talking about the weather in the north of Norway", "I quit smoking",
		},
		NoKeyword: {
			"hello", "", " ", "...", "👍", "stopwatch", "Is it a non-stop flight?", "nonstop", "Where is the bus stop?", "the bus stop is near the shop",
			"I'll stop by tomorrow", "Can I stop by at noon?", "Is there a one-stop shop?", "What is your next stop?", "stopover in Oslo", "Is the bus stop far from the tram stop?", "Tell me where the bus stop is",
			"at the end of the month", "I would like to cancel my order of Friday", "Can I cancel my booking?", "cancel my order", "my friend ended up late",
			"could you remove the onions from my sandwich please", "how do I quit the app on my phone", "I am very interested", "yes please send more",
			"the TD bank card does not work here", "what's the weekend special", "Où est l'arrêt de bus ?", "no more sugar for me, thanks",
			"Contact me again tomorrow", "I have no more questions", "start tomorrow", "can you help me", "A B C",
		},
	}
	rb, total := book(), 0
	for want, texts := range tests {
		total += len(texts)
		for _, text := range texts {
			if got := rb.Keyword(text); got != want {
				t.Errorf("%q: %d, want %d", text, got, want)
			}
		}
	}
	if total < 40 {
		t.Errorf("only %d texts", total)
	}
}

// TestKeywordLength puts one word into texts of every length.
func TestKeywordLength(t *testing.T) {
	rb := book()
	for n := range 200 {
		pad := strings.Repeat("and then some ", n)
		if got := rb.Keyword(pad + "please stop " + pad); got != OptOutMaybe {
			t.Fatalf("%d words: %d", 6*n+2, got)
		}
	}
	// An opt-out word that is no review word is looked for in review_short words.
	for text, want := range map[string]Keyword{"this must end": OptOutMaybe, "that must not end": NoKeyword} {
		if got := rb.Keyword(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestKeywordsAreData(t *testing.T) {
	text := edit(t, "opt_out: [stop,", "opt_out: [HALT, Basta Così, stop,")
	text = strings.Replace(text, "review_words: [stop,", "review_words: [Verstummt, stop,", 1)
	rb, err := Parse([]byte(text))
	must(t, err)
	for in, want := range map[string]Keyword{"halt": OptOut, "Halt!": OptOut, "basta cosi": OptOut, "so you are verstummt now, I hope": OptOutMaybe} {
		if got := rb.Keyword(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	if !slices.Contains(rb.Keywords.OptOut, "halt") || slices.Contains(rb.Keywords.OptOut, "HALT") {
		t.Errorf("opt_out is not in lower case: %v", rb.Keywords.OptOut)
	}
}

// TestKeywordBlind wants a person to read what no rulebook can.
func TestKeywordBlind(t *testing.T) {
	for _, rb := range []*Rulebook{nil, {}, {Keywords: Keywords{OptIn: []string{"yes"}}}} {
		if got := rb.Keyword("yes"); got != OptOutMaybe {
			t.Errorf("%+v: %d", rb, got)
		}
	}
}

func TestKeywordsRefused(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"no words", "review_words: [stop,", "innocent: [stop,", "field innocent"},
		{"listed twice", "opt_in: [start,", "opt_in: [START, Start,", "listed twice"},
		{"in two lists", "opt_in: [start,", "opt_in: [Stop, start,", "listed twice"},
		{"not in the list", "sms_only: [\"yes\"]", "sms_only: [\"yes\", ok]", "not in opt_in"},
		{"nothing in it", "innocent_phrases: [bus stop,", `innocent_phrases: ["--", bus stop,`, "neither letter"},
	} {
		if _, err := Parse([]byte(edit(t, tt.from, tt.to))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, list := range []string{"opt_out", "review_words", "review_phrases"} {
		text := cutList(t, string(embedded), "  "+list+": [")
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), list+" is missing") {
			t.Errorf("without %s: %v", list, err)
		}
	}
}

// TestSpelledReadsWordsOnce counts the words that it asks for; a long text of
// marks alone would not end in the test's time otherwise.
func TestSpelledReadsWordsOnce(t *testing.T) {
	words := strings.Fields(strings.Repeat("s | | t | word a b | ", 50))
	read := 0
	spelled(func(yield func(string) bool) {
		for _, w := range words {
			if read++; !yield(w) {
				return
			}
		}
	})
	if read != len(words) {
		t.Errorf("%d words read of %d", read, len(words))
	}
	for _, unit := range []string{"!", "s."} {
		if got := book().Keyword(strings.Repeat(unit, 100_000) + " unsubscribe me"); got != OptOutMaybe {
			t.Errorf("%q: %d", unit, got)
		}
	}
}

func TestSpelled(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a", "a b": "a b", "a b c": "abc", "a | b | c |": "abc |", "a | b | | c | | word": "abc | word", "| a b c": "| abc",
		"word s t o p it": "word stop it", "a | b | word": "a | b | word", "| |": "| |", "s t | o p": "stop", "é t o p": "é top",
	} {
		if got := strings.Join(spelled(slices.Values(strings.Fields(in))), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestSignsAreKeywords reads a list's own symbol as that, and others as nothing.
func TestSignsAreKeywords(t *testing.T) {
	rb := own(t, "opt_out: [stop,", `opt_out: ["🛑", stop 🙏, stop,`, "opt_in: [start,", `opt_in: ["👍", start,`)
	for text, want := range map[string]Keyword{
		"🛑": OptOut, " 🛑!!": OptOut, "🛑\ufe0f": OptOut, "👍": OptIn, "👍👎": NoKeyword, "yes 👍": OptIn, "STOP 🎉": OptOut, "stop 🙏": OptOut, "👎": NoKeyword,
	} {
		if got := rb.Keyword(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// cutList takes a list out of the text of a rulebook.
func cutList(t *testing.T, text, begin string) string {
	t.Helper()
	before, rest, ok := strings.Cut(text, begin)
	_, after, end := strings.Cut(rest, "]\n")
	if !ok || !end {
		t.Fatalf("no list %q", begin)
	}
	return before + after
}

// FuzzKeyword wants an answer to anything, a stop that no other words hide,
// and no more than one meaning of a word in capitals.
func FuzzKeyword(f *testing.F) {
	for _, text := range []string{"STOP", "bus stop", "arre\u0302t", "s t o p", "\xff🛑\u200d", "Yes", "don’t text"} {
		f.Add(text)
	}
	rb := book()
	f.Fuzz(func(t *testing.T, text string) {
		if got := rb.Keyword(text + ". Please unsubscribe me."); got != OptOutMaybe {
			t.Fatalf("%q hides a wish to stop: %d", text, got)
		}
		if got, again := rb.Keyword(text), rb.Keyword(" "+text+"!\n"); got != again {
			t.Fatalf("%q: %d, between spaces %d", text, got, again)
		}
	})
}

// TestKeywordOfASender asserts what a sender's own words add, and what they
// can't take away.
func TestKeywordOfASender(t *testing.T) {
	rb := book()
	own := OwnWords{OptOut: []string{"Päättyy", "nej tack"}, OptIn: []string{"igen", "stop it not"}, Help: []string{"hjälp", "stop"}}
	for _, c := range []struct {
		channel Channel
		text    string
		want    Keyword
	}{
		{SMS, "päättyy!", OptOut}, {SMS, "PAATTYY", OptOut}, {Messenger, " Nej, tack. ", OptOut}, {SMS, "päättyy nyt", OptOutMaybe},
		{SMS, "ok nej tack", OptOutMaybe}, {SMS, "nej det blir bra tack", NoKeyword}, {SMS, "päättyykö tarjous tänään vai huomenna", NoKeyword},
		{SMS, "igen", OptIn}, {SMS, "hjalp", Help}, {SMS, "stop", OptOut}, {SMS, "stop it not", OptOutMaybe}, {SMS, "please stop", OptOutMaybe},
		{SMS, "start", OptIn}, {Messenger, "START", OptIn}, {SMS, "Yes!", OptIn}, {Messenger, "Yes!", NoKeyword}, {Instagram, "yes 👍", NoKeyword},
		{Messenger, "info", Help}, {Messenger, "hello", NoKeyword}, {Messenger, "", NoKeyword},
	} {
		if got := rb.KeywordOf(c.channel, own, c.text); got != c.want {
			t.Errorf("%v %q: %d, want %d", c.channel, c.text, got, c.want)
		}
	}
	for _, text := range []string{"yes", "stop", "hello", "please stop"} {
		if got, want := rb.KeywordOf(SMS, OwnWords{}, text), rb.Keyword(text); got != want {
			t.Errorf("%q without own words: %d, want %d", text, got, want)
		}
	}
	if got := (*Rulebook)(nil).KeywordOf(SMS, own, "igen"); got != OptOutMaybe {
		t.Errorf("without a rulebook: %d", got)
	}
	if got := rb.KeywordOf(SMS, OwnWords{OptOut: []string{"--"}}, "?!"); got != NoKeyword {
		t.Errorf("a word without a letter: %d", got)
	}
}

func TestWordsAreAsKeywordsAreCompared(t *testing.T) {
	for text, want := range map[string]string{
		" Åpent, NÅ! ": "apent na", "don't": "dont", "s.t.o.p": "stop", "bread🍞now": "bread 🍞 now", "?!": "",
	} {
		if got := strings.Join(Words(text), " "); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
