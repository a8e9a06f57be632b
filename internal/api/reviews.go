package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/client"
)

// reviews lists who of a sender's contacts waits for a person to read what
// they wrote. It looks at all of them.
func (s *Server) reviews(a *answer, r *http.Request) error {
	ctx := r.Context()
	spec, _, err := s.Defs.Sender(ctx, r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.list(a, r, func(emit func(any) error) error {
		_, err := s.Facts.Each(ctx, spec.ID, func(_ job.Key, c contact.Record) error {
			if !c.Review.Open() {
				return nil
			}
			text, err := s.Desk.Words(ctx, spec, c.Review.ID)
			if err != nil {
				return err
			}
			return emit(client.Review{Contact: c.Address, At: c.Review.At, Text: text, OptedOut: c.OptedOut(contact.All)})
		})
		return err
	})
}

// decideReview takes in what a person made of a contact's words: an opt-out,
// made when they were written, or nothing of the kind.
func (s *Server) decideReview(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
		return err
	}
	req, err := decode[client.ReviewRequest](a, r)
	if err != nil {
		return err
	}
	if err := checkContact("contact", req.Contact); err != nil {
		return err
	}
	if req.Decision != client.ReviewOptOut && req.Decision != client.ReviewKeep {
		return badRequest(fmt.Sprintf("decision %q: want %s or %s", req.Decision, client.ReviewOptOut, client.ReviewKeep))
	}
	u, err := s.decided(r.Context(), id, req)
	if err != nil {
		return err
	}
	d := deed{object: s.Facts.Key(id, req.Contact).String(), sender: id, details: map[string]string{"decision": req.Decision}}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	out, err := s.mergeContacts(ctx, id, []contact.Update{u})
	if err != nil {
		return err
	}
	return writeJSON(a, statusIf(out.InForce && len(out.InFlight) == 0), out)
}

// decided returns what a decision changes. It settles what was seen: words
// that come later wait anew.
func (s *Server) decided(ctx context.Context, id string, req client.ReviewRequest) (contact.Update, error) {
	c, found, err := s.Facts.Contact(ctx, id, s.Facts.Key(id, req.Contact))
	if err != nil {
		return contact.Update{}, err
	}
	if !found || c.Review.At.IsZero() {
		return contact.Update{}, refuse(http.StatusConflict, "nothing of this contact waits for a person; carillon contacts review lists who does")
	}
	at := c.Review.At
	if !req.At.IsZero() && req.At.Before(at) {
		at = req.At
	}
	u := contact.Update{Address: req.Contact, Review: contact.Review{Done: at}}
	if req.Decision == client.ReviewOptOut {
		u.OptOut = &contact.OptOut{Scope: contact.All, At: at, Source: "their own words, read by a person"}
	}
	return u, nil
}
