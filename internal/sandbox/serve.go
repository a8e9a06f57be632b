package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// bodyTimeout bounds how late a body can be, and with it how far back
	// the rate windows must reach; uploads and lists lift it.
	bodyTimeout = 30 * time.Second
	// stopTimeout is what calls under way get to end.
	stopTimeout = 3 * time.Second
)

// Serve answers on ln until ctx ends, then lets calls under way end for up to
// three seconds and cuts the rest. It returns nil when it was stopped by ctx.
// It closes ln.
func (s *Sandbox) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      bodyTimeout + maxLatency,
		IdleTimeout:       2 * time.Minute, // longer than a client keeps its own
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	told := make(chan struct{})
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(told); s.outbox.run(telling) }()
	defer func() { stopTelling(); <-told }() // after the last call: it may be told
	s.log.Info("sandbox listens", "address", ln.Addr().String(), "seed", s.opts.Seed)
	select {
	case err := <-done:
		return fmt.Errorf("serve sandbox on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); errors.Is(err, context.DeadlineExceeded) {
		srv.Close()
	}
	<-done
	return nil
}
