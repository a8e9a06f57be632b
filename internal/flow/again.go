package flow

import "time"

// Again returns how long after a run began its contact, or its key, may have
// another; 0 where that is no matter of time.
func (p *Program) Again() time.Duration { return p.after }
