package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/internal/story"
	"github.com/carillon-dev/carillon/pkg/client"
)

func TestDecodeJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                    "",
		" {\"jobs\":[\"a\"]}\n": "",
		`{"filter":{"since":"2026-11-22T10:00:00Z"}}`: "",
		``:                             "the body is not a JSON object",
		`null`:                         "the body is not a JSON object",
		`[]`:                           "the body is not a JSON object",
		"{\"by\":\"\xff\"}":            "the body is not UTF-8",
		`{`:                            "the body ends in the middle of its JSON",
		`{"by":`:                       "the body ends in the middle of its JSON",
		`{"by" 1}`:                     "the body is not JSON, at byte 7: invalid character '1' after object key",
		`{} {}`:                        "the body has something after its JSON object",
		`{} x`:                         "the body has something after its JSON object",
		`{"job":["a"]}`:                `unknown field "job"`,
		`{"filter":{"sender":1}}`:      `field "filter.sender" can't be a JSON number: want a string`,
		`{"jobs":"a"}`:                 `field "jobs" can't be a JSON string: want an array`,
		`{"filter":[]}`:                `field "filter" can't be a JSON array: want an object`,
		`{"dry_run":1}`:                `field "dry_run" can't be a JSON number: want true or false`,
		`{"filter":{"since":"today"}}`: `time "today": want RFC 3339 such as 2026-11-22T10:00:00Z`,
		`{"filter":{"since":1}}`:       "the body can't be taken: Time.UnmarshalJSON: input is not a JSON string",
	} {
		var v client.HandleRequest
		err := decodeJSON([]byte(body), &v)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got  %s\nwant %s", body, got, want)
		}
		if err != nil && statusOf(err) != http.StatusBadRequest {
			t.Errorf("%q: status %d", body, statusOf(err))
		}
	}
}

func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{refuse(418, "x"), 418},
		{fmt.Errorf("more: %w", refuse(418, "x")), 418},
		{fmt.Errorf("x: %w", definition.ErrNotFound), 404},
		{fmt.Errorf("x: %w", story.ErrUnknownJob), 404},
		{&scheduler.Illegal{ID: "x", Err: errors.New("y")}, 409},
		{&definition.Error{File: "f", Err: fmt.Errorf("x: %w", definition.ErrChanged)}, 409},
		{&scheduler.Needless{ID: "x", Code: "y"}, 422},
		{fmt.Errorf("x: %w", &gate.Unsendable{What: "broadcast x"}), 422},
		{&definition.Error{File: "f", Err: errors.New("x")}, 422},
		{&definition.Error{File: "f", Err: fmt.Errorf("x: %w", nats.ErrTimeout)}, 503},
		{fmt.Errorf("x: %w", jetstream.ErrStreamNotFound), 503},
		{fmt.Errorf("x: %w", &jetstream.APIError{Code: 500}), 503},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), 503},
		{errors.New("x"), 500},
	} {
		if got := statusOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// TestAfterSome: an engine that fails between two documents leaves the first
// applied, and the answer says so.
func TestAfterSome(t *testing.T) {
	if got := afterSome(errors.New("x"), 0).Error(); got != "x" {
		t.Error(got)
	}
	err := afterSome(nats.ErrTimeout, 2)
	if want := nats.ErrTimeout.Error() + "; what stands before it was applied (2)"; err.Error() != want || statusOf(err) != 503 {
		t.Errorf("%v, status %d", err, statusOf(err))
	}
}

func TestBlame(t *testing.T) {
	engine := fmt.Errorf("facts: %w", nats.ErrTimeout)
	for _, c := range []struct {
		err, upload error
		want        int
	}{
		{errors.New("after 7 rows: unexpected EOF"), errors.New("unexpected EOF"), 400},
		{engine, nil, 503},
		{errors.New("line 1: no column"), nil, 422},
	} {
		if got := statusOf(blame(c.err, c.upload, 7)); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// FuzzDecode: whatever comes, a body is either refused in one line or taken
// as something that says the same when it is written again.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"contact":"1","scope":"all","source":"x"}`, `{"jobs":["a","b"],"dry_run":true,"by":"me"}`,
		`{"filter":{"reason":"opted_out","since":"2026-11-22T10:00:00+01:00"}}`, `{"contact":"\ud800"}`, `{"jobs":null}`, `{"a":`, "{\"\\n\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var o client.OptOutRequest
		if decodesSame(t, body, &o, &client.OptOutRequest{}) && checkOptOut(&o) == nil {
			if o.Contact == "" || len(o.Contact) > maxContact || strings.ContainsAny(o.Contact, " /\n") || o.Source == "" || o.Scope != "all" && o.Scope != "marketing" {
				t.Errorf("took %+v", o)
			}
		}
		var h client.HandleRequest
		if decodesSame(t, body, &h, &client.HandleRequest{}) && h.Filter != nil {
			if got, err := filter(*h.Filter); err == nil && strings.ContainsAny(got.Sender+got.Source, "*>. ") {
				t.Errorf("took %+v", got)
			}
		}
	})
}

func decodesSame(t *testing.T, body []byte, v, again any) bool {
	t.Helper()
	if err := decodeJSON(body, v); err != nil {
		if statusOf(err) != http.StatusBadRequest || strings.ContainsFunc(err.Error(), isControl) {
			t.Errorf("%q", err)
		}
		return false
	}
	b, err := json.Marshal(v)
	if err != nil {
		return false // a time beyond what JSON can say
	}
	if err := decodeJSON(b, again); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	c, err := json.Marshal(again)
	if err != nil || !reflect.DeepEqual(b, c) {
		t.Errorf("%s became %s: %v", b, c, err)
	}
	return true
}
