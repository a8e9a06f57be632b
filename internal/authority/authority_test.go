package authority

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
)

// Whoever has a certificate of the same authority is let in, at both ends, and
// nobody else is.
func TestWhoTrustsWhom(t *testing.T) {
	ours, others := New(t), New(t)
	for name, c := range map[string]struct {
		server, client *tls.Config
		trusted        bool
	}{
		"one authority":   {ours.TLS(t, "server"), ours.TLS(t, "client"), true},
		"another":         {ours.TLS(t, "server 2"), others.TLS(t, "stranger"), false},
		"no certificate":  {ours.TLS(t, "server 3"), &tls.Config{RootCAs: ours.TLS(t, "nobody").RootCAs, MinVersion: tls.VersionTLS12}, false},
		"another address": {ours.TLS(t, "server 4"), elsewhere(ours.TLS(t, "lost")), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := greet(t, c.server, c.client); (err == nil) != c.trusted {
				t.Errorf("greeting: %v", err)
			}
		})
	}
}

func elsewhere(c *tls.Config) *tls.Config {
	c.ServerName = "elsewhere.test"
	return c
}

// greet returns what either end has against the other.
func greet(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			err = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
		served <- err
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err == nil {
		_, err = io.Copy(io.Discard, conn) // which ends with the server
		_ = conn.Close()
	}
	return errors.Join(<-served, err)
}

func TestIssue(t *testing.T) {
	a := New(t)
	pair, err := tls.LoadX509KeyPair(a.Issue(t, "shop", "*.shop.test"))
	if err != nil {
		t.Fatal(err)
	}
	for host, good := range map[string]bool{"api.shop.test": true, "127.0.0.1": true, "127.0.0.2": false, "shop.example": false} {
		if err := pair.Leaf.VerifyHostname(host); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
}
