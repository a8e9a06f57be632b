package meta

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/" { // a batch: drop it
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return
		}
		io.WriteString(w, `{"message_id":"m_1"}`)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a handshake fails on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	trusting := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c := open(t, Options{BaseURL: s.URL, TLS: trusting})
	if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.Accepted || proto.Load() != "HTTP/1.1" {
		t.Errorf("%+v over %v", r, proto.Load())
	}
	if got := marks(c.SendBatch(t.Context(), account(), append(hello, hello...))); got != "UU" {
		t.Errorf("a dropped batch: %s, want UU", got)
	}
	distrusting := open(t, Options{BaseURL: s.URL, TLS: &tls.Config{}})
	if r := distrusting.Send(t.Context(), account(), hello[0]); r.Outcome != channel.NotSent || r.Action != channel.Retry {
		t.Errorf("with an authority that is not trusted: %+v", r)
	}
}

// TestTLSNothingWritten cuts a TLS connection after its handshake: the closing
// alert is no request.
func TestTLSNothingWritten(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"message_id":"m_1"}`)
	}))
	t.Cleanup(s.Close)
	var may atomic.Int64
	may.Store(-1)
	c, err := newClient(Options{BaseURL: s.URL, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig},
		func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &faultyConn{conn, &may}, err
		})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.Accepted {
		t.Fatalf("%+v", r)
	}
	may.Store(0)
	if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.NotSent {
		t.Errorf("%+v", r)
	}
}

func TestShakingHandsIsNotSending(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := l.Accept()
		cancel()
		if err == nil {
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	r := open(t, Options{BaseURL: "https://" + l.Addr().String()}).Send(ctx, account(), hello[0])
	if r.Outcome != channel.NotSent || r.Reason != reason.PlatformUnreachable {
		t.Errorf("%+v", r)
	}
}
