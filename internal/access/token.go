package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Token is what is stored of a token: all but its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Senders   []string  `json:"senders,omitempty"` // none: all
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"` // id of the token that created it
	Expires   time.Time `json:"expires,omitzero"`
	Revoked   time.Time `json:"revoked,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
	Hash      string    `json:"hash"` // SHA-256 of the secret's 32 bytes, 64 hex digits
}

// Principal is who shows the token.
func (t Token) Principal() Principal {
	return Principal{ID: t.ID, Name: t.Name, Role: t.Role, Senders: slices.Clone(t.Senders), Expires: t.Expires}
}

// Visible tells whether somebody may know of a token: whoever is in charge of
// every sender that it is for.
func (t Token) Visible(to Principal) bool { return to.SeesAll(t.Senders) }

// The parts of a token's text, carillon_<id>_<secret>. Both are lower-case
// hex: it survives double clicks, and one token has one spelling.
const (
	textPrefix  = "carillon_"
	idBytes     = 6
	secretBytes = 32
)

// text is a token as its bearer shows it.
type text struct {
	id     string
	secret [secretBytes]byte
}

// newText makes a token that nobody can guess.
func newText() text {
	var id [idBytes]byte
	var t text
	_, _ = rand.Read(id[:]) // it never fails, by its documentation
	_, _ = rand.Read(t.secret[:])
	t.id = hex.EncodeToString(id[:])
	return t
}

// reveal is what the bearer is given, once.
func (t text) reveal() string { return textPrefix + t.id + "_" + hex.EncodeToString(t.secret[:]) }

// hash is what is kept. The secret is random and as long as the hash, so that
// neither salt nor a slow function would make it harder to find.
func (t text) hash() string {
	sum := sha256.Sum256(t.secret[:])
	return hex.EncodeToString(sum[:])
}

// opens compares in constant time.
func (t text) opens(k Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.hash()), []byte(k.Hash)) == 1
}

// parseText reads what reveal wrote, and nothing else.
func parseText(s string) (text, bool) {
	var t text
	rest, ok := strings.CutPrefix(s, textPrefix)
	id, secret, cut := strings.Cut(rest, "_")
	if !ok || !cut || !ValidID(id) || !isHex(secret, secretBytes) {
		return text{}, false
	}
	t.id = id
	_, err := hex.Decode(t.secret[:], []byte(secret))
	return t, err == nil
}

// ValidID tells whether s can be a stored token's id.
func ValidID(s string) bool { return isHex(s, idBytes) }

func isHex(s string, bytes int) bool {
	return len(s) == 2*bytes && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// Grant is what somebody asks for.
type Grant struct {
	Name    string
	Role    Role
	Senders []string  // nil: all
	Expires time.Time // zero: never
}

// The bounds of a grant.
const (
	maxName    = 100  // bytes
	maxSenders = 1000 // a token for more is for all
)

// Check refuses what no token can be, with a *Refusal. It looks nothing up.
func (g Grant) Check(now time.Time) error {
	if err := g.check(now); err != nil {
		return &Refusal{err}
	}
	return nil
}

func (g Grant) check(now time.Time) error {
	switch {
	case strings.TrimSpace(g.Name) == "" || len(g.Name) > maxName || !utf8.ValidString(g.Name) || strings.ContainsFunc(g.Name, unprintable):
		return fmt.Errorf("name: say in 1 to %d bytes, in one line, what or whom the token is for", maxName)
	case g.Senders != nil && len(g.Senders) == 0:
		return errors.New("senders: name at least one, or leave it out for all")
	case len(g.Senders) > maxSenders:
		return fmt.Errorf("senders: want at most %d; leave it out for all", maxSenders)
	case !g.Expires.IsZero() && !g.Expires.After(now):
		return fmt.Errorf("expires: %s has passed", g.Expires.UTC().Format(time.RFC3339))
	}
	for i, s := range g.Senders {
		if slices.Contains(g.Senders[:i], s) {
			return fmt.Errorf("senders: %s stands twice", s)
		}
	}
	if _, err := ParseRole(string(g.Role)); err != nil {
		return err
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
