package push

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/carillon-dev/carillon/internal/secret"
)

func key(b byte, n int) secret.Text {
	return secret.Text("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(b), n))))
}

// TestSignIsTheSpecifications holds against the example of the specification.
func TestSignIsTheSpecifications(t *testing.T) {
	t.Parallel()
	got, err := Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), []secret.Text{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestCheckSecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s  secret.Text
		ok bool
	}{
		"shortest": {key('a', 24), true}, "too short": {key('a', 23), false}, "longest": {key('a', 64), true}, "too long": {key('a', 65), false},
		"no prefix": {secret.Text(strings.TrimPrefix(string(key('a', 24)), "whsec_")), false}, "no base64": {"whsec_" + secret.Text(strings.Repeat("*", 32)), false}, "nothing": {"", false},
	} {
		err := CheckSecret(c.s)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(c.s) > 8 && strings.Contains(err.Error(), string(c.s)[7:]) {
			t.Errorf("%s: a secret is in %q", name, err)
		}
	}
	if _, err := Sign("m", time.Now(), nil, nil); err == nil {
		t.Error("signed by nothing")
	}
}

// receiver takes pushes as a user's program would, by the official library.
type receiver struct {
	*httptest.Server
	calls atomic.Int64
}

func listen(t *testing.T, handle http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.calls.Add(1)
		handle(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func newClient(t *testing.T) *Client {
	t.Helper()
	c := New(nil)
	t.Cleanup(c.Close)
	return c
}

// TestReceiverVerifies: whoever knows one of the secrets knows that a push is
// ours, and one bit more or less in the body is noticed.
func TestReceiverVerifies(t *testing.T) {
	t.Parallel()
	older, newer, other := key('a', 24), key('b', 32), key('c', 64)
	verdicts := map[string]error{}
	r := listen(t, func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		for name, s := range map[string]secret.Text{"older": older, "newer": newer, "other": other} {
			wh, err := standardwebhooks.NewWebhook(string(s))
			if err == nil {
				err = wh.Verify(body, req.Header)
			}
			verdicts[name] = err
			body[0] ^= 1
			if wh.Verify(body, req.Header) == nil {
				verdicts[name+" off by one bit"] = nil
			}
			body[0] ^= 1
		}
	})
	res := newClient(t).Push(t.Context(), Message{URL: r.URL + "/in?token=x", AllowPrivate: true, ID: "msg_1", At: time.Now(), Body: []byte(`{"a":"ü"}`), Secrets: []secret.Text{older, newer}})
	if !res.Taken() || res.Status != 200 || r.calls.Load() != 1 {
		t.Fatalf("%+v, called %d times", res, r.calls.Load())
	}
	if len(verdicts) != 3 || verdicts["older"] != nil || verdicts["newer"] != nil || verdicts["other"] == nil {
		t.Errorf("verified: %v", verdicts)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		status int
		err    string
		pause  time.Duration
		gone   bool
	}{
		"taken": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, "", 0, false},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 307, "answered 307: redirects are not followed", 0, false},
		"failed": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500, "answered 500", 0, false},
		"gone":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 410, "answered 410", 0, true},
		"busy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		}, 429, "answered 429", 7 * time.Second, false},
		"busy for good": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999999")
			w.WriteHeader(503)
		}, 503, "answered 503", 24 * time.Hour, false},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for _, err := w.Write(make([]byte, 1<<10)); err == nil; _, err = w.Write(make([]byte, 1<<10)) {
				continue
			}
		}, 200, "", 0, false},
		"broken off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "EOF", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, c.handle)
			res := newClient(t).Push(t.Context(), Message{URL: r.URL, AllowPrivate: true, ID: "m", At: time.Now(), Body: []byte("{}"), Secrets: []secret.Text{key('a', 24)}})
			if res.Status != c.status || res.Pause != c.pause || res.Gone() != c.gone || res.Taken() != (c.err == "") {
				t.Errorf("%+v", res)
			}
			if c.err != "" && !strings.Contains(res.Err.Error(), c.err) {
				t.Errorf("%v, want %q", res.Err, c.err)
			}
			if r.calls.Load() != 1 {
				t.Errorf("called %d times", r.calls.Load())
			}
		})
	}
}

// TestSilenceEnds: a receiver that takes the push and says nothing holds it up
// for as long as the caller waits, and its address is not in what is said.
func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	called := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	r := listen(t, func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // else nobody notices that the caller is gone
		close(called)
		<-req.Context().Done()
	})
	go func() { <-called; cancel() }()
	res := newClient(t).Push(ctx, Message{URL: r.URL + "/secret-path", AllowPrivate: true, ID: "m", At: time.Now(), Body: []byte("{}"), Secrets: []secret.Text{key('a', 24)}})
	if res.Taken() || res.Status != 0 || strings.Contains(res.Err.Error(), "secret-path") {
		t.Errorf("%+v", res)
	}
}

// TestPrivateIsRefused: by number and by name, and nothing is written.
func TestPrivateIsRefused(t *testing.T) {
	t.Parallel()
	r := listen(t, func(http.ResponseWriter, *http.Request) {})
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		res := newClient(t).Push(t.Context(), Message{URL: "http://" + host + port, ID: "m", At: time.Now(), Body: []byte("{}"), Secrets: []secret.Text{key('a', 24)}})
		if e, ok := errors.AsType[*NotPublic](res.Err); !ok || !strings.Contains(e.Error(), "allow_private") {
			t.Errorf("%s: %v", host, res.Err)
		}
	}
	if r.calls.Load() != 0 {
		t.Errorf("called %d times", r.calls.Load())
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for a, want := range map[string]bool{
		"1.1.1.1": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true, "126.255.255.255": true, "128.0.0.0": true,
		"169.253.255.255": true, "169.255.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true, "192.169.0.0": true, "198.17.255.255": true,
		"198.20.0.0": true, "223.255.255.255": true, "2606:4700::1111": true, "2a00:1450::1": true, "2001:200::1": true, "::ffff:1.1.1.1": true,

		"0.0.0.0": false, "10.0.0.0": false, "10.255.255.255": false, "100.64.0.0": false, "100.127.255.255": false, "127.0.0.1": false, "127.255.255.255": false,
		"169.254.169.254": false, "172.16.0.0": false, "172.31.255.255": false, "192.0.0.192": false, "192.168.0.1": false, "198.18.0.0": false, "198.19.255.255": false,
		"224.0.0.1": false, "255.255.255.255": false, "::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::10.0.0.1": false,
		"64:ff9b::a00:1": false, "2002:a00:1::": false, "2001::1": false, "2001:db8::1": false, "fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false,
		"febf::1": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
	if err := guard("tcp", "nowhere", nil); err == nil {
		t.Error("what is no address is let through")
	}
}

func FuzzPublic(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1})
	f.Add(netip.MustParseAddr("::ffff:10.0.0.1").AsSlice())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if ok && public(a) && (a.Unmap().IsPrivate() || a.Unmap().IsLoopback() || a.Unmap().IsLinkLocalUnicast() || a.Unmap().IsMulticast() || a.Unmap().IsUnspecified()) {
			t.Errorf("%s is taken for public", a)
		}
	})
}
