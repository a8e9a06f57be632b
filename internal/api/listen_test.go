package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/carillon-dev/carillon/internal/authority"
	"github.com/carillon-dev/carillon/pkg/client"
)

// writePair puts the n-th certificate for 127.0.0.1, and its key, where the
// one before was.
func writePair(t *testing.T, dir string, n int64) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	from, secret := authority.New(t).Issue(t, strconv.FormatInt(n, 10))
	for path, of := range map[string]string{cert: from, key: secret} {
		b, err := os.ReadFile(of)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, b, n)
	}
	return cert, key
}

// write writes a file with a time of its own, since two writes may fall into
// one tick of the file system's clock.
func write(t *testing.T, path string, b []byte, n int64) {
	t.Helper()
	at := time.Unix(1_700_000_000+n, 0)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func prefixes(t *testing.T, all ...string) []netip.Prefix {
	t.Helper()
	var out []netip.Prefix
	for _, s := range all {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestNothingListensInTheOpen: beyond this machine there is TLS, or somebody
// who is said to end it, or one line instead of a server.
func TestNothingListensInTheOpen(t *testing.T) {
	cert, key := authority.New(t).Issue(t, "api")
	exposed := filepath.Join(t.TempDir(), "open.key")
	b, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, exposed, b, 1)
	if err := os.Chmod(exposed, 0o644); err != nil { //nolint:gosec // that is the fault
		t.Fatal(err)
	}
	proxy := prefixes(t, "10.0.0.0/8")
	const open = "in plain HTTP, where tokens can be read on their way: set CARILLON_TLS_CERT and CARILLON_TLS_KEY, or CARILLON_TRUSTED_PROXIES where a proxy ends TLS, or listen on 127.0.0.1"
	for _, c := range []struct {
		l    Listening
		want string // in the error; "": none
	}{
		{Listening{Address: "127.0.0.1:0"}, ""},
		{Listening{Address: "127.8.9.1:0"}, ""},
		{Listening{Address: "localhost:0"}, ""},
		{Listening{Address: "0.0.0.0:0", Cert: cert, Key: key}, ""},
		{Listening{Address: ":0", Proxies: proxy}, ""},
		{Listening{Address: ":0"}, "the API won't listen on :0 " + open},
		{Listening{Address: "0.0.0.0:0"}, "the API won't listen on 0.0.0.0:0 " + open},
		{Listening{Address: "[::]:0"}, "the API won't listen on [::]:0 " + open},
		{Listening{Address: "192.0.2.1:0"}, "the API won't listen on 192.0.2.1:0 " + open},
		{Listening{Address: "127.0.0.1"}, "the API can't listen on 127.0.0.1: "},
		{Listening{Address: "127.0.0.1:0", Cert: cert}, "CARILLON_TLS_CERT and CARILLON_TLS_KEY: want both or none"},
		{Listening{Address: "127.0.0.1:0", Cert: cert, Key: cert}, "the API's certificate: "},
		{Listening{Address: "127.0.0.1:0", Cert: cert, Key: key + "x"}, "the API's certificate: stat " + key + "x: no such file"},
		{Listening{Address: "127.0.0.1:0", Cert: cert, Key: exposed}, exposed + " holds a secret and is open to others (mode 0644); run: chmod 600 " + exposed},
	} {
		s := &Server{Config: Config{Listening: c.l, Log: slog.New(slog.DiscardHandler)}}
		ln, err := s.Listen()
		if err == nil {
			_ = ln.Close()
		}
		for _, err := range []error{err, c.l.Check()} {
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%+v: %v", c.l, err)
			}
		}
	}
}

// TestTLS: the API speaks TLS 1.2 and later with a certificate that is read
// anew when it changes, and by no spoilt one.
func TestTLS(t *testing.T) {
	ca := authority.New(t)
	cert, key := ca.Issue(t, "api")
	s := &Server{
		Config: Config{Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler), Listening: Listening{Address: "127.0.0.1:0", Cert: cert, Key: key}},
		mux:    http.NewServeMux(),
	}
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { s.run(route{handle: s.healthy}, w, r) })
	ln, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if !strings.HasPrefix(ln.URL(), "https://127.0.0.1:") {
		t.Error(ln.URL())
	}
	pool := ca.TLS(t, "somebody").RootCAs
	c := client.New(ln.URL(), "", client.WithTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	defer c.Close()
	if err := c.Healthy(ctx); err != nil {
		t.Error(err)
	}
	stranger := client.New(ln.URL(), "")
	defer stranger.Close()
	if err := stranger.Healthy(ctx); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
	}
	old := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}} //nolint:gosec // that is what is refused
	if conn, err := old.DialContext(ctx, "tcp", ln.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was taken")
	}
}

func TestCertificateIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1)
	var log bytes.Buffer
	c, err := openCertificate(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := c.looked
	c.now = func() time.Time { return now }
	shown := func() string {
		got, err := c.get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.Subject.CommonName
	}
	writePair(t, dir, 2)
	now = now.Add(certificateEvery - 1)
	if got := shown(); got != "1" {
		t.Errorf("a moment before it is looked at: %s", got)
	}
	now = now.Add(1)
	if got := shown(); got != "2" {
		t.Errorf("when it is looked at: %s", got)
	}
	for _, spoil := range []func(){
		func() { write(t, cert, []byte("x"), 3) },
		func() { writePair(t, dir, 4); os.Remove(key) },
		func() { writePair(t, dir, 5); os.Chmod(key, 0o644) }, //nolint:gosec // that is the fault
	} {
		log.Reset()
		spoil()
		for range 3 {
			now = now.Add(certificateEvery)
			if got := shown(); got != "2" {
				t.Errorf("a spoilt one in its place: %s", got)
			}
		}
		if n := strings.Count(log.String(), "the API's new certificate can't be used; the one before serves on"); n != 1 {
			t.Errorf("%d lines: %s", n, &log)
		}
	}
	if err := os.Chmod(key, 0o600); err != nil { // which changes neither time nor size
		t.Fatal(err)
	}
	now = now.Add(certificateEvery)
	if got := shown(); got != "5" {
		t.Errorf("once it is mended: %s", got)
	}
}

func TestClient(t *testing.T) {
	l := Listening{Proxies: prefixes(t, "10.0.0.0/8", "fd00::/8")}
	for _, c := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"192.0.2.1:9", nil, "192.0.2.1"},
		{"192.0.2.1:9", []string{"198.51.100.7"}, "192.0.2.1"}, // it is nobody's proxy
		{"10.1.2.3:9", nil, "10.1.2.3"},
		{"10.1.2.3:9", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:9", []string{"6.6.6.6, 198.51.100.7"}, "198.51.100.7"}, // what stands before was written by anybody
		{"10.1.2.3:9", []string{"6.6.6.6", "198.51.100.7, 10.9.9.9"}, "198.51.100.7"},
		{"10.1.2.3:9", []string{"6.6.6.6, nonsense"}, "10.1.2.3"},
		{"10.1.2.3:9", []string{"10.4.4.4"}, "10.4.4.4"},
		{"[fd00::1]:9", []string{"2001:db8::7"}, "2001:db8::7"},
		{"[::ffff:10.1.2.3]:9", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.xff
		if got := l.client(r); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s %q: %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}

// TestPastTheProxy: where a proxy ends TLS, a token that comes in plain HTTP
// from anybody else but this machine is not looked at.
func TestPastTheProxy(t *testing.T) {
	for _, c := range []struct {
		peer    string
		proxies []netip.Prefix
		tls     bool
		status  int
	}{
		{"192.0.2.1:9", nil, false, 401}, // a test's listener, or loopback by address
		{"10.1.2.3:9", prefixes(t, "10.0.0.0/8"), false, 401},
		{"127.0.0.1:9", prefixes(t, "10.0.0.0/8"), false, 401},
		{"192.0.2.1:9", prefixes(t, "10.0.0.0/8"), false, 403},
		{"192.0.2.1:9", prefixes(t, "10.0.0.0/8"), true, 401},
	} {
		s := &Server{limits: newLimits(1), Config: Config{Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler), Listening: Listening{Proxies: c.proxies}}, mux: http.NewServeMux()}
		r := httptest.NewRequest(http.MethodGet, "/v1/senders", nil)
		r.RemoteAddr = c.peer
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != c.status || rec.Code == 403 && !strings.Contains(rec.Body.String(), "CARILLON_TRUSTED_PROXIES does not have 192.0.2.1") {
			t.Errorf("%+v: %d %s", c, rec.Code, rec.Body)
		}
		h := rec.Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") == "" || (h.Get("Strict-Transport-Security") != "") != c.tls || h.Get("Server") != "" {
			t.Errorf("%+v: %v", c, h)
		}
	}
}
