// Package cloudevent reads CloudEvents 1.0 in every form that HTTP and NATS
// carry them in: structured, batched and binary. It does no I/O and does not
// know which contact an event is about.
package cloudevent

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	cetypes "github.com/cloudevents/sdk-go/v2/types"

	"github.com/carillon-dev/carillon/internal/event"
)

// The bounds of a body and of an event in it.
const (
	MaxEvents = 500
	MaxData   = 64 << 10 // bytes; CloudEvents asks those in between for no more
	maxWords  = 1024     // of a source, an id, a type and a subject
	maxOthers = 20       // extensions
)

// Structured and batch are the media types of events in JSON.
const (
	structured = ce.ApplicationCloudEventsJSON
	batch      = ce.ApplicationCloudEventsBatchJSON
)

// Decode reads a body with its headers: those of HTTP, or of a message of
// NATS, where a message without any is an event in JSON. Its error is for who
// sent it.
func Decode(header map[string][]string, body []byte) ([]event.Event, error) {
	h := canonical(header)
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && h.Get("Content-Type") != "" {
		return nil, errors.New("the content type can't be read")
	}
	if (kind == "" || kind == "application/json") && h.Get("Ce-Specversion") == "" {
		kind = structured
		if b := bytes.TrimSpace(body); len(b) > 0 && b[0] == '[' {
			kind = batch
		}
	}
	if kind == structured || kind == batch { // the library compares the whole
		h.Set("Content-Type", kind)
	}
	read, err := events(h, kind, body)
	if err != nil {
		return nil, err
	}
	if len(read) == 0 || len(read) > MaxEvents {
		return nil, fmt.Errorf("want 1 to %d events", MaxEvents)
	}
	out := make([]event.Event, len(read))
	for i := range read {
		if out[i], err = one(&read[i]); err != nil {
			return nil, fmt.Errorf("events[%d]: %w", i, err)
		}
	}
	return out, nil
}

// canonical is a header by HTTP's names: NATS keeps them as they were written.
func canonical(header map[string][]string) http.Header {
	h := make(http.Header, len(header))
	for name, values := range header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	return h
}

func events(h http.Header, kind string, body []byte) ([]ce.Event, error) {
	if kind == batch {
		var many []ce.Event
		if err := json.Unmarshal(body, &many); err != nil {
			return nil, errors.New("want a JSON array of CloudEvents 1.0")
		}
		return many, nil
	}
	if h.Get("Ce-Specversion") == "" && kind != structured {
		return nil, fmt.Errorf("want a CloudEvent: the content type %s or %s, or the headers ce-specversion, ce-id, ce-source and ce-type", structured, batch)
	}
	if kind == structured { // the library takes what follows the object as nothing
		if !json.Valid(body) {
			return nil, errors.New("the body is not JSON")
		}
	}
	m := cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(body)))
	e, err := binding.ToEvent(context.Background(), m)
	if err != nil {
		return nil, errors.New("want a CloudEvent 1.0 with id, source and type")
	}
	return []ce.Event{*e}, nil
}

// one checks an event and turns it into ours.
func one(e *ce.Event) (event.Event, error) {
	switch {
	case e.SpecVersion() != ce.CloudEventsVersionV1:
		return event.Event{}, errors.New("want specversion 1.0")
	case e.Validate() != nil || e.ID() == "" || e.Source() == "" || e.Type() == "":
		return event.Event{}, errors.New("want a CloudEvent 1.0 with id, source and type")
	case len(e.Data()) > MaxData:
		return event.Event{}, fmt.Errorf("data: %d bytes, at most %d", len(e.Data()), MaxData)
	case len(e.Extensions()) > maxOthers:
		return event.Event{}, fmt.Errorf("%d extensions, at most %d", len(e.Extensions()), maxOthers)
	}
	for _, w := range []struct{ field, v string }{{"id", e.ID()}, {"source", e.Source()}, {"type", e.Type()}, {"subject", e.Subject()}} {
		if !fits(w.v) {
			return event.Event{}, fmt.Errorf("%s: want at most %d bytes in one line", w.field, maxWords)
		}
	}
	out := event.Event{Source: e.Source(), ID: e.ID(), Type: event.Type(e.Type()), Subject: e.Subject()}
	if at := e.Time(); !at.IsZero() && at.Year() > 0 && at.Year() < 9999 { // others can't be written in UTC
		out.Time = at.UTC()
	}
	var err error
	if out.Extensions, err = extensions(e); err != nil {
		return out, err
	}
	out.Data, err = data(e)
	return out, err
}

func fits(s string) bool {
	return len(s) <= maxWords && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func extensions(e *ce.Event) (map[string]string, error) {
	var out map[string]string
	for name, v := range e.Extensions() {
		s, err := cetypes.Format(v)
		if err != nil || !fits(s) {
			return nil, fmt.Errorf("%s: want at most %d bytes in one line", name, maxWords)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = s
	}
	return out, nil
}

// data is an event's data as JSON: what is no JSON is a string of its text,
// or, where it has none, of base64.
func data(e *ce.Event) (json.RawMessage, error) {
	b := e.Data()
	if len(b) == 0 {
		return nil, nil
	}
	kind, _, _ := mime.ParseMediaType(e.DataContentType())
	if kind == "" || kind == "application/json" || strings.HasSuffix(kind, "+json") {
		if !json.Valid(b) || !utf8.Valid(b) {
			return nil, errors.New("data: it is not JSON, as its content type says")
		}
		return b, nil
	}
	if !utf8.Valid(b) {
		return json.Marshal(base64.StdEncoding.EncodeToString(b))
	}
	return json.Marshal(string(b))
}
