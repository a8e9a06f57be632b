// Package tendlc is the arithmetic of 10DLC: what American carriers let a
// registered number send in a minute and in a day. It reads no clock and does
// no I/O.
//
// The numbers are the carriers' published ones as of 2026; vendors differ at
// the boundaries of scores, so that a Sender document may name its own.
//
// Caps count segments, not messages (internal/segment). The carrier of a
// recipient is not known before a message goes, so every message counts as if it
// went to the carrier with the cap: too few go rather than too many.
package tendlc

import (
	"fmt"
	"slices"
	"time"
)

// Spec is what a Sender document says of its number's registration.
type Spec struct {
	Class     string `yaml:"class,omitempty" json:"class,omitempty"`           // AT&T's message class: A to F, or T; empty: per_minute alone
	PerMinute int    `yaml:"per_minute,omitempty" json:"per_minute,omitempty"` // segments in any minute; 0: what the class allows
	PerDay    int    `yaml:"per_day,omitempty" json:"per_day,omitempty"`       // segments in a Pacific day; 0: no cap
	Brand     string `yaml:"brand,omitempty" json:"brand,omitempty"`           // whose day it is: all senders of one brand share it; empty: the sender's own
}

// MaxPerMinute and MaxPerDay bound what a document may name.
const (
	MaxPerMinute = 6_000_000
	MaxPerDay    = 100_000_000
)

// classRate is what AT&T lets a campaign of a class send in a minute, 0 for a
// class that does not exist.
func classRate(class string) int {
	switch class {
	case "A", "B":
		return 4500
	case "C", "D":
		return 2400
	case "E", "F":
		return 240
	case "T":
		return 75
	}
	return 0
}

// Classes are the classes there are.
func Classes() []string { return []string{"A", "B", "C", "D", "E", "F", "T"} }

// Validate returns one error that says what to change, or nil.
func (s *Spec) Validate() error {
	switch {
	case s.Class != "" && !slices.Contains(Classes(), s.Class):
		return fmt.Errorf("ten_dlc class %q: want A to F, or T", s.Class)
	case s.PerMinute < 0 || s.PerMinute > MaxPerMinute:
		return fmt.Errorf("ten_dlc per_minute %d: want 0 to %d", s.PerMinute, MaxPerMinute)
	case s.PerDay < 0 || s.PerDay > MaxPerDay:
		return fmt.Errorf("ten_dlc per_day %d: want 0 to %d", s.PerDay, MaxPerDay)
	case s.Class == "" && s.PerMinute == 0 && s.PerDay == 0:
		return fmt.Errorf("ten_dlc: want a class, per_minute or per_day")
	}
	return nil
}

// Minute returns how many segments may go in any minute, 0 for no cap.
func (s *Spec) Minute() int {
	if s == nil {
		return 0
	}
	if s.PerMinute > 0 {
		return s.PerMinute
	}
	return classRate(s.Class)
}

// Zone is the IANA name of the zone in which days are counted.
const Zone = "America/Los_Angeles"

// Pacific returns the zone in which days are counted.
func Pacific() (*time.Location, error) {
	l, err := time.LoadLocation(Zone)
	if err != nil {
		return nil, fmt.Errorf("the zone in which 10DLC days are counted: %w", err)
	}
	return l, nil
}

// Day is one day of a cap, from Start (included) to End (excluded): 24 hours,
// or 23 and 25 where the clocks change.
type Day struct {
	Name       string // 2026-11-22
	Start, End time.Time
}

// DayOf returns the day of a moment in a zone.
func DayOf(at time.Time, zone *time.Location) Day {
	y, m, d := at.In(zone).Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, zone)
	return Day{Name: start.Format(time.DateOnly), Start: start, End: time.Date(y, m, d+1, 0, 0, 0, 0, zone)}
}
