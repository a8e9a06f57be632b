// Package contact holds what is known of a contact: the record kept in the
// facts stream, how an update merges into it, and how a CSV row becomes an
// update. Everything here is pure.
package contact

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json" // v2: a third of the time, for what is read by the million; and it keeps unknown members
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// Record is all that is known of one contact of one sender. It is stored as
// JSON, one record per contact, and projected to Redis as it is.
type Record struct {
	Address     string            `json:"a"` // PSID, IGSID or E.164 number
	Name        string            `json:"n,omitempty"`
	Timezone    string            `json:"z,omitempty"` // IANA name; empty: unknown
	Labels      []string          `json:"l,omitempty"` // sorted, unique
	Attributes  map[string]string `json:"x,omitempty"`
	LastInbound time.Time         `json:"i,omitzero"`
	OpenedBy    string            `json:"o,omitempty"` // what LastInbound was; empty: message
	AdMessageAt time.Time         `json:"d,omitzero"`
	OptOuts     []OptOut          `json:"u,omitempty"` // at most one for each scope, sorted by it
	BlockedAt   time.Time         `json:"b,omitzero"`  // the platform said that the contact can't be reached
	SMSConsent  bool              `json:"c,omitempty"`
	Returns     []Return          `json:"r,omitempty"` // at most one for each scope, sorted by it
	Review      Review            `json:"v,omitzero"`
	Comments    []Permission      `json:"m,omitempty"` // that a private reply may answer; the newest, by time
	Tokens      []Permission      `json:"k,omitempty"` // for one notification each; the newest, by time
	Thread      Thread            `json:"t,omitzero"`
	CooledUntil time.Time         `json:"h,omitzero"` // the platform asks to leave the contact alone until then
	ErasedAt    time.Time         `json:"e,omitzero"` // what was told up to then is forgotten, but what forbids

	// Marks are since when what was changed one by one is as it is, or is not
	// there any more: n (name), z (zone), c (consent), l:LABEL, x:ATTRIBUTE.
	Marks map[string]time.Time `json:"y,omitempty"`

	// Newer is what a newer version wrote and this one has no fields for. A
	// merge keeps it, and the gate holds the contact: it may forbid something.
	Newer jsontext.Value `json:",embed"`
}

// Encode returns the record's wire form, with what a newer version wrote.
func (r Record) Encode() ([]byte, error) {
	b, err := json.Marshal(r, jsonv1.DefaultOptionsV1())
	if err != nil {
		return nil, fmt.Errorf("contact record: %w", err)
	}
	return b, nil
}

// Decode reads what Encode wrote, here or in a newer version.
func Decode(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("contact record: %w", err)
	}
	return r, nil
}

// Scope is how much an opt-out forbids.
type Scope string

// The scopes.
const (
	All       Scope = "all"
	Marketing Scope = "marketing"
)

// OptOut is one recorded opt-out.
type OptOut struct {
	Scope  Scope     `json:"s"`
	At     time.Time `json:"t"`           // the first that was told of
	Newest time.Time `json:"n,omitzero"`  // the newest, where it is another: what a return is compared with
	Source string    `json:"w,omitempty"` // where the first was made, in the words of who recorded it
}

// last is when the contact opted out the last time.
func (o OptOut) last() time.Time {
	if o.Newest.After(o.At) {
		return o.Newest
	}
	return o.At
}

// Return is the contact's own word that it wants messages again.
type Return struct {
	Scope Scope     `json:"s"`
	At    time.Time `json:"t"` // the newest
}

// Update is what one event says of a contact. Zero fields say nothing.
type Update struct {
	Address     string
	Profile     *Profile // replaces name, zone, labels and attributes as a whole
	LastInbound time.Time
	OpenedBy    string
	AdMessageAt time.Time
	OptOut      *OptOut
	Standing    bool // OptOut says that there is one, not when it was made: one that stands already says the same
	BlockedAt   time.Time
	SMSConsent  bool
	Return      *Return
	Review      Review
	Comment     *Permission
	Token       *Permission
	Used        string // id of a comment or a token of which nothing is left
	Thread      Thread
	CooledUntil time.Time
	Change      *Change   // what it says of labels, attributes, name, zone and consent; the rest stands here
	Erased      time.Time // everything told up to then is to be forgotten
}

// Profile is the part of a record that an import replaces.
type Profile struct {
	At         time.Time // of the import
	Name       string
	Timezone   string
	Labels     []string
	Attributes map[string]string
}

// Merge returns r with u taken in, and whether anything changed. Order does
// not matter for facts: the newest inbound stays, an opt-out is never cleared
// by an update without one, and of two opt-outs of one scope the first stays,
// since that is since when nothing may be sent. Of equal times the recorded
// one stays.
func Merge(r Record, u Update) (Record, bool) {
	out := r
	changed := erase(&out, u.Erased)
	if u = u.since(out.ErasedAt); u.Address != "" && u.Address != out.Address {
		out.Address, changed = u.Address, true
	}
	if u.Profile != nil && mergeProfile(&out, *u.Profile) {
		changed = true
	}
	if u.Change != nil && mergeChange(&out, *u.Change) {
		changed = true
	}
	if u.LastInbound.After(out.LastInbound) || !u.LastInbound.IsZero() && u.LastInbound.Equal(out.LastInbound) && opener(u.OpenedBy) < opener(out.OpenedBy) {
		out.LastInbound, out.OpenedBy = u.LastInbound.UTC(), u.OpenedBy
		changed = true
	}
	if u.AdMessageAt.After(out.AdMessageAt) {
		out.AdMessageAt, changed = u.AdMessageAt.UTC(), true
	}
	if u.BlockedAt.After(out.BlockedAt) {
		out.BlockedAt, changed = u.BlockedAt.UTC(), true
	}
	if u.SMSConsent && !out.SMSConsent {
		out.SMSConsent, changed = true, true
	}
	if u.CooledUntil.After(out.CooledUntil) {
		out.CooledUntil, changed = u.CooledUntil.UTC(), true
	}
	if u.OptOut != nil && !(u.Standing && out.OptedOut(u.OptOut.Scope)) {
		if outs, added := withOptOut(out.OptOuts, *u.OptOut); added {
			out.OptOuts, changed = outs, true
		}
	}
	if u.Return != nil {
		if backs, added := withReturn(out.Returns, *u.Return); added {
			out.Returns, changed = backs, true
		}
	}
	return out, mergeTold(&out, u) || changed
}

