package console

import "time"

// meterWindow is how far back a rate looks: long enough to be steady over the
// pauses between batches, short enough to show a stall.
const meterWindow = 5 * time.Second

// Meter tells the recent rate of a count that grows. The zero value is ready.
type Meter struct {
	samples []sample // of the window, oldest first, and one before it
}

type sample struct {
	at time.Time
	n  int
}

// Add notes that the count was n at a moment. A count that shrinks, as after
// a redrive, begins anew.
func (m *Meter) Add(at time.Time, n int) {
	if k := len(m.samples); k > 0 && n < m.samples[k-1].n {
		m.samples = m.samples[:0]
	}
	m.samples = append(m.samples, sample{at, n})
	for len(m.samples) > 2 && !m.samples[1].at.After(at.Add(-meterWindow)) {
		m.samples = m.samples[1:]
	}
}

// PerSecond returns the rate over the window, 0 while it is not known.
func (m *Meter) PerSecond() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	d := last.at.Sub(first.at)
	if d <= 0 {
		return 0
	}
	return float64(last.n-first.n) / d.Seconds()
}

// Left returns how long the rest takes at the recent rate; false where that
// can't be told.
func (m *Meter) Left(rest int) (time.Duration, bool) {
	r := m.PerSecond()
	if r <= 0 {
		return 0, false
	}
	return time.Duration(float64(rest) / r * float64(time.Second)), true
}
