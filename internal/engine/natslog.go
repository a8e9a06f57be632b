package engine

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

var _ server.Logger = (*natsLog)(nil)

// natsLog passes the embedded server's log on: warnings and errors at their
// level, notices as debug, since a start writes a dozen of them. A fatal line
// is kept for whoever started the server; the server expects its logger to
// end the process there, which is not this package's to decide.
type natsLog struct {
	log   *slog.Logger
	mu    sync.Mutex
	fatal string // the first fatal line; guarded by mu
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

// Errorf logs an error.
func (l *natsLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

// Warnf logs a warning.
func (l *natsLog) Warnf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Noticef logs at debug level.
func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Debugf logs nothing: the server is started without debugging.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef logs nothing: it would carry the payloads.
func (l *natsLog) Tracef(string, ...any) {}
