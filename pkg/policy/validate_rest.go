package policy

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// maxHours is how many quiet spans wait can look at together.
const maxHours = 8

func (rb *Rulebook) validateHours() error {
	if len(rb.Hours) > maxHours {
		return fmt.Errorf("hours: %d entries: at most %d can be looked at together", len(rb.Hours), maxHours)
	}
	for i := range rb.Hours {
		h := &rb.Hours[i]
		if err := rb.clause("hours", i, &h.Clause); err != nil {
			return err
		}
		at := place("hours", i, h.ID)
		if h.SendersOwn {
			if h.Quiet != (Clock{}) {
				return fmt.Errorf("%s: quiet: with senders_own the sender's hours are taken: remove one of the two", at)
			}
			continue
		}
		if _, err := ParseQuietHours(h.Quiet.From, h.Quiet.To); err != nil {
			return fmt.Errorf("%s: quiet: %w", at, err)
		}
		if h.Quiet.From == h.Quiet.To {
			return fmt.Errorf("%s: quiet: from %s to %s encloses nothing: give two times", at, h.Quiet.From, h.Quiet.To)
		}
	}
	return nil
}

// maxAdvice keeps the table of warning sets small: it has 2 to the power of
// the names.
const maxAdvice = 12

func (rb *Rulebook) validateAdvice() error {
	ids, tags := rb.permitted()
	var names []string
	for i := range rb.Advice {
		a := &rb.Advice[i]
		if err := rb.clause("advice", i, &a.Clause); err != nil {
			return err
		}
		for _, err := range []error{
			oneOf("under", a.Under, ids), oneOf("under_by", a.UnderBy, newVocabulary(wayNames())), oneOf("not_under", a.NotUnder, ids),
			oneOf("authors", a.Authors, newVocabulary(originNames())),
			noneEmpty("phrases", a.Phrases), numbersLate("phrases", a.Phrases), noneEmpty("harmless", a.Harmless), noneEmpty("links", a.Links.Prefixes), noneEmpty("links", a.Links.Domains), oneOf("tags", a.Tags, tags),
		} {
			if err != nil {
				return fmt.Errorf("%s: %w", place("advice", i, a.ID), err)
			}
		}
		if !slices.Contains(names, a.ID) {
			names = append(names, a.ID)
		}
	}
	if len(names) > maxAdvice {
		return fmt.Errorf("advice: %d names: at most %d, since a verdict's warnings are laid out beforehand; entries may share a name", len(names), maxAdvice)
	}
	return nil
}

// permitted is the ids and the tags of the permissions.
func (rb *Rulebook) permitted() (ids, tags vocabulary) {
	var byID, byTag []string
	for i := range rb.Permissions {
		byID = append(byID, rb.Permissions[i].ID)
		byTag = append(byTag, rb.Permissions[i].Tags...)
	}
	return newVocabulary(byID), newVocabulary(byTag)
}

func (rb *Rulebook) validateKeywords() error {
	if err := rb.Keywords.validate(); err != nil {
		return err
	}
	return rb.sources("keywords", rb.Keywords.Source)
}

var contradictionRow = regexp.MustCompile(`^I\.[1-9][0-9]*$`)

// validatePapers checks what no case is judged by.
func (rb *Rulebook) validatePapers() error {
	for i := range rb.TenDLC {
		c := &rb.TenDLC[i]
		if err := rb.clause("ten_dlc_classes", i, &c.Clause); err != nil {
			return err
		}
		if err := c.whole(); err != nil {
			return fmt.Errorf("%s: %w", place("ten_dlc_classes", i, c.ID), err)
		}
	}
	for i := range rb.Notes {
		if err := rb.clause("notes", i, &rb.Notes[i].Clause); err != nil {
			return err
		}
	}
	for i := range rb.Contradictions {
		c := &rb.Contradictions[i]
		if err := rb.clause("contradictions", i, &c.Clause); err != nil {
			return err
		}
		if err := c.whole(); err != nil {
			return fmt.Errorf("%s: %w", place("contradictions", i, c.ID), err)
		}
	}
	return nil
}

func (c *TenDLCClass) whole() error {
	counted := []string{"campaign", "brand", "number"}
	switch {
	case !slices.Contains(counted, c.Counted):
		return fmt.Errorf("counted: %q: want %s", c.Counted, strings.Join(counted, ", "))
	case c.Score != Range{} && (c.Score.Min < 1 || c.Score.Max < c.Score.Min || c.Score.Max > 100):
		return fmt.Errorf("score: %d to %d: want 1 to 100, min not above max", c.Score.Min, c.Score.Max)
	case math.IsNaN(c.PerSecond) || math.IsInf(c.PerSecond, 0):
		return fmt.Errorf("per_second: %v: want a number", c.PerSecond)
	case c.PerSecond < 0 || c.PerMinute < 0 || c.PerDay < 0 || c.PerSecond == 0 && c.PerMinute == 0 && c.PerDay == 0:
		return errors.New("per_second, per_minute or per_day is missing: give at least one above 0")
	default:
		return nil
	}
}

func (c *Contradiction) whole() error {
	switch {
	case !contradictionRow.MatchString(c.Row):
		return fmt.Errorf("row: %q: want I. and a number", c.Row)
	case c.About == "":
		return errors.New("about is missing: name the question in a few words")
	case c.Decided == "":
		return errors.New("decided is missing: say which reading is taken, and why")
	case c.Configure == "":
		return errors.New("configure is missing: say where another reading is set, or nothing")
	default:
		return nil
	}
}
