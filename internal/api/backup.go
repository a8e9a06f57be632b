package api

import (
	"net/http"
)

// backupPath is where a copy of everything is taken.
const backupPath = "/v1/backup"

// backup copies the installation into the answer. What fails in the middle
// cuts it: a copy without its end is refused by whoever reads it.
func (s *Server) backup(a *answer, r *http.Request) error {
	if err := s.act(a, r, deed{}); err != nil {
		return err
	}
	return s.Backup(r.Context(), &copied{a})
}

// copied begins the answer with the first bytes of the copy, so that what
// fails before can still be answered as a problem.
type copied struct{ a *answer }

// Write writes a piece of the copy.
func (c *copied) Write(b []byte) (int, error) {
	if c.a.status == 0 {
		c.a.Header().Set("Content-Type", "application/x-tar")
		c.a.Header().Set("Cache-Control", "no-store")
		c.a.WriteHeader(http.StatusOK)
	}
	return c.a.Write(b)
}
