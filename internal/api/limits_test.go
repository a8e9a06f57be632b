package api

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/carillon-dev/carillon/internal/access"
)

// hall is a server with every route and no room behind any of them, at a
// moment that does not pass. It lets one token through once a second, and
// twice after a rest.
func hall() *Server {
	s := &Server{
		Config: Config{Tracer: noop.NewTracerProvider().Tracer(""), Log: slog.New(slog.DiscardHandler)},
		token:  sha256.Sum256([]byte("root")), limits: newLimits(1), mux: http.NewServeMux(),
	}
	now := time.Now()
	s.limits.now = func() time.Time { return now }
	s.register()
	return s
}

func (s *Server) knock(rt route, token, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(rt.method, strings.NewReplacer("{id}", "none", "{job}", "none").Replace(rt.path), nil) //nolint:noctx // a recorder's
	r.RemoteAddr = from
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestRateOfACaller: every operation that needs a token counts and is
// refused, each token for itself, before anything else is looked at.
func TestRateOfACaller(t *testing.T) {
	for _, rt := range hall().routes() {
		s := hall()
		for range 2 { // the burst
			if err := s.limits.call(access.Root()); err != nil {
				t.Fatal(err)
			}
		}
		w := s.knock(rt, "root", "192.0.2.7:1000")
		if limited := w.Code == http.StatusTooManyRequests; limited != (rt.role != "") {
			t.Errorf("%s %s: %d %s", rt.method, rt.path, w.Code, w.Body)
		} else if limited && (w.Header().Get("Retry-After") != "1" || w.Header().Get("Content-Type") != problemType) {
			t.Errorf("%s %s: %v", rt.method, rt.path, w.Header())
		}
		if err := s.limits.call(access.Principal{ID: "another"}); err != nil {
			t.Errorf("another token: %v", err)
		}
	}
}

// TestRateOfFailures: an address with too many requests without a token is
// told to wait, whatever its port; others are not, nor is a valid token there.
func TestRateOfFailures(t *testing.T) {
	rt := route{method: http.MethodPost, path: "/v1/nowhere"} // one that shows whether a token was valid: 404
	for name, addr := range map[string][3]string{
		"IPv4": {"198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"},
		"IPv6": {"[2001:db8::1]:1", "[2001:db8::ffff:2]:1", "[2001:db8:0:1::1]:1"}, // whoever has one has 2^64
	} {
		s := hall()
		for i := range failureBurst {
			if w := s.knock(rt, "", addr[0]); w.Code != http.StatusUnauthorized {
				t.Fatalf("%s, request %d: %d", name, i+1, w.Code)
			}
		}
		for from, want := range map[string]int{addr[0]: 429, addr[1]: 429, addr[2]: 401} {
			if w := s.knock(rt, "", from); w.Code != want || want == 429 && w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s, from %s: %d %v, want %d", name, from, w.Code, w.Header(), want)
			}
		}
		if w := s.knock(rt, "root", addr[0]); w.Code != http.StatusNotFound {
			t.Errorf("%s: a valid token at the same address: %d", name, w.Code)
		}
	}
}

// TestOnlyTheNetworkIsLogged: a caller's address is a person's.
func TestOnlyTheNetworkIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := hall()
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	s.knock(route{method: http.MethodPost, path: "/v1/nowhere"}, "", "198.51.100.77:1")
	if got := log.String(); !strings.Contains(got, "from=198.51.100.0/24") || strings.Contains(got, "198.51.100.77") {
		t.Error(got)
	}
}

func TestHousehold(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := household(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if household(netip.Addr{}) == "" {
		t.Error("callers without an address share a bucket, and it needs a name")
	}
}
