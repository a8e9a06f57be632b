package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/crm"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/webhook"
	"github.com/carillon-dev/carillon/pkg/client"
)

// hookPath is where platforms call. It is no part of the API that the
// document describes: what is sent there and answered is as each platform
// wants it.
const hookPath = "/hooks/{type}/{id}"

// isHook tells a route that platforms call. What goes well there is counted
// and not logged: it may be hundreds a second.
func isHook(route string) bool { return strings.HasSuffix(route, " "+hookPath) }

// hooks lists the hooks there are. They belong to no sender: a token with a
// scope sees none.
func (s *Server) hooks(a *answer, r *http.Request) error {
	var ids []string
	if access.Of(r.Context()).Senders == nil {
		var err error
		if ids, err = s.Defs.Hooks(r.Context()); err != nil {
			return err
		}
	}
	return s.list(a, r, func(emit func(any) error) error {
		for _, id := range ids {
			h, _, err := s.Defs.Hook(r.Context(), id)
			if err != nil {
				return err
			}
			if err := emit(s.wireHook(h)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) wireHook(h *hook.Spec) client.Hook {
	n := s.Hooks.Count(h.ID)
	return client.Hook{
		ID: h.ID, Type: string(h.Type), Path: h.Path(), URL: h.URL, Secrets: len(h.Secrets), Problems: s.unresolved(h),
		Calls: n.Calls, Events: n.Events, Refused: n.Refused, Unread: n.Unread, Lost: n.Lost, Last: n.Last,
	}
}

// hooked answers a platform. It needs no token: a call is known by its
// signature.
func (s *Server) hooked(w http.ResponseWriter, r *http.Request) {
	a, ok := w.(*answer)
	if !ok {
		a = &answer{ResponseWriter: w}
	}
	given, err := s.hear(a, r)
	if err != nil {
		s.fail(a, r, s.sayHook(a, r, err))
		return
	}
	if given.Type != "" {
		a.Header().Set("Content-Type", given.Type)
	}
	a.Header().Set("Cache-Control", "no-store")
	a.Header().Set("Content-Length", strconv.Itoa(len(given.Body)))
	a.WriteHeader(http.StatusOK)
	_, _ = a.Write(given.Body) // who has gone calls again, and is told the same
}

func (s *Server) hear(a *answer, r *http.Request) (hook.Answer, error) {
	at := s.limits.now()
	if !s.Listening.private(r) {
		return hook.Answer{}, inTheOpen(r)
	}
	body, done, err := s.hookBody(a, r)
	defer done()
	if err != nil {
		return hook.Answer{}, err
	}
	// A platform that hangs up has told it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), webhook.Timeout)
	defer cancel()
	return s.Hooks.Receive(ctx, hook.Type(r.PathValue("type")), r.PathValue("id"), hook.Call{
		Method: r.Method, URL: s.Listening.called(r), Header: textproto.MIMEHeader(r.Header), Body: body, At: at,
	})
}

// sayHook says what went wrong to somebody who may be anybody.
func (s *Server) sayHook(a *answer, r *http.Request, err error) error {
	if w, ok := errors.AsType[*hook.WrongMethod](err); ok {
		a.Header().Set("Allow", w.Want)
		return refuse(http.StatusMethodNotAllowed, w.Error())
	}
	if _, ok := errors.AsType[*hook.Malformed](err); ok {
		return badRequest(err.Error())
	}
	if errors.Is(err, hook.ErrRefused) {
		if wait := s.limits.strangers.Take(household(s.Listening.client(r)), s.limits.now()); wait > 0 {
			return &later{refuse(http.StatusTooManyRequests, "too many calls without a valid signature from this address: wait as Retry-After says"), wait}
		}
		return refuse(http.StatusForbidden, err.Error())
	}
	if b, ok := errors.AsType[*crm.Behind](err); ok { // of CRM systems alone: a platform is always heard
		return b
	}
	if _, ok := errors.AsType[*webhook.Unavailable](err); ok {
		return discreet{refuse(http.StatusServiceUnavailable, "it can't be kept just now: call again"), err}
	}
	return err
}

// discreet is an error of which the caller is told less than the log.
type discreet struct {
	error
	cause error
}

// Unwrap returns what the caller is told.
func (d discreet) Unwrap() error { return d.error }

// LogValue is what the log is told.
func (d discreet) LogValue() slog.Value { return slog.StringValue(d.cause.Error()) }

const (
	// maxStrange bounds what the bodies of all calls together take that are
	// being read, in bytes, since anybody may send one.
	maxStrange = 128 << 20
	// drainMost and drainFor bound what is read of a body that is too long, so
	// that a caller who sends all of it first hears why it is refused.
	drainMost = 16 << 20
	drainFor  = 3 * time.Second
)

// hookBody reads a body of bounded size in bounded time, and in bounded
// memory together with all others that are held. done lets go of it.
func (s *Server) hookBody(a *answer, r *http.Request) (body []byte, done func(), err error) {
	done = func() {}
	rc := http.NewResponseController(a)
	if r.ContentLength > webhook.MaxBody {
		_ = rc.SetReadDeadline(time.Now().Add(drainFor))
		if r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, drainMost) // whoever does not stop is cut off
		}
		return nil, done, tooLong()
	}
	_ = rc.SetReadDeadline(time.Now().Add(webhook.BodyTimeout))
	m := &metered{from: http.MaxBytesReader(a, r.Body, webhook.MaxBody), share: s.strange}
	body, err = io.ReadAll(m)
	done = m.release
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, done, tooLong()
	}
	if err != nil && statusOf(err) != http.StatusServiceUnavailable {
		err = badRequest("the body could not be read: " + err.Error())
	}
	_ = rc.SetReadDeadline(time.Time{})
	return body, done, err
}

func tooLong() error {
	return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", webhook.MaxBody))
}

// metered reads, and counts what it has read into a share for all.
type metered struct {
	from  io.Reader
	share *atomic.Int64
	held  int64
}

// Read refuses to go on where all together hold too much.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.held += int64(n)
	if m.share.Add(int64(n)) > maxStrange {
		return n, refuse(http.StatusServiceUnavailable, "too much is being read: call again")
	}
	return n, err
}

// release gives back what was counted.
func (m *metered) release() { m.share.Add(-m.held) }
