package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/webhook"
)

// reader reads a body of words as events of these types, unless it was told
// to fail, and keeps the call.
type reader struct {
	fail error
	last hook.Call
}

func (r *reader) Read(c hook.Call) (hook.Told, error) {
	r.last = c
	var events []event.Event
	for _, w := range strings.Fields(string(c.Body)) {
		e := event.Event{Source: "s", ID: w, Type: event.Type(w), Channel: "sms"}
		if w == "deal.won" {
			e.Channel = ""
		}
		events = append(events, e)
	}
	return hook.Told{Events: events, Answer: hook.Answer{Type: "text/xml", Body: []byte("<ack/>")}}, r.fail
}

// desk is a receiver with its reader, where Take and the hooks fail as told.
type desk struct {
	*webhook.Receiver
	reader   *reader
	log      bytes.Buffer
	takeFail error
	hookFail error
	taken    int
}

func open(t *testing.T, spec hook.Spec) *desk {
	t.Helper()
	d := &desk{reader: &reader{}}
	var err error
	d.Receiver, err = webhook.New(webhook.Config{
		Hook: func(_ context.Context, id string) (*hook.Spec, uint64, error) {
			if d.hookFail != nil {
				return nil, 0, d.hookFail
			}
			if id != spec.ID {
				return nil, 0, fmt.Errorf("hook %s: %w", id, definition.ErrNotFound)
			}
			return &spec, 1, nil
		},
		Secret: func(ref string) (secret.Text, error) {
			if strings.HasPrefix(ref, "env:NO") {
				return "", fmt.Errorf("credential %s is empty in this process", ref)
			}
			return secret.Text(ref), nil
		},
		Readers: map[hook.Type]webhook.Reader{hook.Meta: d.reader, hook.Twilio: d.reader},
		Take: func(_ context.Context, h *hook.Spec, events []event.Event) error {
			if h.ID != spec.ID {
				t.Errorf("told of hook %s", h.ID)
			}
			if d.takeFail == nil {
				d.taken += len(events)
			}
			return d.takeFail
		},
		Log: slog.New(slog.NewTextHandler(&d.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shop() hook.Spec {
	return hook.Spec{ID: "shop", Type: hook.Meta, Secrets: []string{"env:NONE", "env:A", "env:B"}, VerifyToken: "env:V"}
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // never written

func TestReceive(t *testing.T) {
	t.Parallel()
	d := open(t, shop())
	answer, err := d.Receive(t.Context(), hook.Meta, "shop", hook.Call{Method: "POST", URL: "http://x/hooks/meta/shop", Body: []byte("message read deal.won message"), At: noon})
	if err != nil || string(answer.Body) != "<ack/>" || d.taken != 4 {
		t.Fatalf("%+v, %v, %d taken", answer, err, d.taken)
	}
	c := d.reader.last
	if len(c.Secrets) != 2 || string(c.Secrets[0]) != "env:A" || string(c.VerifyToken) != "env:V" || c.Hook.ID != "shop" {
		t.Errorf("the reader was given %+v", c)
	}
	if got := d.Events(); got["message"] != 2 || got["read"] != 1 || got["crm"] != 1 || len(got) != 3 {
		t.Errorf("events by type: %v", got)
	}
	if n := d.Count("shop"); n != (webhook.Count{Calls: 1, Events: 4, Last: noon}) {
		t.Errorf("counted %+v", n)
	}
}

// TestFailures: each has its own kind of error and its own count, and nothing
// is counted as taken that was not.
func TestFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		typ            hook.Type
		id             string
		read, take, at error
		is             func(error) bool
		want           webhook.Count
	}{
		"nobody's signature": {hook.Meta, "shop", hook.ErrRefused, nil, nil, func(err error) bool { return errors.Is(err, hook.ErrRefused) }, webhook.Count{Refused: 1}},
		"no JSON":            {hook.Meta, "shop", &hook.Malformed{Why: "x"}, nil, nil, func(err error) bool { _, ok := errors.AsType[*hook.Malformed](err); return ok }, webhook.Count{Unread: 1}},
		"not kept":           {hook.Meta, "shop", nil, fmt.Errorf("%w", definition.ErrNotFound), nil, unavailable, webhook.Count{Lost: 1}},
		"no definitions":     {hook.Meta, "shop", nil, nil, broken, unavailable, webhook.Count{}},
		"no such hook":       {hook.Meta, "other", nil, nil, nil, missing, webhook.Count{}},
		"of another type":    {hook.Twilio, "shop", nil, nil, nil, missing, webhook.Count{}},
		"of no type":         {"viber", "shop", nil, nil, nil, missing, webhook.Count{}},
		"no id":              {hook.Meta, "a.b/../c", nil, nil, broken, missing, webhook.Count{}},
	} {
		d := open(t, shop())
		d.reader.fail, d.takeFail, d.hookFail = c.read, c.take, c.at
		_, err := d.Receive(t.Context(), c.typ, c.id, hook.Call{Method: "POST", Body: []byte("message"), At: noon})
		if !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
		if n := d.Count("shop"); n != c.want {
			t.Errorf("%s: counted %+v, want %+v", name, n, c.want)
		}
	}
}

func unavailable(err error) bool { _, ok := errors.AsType[*webhook.Unavailable](err); return ok }

func missing(err error) bool {
	return errors.Is(err, definition.ErrNotFound) && !unavailable(err)
}

func TestNoSecretAtAll(t *testing.T) {
	t.Parallel()
	spec := shop()
	spec.Secrets, spec.VerifyToken = []string{"env:NO1", "env:NO2"}, "env:NO3"
	d := open(t, spec)
	_, err := d.Receive(t.Context(), hook.Meta, "shop", hook.Call{Method: "POST", Body: []byte("message")})
	if !unavailable(err) || !strings.Contains(err.Error(), "env:NO2") || d.reader.last.Hook != nil {
		t.Errorf("%v; the reader was given %+v", err, d.reader.last)
	}
	spec.Secrets = []string{"env:A"} // without the token, what is signed is known all the same
	d = open(t, spec)
	if _, err := d.Receive(t.Context(), hook.Meta, "shop", hook.Call{Method: "POST"}); err != nil || d.reader.last.VerifyToken != "" {
		t.Errorf("%v, %+v", err, d.reader.last)
	}
}

// TestAddress: some sign the address that they know, which a proxy may have
// changed.
func TestAddress(t *testing.T) {
	t.Parallel()
	const came = "http://10.0.0.1:8080/hooks/meta/shop?a=1&b=%20"
	for url, want := range map[string]string{
		"":                             came,
		"https://example.com/in":       "https://example.com/in?a=1&b=%20",
		"https://example.com/in?key=1": "https://example.com/in?key=1",
	} {
		spec := shop()
		spec.URL = url
		d := open(t, spec)
		if _, err := d.Receive(t.Context(), hook.Meta, "shop", hook.Call{Method: "POST", URL: came}); err != nil || d.reader.last.URL != want {
			t.Errorf("%q: %q, %v", url, d.reader.last.URL, err)
		}
	}
}

// TestRefusalsAreLoggedNowAndThen: a stranger can't fill the log.
func TestRefusalsAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	d := open(t, shop())
	d.reader.fail = hook.ErrRefused
	for range 500 {
		_, _ = d.Receive(t.Context(), hook.Meta, "shop", hook.Call{Method: "POST"})
	}
	if n := strings.Count(d.log.String(), "a call of a hook was refused"); n < 1 || n > 100 {
		t.Errorf("%d lines", n)
	}
	if got := d.Results(); got["refused"] != 500 || got["taken"] != 0 {
		t.Errorf("%v", got)
	}
}

func TestNewNeedsEverything(t *testing.T) {
	t.Parallel()
	if _, err := webhook.New(webhook.Config{}); err == nil {
		t.Error("a receiver without anything")
	}
}
