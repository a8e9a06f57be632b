package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// served starts a sandbox on a port of its own.
func served(t *testing.T, o Options) (*Sandbox, string) {
	t.Helper()
	s := New(o)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL
}

func postTo(c *http.Client, url, body string) (int, string, error) {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer T")
	res, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// TestManyClients sends, batches, opts out and reads the lists at once. Run
// with -race. What the clients were told must be what the books hold.
func TestManyClients(t *testing.T) {
	const clients, each = 8, 40
	s, url := served(t, Options{RatePerSecond: 1_000_000, Seed: 3})
	if _, err := s.AddFault(Fault{Kind: FaultHTTP500After, Probability: 0.1}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := map[int]int{}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				person := fmt.Sprintf("%d-%d", c, i)
				status, _, err := postTo(http.DefaultClient, url+"/v25.0/77/messages", textBody(person, "hi", person))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				told[status]++
				mu.Unlock()
				switch i % 10 {
				case 3:
					postTo(http.DefaultClient, url+"/_sandbox/optout", fmt.Sprintf(`{"account":"77","person":%q}`, person))
				case 6:
					postTo(http.DefaultClient, url+"/_sandbox/people?account=77", "id,last_inbound\n"+person+",2026-11-22T11:00:00Z\n")
				case 9:
					for _, path := range []string{"accepted", "calls?limit=10", "rate", "summary"} {
						res, err := http.Get(url + "/_sandbox/" + path)
						if err != nil {
							t.Error(err)
							return
						}
						io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
				}
			}
		})
	}
	wg.Wait()
	sum := s.Summary("77")
	if sum.Accepted != clients*each || sum.Unanswered != uint64(told[500]) || told[200]+told[500] != clients*each {
		t.Errorf("told %v, summary %+v", told, sum)
	}
	if sum.Duplicates != (Duplicates{}) {
		t.Errorf("duplicates %+v of different messages", sum.Duplicates)
	}
}

// TestDropsOverHTTP: a client sees its connection end, without an answer.
func TestDropsOverHTTP(t *testing.T) {
	s, url := served(t, Options{})
	for _, kind := range []FaultKind{FaultDropBefore, FaultDropAfter} {
		if _, err := s.AddFault(Fault{Kind: kind, Count: 1}); err != nil {
			t.Fatal(err)
		}
		if status, body, err := postTo(http.DefaultClient, url+"/77/messages", answer); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d %q %v, want a cut connection", kind, status, body, err)
		}
	}
	if sum := s.Summary(""); sum.Calls != 2 || sum.Dropped != 1 || sum.Unanswered != 1 {
		t.Errorf("summary %+v", sum)
	}
}

// TestArrivalBeforeBody: a call is judged and listed at the moment it
// arrived, however slow its body.
func TestArrivalBeforeBody(t *testing.T) {
	b := newBench(t, Options{})
	body := &slowBody{Reader: strings.NewReader(answer), read: func() { b.clock.advance(time.Hour) }}
	r := httptest.NewRequest("POST", "/77/messages?access_token=T", body)
	r.Header.Set("Content-Type", "application/json")
	if got := b.do(r).code(t); got != "" {
		t.Fatalf("code %q", got)
	}
	if got := list[acceptedLine](t, b.admin("GET", "accepted", ""))[0].Time; got != "2026-11-22T12:00:00Z" {
		t.Errorf("accepted at %s, want the arrival", got)
	}
}

type slowBody struct {
	io.Reader
	read func()
}

func (s *slowBody) Read(p []byte) (int, error) {
	s.read()
	return s.Reader.Read(p)
}

// TestServe: it answers, keeps the connection, and stops with its context.
func TestServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := New(Options{})
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + ln.Addr().String() + "/77/messages"
	for range 2 {
		if status, body, err := postTo(client, url, answer); status != 200 || err != nil {
			t.Fatalf("%d %s %v", status, body, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if _, _, err := postTo(client, url, answer); err == nil {
		t.Error("it answers after it stopped")
	}
}

// TestServeFails: a listener that can't listen is an error that names it.
func TestServeFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := New(Options{}).Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("error %v, want one that names the address", err)
	}
}
