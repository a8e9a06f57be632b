package flow

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/carillon-dev/carillon/internal/expression"
)

// date is a compiled Date.
type date struct {
	field  *expression.Expression
	offset time.Duration
	at     *time.Duration
}

func (c *compiler) date(field string, s *Date) *date {
	if s == nil {
		return nil
	}
	d := &date{field: c.expression(field+".field", s.Field, cel.TimestampType, cel.StringType), offset: c.duration(field+".offset", s.Offset)}
	if s.At != "" {
		clock, err := clockTime(s.At)
		if err != nil {
			c.fail(field+".at", err)
		}
		d.at = &clock
	}
	return d
}

// reckon returns the moment, in UTC, and false while there is none: the field
// is empty, or holds no date.
func (d *date) reckon(s *scope, zone *time.Location) (time.Time, bool) {
	ev := s.evaluation()
	switch v := ev.Value(d.field).(type) {
	case types.Timestamp:
		return d.from(v.Time, zone), true
	case types.String:
		if t, err := time.Parse(time.RFC3339, string(v)); err == nil {
			return d.from(t, zone), true
		}
		if t, err := time.Parse(time.DateOnly, string(v)); err == nil {
			return d.onDay(wallOf(t, time.UTC), zone), true
		}
	}
	return time.Time{}, false
}

// from reckons from a moment. With a time of day the day is that of the
// moment on the contact's clock, and whole days of the offset are days of the
// calendar.
func (d *date) from(t time.Time, zone *time.Location) time.Time {
	if d.at == nil {
		return t.Add(d.offset).UTC()
	}
	t = wallOf(t, zone).plus(int(d.offset / day)).in(zone).Add(d.offset % day)
	return wallOf(t, zone).at(*d.at).in(zone)
}

// onDay reckons from a bare day, which begins at midnight.
func (d *date) onDay(w wall, zone *time.Location) time.Time {
	t := w.plus(int(d.offset / day)).in(zone).Add(d.offset % day)
	if d.at == nil {
		return t
	}
	return wallOf(t, zone).at(*d.at).in(zone)
}
