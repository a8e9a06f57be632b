package channel

import "fmt"

// Labels is one page of the custom labels of an account, or of a person.
type Labels struct {
	Names []string
	After string // asks for the next page; empty: this is the last
	Usage int    // percent of the platform's budget of calls that is used; 0 to 100
}

// Fault is what a platform answered to a question in place of what was asked,
// or why it gave no answer.
type Fault struct {
	Status, Code, Subcode int    // 0: none was given
	Detail                string // the platform's words, fit to keep: nothing of a person in them
	Link                  string // where its words send the operator; empty: nowhere
}

// Error has the code before the words, as people search for it.
func (f *Fault) Error() string {
	if f.Code == 0 {
		return f.Detail
	}
	return fmt.Sprintf("%d/%d: %s", f.Code, f.Subcode, f.Detail)
}
