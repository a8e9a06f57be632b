package cable

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo listens and answers with what it gets.
func echo(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return ln
}

func dial(t *testing.T, w *Cable) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", w.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// says fails the test unless what is sent comes back.
func says(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	hears(t, c, text)
}

func hears(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v; want %q", got, err, text)
	}
}

func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Fatalf("%d bytes, %v; want silence", n, err)
	}
}

// TestCut: what is sent while it is cut comes once it is mended, on
// connections from before and on those made meanwhile.
func TestCut(t *testing.T) {
	w := Lay(t, echo(t).Addr().String())
	old := dial(t, w)
	says(t, old, "before")
	w.Cut()
	fresh := dial(t, w)
	for _, c := range []net.Conn{old, fresh} {
		if _, err := io.WriteString(c, "during"); err != nil {
			t.Fatal(err)
		}
		silent(t, c)
	}
	w.Mend()
	for _, c := range []net.Conn{old, fresh} {
		hears(t, c, "during")
		says(t, c, "after")
	}
}

// TestClosing: nobody hears that the other end closed before the way is
// mended.
func TestClosing(t *testing.T) {
	far := echo(t)
	w := Lay(t, far.Addr().String())
	c := dial(t, w)
	says(t, c, "before")
	w.Cut()
	d := dial(t, w)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	silent(t, d)
	w.Mend()
	if err := d.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("%v; want the end of a connection to nobody", err)
	}
	says(t, c, "after")
}
