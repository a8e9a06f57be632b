package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/url"
	"time"
)

// The roles of a token. Each may do what those before it may.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleAdmin    = "admin"
)

// Token is what is known of a token: all but its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Senders   []string  `json:"senders,omitempty"` // none: all
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`       // id of the token that created it; "root" is the built-in one
	Expires   time.Time `json:"expires,omitzero"` // zero: never
	Revoked   time.Time `json:"revoked,omitzero"` // zero: it was not
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// TokenRequest asks for a token. Nobody gets one that may do more than the
// token that asks.
type TokenRequest struct {
	Name    string    `json:"name"` // what or whom it is for, 1 to 100 bytes
	Role    string    `json:"role"`
	Senders []string  `json:"senders,omitzero"` // nil: all; an empty one is sent, and refused
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

// CreatedToken is a new token with its text, which can't be had again.
type CreatedToken struct {
	Token
	Text TokenText `json:"token"`
}

// LogValue leaves the text out, which a log of JSON would encode.
func (t CreatedToken) LogValue() slog.Value { return slog.AnyValue(t.Token) }

// RevokedToken is a token that is good for nothing any more.
type RevokedToken struct {
	Token
	Self bool `json:"self"` // it is the one that asked
}

// TokenText is what the bearer of a token shows. It is itself in JSON and when
// converted to a string, and "[redacted]" wherever it is printed or logged.
type TokenText string

// Format never prints the token, whatever the verb.
func (TokenText) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue never logs the token.
func (TokenText) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"

// Tokens lists the tokens that the client's own may know of, the oldest first.
func (c *Client) Tokens(ctx context.Context) iter.Seq2[Token, error] {
	return list[Token](ctx, c, get("/v1/tokens", nil))
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (CreatedToken, error) {
	return call[CreatedToken](ctx, c, post("/v1/tokens", r))
}

// RevokeToken ends a token: everywhere within seconds.
func (c *Client) RevokeToken(ctx context.Context, id string) (RevokedToken, error) {
	return call[RevokedToken](ctx, c, post("/v1/tokens/"+url.PathEscape(id)+"/revoke", nil))
}
