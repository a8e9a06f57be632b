package engine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// ping asks the server on a socket whether it is up, over a connection of its
// own: a client whose dials fail stops trying for a second.
func ping(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{Timeout: redisTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(redisTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer[:n], []byte("+PONG")) {
		return fmt.Errorf("ping: %q", answer[:n])
	}
	return nil
}

// lastLine keeps the last line that is written to it, to explain an end. Its
// zero value is ready; it is safe for concurrent use.
type lastLine struct {
	mu   sync.Mutex
	line string
}

// Write never fails.
func (l *lastLine) Write(p []byte) (int, error) {
	lines := bytes.Split(bytes.TrimSpace(p), []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.line = oneLine(string(last))
	}
	return len(p), nil
}

func (l *lastLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return "nothing"
	}
	return l.line
}
