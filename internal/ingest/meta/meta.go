// Package meta reads the webhooks of Pages and of Instagram accounts: it finds
// out whether the platform signed a call, and turns every item of its body
// into an event. It does no I/O and looks at no clock.
//
// Its invariants: the signature is that of the raw bytes, and nothing is
// decoded before it fits; every item of a body that is well signed becomes an
// event, of type Other where its shape or its kind is not known here, so that
// one strange item costs no other; the same item always has the same id.
package meta

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/secret"
)

// Reader reads what is sent to hooks of type meta.
type Reader struct{}

// Read verifies a call and returns what it tells. A GET is the platform's
// question whether we expect its webhooks.
func (Reader) Read(c hook.Call) (hook.Told, error) {
	switch c.Method {
	case hook.MethodGet:
		answer, err := challenge(c)
		return hook.Told{Answer: answer}, err
	case hook.MethodPost:
	default:
		return hook.Told{}, &hook.WrongMethod{Method: c.Method, Want: hook.MethodGet + ", " + hook.MethodPost}
	}
	if !signed(c.Secrets, c.Header.Get("X-Hub-Signature-256"), c.Body) {
		return hook.Told{}, hook.ErrRefused
	}
	events, err := Decode(c.Hook, c.Body, c.At)
	return hook.Told{Events: events}, err
}

// signed tells whether a header is the signature of a body by one of the
// secrets: sha256= and 64 hex digits. All secrets are tried, and every
// comparison takes the same time, so that how long it takes tells nothing.
func signed(secrets []secret.Text, header string, body []byte) bool {
	digits, ok := strings.CutPrefix(header, "sha256=")
	have, err := hex.DecodeString(digits)
	if !ok || err != nil || len(have) != sha256.Size {
		return false
	}
	by := 0
	for _, s := range secrets {
		m := hmac.New(sha256.New, []byte(s))
		m.Write(body)
		if hmac.Equal(have, m.Sum(nil)) {
			by++
		}
	}
	return by > 0
}

// challenge answers the question whether we know the hook's token.
func challenge(c hook.Call) (hook.Answer, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return hook.Answer{}, hook.ErrRefused
	}
	q := u.Query()
	// Hashes are of one length, so that comparing tells nothing.
	have, want := sha256.Sum256([]byte(q.Get("hub.verify_token"))), sha256.Sum256([]byte(c.VerifyToken))
	if q.Get("hub.mode") != "subscribe" || c.VerifyToken == "" || !hmac.Equal(have[:], want[:]) {
		return hook.Answer{}, hook.ErrRefused
	}
	return hook.Answer{Type: "text/plain; charset=utf-8", Body: []byte(q.Get("hub.challenge"))}, nil
}
