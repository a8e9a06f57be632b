// Package cable is a way through TCP that can be cut, for tests of what happens
// on networks that drop packets. It is imported by tests alone, and looks at
// nothing that passes.
//
// Its invariant: what comes out at one end is what went in at the other, in
// order, and while the way is cut nothing comes out.
package cable

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
)

// Cable carries bytes to a server until it is cut. What is on the way then
// stays there, closing included, until the cable is mended: nobody is told. It
// is safe for concurrent use.
type Cable struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	whole chan struct{} // closed while it is whole
	ends  map[net.Conn]struct{}
	over  bool
}

// Lay lays a cable to an address where somebody may listen now or later; it
// ends with the test. A connection to it closes where nobody listens.
func Lay(t testing.TB, to string) *Cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{ln: ln, to: to, whole: make(chan struct{}), ends: map[net.Conn]struct{}{}}
	close(c.whole)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				all.Go(func() { c.join(t.Context(), conn) })
			}
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.end()
		all.Wait()
	})
	return c
}

// Addr returns the near end, host:port.
func (c *Cable) Addr() string { return c.ln.Addr().String() }

// Cut lets nothing pass until Mend.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.whole:
		c.whole = make(chan struct{})
	default: // it is
	}
}

// Mend lets pass what waits, and what comes.
func (c *Cable) Mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.whole:
	default:
		close(c.whole)
	}
}

// join carries one connection both ways until an end closes it.
func (c *Cable) join(ctx context.Context, near net.Conn) {
	defer near.Close()
	if !c.holds(near) {
		return
	}
	defer c.drops(near)
	c.passes()
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !c.holds(far) {
		return
	}
	defer c.drops(far)
	var both sync.WaitGroup
	both.Go(func() { c.carry(far, near) })
	both.Go(func() { c.carry(near, far) })
	both.Wait()
}

func (c *Cable) carry(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.passes()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// passes returns once the cable is whole.
func (c *Cable) passes() {
	c.mu.Lock()
	whole := c.whole
	c.mu.Unlock()
	<-whole
}

// holds notes an end that must close with the cable; false where it has ended.
func (c *Cable) holds(end net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[end] = struct{}{}
	return !c.over
}

func (c *Cable) drops(end net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, end)
}

func (c *Cable) end() {
	c.Mend()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for end := range c.ends {
		_ = end.Close()
	}
}
