package policy

import (
	"slices"
	"strings"
	"time"
)

// Warning is advice as its author is told it.
type Warning struct {
	Code        string // id of the advice, as a verdict's warnings name it
	Says        string // its clause
	Acknowledge bool   // a launch asks for it
}

// Warning puts a code of a verdict's warnings into words, as the advice
// stands at a moment on a channel. Entries that share the code and hold then
// are one warning: it says what all of them say, and must be acknowledged
// where one of them asks for it. It is false for a code that no entry in
// force has.
func (rb *Rulebook) Warning(code string, at time.Time, on Channel) (Warning, bool) {
	w := Warning{Code: code}
	var says []string
	for i := range rb.Advice {
		a := &rb.Advice[i]
		if t := a.term(); a.ID != code || !t.inForce(at.Unix()) || !t.on(channelSet(on)) {
			continue
		}
		if !slices.Contains(says, a.Says) {
			says = append(says, a.Says)
		}
		w.Acknowledge = w.Acknowledge || a.Acknowledge
	}
	w.Says = strings.Join(says, " ")
	return w, len(says) > 0
}
