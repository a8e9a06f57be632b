// Package hubspot reads what HubSpot calls a webhook with: it finds out
// whether HubSpot signed it, and makes an event of everything that it says. It
// does no I/O, and it does not know which contact an event is about; that is
// declared.
package hubspot

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
)

// MaxAge is how old a call may be, by the time that is signed with it
// (HubSpot's page on validating requests, version 3). What lies further in the
// future is refused too: no clock of HubSpot's is that wrong.
const MaxAge = 5 * time.Minute

// maxEvents bounds the events of a body. HubSpot sends up to 100.
const maxEvents = 1000

// Reader reads HubSpot's calls.
type Reader struct{}

// Read reads one call.
func (Reader) Read(c hook.Call) (hook.Told, error) {
	if err := c.Posted(); err != nil {
		return hook.Told{}, err
	}
	if !Signed(c.Secrets, c) {
		return hook.Told{}, hook.ErrRefused
	}
	events, err := decode(c.Hook.ID, c.Body)
	if err != nil {
		return hook.Told{}, &hook.Malformed{Why: err.Error()}
	}
	return hook.Told{Events: events}, nil
}

// The headers of a signature.
const (
	signatureHeader = "X-Hubspot-Signature-V3"
	timestampHeader = "X-Hubspot-Request-Timestamp"
)

// Signed tells whether one of the secrets signed a call, and lately.
func Signed(secrets []secret.Text, c hook.Call) bool {
	stamp := c.Header.Get(timestampHeader)
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return false
	}
	if age := c.At.Sub(time.UnixMilli(ms)); age > MaxAge || age < -MaxAge {
		return false
	}
	given, err := base64.StdEncoding.DecodeString(c.Header.Get(signatureHeader))
	if err != nil {
		return false
	}
	signed := false
	for _, s := range secrets { // all of them, so that the time tells nothing
		if hmac.Equal(given, sign(s, c.Method, c.URL, c.Body, stamp)) {
			signed = true
		}
	}
	return signed
}

func sign(s secret.Text, method, url string, body []byte, stamp string) []byte {
	h := hmac.New(sha256.New, []byte(s))
	h.Write([]byte(method))
	h.Write([]byte(plain(url)))
	h.Write(body)
	h.Write([]byte(stamp))
	return h.Sum(nil)
}

// plain is an address as HubSpot signs it: these characters are not escaped
// in it, all others stay as they are (its page on validating requests).
func plain(url string) string {
	return strings.NewReplacer(
		"%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/", "%3F", "?", "%3f", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'",
		"%28", "(", "%29", ")", "%2A", "*", "%2a", "*", "%2C", ",", "%2c", ",", "%3B", ";", "%3b", ";",
	).Replace(url)
}

// notice is what every event of HubSpot's has. Ids are numbers, and kept as
// they are written.
type notice struct {
	EventID          json.Number `json:"eventId"`
	SubscriptionID   json.Number `json:"subscriptionId"`
	PortalID         json.Number `json:"portalId"`
	ObjectID         json.Number `json:"objectId"`
	OccurredAt       json.Number `json:"occurredAt"` // ms since 1970
	SubscriptionType string      `json:"subscriptionType"`
	EventType        string      `json:"eventType"` // what newer apps call it
	PropertyName     string      `json:"propertyName"`
}

// decode reads a body: a list of events, or one alone.
func decode(hookID string, body []byte) ([]event.Event, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if b := bytes.TrimSpace(body); len(b) > 0 && b[0] == '{' {
		d = json.NewDecoder(io.MultiReader(strings.NewReader("["), bytes.NewReader(b), strings.NewReader("]")))
	}
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("want a JSON array of events")
	}
	var out []event.Event
	for d.More() {
		if len(out) == maxEvents {
			return nil, fmt.Errorf("more than %d events", maxEvents)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("event %d is no JSON", len(out))
		}
		out = append(out, one(hookID, raw))
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("the array does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the array")
	}
	return out, nil
}

// one reads one event. HubSpot's eventId is not promised to be unique: with
// what the event is about and when it happened it is; a repeat has all the
// same but attemptNumber. What is no such event costs the others nothing.
func one(hookID string, raw json.RawMessage) event.Event {
	var n notice
	err := json.Unmarshal(raw, &n)
	typ := n.SubscriptionType
	if typ == "" {
		typ = n.EventType
	}
	if err != nil || n.EventID == "" || !isType(typ) {
		sum := sha256.Sum256(raw)
		return event.Event{Source: "hubspot/" + hookID, Type: event.Other, ID: hex.EncodeToString(sum[:16]), Data: raw}
	}
	e := event.Event{
		Source: "hubspot/" + hookID + "/" + n.PortalID.String(), Type: event.Type(typ), Data: raw,
		ID: strings.Join([]string{n.EventID.String(), n.SubscriptionID.String(), n.ObjectID.String(), n.OccurredAt.String(), n.PropertyName}, "/"),
	}
	if ms, err := n.OccurredAt.Int64(); err == nil && ms > 0 && ms < maxMillis {
		e.Time = time.UnixMilli(ms).UTC()
	}
	return e
}

// isType tells whether a text is a word of some length.
func isType(s string) bool {
	return s != "" && len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// maxMillis is the end of the year 9999, the last that a timestamp can write.
const maxMillis = 253402300799999
