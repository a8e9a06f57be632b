package api

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
	// headerTimeout bounds how long a caller may take to say what it wants.
	headerTimeout = 5 * time.Second
	// bodyTimeout bounds how long a body of bounded size may take. An import
	// has no such limit, nor has any answer: they may be of any length.
	bodyTimeout = 30 * time.Second
	// idleTimeout is longer than Go's clients keep an idle connection, so that
	// it is they who close it.
	idleTimeout = 2 * time.Minute
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 64 << 10
	// stopTimeout is what requests under way get to end: longer than a pause
	// or an opt-out may wait (scheduler.LineTimeout).
	stopTimeout = 6 * time.Second
)

// Serve answers on ln until ctx ends, then lets requests under way end and
// cuts what takes longer than six seconds. It returns nil when it was stopped
// by ctx. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	serve := srv.Serve
	if l, ok := ln.(*Listener); ok && l.tls != nil {
		srv.TLSConfig = l.tls
		serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	done := make(chan error, 1)
	go func() { done <- serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the API on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); errors.Is(err, context.DeadlineExceeded) {
		_ = srv.Close() // it has nothing to say that helps: we stop either way
	}
	<-done
	return nil
}
