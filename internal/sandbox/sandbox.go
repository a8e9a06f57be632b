package sandbox

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// defaultRate is the text sends per second of a Page or an Instagram
	// account (Messenger rate limiting page, 2026-03-23).
	defaultRate = 300
	// mediaRate is the same for messages with audio or video.
	mediaRate = 10
	// defaultCallsKept bounds the list of calls to some 10 MB.
	defaultCallsKept = 1 << 16
	// maxBody is more than 50 of the longest messages take when escaped.
	maxBody = 4 << 20
)

// Options configure a Sandbox. The zero value serves.
type Options struct {
	Now           func() time.Time // nil: time.Now
	RatePerSecond int              // calls an account may make in any second; 0: 300
	Strict        bool             // a person the books don't hold is unknown, not one who just wrote
	DropText      bool             // keep a hash of each text in place of the text
	CallsKept     int              // newest calls to list; 0: 65,536
	Seed          uint64           // of faults and ids; 0: a random one
	Tags          []string         // tags to know beside the platform's own, on every channel and at any time
	TLS           *tls.Config      // how webhooks are known; nil: by the system's authorities
	Log           *slog.Logger     // nil: no log
}

// Sandbox is the stand-in platform, an http.Handler. It is safe for
// concurrent use.
type Sandbox struct {
	opts  Options
	rules rulebook
	admin *http.ServeMux
	log   *slog.Logger

	mu     sync.Mutex // guards what follows; held for about a microsecond per message
	books  *books
	faults *faults

	outbox *outbox // locked after mu, never before
}

var _ http.Handler = (*Sandbox)(nil)

// New returns a Sandbox with empty books.
func New(o Options) *Sandbox {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RatePerSecond <= 0 {
		o.RatePerSecond = defaultRate
	}
	if o.CallsKept <= 0 {
		o.CallsKept = defaultCallsKept
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for o.Seed == 0 {
		o.Seed = randomSeed()
	}
	s := &Sandbox{opts: o, rules: newRulebook(o.Tags), log: o.Log, books: newBooks(o), faults: newFaults(o.Seed)}
	s.outbox = newOutbox(o, s.answered)
	s.admin = s.adminMux()
	return s
}

func randomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// ServeHTTP answers as the platform does, and the tester under /_sandbox/.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := s.opts.Now().UnixNano() // first of all: a slow body is still a call of now
	if strings.HasPrefix(r.URL.Path, "/_sandbox/") {
		s.admin.ServeHTTP(w, r)
		return
	}
	if node, ok := labelEdge(r.URL.Path); ok && r.Method == http.MethodGet {
		s.serveLabels(w, r, node)
		return
	}
	if owner, ok := textRoute(r.URL.Path); ok && r.Method == http.MethodPost {
		s.serveText(w, r, at, owner)
		return
	}
	account, ok := route(r.URL.Path)
	switch {
	case !ok:
		s.writeError(w, errUnknownPath(r.URL.Path))
	case r.Method != http.MethodPost:
		s.writeError(w, errUnsupported(r.Method))
	default:
		s.serveGraph(w, r, at, account)
	}
}

func (s *Sandbox) serveGraph(w http.ResponseWriter, r *http.Request, at int64, account string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.writeError(w, errParam(0, fmt.Sprintf("The request body could not be read, or is over %d bytes.", maxBody)))
		return
	}
	if account == "" {
		s.serveBatch(w, r, at, body)
		return
	}
	req, problem := decodeRequest(r.Header.Get("Content-Type"), body)
	req.credentials(r.URL.RawQuery, r.Header.Get("Authorization"))
	s.serveSend(w, r, call{at: at, account: account, request: req, problem: problem})
}

func (s *Sandbox) serveSend(w http.ResponseWriter, r *http.Request, c call) {
	decisions, wire := s.process([]call{c}, false)
	if !wire.hold(r.Context()) || wire.breaks(w) {
		return
	}
	status, body := s.render(decisions[0])
	wire.usage.set(w.Header())
	writeGraph(w, status, body)
}

// route splits a path into its account; "" is the batch endpoint.
func route(path string) (account string, ok bool) {
	path = strings.Trim(path, "/")
	first, rest, _ := strings.Cut(path, "/")
	if isVersion(first) {
		path = rest
	}
	if path == "" {
		return "", true
	}
	account, edge, _ := strings.Cut(path, "/")
	return account, account != "" && edge == "messages"
}

// isVersion says whether a segment is a Graph version, vN.N.
func isVersion(s string) bool {
	major, minor, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	return ok && s[0] == 'v' && digits(major) && digits(minor)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// writeError answers what concerns no account, and so is in no count.
func (s *Sandbox) writeError(w http.ResponseWriter, e *graphError) {
	s.mu.Lock()
	trace := s.books.nextTrace()
	s.mu.Unlock()
	writeGraph(w, e.status, e.render(trace))
}

func writeGraph(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", graphContentType)
	w.WriteHeader(status)
	w.Write(body)
}
