package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
)

// maxFileName bounds the name of a file that stands in what is said of it.
const maxFileName = 255

func (s *Server) apply(a *answer, r *http.Request) error {
	file := r.URL.Query().Get("file")
	if file == "" {
		file = "body"
	}
	if len(file) > maxFileName || strings.ContainsFunc(file, isControl) {
		return badRequest(fmt.Sprintf("file: want a name of at most %d bytes in one line", maxFileName))
	}
	body, err := readBody(a, r)
	if err != nil {
		return err
	}
	dry, err := boolean(r, "dry_run")
	if err != nil {
		return err
	}
	docs, err := definition.Decode(file, body)
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	if err := mayDefine(caller, docs); err != nil {
		return err
	}
	store := s.Defs.Try
	if !dry {
		if err := s.act(a, r, toApply(docs)); err != nil {
			return err
		}
		store = s.Defs.Apply
	}
	ctx, cancel := detached(r)
	defer cancel()
	check, advice := s.checks(caller)
	done, err := store(ctx, file, docs, check)
	if err != nil {
		a.partly = len(done) > 0
		return afterSome(err, len(done))
	}
	out := client.ApplyResult{DryRun: dry, Applied: make([]client.Applied, len(done))}
	for i, d := range done {
		out.Applied[i] = client.Applied{Kind: d.Kind, ID: d.ID, Action: d.Action, Version: d.Version, Impact: d.Impact, Warnings: d.Warnings}
		if d.Kind == "Broadcast" {
			out.Applied[i].Advice = advice[d.ID]
		}
		if docs[i].Sender != nil {
			out.Applied[i].Warnings = append(out.Applied[i].Warnings, s.credentials(docs[i].Sender)...)
		}
		if docs[i].Hook != nil {
			out.Applied[i].Warnings = append(out.Applied[i].Warnings, s.unresolved(docs[i].Hook)...)
		}
	}
	for i := range done {
		if e := docs[i].Endpoint; e != nil {
			out.Applied[i].Warnings = append(out.Applied[i].Warnings, s.unsigned(e)...)
		}
	}
	return writeJSON(a, http.StatusOK, out)
}

// checks are those of documents that a caller applies, with the advice of the
// rulebook that they find, by broadcast.
func (s *Server) checks(caller access.Principal) (definition.Check, map[string][]client.Warning) {
	advice := map[string][]client.Warning{}
	return definition.Check{
		Sees: caller.Sees, Sender: s.Gate.CheckSender,
		Broadcast: func(p *definition.Planned, from *sender.Spec) ([]string, error) {
			now := time.Now()
			warnings, err := s.Gate.Author(p, from, now)
			advice[p.Spec.ID] = wireWarnings(s.Gate.Advice(warnings, &p.Spec, from, now))
			return warnings, err
		},
		Flow:   func(f *definition.FlowCheck) ([]string, error) { return s.Gate.CheckFlow(f, time.Now()) },
		Impact: s.Steering.Impact,
	}, advice
}

// unsigned warns of secrets without which pushes can't be signed here.
func (s *Server) unsigned(e *endpoint.Spec) (out []string) {
	for _, ref := range e.Secrets {
		if err := s.HookSecret(ref); err != nil {
			out = append(out, fmt.Sprintf("secret %s is no good here, so that nothing is pushed: %v", ref, err))
		}
	}
	return out
}

// mayDefine says why a caller may not apply what names accounts and secrets.
// Whether such a thing exists makes no difference to what is said.
func mayDefine(caller access.Principal, docs []definition.Document) error {
	for _, d := range docs {
		kind, name := d.Kind(), strings.ToLower(d.Kind())+" "+d.ID()
		if kind == "Template" && len(caller.Senders) > 0 && !caller.Sees(d.Of()) {
			return refuse(http.StatusForbidden, fmt.Sprintf("%s: this token is for %s alone: name one of them as its sender", name, strings.Join(caller.Senders, ", ")))
		}
		if kind != "Sender" && kind != "Hook" && kind != "Endpoint" {
			continue
		}
		if !caller.Role.Has(secretDocuments) {
			return refuse(http.StatusForbidden, fmt.Sprintf("%s: to apply a %s takes the role %s, and this token has %s", name, kind, secretDocuments, caller.Role))
		}
		if len(caller.Senders) > 0 && (d.Of() == "" || !caller.Sees(d.Of())) {
			return refuse(http.StatusForbidden, fmt.Sprintf("%s: this token is for %s alone", name, strings.Join(caller.Senders, ", ")))
		}
	}
	return nil
}

// toApply is what applying some documents is to the log. They are named one
// by one for as long as they fit.
func toApply(docs []definition.Document) deed {
	names, senders := make([]string, len(docs)), map[string]bool{}
	for i, d := range docs {
		names[i], senders[d.Of()] = d.Kind()+" "+d.ID(), true
	}
	d := deed{details: map[string]string{"documents": strings.Join(names, ", "), "count": strconv.Itoa(len(docs))}}
	d.sender = only(senders)
	return d
}

// only is the sender that all is about, "" where there are several.
func only(senders map[string]bool) string {
	for id := range senders {
		if len(senders) == 1 {
			return id
		}
	}
	return ""
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func afterSome(err error, n int) error {
	if n == 0 {
		return err
	}
	return fmt.Errorf("%w; what stands before it was applied (%d)", err, n)
}

// unresolved warns of secrets of a hook that can't be resolved here, where its
// calls come in.
func (s *Server) unresolved(h *hook.Spec) []string {
	var out []string
	for _, ref := range h.References() {
		if err := s.HookSecret(ref); err != nil {
			out = append(out, fmt.Sprintf("%s is no good here: %v", ref, err))
		}
	}
	return out
}

// credentials warns of secrets that this process can't resolve: it may be the
// workers alone that hold them.
func (s *Server) credentials(n *sender.Spec) []string {
	var out []string
	for _, c := range []struct{ field, ref string }{{"credential", n.Credential}, {"app_secret", n.AppSecret}} {
		if c.ref == "" {
			continue
		}
		if err := s.Credential(c.ref); err != nil {
			out = append(out, fmt.Sprintf("%s %s is no good here: %v", c.field, c.ref, err))
		}
	}
	return out
}
