package engine

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

var _ server.Logger = (*natsLog)(nil)

// natsLog passes the embedded server's log on: warnings and errors at their
// level, notices as debug, since a start writes a dozen of them. A fatal line
// is kept for whoever started the server; the server expects its logger to
// end the process there, which is not this package's to decide.
type natsLog struct {
	log    *slog.Logger
	frozen chan struct{} // holds a value once a stream refuses all writes
	mu     sync.Mutex
	fatal  string // the first fatal line since begin; guarded by mu
}

func newNATSLog(log *slog.Logger) *natsLog {
	return &natsLog{log: log, frozen: make(chan struct{}, 1)}
}

// begin forgets what was fatal to a server that came before.
func (l *natsLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = ""
}

// thaw forgets what was frozen in a server that came before.
func (l *natsLog) thaw() {
	select {
	case <-l.frozen:
	default:
	}
}

// reason returns the first fatal line, "" while there is none.
func (l *natsLog) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// Fatalf keeps the line.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.Errorf(format, v...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		l.fatal = oneLine(fmt.Sprintf(format, v...))
	}
}

// criticalWrite is what the server says once of each stream to which it lets
// nothing be written any more. There is no other way to hear of it: the writes
// that follow are refused like any other.
const criticalWrite = "critical write error"

// Errorf logs an error.
func (l *natsLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.log.Error(line)
	if strings.Contains(strings.ToLower(line), criticalWrite) {
		select {
		case l.frozen <- struct{}{}:
		default:
		}
	}
}

// Warnf logs a warning, and at debug level what comes after every kill and is
// nothing to worry about: the server notes by and by which records are to go by
// age, and reads the rest again.
func (l *natsLog) Warnf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	if strings.Contains(line, "TTL state is outdated; attempting to recover") {
		l.log.Debug(line)
		return
	}
	l.log.Warn(line)
}

// Noticef logs at debug level.
func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Debugf logs nothing: the server is started without debugging.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef logs nothing: it would carry the payloads.
func (l *natsLog) Tracef(string, ...any) {}
