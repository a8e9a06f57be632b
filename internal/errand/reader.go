package errand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Runs reads where a run stands.
type Runs interface {
	Get(ctx context.Context, id flow.ID) (r flow.Run, rev uint64, found bool, err error)
}

// Programs returns a version of a flow. It keeps them, since they never change.
type Programs interface {
	Program(ctx context.Context, id string, version int) (*flow.Program, error)
}

// Templates returns a template as it is defined now.
type Templates interface {
	Template(ctx context.Context, id string) (*content.Template, uint64, error)
}

// Contacts returns what is known of a contact.
type Contacts interface {
	Contact(ctx context.Context, sender string, k job.Key) (contact.Record, bool, error)
}

// Lost says that what a job would say can't be found, now or later, so that
// nobody tries again.
type Lost struct {
	Reason reason.Code
	Why    string // in words, without what people wrote
}

// Error is the words.
func (l *Lost) Error() string { return l.Why }

// Reader finds out what a flow's job says: by its source the run and the step,
// by the run's version the message. Of the messages it keeps what was read, so
// that each job costs one look at its run.
type Reader struct {
	runs      Runs
	programs  Programs
	templates Templates
	contacts  Contacts

	mu   sync.Mutex
	said map[saying]said
}

// saying names a message as it is said by one kind of author from one sender.
type saying struct {
	flow           string
	version, at    int
	try            int
	choice, sender string
}

type said struct {
	plan   *definition.Planned
	notice bool      // to one's own people, about the run's contact
	until  time.Time // then its template is looked at again; zero: it has none
}

// maxSaid bounds how many messages a reader keeps, and templateFor how long
// one goes by a template as it was: it may be withdrawn.
const (
	maxSaid     = 1000
	templateFor = 5 * time.Second
)

// NewReader returns a reader.
func NewReader(r Runs, p Programs, t Templates, c Contacts) *Reader {
	return &Reader{runs: r, programs: p, templates: t, contacts: c, said: map[saying]said{}}
}

// Plan returns what the job of a flow's source says to its contact. Its error
// is a *Lost where nobody will ever know.
func (r *Reader) Plan(ctx context.Context, s job.Source) (*definition.Planned, error) {
	id, place, ok := flow.ParseSource(s.Name)
	if !ok {
		return nil, &Lost{reason.Internal, "its source names no run"}
	}
	run, _, found, err := r.runs.Get(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, &Lost{reason.Internal, "its run is not there any more"}
	}
	var event struct {
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(run.Event, &event); err != nil {
		return nil, &Lost{reason.Internal, "what began its run can't be read"}
	}
	m, err := r.saying(ctx, id.Flow, place, run, s.Sender)
	if err != nil {
		return nil, err
	}
	if event.Data == nil {
		event.Data = map[string]any{} // every field of it is missing then
	}
	out := *m.plan
	out.Says = out.Says.About(event.Data)
	if m.notice {
		about, _, err := r.contacts.Contact(ctx, run.Identities[0].Sender, id.Contact)
		if err != nil {
			return nil, err
		}
		out.Says = out.Says.Of(about)
	}
	return &out, nil
}

// saying returns the message of a place, read.
func (r *Reader) saying(ctx context.Context, id string, at flow.Place, run flow.Run, sender string) (said, error) {
	k := saying{id, at.Version, at.At, at.Try, run.Choice, sender}
	r.mu.Lock()
	s, ok := r.said[k]
	r.mu.Unlock()
	if ok && (s.until.IsZero() || time.Now().Before(s.until)) {
		return s, nil
	}
	s, err := r.read(ctx, id, at, run.Choice, sender)
	if err != nil {
		return s, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.said) >= maxSaid {
		clear(r.said)
	}
	r.said[k] = s
	return s, nil
}

func (r *Reader) read(ctx context.Context, id string, at flow.Place, choice, sender string) (s said, err error) {
	p, err := r.programs.Program(ctx, id, at.Version)
	switch {
	case errors.Is(err, definition.ErrNotFound):
		return s, &Lost{reason.Internal, fmt.Sprintf("version %d of its flow is not there any more", at.Version)}
	case err != nil:
		return s, err
	}
	send, err := p.Message(at)
	if err != nil {
		return s, &Lost{reason.Internal, err.Error()}
	}
	m := send.Message
	t, err := r.template(ctx, m.Template, sender)
	if errors.Is(err, definition.ErrNotFound) {
		m, err = message.Message{}, nil // without content, as the rules then find
	}
	if err != nil {
		return s, err
	}
	author := message.Author{Origin: "flow", FlowType: p.Spec.Type, SenderChoice: choice}
	if send.Sender != "" { // the step names it
		author.SenderChoice = ""
	}
	says, err := message.NewWording(author, m, t)
	if err != nil {
		return s, &Lost{reason.Internal, err.Error()}
	}
	if send.Template != "" {
		s.until = time.Now().Add(templateFor)
	}
	s.plan, s.notice = &definition.Planned{Spec: broadcast.Spec{ID: id, Sender: sender, Message: send.Message}, Says: says}, p.Notice(at)
	return s, nil
}

// template returns the template of a message, nil where it names none. One of
// another sender is not there for this one.
func (r *Reader) template(ctx context.Context, id, sender string) (*content.Template, error) {
	if id == "" {
		return nil, nil
	}
	t, _, err := r.templates.Template(ctx, id)
	if err == nil && t.Sender != "" && t.Sender != sender {
		return nil, definition.ErrNotFound
	}
	return t, err
}
