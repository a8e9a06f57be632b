package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/story"
)

// closed tells whether a path needs a token: all there is under /v1, and all
// that might be.
func (s *Server) closed(r *http.Request) bool {
	return r.URL.Path != documentPath && strings.HasPrefix(r.URL.Path+"/", "/v1/")
}

// authenticate finds out who calls.
func (s *Server) authenticate(r *http.Request) (access.Principal, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	have := sha256.Sum256([]byte(token)) // of one length, so that comparing tells nothing
	isRoot := subtle.ConstantTimeCompare(have[:], s.token[:]) == 1
	switch {
	case !s.Listening.private(r):
		return access.Principal{}, inTheOpen(r)
	case !ok || !strings.EqualFold(scheme, "Bearer"):
		return access.Principal{}, unauthorized(access.ErrRefused)
	case isRoot:
		return access.Root(), nil
	}
	p, err := s.Access.Admit(token)
	if errors.Is(err, access.ErrRefused) {
		return p, unauthorized(err)
	}
	return p, err
}

// inTheOpen refuses what others may have read on its way.
func inTheOpen(r *http.Request) error {
	return refuse(http.StatusForbidden, "this came in plain HTTP and not from the proxy that ends TLS: CARILLON_TRUSTED_PROXIES does not have "+peer(r).String())
}

// unauthorized says what is missing. Why a token is refused is said to whoever
// knows its secret.
func unauthorized(why error) error {
	if why == access.ErrRefused { //nolint:errorlint // a wrapped one says more
		return refuse(http.StatusUnauthorized, "no valid token; send the header Authorization: Bearer TOKEN")
	}
	return refuse(http.StatusUnauthorized, why.Error())
}

// authorize holds the caller's role against what a route needs.
func authorize(need access.Role, r *http.Request) error {
	if caller := access.Of(r.Context()); need != "" && !caller.Role.Has(need) {
		return refuse(http.StatusForbidden, fmt.Sprintf("this takes the role %s, and the token %q has %s", need, caller.Name, caller.Role))
	}
	return nil
}

// within answers for what is out of the caller's scope as if it did not
// exist, in the words of what does not.
func (s *Server) within(to reach, r *http.Request) error {
	caller := access.Of(r.Context())
	if caller.Senders == nil {
		return nil // all of them, and nothing to look up
	}
	switch to {
	case toSender:
		return sees(caller, r.PathValue("id"))
	case toQuery:
		if id := r.URL.Query().Get("sender"); id != "" {
			return sees(caller, id)
		}
	case toBroadcast:
		id := r.PathValue("id")
		b, _, err := s.Defs.Broadcast(r.Context(), id)
		if err == nil && !caller.Sees(b.Spec.Sender) {
			err = fmt.Errorf("broadcast %s: %w", id, definition.ErrNotFound)
		}
		return err
	case toEndpoint:
		return s.endpointWithin(caller, r)
	case toFlow:
		return s.flowWithin(caller, r, r.PathValue("id"))
	case toRun:
		return s.runWithin(caller, r)
	case toJob:
		if id, err := job.ParseID(r.PathValue("job")); err == nil && !caller.Sees(id.Sender) {
			return fmt.Errorf("job %s: %w", id, story.ErrUnknownJob)
		}
	case toAll:
		return refuse(http.StatusForbidden, fmt.Sprintf("this is about all senders, and the token %q is for %s alone", caller.Name, strings.Join(caller.Senders, ", ")))
	case toNobody, toSeveral:
	}
	return nil
}

func sees(caller access.Principal, sender string) error {
	if caller.Sees(sender) {
		return nil
	}
	return fmt.Errorf("sender %s: %w", sender, definition.ErrNotFound)
}
