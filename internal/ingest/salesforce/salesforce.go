// Package salesforce reads Salesforce's outbound messages: it finds out
// whether a call knows the hook's secret and comes from its organization,
// makes an event of every notification in it, and has the answer that
// Salesforce waits for. It does no I/O, and it does not know which contact an
// event is about; that is declared.
package salesforce

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
)

// maxNotifications bounds those of a body. Salesforce sends up to 100.
const maxNotifications = 1000

// Reader reads Salesforce's calls.
type Reader struct{}

// Read reads one call.
func (Reader) Read(c hook.Call) (hook.Told, error) {
	if err := c.Posted(); err != nil {
		return hook.Told{}, err
	}
	if !known(c) {
		return hook.Told{}, hook.ErrRefused
	}
	root, err := parse(c.Body)
	if err != nil {
		return hook.Told{}, &hook.Malformed{Why: err.Error()}
	}
	n := root.child("Body").child("notifications")
	if n == nil || n.name.Space != outbound {
		return hook.Told{}, &hook.Malformed{Why: "want a SOAP envelope with notifications of an outbound message"}
	}
	if !sameOrganization(n.child("OrganizationId").words(), c.Hook.Organization) {
		return hook.Told{}, fmt.Errorf("%w: it comes from another organization", hook.ErrRefused)
	}
	events, err := decode(n)
	if err != nil {
		return hook.Told{}, &hook.Malformed{Why: err.Error()}
	}
	return hook.Told{Events: events, Answer: hook.Answer{Type: "text/xml; charset=utf-8", Body: []byte(ack)}}, nil
}

// outbound is the namespace of outbound messages (their WSDL).
const outbound = "http://soap.sforce.com/2005/09/outbound"

// ack is what Salesforce takes as received; all else it sends again.
const ack = `<?xml version="1.0" encoding="UTF-8"?>` +
	`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
	`<notificationsResponse xmlns="` + outbound + `"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>`

// known tells whether a call has one of the secrets: as the parameter secret
// of its address, or as the password of HTTP's basic authentication.
// Salesforce signs nothing.
func known(c hook.Call) bool {
	var given []string
	if u, err := url.Parse(c.URL); err == nil {
		given = append(given, u.Query()["secret"]...)
	}
	scheme, rest, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if b, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
		if _, password, ok := strings.Cut(string(b), ":"); ok {
			given = append(given, password)
		}
	}
	ok := 0
	for _, g := range given[:min(len(given), maxGiven)] {
		for _, s := range c.Secrets { // all of them, so that the time tells nothing
			ok |= equal(g, s)
		}
	}
	return ok == 1
}

// maxGiven bounds what a call can have us compare.
const maxGiven = 4

func equal(given string, s secret.Text) int {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s))
	if s == "" {
		return 0
	}
	return subtle.ConstantTimeCompare(a[:], b[:])
}

// shortID is how long an id is without the three characters that only tell
// upper case from lower.
const shortID = 15

func sameOrganization(came, want string) bool {
	return len(came) >= shortID && len(want) >= shortID && came[:shortID] == want[:shortID]
}

func decode(n *node) ([]event.Event, error) {
	source := "salesforce/" + n.child("OrganizationId").words()[:shortID]
	var out []event.Event
	for i := range n.children {
		c := &n.children[i]
		if c.name.Local != "Notification" {
			continue
		}
		if len(out) == maxNotifications {
			return nil, fmt.Errorf("more than %d notifications", maxNotifications)
		}
		e, err := notification(source, c)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// notification reads one notification: the record as it is now, not what
// changed of it. A repeat has the same Id.
func notification(source string, n *node) (event.Event, error) {
	fields := map[string]*string{}
	o := n.child("sObject")
	flatten(o, "", fields)
	data, err := json.Marshal(fields)
	if err != nil {
		return event.Event{}, fmt.Errorf("notification: %w", err)
	}
	e := event.Event{Source: source, ID: n.child("Id").words(), Type: event.Type("salesforce." + o.object()), Data: data}
	if e.ID == "" || len(e.ID) > 100 || o == nil {
		sum := sha256.Sum256(data)
		e.ID, e.Type = hex.EncodeToString(sum[:16]), event.Other
	}
	for _, f := range []string{"SystemModstamp", "LastModifiedDate"} {
		if v := fields[f]; v != nil && e.Time.IsZero() {
			if at, err := time.Parse(time.RFC3339, *v); err == nil && at.Year() < 9999 { // a later one can't be written in UTC
				e.Time = at
			}
		}
	}
	return e, nil
}

// flatten collects the fields of a record: those of a record in it are named
// as in Owner.Name, and what is said to be nil is null.
func flatten(n *node, above string, into map[string]*string) {
	if n == nil {
		return
	}
	for i := range n.children {
		c := &n.children[i]
		name := above + c.name.Local
		switch {
		case c.isNil():
			into[name] = nil
		case len(c.children) > 0:
			flatten(c, name+".", into)
		default:
			v := c.text
			into[name] = &v
		}
	}
}
