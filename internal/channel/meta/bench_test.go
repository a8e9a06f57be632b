package meta

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
)

// canned is a connection to a platform that answers without reading closely:
// what remains to be measured is our side.
type canned struct{ net.Conn }

func dialCanned(answer string) wire.Dial {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			in := bufio.NewReader(theirs)
			for {
				n := 0
				for line := "-"; line != "\r\n"; {
					var err error
					if line, err = in.ReadString('\n'); err != nil {
						return
					}
					fmt.Sscanf(line, "Content-Length: %d", &n)
				}
				in.Discard(n)
				io.WriteString(theirs, answer)
			}
		}()
		return canned{Conn: ours}, nil
	}
}

func httpAnswer(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-App-Usage: {\"call_count\":28,\"total_time\":25,\"total_cputime\":25}\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const acceptedBody = `{"recipient_id":"998877665544","message_id":"m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM_QPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP_5cgXIbu7I3rBN0P"}`

// BenchmarkOwn is our side of a single send without net/http: encode, judge,
// read the usage.
func BenchmarkOwn(b *testing.B) {
	rules := newRulebook()
	call, m := wire.NewCall(nil), hello[0]
	header := http.Header{"X-App-Usage": {`{"call_count":28,"total_time":25,"total_cputime":25}`}}
	body := []byte(acceptedBody)
	b.ReportAllocs()
	for b.Loop() {
		call.Form = appendMessage(call.Form[:0], &m)
		if r := readUsage(header).add(rules.judge(200, body, []channel.Message{m})); r.Outcome != channel.Accepted {
			b.Fatal(r)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	c, err := newClient(Options{BaseURL: "http://graph.example"}, dialCanned(httpAnswer(acceptedBody)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Send(context.Background(), account(), hello[0]); r.Outcome != channel.Accepted {
			b.Fatal(r)
		}
	}
}

// BenchmarkSendBare is what net/http takes for the same call: the difference
// to BenchmarkSend is ours.
func BenchmarkSendBare(b *testing.B) {
	transport := &http.Transport{DialContext: dialCanned(httpAnswer(acceptedBody))}
	body := string(appendMessage(nil, &hello[0]))
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequest("POST", "http://graph.example/v25.0/1234567890/messages", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

func BenchmarkSendBatch(b *testing.B) {
	items := strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"code":200,"body":%q},`, acceptedBody), MaxBatch), ",")
	c, err := newClient(Options{BaseURL: "http://graph.example"}, dialCanned(httpAnswer("["+items+"]")))
	if err != nil {
		b.Fatal(err)
	}
	ms := make([]channel.Message, MaxBatch)
	for i := range ms {
		ms[i] = hello[0]
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := c.SendBatch(context.Background(), account(), ms); r[MaxBatch-1].Outcome != channel.Accepted {
			b.Fatal(r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxBatch, "ns/message")
}

// TestOwnAllocations bounds what a single send allocates on our side.
func TestOwnAllocations(t *testing.T) {
	rules := newRulebook()
	call, m := wire.NewCall(nil), hello[0]
	header := http.Header{"X-App-Usage": {`{"call_count":28,"total_time":25,"total_cputime":25}`}}
	body := []byte(acceptedBody)
	const most = 10
	if n := testing.AllocsPerRun(100, func() {
		call.Form = appendMessage(call.Form[:0], &m)
		readUsage(header).add(rules.judge(200, body, []channel.Message{m}))
	}); n > most {
		t.Errorf("%v allocations, want at most %d", n, most)
	}
}
