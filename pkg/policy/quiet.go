package policy

import (
	"fmt"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

const day = 24 * time.Hour

// ParseQuietHours reads the two ends of quiet hours, "21:00" each.
func ParseQuietHours(from, to string) (QuietHours, error) {
	f, err := parseClock(from)
	if err != nil {
		return QuietHours{}, fmt.Errorf("from: %w", err)
	}
	t, err := parseClock(to)
	if err != nil {
		return QuietHours{}, fmt.Errorf("to: %w", err)
	}
	return QuietHours{From: f, To: t, Set: true}, nil
}

func parseClock(s string) (time.Duration, error) {
	if len(s) == 5 && s[2] == ':' && isDigit(s[0]) && isDigit(s[1]) && isDigit(s[3]) && isDigit(s[4]) {
		h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
		if h < 24 && m < 60 {
			return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, nil
		}
	}
	return 0, fmt.Errorf("%q is not a time of day: write it as 21:00", s)
}

// left is how long the hours go on from clock, 0 when it is outside them.
func (q QuietHours) left(clock time.Duration) time.Duration {
	if !q.Set || q.From == q.To || q.From < 0 || q.To < 0 || q.From >= day || q.To >= day {
		return 0
	}
	since := (clock - q.From + day) % day
	length := (q.To - q.From + day) % day
	return max(0, length-since)
}

// Until is the first instant from t on that is not quiet on the clock of a
// zone, in UTC: t itself outside of the hours.
func (q QuietHours) Until(t time.Time, zone *time.Location) time.Time {
	until, ok := quietUntil(t, zone, [maxHours]QuietHours{q})
	if !ok { // the hours leave no instant, which ParseQuietHours does not give
		return t.UTC()
	}
	return until
}

// wait turns an allowed verdict into a hold where the hour is quiet.
func (j *judge) wait(v *Verdict) {
	var quiet [maxHours]QuietHours
	rule, n := "", 0
	for i := range j.hours {
		h := &j.hours[i]
		if !h.covers(j) || !j.quietUnder(h) {
			continue
		}
		quiet[n] = h.quiet
		if h.SendersOwn {
			quiet[n] = j.s.QuietHours
		}
		if rule == "" && quiet[n].left(clock(j.at, j.zone())) > 0 {
			rule = h.ID
		}
		n++
	}
	if rule == "" {
		return
	}
	warnings := v.Warnings
	*v = j.refuse(rule, reason.QuietHours, true, Evidence{Note: j.whoseClock()})
	v.Warnings = warnings
	v.Until, _ = quietUntil(j.at, j.zone(), quiet)
}

// whoseClock is the evidence of quiet hours: the zone that says so.
func (j *judge) whoseClock() string {
	switch {
	case j.f.Zone != nil:
		return "the hour is quiet on the contact's clock"
	case j.s.Zone != nil:
		return "the hour is quiet on the sender's clock, the contact's being unknown"
	default:
		return "the hour is quiet in UTC, no other zone being known"
	}
}

// quietUnder says whether hours h are asked of the message.
func (j *judge) quietUnder(h *hours) bool {
	if h.SendersOwn && !j.s.QuietHours.Set || h.PromotionalOnly && !j.m.Promotional {
		return false
	}
	return !h.AnswersExcepted || j.origin() != "agent" && j.flowType() != "auto_reply"
}

// zone is the contact's, else the sender's, else UTC.
func (j *judge) zone() *time.Location {
	switch {
	case j.f.Zone != nil:
		return j.f.Zone
	case j.s.Zone != nil:
		return j.s.Zone
	default:
		return time.UTC
	}
}

// clock is the time of day at t in zone, as what a clock on the wall shows.
func clock(t time.Time, zone *time.Location) time.Duration {
	t = t.In(zone)
	h, m, s := t.Clock()
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(t.Nanosecond())
}

// quietUntil is the first instant from t on at which none of the hours is
// quiet, in UTC. It goes from one end of quiet to the next, and stops at each
// change of the zone's offset on the way, since the clock jumps there. False
// means that the hours together leave no instant in a week.
func quietUntil(t time.Time, zone *time.Location, hours [maxHours]QuietHours) (time.Time, bool) {
	for end := t.Add(8 * day); t.Before(end); {
		now := clock(t, zone)
		step := time.Duration(0)
		for _, q := range hours {
			step = max(step, q.left(now))
		}
		if step == 0 {
			return t.UTC(), true
		}
		next := t.Add(step)
		if _, change := t.In(zone).ZoneBounds(); !change.IsZero() && change.After(t) && change.Before(next) {
			next = change
		}
		t = next
	}
	return time.Time{}, false
}
