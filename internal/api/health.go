package api

import (
	"context"
	"net/http"
	"time"
)

// readyPath is asked again and again by whoever waits for readiness.
const readyPath = "/readyz"

// readyTimeout bounds how long readiness may take to find out.
const readyTimeout = 2 * time.Second

type health struct {
	Status string `json:"status"`
}

func (s *Server) healthy(a *answer, _ *http.Request) error {
	return writeJSON(a, http.StatusOK, health{"ok"})
}

// ready tells whether messages can go out: facts are projected, so that the
// gate is open, and the ledger answers.
func (s *Server) ready(a *answer, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		return refuse(http.StatusServiceUnavailable, err.Error())
	}
	return writeJSON(a, http.StatusOK, health{"ready"})
}
