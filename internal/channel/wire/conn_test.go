package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
)

func TestCountedConn(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs)
	c := &countedConn{Conn: ours}
	if _, err := c.Write([]byte("x")); err != nil || c.writes.Load() != 1 {
		t.Errorf("%d writes, %v; want 1", c.writes.Load(), err)
	}
	c.Close()
	if _, err := c.Write([]byte("x")); err == nil || c.writes.Load() != 1 {
		t.Errorf("%d writes after one to a closed connection, %v; want 1", c.writes.Load(), err)
	}
}

func TestWriteUnderWayCounts(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	c := &countedConn{Conn: ours}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Write([]byte("xy"))
	}()
	theirs.Read(make([]byte, 1)) // the Write now waits for its second byte to be read
	if c.writes.Load() != 1 {
		t.Error("a write under way does not count")
	}
	c.Close()
	<-done
	if c.writes.Load() != 1 {
		t.Error("a write that passed on one byte of two does not count")
	}
}

// TestOnlyRequestsCount holds the counter against what TLS itself writes.
func TestOnlyRequestsCount(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	var raw *countedConn
	c, err := New(Options{TLS: s.Client().Transport.(*http.Transport).TLSClientConfig},
		func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			raw = &countedConn{Conn: conn}
			return raw, err
		})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.http.DialTLSContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	shaken := raw.writes.Load()
	conn.Close()
	if above := conn.(*countedConn).writes.Load(); above != 0 || shaken == 0 || raw.writes.Load() <= shaken {
		t.Errorf("%d writes counted; below, %d for the handshake and %d in all", above, shaken, raw.writes.Load())
	}
}

func TestCountedIsFoundBelowTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	defer ours.Close()
	c := &countedConn{Conn: ours}
	if counted(tls.Client(c, &tls.Config{})) != c || counted(c) != c || counted(ours) != nil {
		t.Error("the counting connection is not found where it is, or where it is not")
	}
	w := line{raw: ours}
	if !w.left() || (&line{}).left() {
		t.Error("what cannot be counted must count as left; without a connection nothing left")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := New(Options{}, Net())
	if err != nil {
		t.Fatal(err)
	}
	if c.timeout != DefaultTimeout || c.http.IdleConnTimeout != DefaultIdle || c.http.MaxConnsPerHost != 0 || c.http.MaxIdleConnsPerHost != defaultIdleConns {
		t.Errorf("timeout %v, idle %v, %d connections, %d idle", c.timeout, c.http.IdleConnTimeout, c.http.MaxConnsPerHost, c.http.MaxIdleConnsPerHost)
	}
	if c.http.Proxy != nil {
		t.Error("without Options.Proxy there is a proxy: the environment's are not ours")
	}
	for _, o := range []Options{{Timeout: -1}, {IdleTimeout: -1}, {MaxConnsPerHost: -1}} {
		if _, err := New(o, Net()); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ raw, want string }{
		{"https://api.example", "https://api.example"}, {"http://127.0.0.1:8081/x/", "http://127.0.0.1:8081/x"},
		{"api.example", ""}, {"ftp://h", ""}, {"https://u:p@h", ""}, {"https://h?x", ""}, {"https://h#x", ""}, {"", ""}, {"http://[", ""},
	} {
		u, err := Base(c.raw)
		if (err == nil) != (c.want != "") || err == nil && u.String() != c.want {
			t.Errorf("%s: %v, %v, want %q", c.raw, u, err, c.want)
		}
	}
}

func TestNoveltiesAreBounded(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	n := NewNovelties(slog.New(slog.NewTextHandler(&logged, nil)))
	for code := range 2 * maxNovel {
		n.Note(t.Context(), channel.Result{Code: 500_000 + code, Subcode: 1})
		n.Note(t.Context(), channel.Result{Code: 500_000 + code, Subcode: 1})
	}
	if lines := strings.Count(logged.String(), "\n"); lines != maxNovel {
		t.Errorf("%d lines, want %d", lines, maxNovel)
	}
	NewNovelties(nil).Note(t.Context(), channel.Result{Code: 1})
}
