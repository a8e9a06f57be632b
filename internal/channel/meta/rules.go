package meta

import (
	"slices"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// unlisted is what an error outside the table means: worth a few tries, then
// the job ends. It never pauses a sender.
var unlisted = Rule{Code: Any, Subcode: Any, Meaning: "an error outside the table",
	Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few}

// overloaded is what a bare 429 means, which names no code.
var overloaded = Rule{Code: Any, Subcode: Any, Meaning: "too many requests",
	Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed}

// Rules returns the error table, for whoever prints or checks it. The slice is
// the caller's.
func Rules() []Rule { return slices.Clone(errorTable[:]) }

// pair is what a rule is found by.
type pair struct{ code, subcode int }

// rulebook is the error table by pair.
type rulebook map[pair]*Rule

func newRulebook() rulebook {
	rules := make(rulebook, len(errorTable))
	for i := range errorTable {
		rules[pair{errorTable[i].Code, errorTable[i].Subcode}] = &errorTable[i]
	}
	return rules
}

// find returns the rule of an error: the exact pair, then a subcode that means
// the same under any code, then the code alone. ok is false when it is in no
// row; the rule is then that of unlisted errors.
func (rules rulebook) find(code, subcode int) (rule *Rule, ok bool) {
	for _, p := range [...]pair{{code, subcode}, {Any, subcode}, {code, Any}} {
		if rule, ok := rules[p]; ok {
			return rule, true
		}
	}
	return &unlisted, false
}
