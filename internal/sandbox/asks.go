package sandbox

import "strings"

// What a person asks for by what they do.
const (
	asksStop      = "stop"       // by a word of the carriers' lists
	asksPerhaps   = "maybe_stop" // by words that a reasonable person takes for it
	asksStart     = "start"
	asksNoNotices = "stop_notifications" // the platform's own control
	asksNotices   = "resume_notifications"
)

// ask is how the newest wish of a person to hear no more stands.
type ask struct {
	told     uint64 // the event that says it
	answered int64  // when it was answered 200, nanoseconds since 1970; 0: not yet
}

// asks holds who asked to hear no more, by place. The platform does not
// enforce it: a message to one of them is taken, and counted against whoever
// sends it after they were told.
type asks map[uint32]ask

// hear takes in what a person writes.
func (x asks) hear(place uint32, text string, r *toldRecord) {
	switch r.asks = meaning(text); r.asks {
	case asksStop:
		x[place] = ask{told: r.seq}
	case asksStart:
		delete(x, place)
	}
}

// answer notes that an event was answered, which counts where it is the
// person's newest wish.
func (x asks) answer(place uint32, told uint64, at int64) {
	if a, ok := x[place]; ok && a.told == told && a.answered == 0 {
		x[place] = ask{told, at}
	}
}

// broken says whether a message that arrived then went to one whose wish was
// known.
func (x asks) broken(place uint32, at int64) bool {
	a, ok := x[place]
	return ok && a.answered != 0 && at > a.answered
}

// meaning reads a wish out of a message, narrowly: words of the carriers'
// lists alone (CTIA handbook, 47 CFR 64.1200) are a wish, and a sentence with
// one of the plainest of them may be.
func meaning(text string) string {
	switch words := strings.Fields(strings.ToLower(text)); strings.Join(words, " ") {
	case "stop", "stopall", "unsubscribe", "end", "quit", "revoke", "optout", "cancel":
		return asksStop
	case "start", "unstop":
		return asksStart
	default:
		for _, w := range words {
			if w == "stop" || w == "unsubscribe" {
				return asksPerhaps
			}
		}
		return ""
	}
}
