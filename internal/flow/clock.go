package flow

import "time"

// wall is what a clock on the wall shows: a day, and the time since its
// midnight, below 24 h.
type wall struct {
	year  int
	month time.Month
	day   int
	clock time.Duration
}

// wallOf returns what the clock of a zone shows at a moment.
func wallOf(t time.Time, zone *time.Location) wall {
	t = t.In(zone)
	w := wall{clock: clockOf(t)}
	w.year, w.month, w.day = t.Date()
	return w
}

func clockOf(t time.Time) time.Duration {
	h, m, s := t.Clock()
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(t.Nanosecond())
}

// plus returns the same time of day some days later.
func (w wall) plus(days int) wall {
	t := time.Date(w.year, w.month, w.day+days, 0, 0, 0, 0, time.UTC)
	w.year, w.month, w.day = t.Date()
	return w
}

// at returns another time of the same day.
func (w wall) at(clock time.Duration) wall {
	w.clock = clock
	return w
}

// in returns the first moment, in UTC, at which the clock of a zone shows w or
// a later time: where the clock jumps over w, the moment of the jump, and where
// it shows w twice, the first.
func (w wall) in(zone *time.Location) time.Time {
	shown := time.Date(w.year, w.month, w.day, 0, 0, 0, 0, time.UTC).Add(w.clock)
	for t := shown.Add(-widest); ; {
		start, end := t.In(zone).ZoneBounds()
		_, offset := t.In(zone).Zone()
		moment := shown.Add(-time.Duration(offset) * time.Second)
		switch {
		case !start.IsZero() && moment.Before(start): // the clock jumped over it to get here
			return start.UTC()
		case end.IsZero() || moment.Before(end):
			return moment
		}
		t = end
	}
}

// widest is more than any clock was ever from UTC, in either direction.
const widest = 26 * time.Hour

// next returns the first moment from t on at which the clock of a zone shows
// a time of day, as far as it is shown twice the first of both. On days that
// jump over it, it is the moment of the jump; days that a zone left out don't
// count.
func next(t time.Time, clock time.Duration, zone *time.Location) time.Time {
	today := wallOf(t, zone)
	for days := 0; ; days++ {
		day := today.plus(days)
		if begin := wallOf(day.at(0).in(zone), zone); begin.at(0) != day.at(0) {
			continue
		}
		if moment := day.at(clock).in(zone); !moment.Before(t) {
			return moment
		}
	}
}
