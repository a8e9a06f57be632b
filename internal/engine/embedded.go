package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/carillon-dev/carillon/internal/store"
)

// embeddedNATS is a server inside this process that listens on no port. A
// server whose disk fails to take a write, since it is full or no file can be
// opened, refuses all writes to that stream for as long as it lives: one that
// syncs is then started again, as soon as its disk takes writes.
type embeddedNATS struct {
	dir   string
	marks *store.Marks  // nil: nothing is synced
	ready time.Duration // for one start
	log   *slog.Logger

	lines  *natsLog
	ending chan struct{} // closed when the server is to end
	kept   sync.WaitGroup
	down   chan struct{} // closed once the server has ended and its index is written

	mu      sync.Mutex
	current *server.Server // guarded by mu; never nil
	stuck   error          // guarded by mu; why a stream takes no writes; nil: all do
}

// MarksFile stands in the data directory beside the embedded server's store.
const MarksFile = "marks"

// embedNATS starts a server with its streams in dir, which syncs every write
// where there are marks. When it returns a server along with an error, that
// server is to be stopped.
func embedNATS(dir string, marks *store.Marks, ready time.Duration, log *slog.Logger) (*embeddedNATS, error) {
	e := &embeddedNATS{
		dir: dir, marks: marks, ready: ready, log: log,
		lines: newNATSLog(log.With("engine", "nats")), ending: make(chan struct{}), down: make(chan struct{}),
	}
	if err := e.begin(); err != nil {
		if e.current == nil {
			return nil, err
		}
		return e, err
	}
	if marks != nil { // what is unsynced is being made, and begun anew where it fails
		e.kept.Go(e.keep)
	}
	return e, nil
}

// begin starts a server on the store.
func (e *embeddedNATS) begin() error {
	if e.marks != nil {
		if err := checkStore(e.dir, e.marks, e.log); err != nil {
			return err
		}
	}
	s, err := server.NewServer(embeddedOptions(e.dir, e.marks != nil))
	if err != nil {
		return fmt.Errorf("embedded nats in %s: %w", e.dir, cause(err))
	}
	e.lines.begin()
	s.SetLoggerV2(e.lines, false, false, false)
	e.mu.Lock()
	e.current = s
	e.mu.Unlock()
	s.Start() // returns once the streams are recovered, or after logging why not
	if reason := e.lines.reason(); reason != "" {
		return fmt.Errorf("embedded nats in %s: %s", e.dir, reason)
	}
	if !s.ReadyForConnections(e.ready) {
		return fmt.Errorf("embedded nats in %s is not ready after %v", e.dir, e.ready)
	}
	return nil
}

func (e *embeddedNATS) now() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

// InProcessConn connects a client to the server that runs just now. What comes
// in over it is read along: whatever a stream acknowledges is in the marks before
// anybody here hears of it. All rooms share one connection, so that this is the
// one place through which every acknowledgement comes.
func (e *embeddedNATS) InProcessConn() (net.Conn, error) {
	conn, err := e.now().InProcessConn()
	if err != nil || e.marks == nil {
		return conn, err
	}
	return &watched{Conn: conn, marks: e.marks}, nil
}

// mendEvery is how often it is tried whether the disk takes writes again.
const mendEvery = time.Second

// keep starts the server again whenever a stream of it is frozen, until it is
// to end.
func (e *embeddedNATS) keep() {
	for {
		select {
		case <-e.lines.frozen:
		case <-e.ending:
			return
		}
		e.log.Warn("the embedded nats can't write; it is started again once it can", "directory", e.dir)
		e.stick(errors.New("the embedded nats can't write"))
		if !e.again() {
			return
		}
		e.stick(nil)
		e.log.Info("the embedded nats writes again")
	}
}

func (e *embeddedNATS) stick(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stuck = why
}

// writes says why a stream of the server takes no writes.
func (e *embeddedNATS) writes() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stuck
}

// again waits until the disk takes writes, and starts the server again. Until
// then what is stored can be read. It reports false where the server is to end.
func (e *embeddedNATS) again() bool {
	for said := ""; ; {
		select {
		case <-time.After(mendEvery):
		case <-e.ending:
			return false
		}
		err := writable(e.dir)
		if err == nil {
			halt(e.now())
			e.lines.thaw()
			err = e.begin()
		}
		if err == nil {
			return true
		}
		if now := err.Error(); now != said { // the same is said once, not every second
			e.log.Warn("the embedded nats can't be started again yet", "error", now)
			e.stick(fmt.Errorf("the embedded nats can't write: %w", err))
			said = now
		}
	}
}

// room is what must fit on the disk before the server is started again: some
// seconds of sending.
const room = 4 << 20 // bytes

// writable tries whether a file can be opened, and has room, beside the streams.
func writable(dir string) error {
	path := filepath.Join(filepath.Dir(dir), ".room")
	err := os.WriteFile(path, make([]byte, room), 0o600)
	_ = os.Remove(path) // or it is written over the next time
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(dir), cause(err))
	}
	return nil
}

// embeddedOptions bounds the store by the disk alone. The server's own bound is
// three quarters of what is free when it starts: one that starts on a full disk
// would refuse writes for ever, however much room there is later.
func embeddedOptions(dir string, sync bool) *server.Options {
	return &server.Options{
		ServerName:             "carillon",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               dir,
		JetStreamMaxStore:      server.JetStreamMaxStoreDefault,
		// The default syncs every two minutes: a power failure would take
		// back claims whose messages have been sent.
		SyncAlways: sync,
	}
}

func (e *embeddedNATS) syncsAlways() bool {
	c := e.now().JetStreamConfig()
	return c != nil && c.SyncAlways
}

func (e *embeddedNATS) ended() bool {
	select {
	case <-e.down:
		return true
	default:
		return false
	}
}

// stop ends the server. Only a complete shutdown writes the streams' index;
// without it the next start scans every block.
func (e *embeddedNATS) stop(ctx context.Context) error {
	go func() {
		close(e.ending)
		e.kept.Wait()
		halt(e.now())
		close(e.down)
	}()
	select {
	case <-e.down:
		return nil
	case <-ctx.Done():
		return errors.New("still shutting down")
	}
}

func halt(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// checkStore refuses files that are not as they were written, or not all that
// was acknowledged: the server would go on without what it can't read. It
// changes none of them.
func checkStore(dir string, marks *store.Marks, log *slog.Logger) error {
	began := time.Now()
	r, err := store.Check(dir)
	if err != nil {
		return err
	}
	if err := marks.Behind(r); err != nil {
		return fmt.Errorf("embedded nats in %s: %w", dir, err)
	}
	for _, path := range r.Torn {
		log.Warn("the last write of a stream was cut off, and is dropped", "file", path)
	}
	log.Info("the store is whole", "streams", r.Streams, "records", r.Records, "bytes", r.Bytes, "took", time.Since(began))
	return nil
}
