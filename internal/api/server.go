// Package api is the HTTP API: it decodes a request, calls one room, and
// encodes what it said. No rule lives here, and no handler holds more of a
// list than a few hundred lines.
//
// Platforms call it too, under /hooks, by rules of their own.
//
// Its invariants: everything under /v1 but the document that describes it
// needs a token whose role is enough for it, and what is out of a token's
// scope looks to it as if it did not exist; whatever is refused or fails is answered as a problem of
// RFC 9457; no address and no text of a person enters a log line or a span.
package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/audit"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/idempotency"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/outcome"
	"github.com/carillon-dev/carillon/internal/outlet"
	"github.com/carillon-dev/carillon/internal/receipt"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/steering"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/internal/webhook"
	"github.com/carillon-dev/carillon/pkg/client"
)

// Config is what the API calls. All fields but Listening and Clock are needed.
type Config struct {
	Defs       *definition.Store
	Facts      *facts.Store
	Ready      func(context.Context) error // why messages can't go out just now; nil: they can
	Consent    *consent.Desk
	Scheduler  *scheduler.Scheduler
	Clock      Clock // nil: this process' clock is believed
	Auditor    *audit.Auditor
	Dead       *deadletter.Store
	Witness    *receipt.Witness // of unknown outcomes
	Teller     *story.Teller
	Feed       *outcome.Feed
	Outlets    *outlet.Store
	Labels     *label.Store // what pulling the labels of Pages came to
	Steering   *steering.Desk
	Tally      *ledger.Tally
	Gate       *gate.Gate
	Desk       *ingest.Desk  // takes in what is told from outside
	CRM        *crm.Intake   // finds out whom a CRM's events are about
	Policy     client.Policy // names the gate's rulebook
	Token      string        // of the built-in admin
	Access     *access.Store // everybody else's
	Journal    *journal.Journal
	Keys       *idempotency.Store
	Backup     func(context.Context, io.Writer) error // copies the installation
	Hooks      *webhook.Receiver
	Rate       int // requests a second of one token, 1 to 100,000
	Tracer     trace.Tracer
	Log        *slog.Logger
	Listening  Listening              // where it listens; the zero value is for tests, which bring a listener
	Credential func(ref string) error // whether an env: or file: reference of a sender can be resolved here
	HookSecret func(ref string) error // the same of a hook
}

// Server answers the API's requests.
type Server struct {
	Config
	token    [sha256.Size]byte
	document []byte // the OpenAPI document, JSON
	limits   limits
	mux      *http.ServeMux
	strange  *atomic.Int64 // bytes of bodies of hooks that are held
	methods  []string      // those that any route has
}

// New returns a server. Its error names what is missing.
func New(c Config) (*Server, error) {
	if c.Token == "" {
		return nil, errors.New("api: no token: without one anybody could send")
	}
	if c.Defs == nil || c.Facts == nil || c.Ready == nil || c.Consent == nil || c.Desk == nil || c.CRM == nil || c.Scheduler == nil || c.Auditor == nil ||
		c.Dead == nil || c.Teller == nil || c.Feed == nil || c.Outlets == nil || c.Labels == nil || c.Steering == nil || c.Tally == nil || c.Gate == nil || c.Tracer == nil || c.Log == nil || c.Credential == nil || c.HookSecret == nil || c.Access == nil || c.Journal == nil || c.Keys == nil || c.Hooks == nil || c.Backup == nil ||
		c.Rate < 1 || c.Policy == (client.Policy{}) {
		return nil, errors.New("api: a room is missing in its configuration")
	}
	doc, err := document()
	if err != nil {
		return nil, err
	}
	s := &Server{Config: c, token: sha256.Sum256([]byte(c.Token)), document: doc, limits: newLimits(c.Rate), mux: http.NewServeMux(), strange: &atomic.Int64{}}
	s.register()
	return s, nil
}

// route is one operation of the API.
type route struct {
	method string
	path   string      // as http.ServeMux reads it
	query  []string    // parameters that it knows; any other is refused
	role   access.Role // what a caller needs; "": it needs no token
	reach  reach       // whose it is
	handle func(*answer, *http.Request) error
}

// reach says how a route's sender is found, so that a caller sees and touches
// only what is in its scope.
type reach int

const (
	toNobody    reach = iota // it is about no sender
	toSender                 // {id} is a sender's
	toBroadcast              // {id} is a broadcast's
	toJob                    // {job} is a job's
	toQuery                  // the parameter sender
	toEndpoint               // {id} is an endpoint's
	toFlow                   // {id} is a flow's
	toRun                    // {run} is a flow's run
	toAll                    // it is about all senders: a token for some of them is refused
	toSeveral                // the handler passes over, or refuses, what is out of scope
)

// secretDocuments is the role that applying a Sender, a Hook or an Endpoint takes, beyond
// what the route asks for: they name accounts and secrets.
const secretDocuments = access.Admin

