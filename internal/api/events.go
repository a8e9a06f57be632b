package api

import (
	"net/http"
	"strconv"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/ingest/cloudevent"
	"github.com/carillon-dev/carillon/pkg/client"
)

// events takes a CRM's events. The log has one entry for a call, however many
// it brings: they are kept themselves.
func (s *Server) events(a *answer, r *http.Request) error {
	body, err := readBody(a, r)
	if err != nil {
		return err
	}
	told, err := cloudevent.Decode(r.Header, body)
	if err != nil {
		return badRequest(err.Error())
	}
	found, err := s.CRM.Find(r.Context(), access.Of(r.Context()).Sees, told)
	if err != nil {
		return err
	}
	d := deed{sender: only(found.Senders), details: map[string]string{"count": strconv.Itoa(len(told)), "contacts": strconv.Itoa(found.About)}}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	taken, err := s.CRM.Take(ctx, found)
	if err != nil {
		return err
	}
	out := client.EventsTaken{New: taken.New, Repeated: taken.Repeated, Contacts: found.About, InFlight: taken.InFlight, Nobody: []client.NobodyTold{}}
	for _, n := range found.Lost {
		out.Nobody = append(out.Nobody, client.NobodyTold(n))
	}
	for _, n := range found.Unresolved {
		out.Unresolved = append(out.Unresolved, client.NobodyTold(n))
	}
	return writeJSON(a, statusIf(out.InFlight == 0), out)
}
