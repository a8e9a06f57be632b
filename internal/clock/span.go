package clock

import "time"

// Reader tells what this machine's two clocks show: the wall's, which may be
// set, and the one that only ever runs on. The zero value is of no use.
type Reader struct{ base time.Time }

// NewReader returns a reader.
func NewReader() Reader { return Reader{time.Now()} }

// Instant is a moment by both clocks of this machine.
type Instant struct {
	Wall time.Time
	Mono time.Duration // since the reader was made
}

// Instant reads a moment, which time.Now returned.
func (r Reader) Instant(t time.Time) Instant { return Instant{t.Round(0), t.Sub(r.base)} }

// stepped is how far the wall's clock was set forward between two moments.
func stepped(from, to Instant) time.Duration { return to.Wall.Sub(from.Wall) - (to.Mono - from.Mono) }

// Span is how far another clock is ahead of this machine's wall clock, as
// closely as one question to it can tell: between Low and High.
type Span struct {
	Low, High time.Duration
	At        Instant // when that was so
}

// Compare reads another clock's answer to a question that was sent and answered
// at two moments here. The clock showed what it said, or up to its grain
// more, at some moment between the two.
func Compare(theirs time.Time, grain time.Duration, sent, received Instant) Span {
	low := theirs.Sub(received.Wall)
	return Span{low, low + grain + received.Mono - sent.Mono, received}
}

// By is the span as it must be at a moment if the other clock ran on evenly.
func (s Span) By(now Instant) Span {
	step := stepped(s.At, now)
	return Span{s.Low - step, s.High - step, now}
}

// Apart is how far the other clock is ahead of this one for sure; negative:
// behind it; 0: they may agree.
func (s Span) Apart() time.Duration {
	switch {
	case s.Low > 0:
		return s.Low
	case s.High < 0:
		return s.High
	}
	return 0
}

// Moved is how far the other clock was set, for sure, between an earlier
// answer and this one; negative: back. What was done to this machine's clock
// meanwhile does not count.
func (s Span) Moved(before Span) time.Duration {
	before = before.By(s.At)
	return Span{Low: s.Low - before.High, High: s.High - before.Low}.Apart()
}

// slack is how far two clocks that are slewed may come apart in a while: ten
// times the 50 ppm of a bad quartz, and as much again for a daemon that corrects it.
func slack(d time.Duration) time.Duration { return d / 1000 }

// Steady tells whether the other clock may have run on evenly since an earlier
// answer, up to a limit.
func (s Span) Steady(before Span, limit time.Duration) bool {
	return s.Moved(before).Abs() <= limit+slack(s.At.Mono-before.At.Mono)
}
