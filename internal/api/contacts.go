package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/client"
)

// maxChanges is how many contacts one request may change; more come faster by
// a CSV.
const maxChanges = 500

// maxAhead is how far the clock of who says since when something is so may be
// ahead of ours. What lay in the future could be changed by nobody until then.
const maxAhead = 5 * time.Minute

func (s *Server) changeContacts(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
		return err
	}
	req, err := decode[client.ContactChanges](a, r)
	if err != nil {
		return err
	}
	updates, err := changes(req.Contacts, time.Now())
	if err != nil {
		return err
	}
	d := deed{sender: id, details: map[string]string{"count": strconv.Itoa(len(updates))}}
	if len(updates) == 1 {
		d.object = s.Facts.Key(id, updates[0].Address).String()
	}
	if err := s.act(a, r, d); err != nil {
		return err
	}
	ctx, cancel := detached(r) // who hangs up has opted out all the same
	defer cancel()
	out, err := s.mergeContacts(ctx, id, updates)
	if err != nil {
		return err
	}
	return writeJSON(a, statusIf(out.InForce && len(out.InFlight) == 0), out)
}

// mergeContacts takes in updates, and waits until they are in force and nothing
// is on its way to who opted out.
func (s *Server) mergeContacts(ctx context.Context, id string, updates []contact.Update) (client.ContactsChanged, error) {
	m, err := s.Facts.Merge(ctx, id, updates)
	if err != nil {
		return client.ContactsChanged{}, err
	}
	out := client.ContactsChanged{Written: m.Written, Unchanged: m.Unchanged, InForce: s.inForce(ctx, m.Seq)}
	var gone []consent.Contact
	for _, u := range updates {
		if u.OptOut != nil {
			gone = append(gone, consent.Contact{Sender: id, Address: u.Address})
		}
	}
	open, err := s.line(ctx, gone)
	out.InFlight = open
	return out, err
}

// line waits for the line of who opted out, for as long as a send may take,
// and names the jobs that may still arrive.
func (s *Server) line(ctx context.Context, gone []consent.Contact) ([]string, error) {
	names := []string{}
	if len(gone) == 0 {
		return names, nil
	}
	open, err := s.Consent.Line(ctx, gone, time.Now().Add(scheduler.LineTimeout))
	if err != nil {
		return names, fmt.Errorf("recorded, but not known whether something is on its way: %w", err)
	}
	return append(names, jobNames(open)...), nil
}

func jobNames(ids []job.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

// changes reads what a request says of contacts. Its error names the first
// that is no good.
func changes(said []client.ContactChange, now time.Time) ([]contact.Update, error) {
	if len(said) == 0 || len(said) > maxChanges {
		return nil, badRequest(fmt.Sprintf("contacts: want 1 to %d", maxChanges))
	}
	out := make([]contact.Update, len(said))
	for i, c := range said {
		where := fmt.Sprintf("contacts[%d]", i)
		if err := checkContact(where+".contact", c.Contact); err != nil {
			return nil, err
		}
		n := contact.Change{
			At: c.At, Name: c.Name, Timezone: c.Timezone, Labels: c.Labels, Attributes: c.Attributes, SMSConsent: c.SMSConsent,
			OptOut: contact.Scope(c.OptOut), OptIn: contact.Scope(c.OptIn), Source: c.Source,
		}
		var err error
		if n.At, err = since(where+".at", n.At, now); err != nil {
			return nil, err
		}
		switch err := n.Validate(); {
		case err != nil:
			return nil, badRequest(where + "." + err.Error())
		case n.Empty():
			return nil, badRequest(where + ": says nothing: want name, timezone, labels, attributes, sms_consent, opt_out or opt_in")
		case n.OptOut != "" && strings.TrimSpace(n.Source) == "":
			return nil, badRequest(where + ".source: say where the opt-out was made")
		}
		out[i] = n.Update(c.Contact)
	}
	return out, nil
}

func (s *Server) eraseContact(a *answer, r *http.Request) error {
	id := r.PathValue("id")
	if _, _, err := s.Defs.Sender(r.Context(), id); err != nil {
		return err
	}
	req, err := decode[client.EraseRequest](a, r)
	if err != nil {
		return err
	}
	if err := checkContact("contact", req.Contact); err != nil {
		return err
	}
	at, err := since("at", req.At, time.Now())
	if err != nil {
		return err
	}
	if err := s.act(a, r, deed{object: s.Facts.Key(id, req.Contact).String(), sender: id}); err != nil {
		return err
	}
	ctx, cancel := detached(r)
	defer cancel()
	done, err := s.Desk.Erase(ctx, id, req.Contact, at)
	if err != nil {
		return err
	}
	return writeJSON(a, statusIf(done.Complete && done.InFlight == 0), client.Erased(done))
}

// since returns from when on something said is so, now where that is not said.
func since(field string, at, now time.Time) (time.Time, error) {
	switch {
	case at.IsZero():
		return now, nil
	case at.After(now.Add(maxAhead)):
		return at, badRequest(field + ": lies in the future")
	}
	return at, nil
}
