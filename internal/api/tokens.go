package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/pkg/client"
)

func (s *Server) tokens(a *answer, r *http.Request) error {
	all, err := s.Access.List(r.Context(), access.Of(r.Context()))
	if err != nil {
		return err
	}
	return s.list(a, r, func(emit func(any) error) error {
		for _, t := range all {
			if err := emit(wireToken(t)); err != nil {
				return err
			}
		}
		return nil
	})
}

// createToken answers with the secret, which can't be had again.
func (s *Server) createToken(a *answer, r *http.Request) error {
	req, err := decode[client.TokenRequest](a, r)
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	g := access.Grant{Name: req.Name, Role: access.Role(req.Role), Senders: req.Senders, Expires: req.Expires}
	if err := g.Check(time.Now()); err != nil { // so that there are not too many to look up
		return err
	}
	for i, id := range g.Senders { // a typo would make a token that sees nobody
		if err := sees(caller, id); err != nil {
			return fmt.Errorf("senders[%d]: %w", i, err)
		}
		if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
			return fmt.Errorf("senders[%d]: %w", i, err)
		}
	}
	about := map[string]string{"name": g.Name, "role": string(g.Role), "senders": strings.Join(g.Senders, ","), "expires": timestamp(g.Expires)}
	if err := s.act(a, r, deed{details: about}); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	t, text, err := s.Access.Create(ctx, caller, g)
	if err != nil {
		return err
	}
	a.outcome = map[string]string{"token": t.ID}
	return writeJSON(a, http.StatusCreated, client.CreatedToken{Token: wireToken(t), Text: client.TokenText(text)})
}

func (s *Server) revokeToken(a *answer, r *http.Request) error {
	d := deed{}
	if id := r.PathValue("id"); access.ValidID(id) { // else there is none
		d.object = id
	}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	caller := access.Of(ctx)
	t, err := s.Access.Revoke(ctx, caller, r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(a, http.StatusOK, client.RevokedToken{Token: wireToken(t), Self: t.ID == caller.ID})
}

// timestamp is a moment in the log, "" for none.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func wireToken(t access.Token) client.Token {
	return client.Token{
		ID: t.ID, Name: t.Name, Role: string(t.Role), Senders: t.Senders, Created: t.Created, CreatedBy: t.CreatedBy, Expires: t.Expires,
		Revoked: t.Revoked, RevokedBy: t.RevokedBy,
	}
}
