package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// countedConn counts the writes that may have put something on the wire. It
// sits above TLS, so that handshakes and closing alerts, which carry no
// request, do not count.
type countedConn struct {
	net.Conn
	writes atomic.Int64
}

// Write counts before it writes: whoever reads the counter while a Write is
// under way sees it. Only a Write that says it passed nothing on is taken back.
// Of TLS that means that no whole record left, which a peer cannot read.
func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.Conn.Write(p)
	if n == 0 && err != nil {
		c.writes.Add(-1)
	}
	return n, err
}

// counted finds the counting connection under what net/http reports. Behind a
// proxy net/http does TLS itself, above ours; then records are counted instead,
// which errs towards "may have left".
func counted(conn net.Conn) *countedConn {
	switch c := conn.(type) {
	case *countedConn:
		return c
	case *tls.Conn:
		return counted(c.NetConn())
	}
	return nil
}

// Dial opens a network connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// plain dials and counts.
func plain(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
}

// secure dials, shakes hands within limit and counts what comes after.
func secure(dial Dial, config *tls.Config, limit time.Duration) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := config.Clone()
		if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
			config.ServerName = host
		}
		shaken := tls.Client(conn, config)
		if err := shaken.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return &countedConn{Conn: shaken}, nil
	}
}

// line is what one call knows of its connection.
type line struct {
	conn   *countedConn
	raw    net.Conn
	before int64
}

// got is the GotConn hook. net/http calls it on the caller's goroutine, once
// the connection is this call's alone and before anything is written.
func (l *line) got(info httptrace.GotConnInfo) {
	l.raw = info.Conn
	if l.conn = counted(info.Conn); l.conn != nil {
		l.before = l.conn.writes.Load()
	}
}

// left says after a failed call whether anything of the request may have left.
// It closes the connection first, so that a write that has not begun by then
// cannot begin.
func (l *line) left() bool {
	if l.raw == nil {
		return false
	}
	l.raw.Close()
	return l.conn == nil || l.conn.writes.Load() != l.before
}
