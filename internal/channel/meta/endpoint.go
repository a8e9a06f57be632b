package meta

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
)

// maxEndpoints bounds the cache of prepared accounts. An installation has far
// fewer; rotated tokens are what would let it grow.
const maxEndpoints = 4096

var (
	versionPattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+$`)
	accountPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`) // a path segment that needs no escape
)

// base is the Graph base with its version split off.
type base struct {
	root    url.URL // scheme, host and path without a closing slash; the version is in it only if it was configured so
	version string  // such as v25.0
	fixed   bool    // root ends in version
}

// parseBase reads the configured base URL. A version at its end wins over
// version.
func parseBase(raw, version string) (base, error) {
	u, err := wire.Base(raw)
	if err != nil {
		return base{}, fmt.Errorf("graph base %w", err)
	}
	b := base{root: *u, version: version}
	if last := u.Path[strings.LastIndexByte(u.Path, '/')+1:]; versionPattern.MatchString(last) {
		b.version, b.fixed = last, true
	}
	if !versionPattern.MatchString(b.version) {
		return base{}, fmt.Errorf("graph version %q: want vN.N, such as %s", b.version, DefaultVersion)
	}
	return b, nil
}

// endpoint is what all calls of one account share. It is never written after
// it was made: net/http reads the requests' headers and URLs, no more.
type endpoint struct {
	single   *http.Request // POST {base}/{version}/{account}/messages
	batch    *http.Request // POST {base}/
	relative string        // {version}/{account}/messages, as a batch item names it
	form     string        // the batch form up to and with "batch="
}

// newEndpoint prepares an account. It fails for credentials that cannot travel
// in a header, and never says what they were.
func newEndpoint(b base, a channel.Account) (*endpoint, error) {
	if !accountPattern.MatchString(a.ID) {
		return nil, fmt.Errorf("account id %q: want letters, digits, - and _", a.ID)
	}
	token := string(a.Token)
	if token == "" {
		return nil, errors.New("the account has no token")
	}
	if !wire.ValidToken(token) {
		return nil, errors.New("the account's token has characters that no token has")
	}
	proof := ""
	if a.AppSecret != "" {
		mac := hmac.New(sha256.New, []byte(a.AppSecret))
		mac.Write([]byte(token))
		proof = hex.EncodeToString(mac.Sum(nil))
	}
	e := &endpoint{relative: b.version + "/" + a.ID + "/messages"}
	single, batch := b.root, b.root
	batch.Path += "/"
	if b.fixed {
		single.Path += "/" + a.ID + "/messages"
	} else {
		single.Path += "/" + e.relative
	}
	if proof != "" {
		single.RawQuery = "appsecret_proof=" + proof
	}
	e.single = wire.Template(&single, "Bearer "+token, "application/json")
	e.batch = wire.Template(&batch, "Bearer "+token, "application/x-www-form-urlencoded")
	e.form = "access_token=" + url.QueryEscape(token)
	if proof != "" {
		e.form += "&appsecret_proof=" + proof
	}
	e.form += "&include_headers=false&batch="
	return e, nil
}

// endpoints keeps prepared accounts by value, so that a rotated token is
// another entry.
type endpoints struct {
	base base
	mu   sync.RWMutex
	by   map[channel.Account]*endpoint
}

func (s *endpoints) of(a channel.Account) (*endpoint, error) {
	s.mu.RLock()
	e := s.by[a]
	s.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	e, err := newEndpoint(s.base, a)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) >= maxEndpoints {
		clear(s.by)
	}
	s.by[a] = e
	return e, nil
}
