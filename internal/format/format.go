// Package format says in which form an installation's data is, and by whom it
// was written, so that a program which can't read it says so in place of
// reading it wrongly. It converts nothing itself.
//
// Its invariant: data of a form that this program does not know is refused
// before anything of it is used.
package format

import (
	"encoding/json"
	"fmt"
	"time"
)

// Current is the form that this program writes. It grows when data is written
// that an older program would take for something else, and not with what an
// older one can hold until the newer one is there (decision 0014). Data without
// a mark is of before there were marks, and has form 1 too.
const Current = 1

// Mark is what an installation says of its data.
type Mark struct {
	Format int       `json:"format"` // from 1
	By     string    `json:"by"`     // the program that marked it
	At     time.Time `json:"at"`
}

// New returns the mark of data that this program writes.
func New(by string, at time.Time) Mark { return Mark{Current, by, at.UTC().Truncate(time.Second)} }

// Parse reads a mark. What is empty has none, and is of form 1.
func Parse(text string) (Mark, error) {
	if text == "" {
		return Mark{Format: 1}, nil
	}
	var m Mark
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("the mark of its form can't be read: %w", err)
	}
	if m.Format < 1 {
		return m, fmt.Errorf("the mark of its form says %d; want 1 or more", m.Format)
	}
	return m, nil
}

// String is the mark as it is stored.
func (m Mark) String() string {
	b, err := json.Marshal(m)
	if err != nil { // a number, a text and a time
		panic(err)
	}
	return string(b)
}

// Check says why data can't be used by this program, nil where it can.
func (m Mark) Check() error {
	if m.Format <= Current {
		return nil
	}
	return fmt.Errorf("it has form %d, written by %s, and this program reads forms up to %d: start that version or a later one, or restore a backup from before it", m.Format, m.By, Current)
}
