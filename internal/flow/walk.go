package flow

import (
	"iter"
	"strconv"
)

// AllSteps yields every step with its id, in the document's order, a step
// before those that are in it. A step without an id of its own is called after
// its place: steps-2, criteria-1-do-1, criteria-1-schedule-2-do-1; one in
// another after that: its id with -then-1, -else-1 (wait), -do-1 (repeat), or
// -2-1 (the first step of the second case or part).
func (s *Spec) AllSteps() iter.Seq2[string, *Step] {
	return func(yield func(string, *Step) bool) {
		for at, st := range s.spots() {
			if !yield(at.id, st) {
				return
			}
		}
	}
}

// PathOf returns where what has an id stands in the document, such as
// steps[1]: a step, or a schedule by its criterion's id and -schedule-1. It
// is empty for an id that there is not.
func (s *Spec) PathOf(id string) string {
	for at := range s.spots() {
		if at.id == id {
			return at.path
		}
	}
	for i, c := range s.Criteria {
		for j := range c.Schedule {
			if id == c.id(i)+"-schedule-"+strconv.Itoa(j+1) {
				return nth(nth("criteria", i)+".schedule", j)
			}
		}
	}
	return ""
}

// id is the id of the i-th criterion, or its place.
func (c *Criterion) id(i int) string {
	if c.ID != "" {
		return c.ID
	}
	return "criteria-" + strconv.Itoa(i+1)
}

// spot is where a step stands in its document.
type spot struct {
	path   string // as errors say it, such as criteria[0].do[1]
	id     string // of the step
	depth  int    // 1 for a step that is in no other
	rounds int    // how often it may be come to in one run: the bounds of its loops, multiplied
	last   bool   // of its list
}

// sequence is steps that are taken one behind the other.
type sequence struct {
	path  string // of the list, from the document, or from the step that it is in
	id    string // the same, of what stands in it
	steps []Step
}

// spots yields every step with where it stands, in the order of AllSteps.
func (s *Spec) spots() iter.Seq2[spot, *Step] {
	return func(yield func(spot, *Step) bool) {
		for _, l := range s.sequences() {
			if !l.walk(spot{rounds: 1}, yield) {
				return
			}
		}
	}
}

// sequences are those of the document that are in no step.
func (s *Spec) sequences() []sequence {
	out := []sequence{{"steps", "steps", s.Steps}}
	for i, c := range s.Criteria {
		path, id := nth("criteria", i), "criteria-"+strconv.Itoa(i+1)
		out = append(out, sequence{path + ".do", id + "-do", c.Do})
		for j, sc := range c.Schedule {
			out = append(out, sequence{nth(path+".schedule", j) + ".do", id + "-schedule-" + strconv.Itoa(j+1) + "-do", sc.Do})
		}
	}
	return out
}

// sequences are those in the step, their paths and ids from it on.
func (st *Step) sequences() (out []sequence) {
	if w := st.Wait; w != nil {
		out = append(out, sequence{".wait.then", "-then", w.Then}, sequence{".wait.else", "-else", w.Else})
	}
	for i, c := range st.Branch {
		out = append(out, sequence{nth(".branch", i) + ".do", "-" + strconv.Itoa(i+1), c.Do})
	}
	for i, p := range st.Split {
		out = append(out, sequence{nth(".split", i) + ".do", "-" + strconv.Itoa(i+1), p.Do})
	}
	if st.Repeat != nil {
		out = append(out, sequence{".repeat.do", "-do", st.Repeat.Do})
	}
	return out
}

func (l sequence) walk(above spot, yield func(spot, *Step) bool) bool {
	for i := range l.steps {
		st := &l.steps[i]
		at := spot{above.path + nth(l.path, i), st.ID, above.depth + 1, above.rounds, i == len(l.steps)-1}
		if at.id == "" {
			at.id = above.id + l.id + "-" + strconv.Itoa(i+1)
		}
		if !yield(at, st) {
			return false
		}
		if st.Repeat != nil {
			at.rounds = min(at.rounds*max(1, st.Repeat.AtMost), maxRounds+1) // a larger number would not fit
		}
		for _, in := range st.sequences() {
			if !in.walk(at, yield) {
				return false
			}
		}
	}
	return true
}

// nth is the path of a list's item.
func nth(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
