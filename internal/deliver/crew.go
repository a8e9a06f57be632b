package deliver

import (
	"sync"
	"time"
)

// crew makes calls with about as few goroutines as keep up with their slots:
// against a platform that answers at once a handful, against a slow one as
// many as there are calls. A goroutine for each call would cost more than the
// call where the platform is near. The zero value is ready.
type crew struct {
	wg   sync.WaitGroup
	work chan func()
	size int
}

// crewPatience is how long a call waits for a free goroutine before the crew
// doubles: a fraction of a slot's life, a few times over.
const crewPatience = 2 * time.Millisecond

// do makes one call, soon. Only one goroutine may ask at a time.
func (c *crew) do(call func()) {
	if c.work == nil {
		c.work = make(chan func())
	}
	select {
	case c.work <- call:
		return
	default:
	}
	if c.size > 0 {
		t := time.NewTimer(crewPatience)
		defer t.Stop()
		select {
		case c.work <- call:
			return
		case <-t.C:
		}
	}
	for range max(1, c.size-1) {
		c.grow(nil)
	}
	c.grow(call)
}

func (c *crew) grow(first func()) {
	c.size++
	c.wg.Go(func() {
		if first != nil {
			first()
		}
		for call := range c.work {
			call()
		}
	})
}

// wait returns once every call is made. Nothing may be asked for any more.
func (c *crew) wait() {
	if c.work != nil {
		close(c.work)
	}
	c.wg.Wait()
}
