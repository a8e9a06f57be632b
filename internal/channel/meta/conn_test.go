package meta

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// faultyConn writes as many bytes as it may and then fails.
type faultyConn struct {
	net.Conn
	may *atomic.Int64 // negative: everything
}

func (c *faultyConn) Write(p []byte) (int, error) {
	may := c.may.Load()
	if may < 0 {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:min(int(may), len(p))])
	return n, errors.Join(err, errors.New("the cable is cut"))
}

// TestOneByteDecides cuts the connection before and after the first byte.
func TestOneByteDecides(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"message_id":"m_1"}`)
	})
	for _, reused := range []bool{false, true} {
		for _, cut := range []struct {
			may  int64
			want channel.Outcome
		}{{0, channel.NotSent}, {1, channel.Unknown}, {100, channel.Unknown}, {-1, channel.Accepted}} {
			var may, dials atomic.Int64
			may.Store(-1)
			c, err := newClient(Options{BaseURL: s.URL}, func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return &faultyConn{conn, &may}, err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			if reused {
				c.Send(t.Context(), account(), hello[0])
			}
			may.Store(cut.may)
			before := calls.Load()
			r := c.Send(t.Context(), account(), hello[0])
			if r.Outcome != cut.want || dials.Load() != 1 {
				t.Errorf("reused %v, %d bytes: %v after %d dials, want %v after 1", reused, cut.may, r.Outcome, dials.Load(), cut.want)
			}
			if read := calls.Load() - before; r.Outcome == channel.NotSent && read != 0 {
				t.Errorf("not sent, yet read")
			}
		}
	}
}

// TestAnswerLostOnAnIdleConnection closes a connection in place of its second
// answer: what makes net/http send a GET again.
func TestAnswerLostOnAnIdleConnection(t *testing.T) {
	t.Parallel()
	for _, linger := range []int{-1, 0} { // closed in order, and by a reset
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		var conns, requests atomic.Int64
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conns.Add(1)
				go answerOnce(conn.(*net.TCPConn), linger, &requests)
			}
		}()
		c := open(t, Options{BaseURL: "http://" + l.Addr().String()})
		if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.Accepted {
			t.Fatalf("the first call: %+v", r)
		}
		if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.Unknown || r.Reason != reason.OutcomeUnknown {
			t.Errorf("linger %d: the second call: %+v", linger, r)
		}
		if conns.Load() != 1 || requests.Load() != 2 {
			t.Errorf("linger %d: %d connections, %d requests; want 1, 2", linger, conns.Load(), requests.Load())
		}
	}
}

// answerOnce answers one request, reads a second one and closes.
func answerOnce(conn *net.TCPConn, linger int, requests *atomic.Int64) {
	defer conn.Close()
	conn.SetLinger(linger)
	in := bufio.NewReader(conn)
	for range 2 {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		if requests.Add(1) == 1 {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"message_id\":\"m_1\"}")
		}
	}
}

func TestUnknownHostIsNotSent(t *testing.T) {
	t.Parallel()
	c := open(t, Options{BaseURL: "http://graph.invalid"})
	if r := c.Send(t.Context(), account(), hello[0]); r.Outcome != channel.NotSent || r.Action != channel.Retry || r.After <= 0 {
		t.Errorf("%+v", r)
	}
}

// TestProxies is not parallel: it sets the environment.
func TestProxies(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var host atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.URL.Host)
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"message_id":"m_1"}`)
	})
	proxy, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked := open(t, Options{BaseURL: "http://graph.example", Proxy: proxy})
	if r := asked.Send(t.Context(), account(), hello[0]); r.Outcome != channel.Accepted || host.Load() != "graph.example" {
		t.Errorf("%+v by way of the proxy, for %v", r, host.Load())
	}
}
