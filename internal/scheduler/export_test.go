package scheduler

// Has tells whether the leader has anything to do for a broadcast.
func (l *Leader) Has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active[id] != nil
}