// routes is every operation there is; the OpenAPI document lists the same,
// and docs/operations.md says who may do what.
func (s *Server) routes() []route {
	const (
		get, post               = http.MethodGet, http.MethodPost
		viewer, operator, admin = access.Viewer, access.Operator, access.Admin
	)
	return []route{
		{get, "/healthz", nil, "", toNobody, s.healthy},
		{get, readyPath, nil, "", toNobody, s.ready},
		{get, documentPath, nil, "", toNobody, s.openapi},
		{post, "/v1/apply", []string{"file", "dry_run"}, operator, toSeveral, s.apply},
		{get, "/v1/senders", nil, viewer, toSeveral, s.senders},
		{get, "/v1/senders/{id}", nil, viewer, toSender, s.sender},
		{post, "/v1/senders/{id}/pause", nil, operator, toSender, s.pauseSender},
		{post, "/v1/senders/{id}/resume", nil, operator, toSender, s.resumeSender},
		{post, "/v1/senders/{id}/labels/pull", nil, operator, toSender, s.pullLabels},
		{post, importPath, []string{"check"}, operator, toSender, s.importContacts},
		{post, "/v1/senders/{id}/contacts/changes", nil, operator, toSender, s.changeContacts},
		{post, "/v1/senders/{id}/contacts/erase", nil, operator, toSender, s.eraseContact},
		{post, "/v1/events", nil, operator, toSeveral, s.events},
		{get, "/v1/senders/{id}/reviews", nil, operator, toSender, s.reviews}, // what people wrote is not for viewers
		{post, "/v1/senders/{id}/reviews", nil, operator, toSender, s.decideReview},
		{post, "/v1/senders/{id}/optouts", nil, operator, toSender, s.optOut},
		{get, "/v1/broadcasts", nil, viewer, toSeveral, s.broadcasts},
		{get, "/v1/broadcasts/{id}", nil, viewer, toBroadcast, s.broadcast},
		{post, "/v1/broadcasts/{id}/launch", nil, operator, toBroadcast, s.launch},
		{post, "/v1/broadcasts/{id}/pause", nil, operator, toBroadcast, s.pause},
		{post, "/v1/broadcasts/{id}/resume", nil, operator, toBroadcast, s.resume},
		{post, "/v1/broadcasts/{id}/cancel", nil, operator, toBroadcast, s.cancel},
		{get, "/v1/broadcasts/{id}/progress", nil, viewer, toBroadcast, s.progress},
		{get, "/v1/broadcasts/{id}/audit", []string{"bucket"}, viewer, toBroadcast, s.audit},
		{get, "/v1/broadcasts/{id}/forecast", nil, viewer, toBroadcast, s.forecast},
		{get, "/v1/flows/{id}/audit", []string{"bucket"}, viewer, toFlow, s.flowAudit},
		{get, "/v1/policy", nil, viewer, toNobody, s.policy},
		{post, "/v1/policy/diff", nil, viewer, toSeveral, s.policyDiff}, // it changes nothing
		{get, "/v1/jobs/{job}", nil, viewer, toJob, s.job},
		{get, "/v1/contacts", []string{"sender", "id"}, viewer, toQuery, s.contact},
		{get, "/v1/dead", []string{"reason", "state", "sender", "source", "since", "until", "likely_not_sent", "limit"}, viewer, toSeveral, s.dead},
		{get, "/v1/dead/{job}", nil, viewer, toJob, s.letter},
		{post, "/v1/dead/redrive", nil, operator, toSeveral, s.redrive},
		{post, "/v1/dead/discard", nil, operator, toSeveral, s.discard},
		{get, "/v1/outcomes", []string{"after", "since", "sender", "limit"}, viewer, toSeveral, s.outcomes},
		{get, "/v1/endpoints", nil, viewer, toSeveral, s.endpoints},
		{get, "/v1/endpoints/{id}", nil, viewer, toEndpoint, s.endpoint},
		{post, "/v1/endpoints/{id}/enable", nil, operator, toEndpoint, s.enableEndpoint},
		{post, "/v1/endpoints/{id}/disable", nil, operator, toEndpoint, s.disableEndpoint},
		{post, "/v1/endpoints/{id}/replay", nil, operator, toEndpoint, s.replayEndpoint},
		{get, "/v1/flows", nil, viewer, toSeveral, s.flows},
		{get, "/v1/flows/{id}", []string{"version"}, viewer, toFlow, s.flow},
		{get, "/v1/flows/{id}/runs", []string{"state", "sender", "contact", "after", "limit"}, viewer, toFlow, s.runs},
		{post, "/v1/flows/{id}/pause", nil, operator, toFlow, s.pauseFlow},
		{post, "/v1/flows/{id}/resume", nil, operator, toFlow, s.resumeFlow},
		{post, "/v1/flows/{id}/delete", nil, operator, toFlow, s.deleteFlow},
		{post, "/v1/flows/{id}/stop", nil, operator, toFlow, s.stopRuns},
		{get, "/v1/runs/{run}", nil, viewer, toRun, s.oneRun},
		{get, logPath, []string{"after", "since", "until", "caller", "sender", "verb", "limit"}, admin, toSeveral, s.log},
		{get, backupPath, nil, admin, toAll, s.backup},
		{get, "/v1/hooks", nil, viewer, toSeveral, s.hooks},
		{get, "/v1/tokens", nil, admin, toSeveral, s.tokens},
		{post, "/v1/tokens", nil, admin, toSeveral, s.createToken},
		{post, "/v1/tokens/{id}/revoke", nil, admin, toSeveral, s.revokeToken},
	}
}

func (s *Server) register() {
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		s.mux.HandleFunc(m+" "+hookPath, s.hooked)
	}
	seen := map[string]bool{}
	for _, rt := range s.routes() {
		s.mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) { s.run(rt, w, r) })
		if !seen[rt.method] {
			seen[rt.method] = true
			s.methods = append(s.methods, rt.method)
		}
	}
}
