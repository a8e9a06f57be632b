package meta

import (
	"strings"

	"github.com/carillon-dev/carillon/internal/event"
)

// standing is how the platform judges a Page: whether it may do things, and
// why not (field business_integrity, page "Page Integrity Webhook" of
// 2026-07-06). It comes as an item without a kind.
type standing struct {
	Status       text `json:"status"` // ok, warning, restricted or suspended
	Violations   list `json:"violations"`
	Restrictions list `json:"restrictions"`
}

// about is one violation or restriction.
type about struct {
	Type        text `json:"type"`
	Feature     text `json:"feature"`
	Description text `json:"description"`
}

// integrity reads a Page's standing as an enforcement: a Page that may not
// send is blocked, one that may again is not, and everything else is a
// warning.
func (d *decoder) integrity(s *said) bool {
	st := s.standing
	if s.Sender != nil { // a person's item with a field of that name
		return false
	}
	e := event.Event{Type: event.Enforced}
	var why []string
	for _, raw := range st.Violations {
		if a, ok := describe(raw); ok {
			why = append(why, a.say(a.Type))
		}
	}
	messaging := len(st.Restrictions) == 0 // restricted, and not said in what: closed
	for _, raw := range st.Restrictions {
		if a, ok := describe(raw); ok {
			messaging = messaging || stopsMessages(a.Feature)
			why = append(why, a.say(a.Feature))
		}
	}
	switch strings.ToLower(string(st.Status)) {
	case "ok":
		e.Action = "unblock"
	case "warning":
		e.Action = "warning"
	case "suspended":
		e.Action = "block"
	case "restricted":
		if e.Action = "warning"; messaging {
			e.Action = "block"
		}
	default:
		return false
	}
	e.Why = cut(text(strings.Join(why, "; ")), maxPayload)
	return d.tell(s, e)
}

// say puts what it is before its description.
func (a about) say(what text) string {
	return strings.Trim(string(what+": "+a.Description), ": ")
}

func describe(raw []byte) (a about, ok bool) {
	var o object
	_ = o.UnmarshalJSON(raw)
	ok = o.into(&a)
	return a, ok
}

// stopsMessages tells whether a restricted feature keeps messages from going
// out: the two of messaging, and one that the platform has no name for.
func stopsMessages(feature text) bool {
	switch feature {
	case "page_messaging", "page_messaging_api", "unknown", "":
		return true
	}
	return false
}
