// Package access says who may call the API: tokens with a role and a scope of
// senders, kept as hashes in a bucket, and looked up in memory.
//
// It never keeps a secret, only its SHA-256, and never answers from what may
// be out of date: a token passes only while the process has seen the bucket's
// newest state within MaxAge, so that a revocation is in force everywhere
// after at most that long, whatever breaks. What a role may do is not said
// here but beside the routes.
package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role says what somebody may do. Each role has what those before it have.
type Role string

// The roles, the least first.
const (
	Viewer   Role = "viewer"   // sees everything but tokens and the audit log
	Operator Role = "operator" // moves broadcasts, dead letters, contacts and senders
	Admin    Role = "admin"    // defines senders, and says who may do what
)

// Roles are all roles, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles(), Role(s)) {
		return Role(s), nil
	}
	return "", fmt.Errorf("role %q: want viewer, operator or admin", s)
}

// Has tells whether a role includes another. One that is unknown, in a token
// of a later version perhaps, includes nothing.
func (r Role) Has(need Role) bool {
	mine, other := slices.Index(Roles(), r), slices.Index(Roles(), need)
	return mine >= 0 && other >= 0 && mine >= other
}

// RootID is the id of the built-in admin, whose token comes from the
// environment or a file. No stored token has it, being shorter than theirs.
const RootID = "root"

// Principal is who calls. The zero value may do nothing.
type Principal struct {
	ID      string    // of the token, or RootID
	Name    string    // as its creator named it
	Role    Role      // what it may do
	Senders []string  // whom it may do it to; nil: all, those that come later too
	Expires time.Time // zero: never
}

// Root is the built-in admin.
func Root() Principal { return Principal{ID: RootID, Name: RootID, Role: Admin} }

// Sees tells whether a sender is in the principal's scope. What is not must
// look to it as if it did not exist.
func (p Principal) Sees(sender string) bool {
	return p.Role != "" && (p.Senders == nil || slices.Contains(p.Senders, sender))
}

// SeesAll tells whether every one of some senders is in scope; nil stands for
// all there are and will be.
func (p Principal) SeesAll(senders []string) bool {
	if senders == nil {
		return p.Role != "" && p.Senders == nil
	}
	return !slices.ContainsFunc(senders, func(s string) bool { return !p.Sees(s) })
}

// Grants says why a principal may not give somebody else a role, a scope and
// a life, or nil: nobody gives more than they have.
func (p Principal) Grants(role Role, senders []string, expires time.Time) error {
	switch {
	case !p.Role.Has(role):
		return fmt.Errorf("role %s is more than this token's own, %s", role, p.Role)
	case !p.SeesAll(senders) && senders == nil:
		return fmt.Errorf("senders: this token is for %s alone, so name those that the new one is for", strings.Join(p.Senders, ", "))
	case !p.SeesAll(senders):
		return fmt.Errorf("senders: this token is for %s alone, and so is what it creates", strings.Join(p.Senders, ", "))
	case !p.Expires.IsZero() && (expires.IsZero() || expires.After(p.Expires)):
		return fmt.Errorf("expires: this token ends at %s, and what it creates must not outlive it", p.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

type principalKey struct{}

// With returns a context that knows who calls.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Of returns who calls; without anybody the zero Principal, which may do
// nothing.
func Of(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
