package channeltest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Step is what the server does with a call.
type Step uint8

// The steps. Read means that the server has the whole call.
const (
	Accept     Step = iota // accepts every message
	Refuse                 // says no to every message
	Half                   // accepts the first half; of the rest it says nothing
	DropUnread             // closes the connection without reading
	DropRead               // reads, then closes the connection
	CutAnswer              // reads, begins an answer, closes the connection
	Hang                   // reads, never answers
	Fail                   // reads, answers 500 with words that are not the platform's
	Babble                 // reads, answers 200 with words that are not the platform's
	Redirect               // reads, answers 307 to a place that would accept
	CloseAfter             // accepts every message and closes the connection after the answer, unannounced
)

// Dialect is how a platform speaks: what the server cannot know by itself. Its
// methods are called from several goroutines.
type Dialect interface {
	// Recipients returns the recipients of a call, in order.
	Recipients(r *http.Request) ([]string, error)
	// Accept answers that the first accepted of the recipients were accepted.
	// Of the others, if any, the answer says nothing.
	Accept(w http.ResponseWriter, recipients []string, accepted int)
	// Refuse answers that none was accepted, for good.
	Refuse(w http.ResponseWriter, recipients []string)
}

// Server is a platform that behaves as told, over real connections on the
// loopback address.
type Server struct {
	URL string

	dialect Dialect
	http    *httptest.Server
	done    chan struct{}

	mu      sync.Mutex
	script  func(recipients []string) Step
	unread  bool
	quota   int // messages that Half still accepts
	seen    map[string]int
	broken  []error
	waiting chan struct{}
}

// NewServer starts a server that accepts everything. It stops with the test.
func NewServer(t testing.TB, d Dialect) *Server {
	s := &Server{dialect: d, done: make(chan struct{}), seen: make(map[string]int), waiting: make(chan struct{}, 1024)}
	s.Script(Accept)
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.Listener = &listener{Listener: s.http.Listener, drop: s.dropUnread}
	s.http.Start()
	s.URL = s.http.URL
	t.Cleanup(func() {
		close(s.done)
		s.http.CloseClientConnections()
		s.http.Close()
		for _, err := range s.broken {
			t.Errorf("a call that cannot be read: %v", err)
		}
	})
	return s
}

// Script says what to do with every call from now on.
func (s *Server) Script(step Step) {
	s.ScriptEach(func([]string) Step { return step })
	s.mu.Lock()
	s.unread = step == DropUnread
	s.mu.Unlock()
	if step == DropUnread {
		s.http.CloseClientConnections() // open ones would be read
	}
}

// ScriptHalf makes the next n messages, in whatever calls, half a batch.
func (s *Server) ScriptHalf(n int) {
	s.Script(Half)
	s.mu.Lock()
	s.quota = n / 2
	s.mu.Unlock()
}

// ScriptEach decides by the recipients of a call. DropUnread cannot be decided
// so: nothing is read.
func (s *Server) ScriptEach(script func(recipients []string) Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script, s.unread = script, false
}

// Seen is how often the server has read a message to the recipient.
func (s *Server) Seen(recipient string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[recipient]
}

// Waiting receives once for each call that hangs.
func (s *Server) Waiting() <-chan struct{} { return s.waiting }

// Stop closes the listener and all connections.
func (s *Server) Stop() {
	s.http.Listener.Close()
	s.http.CloseClientConnections()
}

func (s *Server) dropUnread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unread
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == redirected {
		// A client that follows comes here with the same body.
		s.dialect.Accept(w, s.read(r), 0)
		return
	}
	recipients := s.read(r)
	s.mu.Lock()
	step := s.script(recipients)
	accepted := len(recipients)
	if step == Half {
		accepted = min(accepted, s.quota)
		s.quota -= accepted
	}
	s.mu.Unlock()
	s.act(w, r, step, recipients, accepted)
}

const (
	redirected = "/channeltest/elsewhere"
	babble     = "<html><body>It works!</body></html>"
)

func (s *Server) act(w http.ResponseWriter, r *http.Request, step Step, recipients []string, accepted int) {
	switch step {
	case Refuse:
		s.dialect.Refuse(w, recipients)
	case Half:
		if accepted == 0 {
			hangUp(w, "")
			return
		}
		s.dialect.Accept(w, recipients, accepted)
	case DropUnread, DropRead:
		hangUp(w, "")
	case CutAnswer:
		hangUp(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n{")
	case Hang:
		s.waiting <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
	case Fail:
		http.Error(w, babble, http.StatusInternalServerError)
	case Babble:
		io.WriteString(w, babble)
	case Redirect:
		w.Header().Set("Location", redirected)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case CloseAfter:
		s.answerAndClose(w, recipients)
	default:
		s.dialect.Accept(w, recipients, accepted)
	}
}

// read notes the recipients of a call.
func (s *Server) read(r *http.Request) []string {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	recipients := []string(nil)
	if err == nil {
		recipients, err = s.dialect.Recipients(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.broken = append(s.broken, err)
	}
	for _, recipient := range recipients {
		s.seen[recipient]++
	}
	return recipients
}

// answerAndClose answers as if the connection would stay, then closes it.
func (s *Server) answerAndClose(w http.ResponseWriter, recipients []string) {
	rec := httptest.NewRecorder()
	s.dialect.Accept(rec, recipients, len(recipients))
	var raw bytes.Buffer
	res := rec.Result()
	res.ContentLength = int64(rec.Body.Len())
	res.Write(&raw)
	hangUp(w, raw.String())
}

// hangUp writes raw as it is and closes the connection.
func hangUp(w http.ResponseWriter, raw string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(conn, raw)
	conn.Close()
}

// listener closes what it accepts while drop says so.
type listener struct {
	net.Listener
	drop func() bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || !l.drop() {
			return conn, err
		}
		conn.Close()
	}
}
