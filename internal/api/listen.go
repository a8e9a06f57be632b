package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Listening is where the API listens and whom it believes.
type Listening struct {
	Address   string         // host:port; port 0 takes a free one
	Cert, Key string         // PEM files; "": plain HTTP
	Proxies   []netip.Prefix // who may end TLS before the API, and whose X-Forwarded-For counts
}

// Listener is where a server listens.
type Listener struct {
	net.Listener
	tls *tls.Config // nil: plain HTTP
}

// URL is the base of the API there.
func (l *Listener) URL() string {
	if l.tls != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// Check says in one line why the API must not, or can't, listen so, before
// anything is opened.
func (l Listening) Check() error {
	if _, err := l.resolve(); err != nil {
		return err
	}
	_, err := l.secure(nil)
	return err
}

// resolve returns the address itself, of a name too, so that what was checked
// is what is opened.
func (l Listening) resolve() (*net.TCPAddr, error) {
	addr, err := net.ResolveTCPAddr("tcp", l.Address)
	if err != nil {
		return nil, fmt.Errorf("the API can't listen on %s: %w; set CARILLON_LISTEN to another host:port", l.Address, err)
	}
	if l.Cert == "" && len(l.Proxies) == 0 && !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("the API won't listen on %s in plain HTTP, where tokens can be read on their way: set CARILLON_TLS_CERT and CARILLON_TLS_KEY, "+
			"or CARILLON_TRUSTED_PROXIES where a proxy ends TLS, or listen on 127.0.0.1", l.Address)
	}
	return addr, nil
}

// secure returns how TLS is spoken, nil for plain HTTP.
func (l Listening) secure(log *slog.Logger) (*tls.Config, error) {
	if l.Cert == "" && l.Key == "" {
		return nil, nil
	}
	if l.Cert == "" || l.Key == "" {
		return nil, errors.New("CARILLON_TLS_CERT and CARILLON_TLS_KEY: want both or none")
	}
	c, err := openCertificate(l.Cert, l.Key, log)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

// Listen opens where the server is to listen. Its errors are one line.
func (s *Server) Listen() (*Listener, error) {
	addr, err := s.Listening.resolve()
	if err != nil {
		return nil, err
	}
	conf, err := s.Listening.secure(s.Log)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the API can't listen on %s: %w; set CARILLON_LISTEN to another host:port", s.Listening.Address, err)
	}
	return &Listener{ln, conf}, nil
}

// private tells whether a request's token can't have been read by others
// between the proxy and here: nobody but a proxy may speak plain HTTP where
// one stands before the API, and this machine.
func (l Listening) private(r *http.Request) bool {
	return r.TLS != nil || len(l.Proxies) == 0 || peer(r).IsLoopback() || l.trusts(peer(r))
}

func (l Listening) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(l.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// peer is the other end of a request's connection.
func peer(r *http.Request) netip.Addr {
	p, _ := netip.ParseAddrPort(r.RemoteAddr) // of net/http; the zero Addr is nobody's
	return p.Addr().Unmap().WithZone("")
}

// client is who sent a request: its peer, or, of one that a trusted proxy
// handed on, the last one in X-Forwarded-For that is no such proxy. What
// stands before that anybody may have written.
func (l Listening) client(r *http.Request) netip.Addr {
	at := peer(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil || !l.trusts(at) {
			return at
		}
		at = a.Unmap().WithZone("")
	}
	return at
}

// called is the whole address that a request was sent to, as far as it can be
// known here.
func (l Listening) called(r *http.Request) string {
	scheme := "http"
	switch {
	case r.TLS != nil:
		scheme = "https"
	case l.trusts(peer(r)) && r.Header.Get("X-Forwarded-Proto") != "http": // a proxy that is trusted ends TLS
		scheme = "https"
	}
	return scheme + "://" + r.Host + r.URL.RequestURI()
}

// harden says in every answer that it is data: no browser may guess that it is
// a page, run or frame anything of it, or come back without TLS.
func harden(a *answer, r *http.Request) {
	h := a.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