// opener is what a window was opened by, "" being a message. Of two things that
// happened in the same moment the first by the alphabet counts, whichever was
// told first; so a message after an ad comes before any other.
func opener(by string) string {
	if by == "" {
		return "message"
	}
	return by
}

func withOptOut(have []OptOut, o OptOut) ([]OptOut, bool) {
	o.At, o.Newest = o.At.UTC(), time.Time{}
	i := slices.IndexFunc(have, func(h OptOut) bool { return h.Scope == o.Scope })
	if i < 0 {
		outs := append(slices.Clone(have), o)
		slices.SortFunc(outs, func(a, b OptOut) int { return strings.Compare(string(a.Scope), string(b.Scope)) })
		return outs, true
	}
	first, last := have[i], have[i].last()
	switch {
	case o.At.Before(first.At):
		o.Newest = last
	case o.At.After(last):
		o.At, o.Newest, o.Source = first.At, o.At, first.Source
	default:
		return have, false
	}
	outs := slices.Clone(have)
	outs[i] = o
	return outs, true
}

func withReturn(have []Return, b Return) ([]Return, bool) {
	b.At = b.At.UTC()
	i := slices.IndexFunc(have, func(h Return) bool { return h.Scope == b.Scope })
	if i < 0 {
		backs := append(slices.Clone(have), b)
		slices.SortFunc(backs, func(a, b Return) int { return strings.Compare(string(a.Scope), string(b.Scope)) })
		return backs, true
	}
	if !b.At.After(have[i].At) {
		return have, false
	}
	backs := slices.Clone(have)
	backs[i] = b
	return backs, true
}

func sameProfile(r Record, p Profile) bool {
	if r.Name != p.Name || r.Timezone != p.Timezone || !slices.Equal(r.Labels, p.Labels) || len(r.Attributes) != len(p.Attributes) {
		return false
	}
	for k, v := range p.Attributes {
		if w, ok := r.Attributes[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// Blocked tells whether the contact was unreachable when the platform was
// last asked and has not written since.
func (r Record) Blocked() bool { return !r.BlockedAt.IsZero() && !r.LastInbound.After(r.BlockedAt) }

// OptedOut tells whether an opt-out of the scope is in force: one was made,
// and the contact did not come back after it. Of an opt-out and a return at
// the same moment the opt-out counts.
func (r Record) OptedOut(s Scope) bool {
	return slices.ContainsFunc(r.OptOuts, func(o OptOut) bool { return o.Scope == s && !r.returned(o) })
}

// returned tells whether the contact came back after an opt-out. Coming back
// to everything includes marketing.
func (r Record) returned(o OptOut) bool {
	return slices.ContainsFunc(r.Returns, func(b Return) bool {
		return (b.Scope == o.Scope || b.Scope == All) && b.At.After(o.last())
	})
}

// stopped tells whether an opt-out of everything is in force. A scope that
// this version does not know is taken as that.
func (r Record) stopped() bool {
	return slices.ContainsFunc(r.OptOuts, func(o OptOut) bool { return o.Scope != Marketing && !r.returned(o) })
}

// Facts returns what the rules may look at. The zone function loads a time
// zone by its IANA name and returns nil for one that it does not know.
func (r Record) Facts(zone func(string) *time.Location) policy.Facts {
	f := policy.Facts{
		LastInbound:    r.LastInbound,
		OpenedBy:       r.OpenedBy,
		AdMessageAt:    r.AdMessageAt,
		OptedOutAll:    r.stopped(),
		OptedOutMarket: r.OptedOut(Marketing),
		Blocked:        r.Blocked(),
		SMSConsent:     r.SMSConsent,
		OptOutReview:   r.Review.Open(),
	}
	if c, ok := r.Comment(); ok {
		f.Comment = policy.Comment{At: c.At, Replied: c.Used, LiveOver: c.Live}
	}
	if t, ok := r.Token(); ok {
		f.OneTimeToken = policy.OneTimeToken{Created: t.At, Used: t.Used}
	}
	if r.Timezone != "" {
		f.Zone = zone(r.Timezone)
	}
	return f
}

// Keyer derives contact keys under an installation's key.
type Keyer struct{ secret []byte }

// NewKeyer returns a Keyer for a secret of at least 32 bytes.
func NewKeyer(secret []byte) Keyer { return Keyer{slices.Clone(secret)} }

// Key returns the key of an address as one sender knows it.
func (k Keyer) Key(sender, address string) job.Key {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(sender))
	h.Write([]byte{0})
	h.Write([]byte(address))
	var key job.Key
	copy(key[:], h.Sum(nil))
	return key
}

// Fingerprint names the secret without giving it away: two installations
// that must share facts compare it.
func (k Keyer) Fingerprint() string {
	return k.Key("fingerprint", "").String()
}
