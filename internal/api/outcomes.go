package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
)

// How many outcomes a page has.
const (
	defaultOutcomes = 100
	maxOutcomes     = 1000
)

// outcomes answers with a page of outcomes and the cursor to read on from: for
// whoever rather asks than is pushed to.
func (s *Server) outcomes(a *answer, r *http.Request) error {
	q := r.URL.Query()
	limit, err := parseLimit(q.Get("limit"))
	if err != nil || limit > maxOutcomes {
		return badRequest(fmt.Sprintf("limit %q: want a number from 1 to %d", q.Get("limit"), maxOutcomes))
	}
	if limit == 0 {
		limit = defaultOutcomes
	}
	of := q.Get("sender")
	if of != "" && !sender.ValidID(of) {
		return badRequest(fmt.Sprintf("sender %q: want the id of a sender", of))
	}
	from, err := s.cursor(r, q)
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	p, err := s.Feed.Read(r.Context(), from, limit, func(o outcome.Outcome) bool { return caller.Sees(o.Sender) && (of == "" || o.Sender == of) })
	if ahead, ok := errors.AsType[*outcome.Ahead](err); ok {
		return refuse(http.StatusConflict, "after: "+ahead.Error()+"; begin anew by since")
	}
	if err != nil {
		return err
	}
	if err := outcome.Know(r.Context(), s.Facts, p.Outcomes, nil); err != nil {
		return err
	}
	out := client.Outcomes{Outcomes: make([]client.Outcome, len(p.Outcomes)), Cursor: p.Cursor.String(), More: p.More}
	for i, o := range p.Outcomes {
		out.Outcomes[i] = wireOutcome(o)
	}
	return writeJSON(a, http.StatusOK, out)
}

// cursor is where a request wants to begin: without a word of it, at the
// beginning.
func (s *Server) cursor(r *http.Request, q url.Values) (outcome.Cursor, error) {
	since, err := moment(q, "since")
	if err != nil {
		return nil, err
	}
	after := q.Get("after")
	switch {
	case after != "" && !since.IsZero():
		return nil, badRequest("want either after or since")
	case !since.IsZero():
		return s.Feed.Since(r.Context(), since)
	case after == "":
		return outcome.Cursor{}, nil
	}
	c, err := outcome.ParseCursor(after)
	if err != nil {
		return nil, badRequest("after: " + err.Error())
	}
	return c, nil
}

func wireOutcome(o outcome.Outcome) client.Outcome {
	return client.Outcome{
		ID: o.ID, Job: o.Job, Seq: o.Seq, Sender: o.Sender, Source: o.Source,
		Contact: client.OutcomeContact{Key: o.Contact.Key.String(), ID: o.Contact.ID, Attributes: o.Contact.Attributes},
		State:   string(o.State), From: string(o.From), At: o.At, Attempt: o.Attempt, Reason: o.Reason, Rule: o.Rule,
		MessageID: o.MessageID, Code: o.Code, Subcode: o.Subcode, Detail: o.Detail, Trace: o.Trace,
	}
}
