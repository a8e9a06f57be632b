package api

import (
	"net/http"

	"github.com/carillon-dev/carillon/internal/job"
)

// jobID reads the job of a path.
func jobID(r *http.Request) (job.ID, error) {
	id, err := job.ParseID(r.PathValue("job"))
	if err != nil {
		return id, badRequest(err.Error())
	}
	return id, nil
}

func (s *Server) job(a *answer, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	st, err := s.Teller.Job(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireStory(st))
}

func (s *Server) contact(a *answer, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("sender") == "" {
		return badRequest("sender: want the id of the sender that knows the contact")
	}
	if err := checkContact("id", q.Get("id")); err != nil {
		return err
	}
	if _, _, err := s.Defs.Sender(r.Context(), q.Get("sender")); err != nil {
		return err
	}
	c, err := s.Teller.Contact(r.Context(), q.Get("sender"), q.Get("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, wireContact(c))
}
