package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/api"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/pkg/client"
)

func rows(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "c%d,Name %d\n", i, i)
	}
	return b.String()
}

// TestImportStreams: bad rows and progress come while the file is still being
// sent, however slowly.
func TestImportStreams(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "streams")
	pr, pw := io.Pipe()
	go func() { _, _ = io.WriteString(pw, "id,name\n,nobody\n"+rows(0, 600)) }()
	var bad []client.BadRow
	var early client.ImportProgress
	done, err := h.client(t).ImportContacts(t.Context(), "streams", pr, false, func(e client.ImportEvent) {
		switch {
		case e.Bad != nil:
			bad = append(bad, *e.Bad)
		case e.Progress != nil && early.Rows == 0:
			early = *e.Progress
			go func() { _, _ = io.WriteString(pw, rows(600, 700)); pw.Close() }()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if early.Rows == 0 || early.Rows > 601 || early.Written == 0 {
		t.Errorf("first progress: %+v", early)
	}
	if d := cmp.Diff([]client.BadRow{{Line: 2, Reason: "id is empty"}}, bad); d != "" {
		t.Error(d)
	}
	want := client.ImportDone{ImportProgress: client.ImportProgress{Rows: 701, Written: 700, Bad: 1}, InForce: true}
	if d := cmp.Diff(want, done); d != "" {
		t.Error(d)
	}
	again, err := h.client(t).ImportContacts(t.Context(), "streams", strings.NewReader("id,name,sender\nc1,Name 1,\nx,X,other\n"), false, nil)
	want = client.ImportDone{ImportProgress: client.ImportProgress{Rows: 2, Unchanged: 1, Other: 1}, InForce: true}
	if d := cmp.Diff(want, again); err != nil || d != "" {
		t.Error(err, d)
	}
}

func TestImportCheck(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "checks")
	var lines []client.ImportEvent
	done, err := h.client(t).ImportContacts(t.Context(), "checks", strings.NewReader("id,timezone\n1,Nowhere/At\n2,\n"), true, func(e client.ImportEvent) { lines = append(lines, e) })
	want := client.ImportDone{ImportProgress: client.ImportProgress{Rows: 2, Bad: 1}, Check: true}
	if d := cmp.Diff(want, done); err != nil || d != "" {
		t.Error(err, d)
	}
	if len(lines) != 1 || lines[0].Bad == nil || lines[0].Bad.Line != 2 {
		t.Errorf("%+v", lines)
	}
	if _, known, err := h.facts.Contact(t.Context(), "checks", h.facts.Key("checks", "2")); known || err != nil {
		t.Errorf("a check stored something: %v %v", known, err)
	}
}

// TestImportBroken: a file that can't be read on ends with an error in the
// last line; what came before it is stored.
func TestImportBroken(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "broken")
	c := h.client(t)
	done, err := c.ImportContacts(t.Context(), "broken", strings.NewReader("id,name\n"+rows(0, 500)+"open,\""+strings.Repeat("x", 3<<20)), false, nil)
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Status != http.StatusUnprocessableEntity || !strings.HasPrefix(p.Detail, "after 500 rows: ") || !strings.Contains(p.Detail, "is a quote left open?") {
		t.Errorf("%+v %v", done, err)
	}
	if _, known, err := h.facts.Contact(t.Context(), "broken", h.facts.Key("broken", "c499")); !known || err != nil {
		t.Errorf("a row before the break is not stored: %v %v", known, err)
	}
}

// TestImportDisconnect: an import ends with its caller.
func TestImportDisconnect(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "gone")
	ended := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		h.server.ServeHTTP(w, r)
	}))
	defer front.Close()
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { _, _ = io.WriteString(pw, "id,name\n"+rows(0, 600)) }()
	c := client.New(front.URL, token)
	defer c.Close()
	_, err := c.ImportContacts(ctx, "gone", pr, false, func(client.ImportEvent) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	<-ended
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	h := setup(t)
	cfg := h.config
	cfg.Ready = func(context.Context) error { return facts.ErrRebuilding }
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
	if rec.Code != 503 || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), facts.ErrRebuilding.Error()) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for want, change := range map[string]func(*api.Config){
		"api: no token: without one anybody could send": func(c *api.Config) { c.Token = "" },
		"api: a room is missing in its configuration":   func(c *api.Config) { c.Dead = nil },
	} {
		cfg := h.config
		change(&cfg)
		if _, err := api.New(cfg); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestServe: a request under way is answered before Serve returns, and the
// port is free after it.
func TestServe(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "serves")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.server.Serve(ctx, ln) }()
	c := client.New("http://"+ln.Addr().String()+"/", token)
	defer c.Close()
	pr, pw := io.Pipe()
	go func() { _, _ = io.WriteString(pw, "id,name\n"+rows(0, 500)) }()
	done, err := c.ImportContacts(t.Context(), "serves", pr, false, func(e client.ImportEvent) {
		if e.Progress != nil {
			cancel()
			go func() { _, _ = io.WriteString(pw, rows(500, 510)); pw.Close() }()
		}
	})
	if err != nil || done.Written != 510 {
		t.Errorf("the import under way: %+v %v", done, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := c.Healthy(t.Context()); err == nil {
		t.Error("it still answers")
	}
	if err := h.server.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("served on a closed listener: %v", err)
	}
}
