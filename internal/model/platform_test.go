package model_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/model"
	"github.com/carillon-dev/carillon/internal/rig"
)

// platform takes calls over HTTP and keeps books of its own. What it does with
// each is said by the history that the call belongs to.
type platform struct {
	up, down channel.Platform // by down nothing gets through

	mu    sync.Mutex
	calls map[string]*actor // by job, who calls
	books map[string][]string
	count int
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{calls: map[string]*actor{}, books: map[string][]string{}}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	// Nobody listens at port 1. A port that was just given back is somebody else's soon.
	for to, url := range map[*channel.Platform]string{&p.up: srv.URL, &p.down: "http://127.0.0.1:1"} {
		c, err := meta.New(meta.Options{BaseURL: url, Timeout: rig.Patience})
		rig.Must(t, err)
		*to = c
	}
	return p
}

// ServeHTTP serves one call.
func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Message struct {
			Metadata string `json:"metadata"`
		} `json:"message"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := body.Message.Metadata
	p.mu.Lock()
	a := p.calls[id]
	p.mu.Unlock()
	mid := ""
	switch a.decides {
	case model.Vanish:
		hangUp(w)
		return
	case model.Accept:
		mid = p.accept(id)
	default:
	}
	if a.reach(place{doing: model.Answer}) != model.Answer {
		hangUp(w)
		return
	}
	switch a.decides {
	case model.Accept:
		fmt.Fprintf(w, `{"recipient_id":"1","message_id":%q}`, mid)
	case model.Refuse:
		refuse(w, http.StatusBadRequest, 100, 2018001)
	default: // Busy
		refuse(w, http.StatusInternalServerError, 1200, 0)
	}
}

func refuse(w http.ResponseWriter, status, code, subcode int) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":"no","type":"OAuthException","code":%d,"error_subcode":%d}}`, code, subcode)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = c.Close()
	}
}

func (p *platform) accept(id string) (mid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	mid = fmt.Sprintf("m_%d", p.count)
	p.books[id] = append(p.books[id], mid)
	return mid
}

// accepted returns the ids of a job's messages.
func (p *platform) accepted(id string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.books[id]
}

func (p *platform) calledBy(id string, a *actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[id] = a
}
