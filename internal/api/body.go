package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBody bounds the body of every request but an import, in bytes.
const maxBody = 1 << 20

// readBody reads a body of bounded size in bounded time.
func readBody(a *answer, r *http.Request) ([]byte, error) {
	rc := http.NewResponseController(a)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // a recorder has no connection, and needs none
	b, err := io.ReadAll(http.MaxBytesReader(a, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody))
	}
	if err != nil {
		return nil, badRequest("the body could not be read: " + err.Error())
	}
	// The deadline would end the request's context while the room works.
	_ = rc.SetReadDeadline(time.Time{})
	return b, nil
}

// decode reads a body of exactly one JSON object.
func decode[T any](a *answer, r *http.Request) (T, error) {
	var v T
	b, err := readBody(a, r)
	if err != nil {
		return v, err
	}
	err = decodeJSON(b, &v)
	return v, err
}

// decodeIfAny is decode for a body that may be left out.
func decodeIfAny[T any](a *answer, r *http.Request) (T, error) {
	var v T
	b, err := readBody(a, r)
	if err != nil || len(b) == 0 {
		return v, err
	}
	err = decodeJSON(b, &v)
	return v, err
}

func decodeJSON(b []byte, into any) error {
	if !utf8.Valid(b) {
		return badRequest("the body is not UTF-8")
	}
	if t := bytes.TrimSpace(b); len(t) == 0 || t[0] != '{' {
		return badRequest("the body is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest(sayJSON(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body has something after its JSON object")
	}
	return nil
}

// sayJSON says what is wrong with a body in terms of the body.
func sayJSON(err error) string {
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if te.Field == "" {
			return fmt.Sprintf("the body is a JSON %s: want an object", te.Value)
		}
		return fmt.Sprintf("field %q can't be a JSON %s: want %s", te.Field, te.Value, wordFor(te.Type.Kind().String()))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown field " + name
	}
	if pe, ok := errors.AsType[*time.ParseError](err); ok {
		return fmt.Sprintf("time %q: want RFC 3339 such as 2026-11-22T10:00:00Z", pe.Value)
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("the body is not JSON, at byte %d: %v", se.Offset, se)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the body ends in the middle of its JSON"
	}
	return "the body can't be taken: " + strings.TrimPrefix(err.Error(), "json: ")
}

func wordFor(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "slice":
		return "an array"
	case "struct", "map", "ptr":
		return "an object"
	case "string":
		return "a string"
	}
	return "a number"
}

// writeJSON answers with one JSON document.
func writeJSON(a *answer, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	a.Header().Set("Content-Type", "application/json")
	a.Header().Set("Cache-Control", "no-store")
	a.WriteHeader(status)
	_, _ = a.Write(append(b, '\n')) // a caller that has gone needs no answer
	return nil
}
