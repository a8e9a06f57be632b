package automation

import "time"

// pacer bounds how many runs of a flow begin in any minute. It keeps when the
// last ones began, and lets one begin a minute after the one that is as many
// before it as may.
type pacer struct {
	most  int         // 0: any number
	began []time.Time // a ring
	at    int         // of the oldest
}

// pacer returns that of a flow as it is now.
func (d *Driver) pacer(l *live) *pacer {
	most := l.newest.Spec.Limits.StartsPerMinute
	if l.pace == nil || l.pace.most != most {
		l.pace = &pacer{most: most}
	}
	return l.pace
}

// next returns when the next run may begin; the zero time: at once.
func (p *pacer) next(now time.Time) time.Time {
	if p.most == 0 || len(p.began) < p.most {
		return time.Time{}
	}
	if at := p.began[p.at].Add(time.Minute); at.After(now) {
		return at
	}
	return time.Time{}
}

// took notes that a run begins at a moment that next gave.
func (p *pacer) took(at, now time.Time) {
	if p.most == 0 {
		return
	}
	if at.IsZero() {
		at = now
	}
	if len(p.began) < p.most {
		p.began = append(p.began, at)
		return
	}
	p.began[p.at] = at
	p.at = (p.at + 1) % p.most
}
