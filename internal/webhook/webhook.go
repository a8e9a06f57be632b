// Package webhook takes what platforms call the hooks with: it finds the hook
// and its secrets, has a reader find out who signed the call and what it
// says, and hands the events on. It knows no platform and speaks no HTTP.
//
// Its invariant: nothing of a call is acted on before it is known to be
// signed by a secret of the hook, and no call is answered well unless all its
// events were taken.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/limit"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Reader finds out whether a call is the platform's and what it says. It does
// no I/O. Its errors are hook.ErrRefused, *hook.Malformed or
// *hook.WrongMethod; what it can't make sense of in a call that is well
// signed is an event of type Other and no error.
type Reader interface {
	Read(c hook.Call) (hook.Told, error)
}

// Config is what a receiver works with. All fields are needed.
type Config struct {
	Hook    func(ctx context.Context, id string) (*hook.Spec, uint64, error) // definition.Store.Hook
	Secret  func(ref string) (secret.Text, error)                            // what an env: or file: reference names
	Readers map[hook.Type]Reader
	Take    func(ctx context.Context, h *hook.Spec, events []event.Event) error // nil: all are durable, and in force or behind a closed gate
	Log     *slog.Logger
}

// Receiver takes calls. It is safe for concurrent use.
type Receiver struct {
	Config
	counts counts
	warned *limit.Limiter
}

// New returns a receiver.
func New(c Config) (*Receiver, error) {
	if c.Hook == nil || c.Secret == nil || len(c.Readers) == 0 || c.Take == nil || c.Log == nil {
		return nil, errors.New("webhook: something is missing in its configuration")
	}
	return &Receiver{Config: c, counts: newCounts(), warned: limit.New(1, warnBurst, maxHooks)}, nil
}

// Unavailable says that what a call told could not be kept, or that nobody
// can know who signed it. The platform is to call again.
type Unavailable struct{ Err error }

// Error says what is the matter.
func (u *Unavailable) Error() string { return "what it told is not kept: " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Receive takes one call of /hooks/typ/id; of c it fills in what is of the
// hook. Its errors are those of a Reader, *Unavailable, and
// definition.ErrNotFound where there is no such hook.
func (r *Receiver) Receive(ctx context.Context, typ hook.Type, id string, c hook.Call) (hook.Answer, error) {
	if err := r.find(ctx, typ, id, &c); err != nil {
		return hook.Answer{}, err
	}
	told, err := r.Readers[typ].Read(c)
	if err != nil {
		r.counts.refused(id, err)
		r.warn(ctx, id, err)
		return hook.Answer{}, fmt.Errorf("hook %s: %w", id, err)
	}
	if len(told.Events) > 0 {
		if err := r.Take(ctx, c.Hook, told.Events); err != nil {
			r.counts.lost(id)
			return hook.Answer{}, &Unavailable{err}
		}
	}
	r.counts.took(id, told.Events, c.At)
	return told.Answer, nil
}

// warnBurst and maxHooks bound what the log gets of calls that were refused:
// a few at once and one a second, for each hook. Who calls is anybody, and a
// secret that is wrong refuses all.
const (
	warnBurst = 5
	maxHooks  = 1000
)

func (r *Receiver) warn(ctx context.Context, id string, err error) {
	if missed, ok := r.warned.Count(id, time.Now()); ok {
		r.Log.WarnContext(ctx, "a call of a hook was refused", "hook", id, "error", err, "unlogged", missed)
	}
}

// find fills in the hook that is called, and its secrets.
func (r *Receiver) find(ctx context.Context, typ hook.Type, id string, c *hook.Call) error {
	missing := fmt.Errorf("hook %s: %w", id, definition.ErrNotFound)
	if _, ok := r.Readers[typ]; !ok || !sender.ValidID(id) { // an id that nobody could have given is not looked up
		return missing
	}
	spec, _, err := r.Hook(ctx, id)
	switch {
	case errors.Is(err, definition.ErrNotFound):
		return missing
	case err != nil:
		return &Unavailable{err}
	case spec.Type != typ:
		return missing
	}
	c.Hook = spec
	if spec.URL != "" {
		c.URL = asKnown(spec.URL, c.URL)
	}
	return r.resolve(c)
}

// asKnown is the address that a caller knows a hook by, with the query that
// it came with.
func asKnown(known, came string) string {
	if _, query, ok := strings.Cut(came, "?"); ok && !strings.Contains(known, "?") {
		return known + "?" + query
	}
	return known
}

// resolve looks up the secrets of a hook. One that can't be had is no fault
// as long as there is another: that is how secrets are rotated.
func (r *Receiver) resolve(c *hook.Call) error {
	var errs []error
	for _, ref := range c.Hook.Secrets {
		s, err := r.Secret(ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.Secrets = append(c.Secrets, s)
	}
	if c.Secrets == nil {
		return &Unavailable{fmt.Errorf("hook %s: no secret can be resolved here, so that nobody can know who calls: %w", c.Hook.ID, errors.Join(errs...))}
	}
	if ref := c.Hook.VerifyToken; ref != "" {
		c.VerifyToken, _ = r.Secret(ref) // without it the platform can't subscribe, and what it sends is known by its signature
	}
	return nil
}

// bounds of what a call may take; the API holds them.
const (
	// MaxBody is the longest body, in bytes. Meta batches up to 1,000 updates,
	// which at some 2 KiB each are 2 MiB; others send less.
	MaxBody = 4 << 20
	// BodyTimeout bounds how long a body may take to come.
	BodyTimeout = 10 * time.Second
	// Timeout bounds taking a call, since Meta waits five seconds.
	Timeout = 4800 * time.Millisecond
)
