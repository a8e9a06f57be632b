package reason

import "slices"

// Warning is what an author needs to know of one piece of advice, which
// refuses nothing. Which texts get it is the rulebook's to say.
type Warning struct {
	Code    string `json:"code"`
	Meaning string `json:"meaning"` // one sentence
	Action  string `json:"action"`  // what the author should do
}

// Warnings is every warning of the rulebook that Carillon carries, in its
// order. A rulebook may have others.
func Warnings() []Warning {
	return []Warning{
		{"bulk_discouraged", "The platform discourages unwanted, impersonal or bulk messages.",
			"Narrow the audience to those who expect the message, and write to them by name; where a launch asks for it, acknowledge the warning."},
		{"links_under_tag", "The text has a link under a tag, which the platform may take for advertising.",
			"Leave the link out, unless the purpose of the tag needs it."},
		{"promotional_wording", "The text has words of promotion, or of a survey, under a permission that carries none.",
			"Reword it; if it is promotion, say so and send it inside the window; a survey goes by a feedback template."},
		{"recurring_under_account_update", "The text reads like something that recurs, under a tag for changes of an account.",
			"Send what recurs inside the window or, on Messenger, by a utility template."},
	}
}

// LookupWarning finds the warning of a code; false means that Carillon's own
// rulebook has none such.
func LookupWarning(code string) (Warning, bool) {
	all := Warnings()
	if i := slices.IndexFunc(all, func(w Warning) bool { return w.Code == code }); i >= 0 {
		return all[i], true
	}
	return Warning{}, false
}
