package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/journal"
)

// verbs are what the log calls the routes that change something, by path, and
// the one that takes everything away in a copy. A POST that is not here only
// reads.
func verbs() map[string]string {
	return map[string]string{
		"/v1/apply":                  "apply",
		backupPath:                   "backup",
		"/v1/senders/{id}/pause":     "pause-sender",
		"/v1/senders/{id}/resume":    "resume-sender",
		importPath:                   "import",
		"/v1/senders/{id}/optouts":   "optout",
		"/v1/broadcasts/{id}/launch": "launch",
		"/v1/broadcasts/{id}/pause":  "pause",
		"/v1/broadcasts/{id}/resume": "resume",
		"/v1/broadcasts/{id}/cancel": "cancel",
		"/v1/dead/redrive":           "redrive",
		"/v1/dead/discard":           "discard",
		"/v1/endpoints/{id}/enable":  "enable-endpoint",
		"/v1/endpoints/{id}/disable": "disable-endpoint",
		"/v1/endpoints/{id}/replay":  "replay-endpoint",
		"/v1/flows/{id}/pause":       "pause-flow",
		"/v1/flows/{id}/resume":      "resume-flow",
		"/v1/flows/{id}/delete":      "delete-flow",
		"/v1/flows/{id}/stop":        "stop-runs",
		"/v1/tokens":                 "create-token",
		"/v1/tokens/{id}/revoke":     "revoke-token",

		"/v1/senders/{id}/labels/pull":      "pull-labels",
		"/v1/senders/{id}/contacts/changes": "change-contacts",
		"/v1/senders/{id}/contacts/erase":   "erase-contact",
		"/v1/events":                        "events",
		"/v1/senders/{id}/reviews":          "review",
	}
}

// verb is what the log calls a request for a route.
func (rt route) verb() string {
	if v := verbs()[rt.path]; v != "" && (rt.method == http.MethodPost || rt.path == backupPath) {
		return v
	}
	return "read"
}

// deed is what a handler is about to do.
type deed struct {
	object  string // id of what it is done to
	sender  string // whose that is; "": nobody's, or several senders'
	details map[string]string
}

// act writes into the audit log what is about to be done. A handler calls it
// once it knows that, and changes nothing before: with an error, nothing at
// all.
func (s *Server) act(a *answer, r *http.Request, d deed) error {
	if err := s.timely(a.route); err != nil {
		return err
	}
	e := s.entry(a.route, r)
	e.Object, e.Sender, e.Details = d.object, d.sender, tidy(d.details)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	begun, err := s.Journal.Begin(ctx, e)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "nothing was done, since the audit log can't be written: "+err.Error())
	}
	a.begun = begun
	return nil
}

// Clock tells whether this process' clock may be believed, and else what time it
// was by one that was.
type Clock interface {
	Check(now time.Time) error
	Agreed() (t time.Time, ok bool)
}

// stops are the routes that only ever stop something, by path.
func stops() map[string]bool {
	return map[string]bool{
		"/v1/senders/{id}/pause":     true,
		"/v1/senders/{id}/optouts":   true,
		"/v1/broadcasts/{id}/pause":  true,
		"/v1/broadcasts/{id}/cancel": true,
		"/v1/flows/{id}/pause":       true,
		"/v1/flows/{id}/delete":      true,
		"/v1/flows/{id}/stop":        true,
		"/v1/endpoints/{id}/disable": true,
		"/v1/tokens/{id}/revoke":     true,
	}
}

// timely refuses what would be done by a clock that can't be believed: a launch
// would begin too soon, an opt-in win against an opt-out since. What stops
// something is always done, dated by the time that was last agreed on.
func (s *Server) timely(rt route) error {
	if s.Clock == nil {
		return nil
	}
	err := s.Clock.Check(time.Now())
	if _, agreed := s.Clock.Agreed(); err == nil || agreed && stops()[rt.path] {
		return nil
	}
	return refuse(http.StatusServiceUnavailable, "nothing was done: "+err.Error()+"; or ask another scheduler")
}

// now is when what an order says is so.
func (s *Server) now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	t, _ := s.Clock.Agreed()
	return t
}

// recordTimeout bounds writing a record for which its caller does not wait.
const recordTimeout = 5 * time.Second

func (s *Server) entry(rt route, r *http.Request) journal.Entry {
	p := access.Of(r.Context())
	e := journal.Entry{
		Caller: journal.Caller{ID: p.ID, Name: p.Name, Role: string(p.Role)}, Via: rt.method + " " + rt.path, Verb: rt.verb(),
		Network: journal.Network(s.Listening.client(r)),
	}
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		e.Trace = sc.TraceID().String()
	}
	return e
}

// forbidden writes into the audit log that somebody was refused for their
// role or scope. Whoever is refused often has only some of it written, with
// how many were not: nothing else would bound what they put into the log.
func (s *Server) forbidden(a *answer, r *http.Request, status int) {
	e := s.entry(a.route, r)
	missed, ok := s.limits.refusals.Count(e.Caller.ID, s.limits.now())
	if !ok {
		return
	}
	if missed > 0 {
		e.Details = map[string]string{"unrecorded": strconv.Itoa(missed)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	if id := r.PathValue("id"); job.ValidToken(id) { // else it could be anything
		e.Object = id
	}
	if a.route.reach == toSender && s.known(ctx, e.Object) {
		e.Sender = e.Object
	}
	if err := s.Journal.Refused(ctx, e, journal.Result{Status: status}); err != nil {
		s.Log.WarnContext(ctx, "a refusal could not be written to the audit log", "error", err)
	}
}

// known tells whether a sender is defined and in the caller's scope. The
// server keeps every subject of a stream in memory, so that no name that a
// caller made up may become one.
func (s *Server) known(ctx context.Context, sender string) bool {
	if !access.Of(ctx).Sees(sender) {
		return false
	}
	_, _, err := s.Defs.Sender(ctx, sender)
	return err == nil
}

// maxDetail bounds one detail in the log, in bytes.
const maxDetail = 500

// tidy leaves out what is empty, and cuts what is long.
func tidy(details map[string]string) map[string]string {
	out := make(map[string]string, len(details))
	for name, v := range details {
		if v = strings.Map(printable, v); len(v) > maxDetail {
			v = strings.ToValidUTF8(v[:maxDetail], "") + "…"
		}
		if v != "" {
			out[name] = v
		}
	}
	return out
}

func printable(c rune) rune {
	if isControl(c) {
		return ' '
	}
	return c
}
