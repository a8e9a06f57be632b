package contact

import (
	"slices"
	"time"
)

// Erased tells whether nothing of a person is left in the record. Its contact
// is known by its key alone, and can't be written to.
func (r Record) Erased() bool { return !r.ErasedAt.IsZero() && r.Address == "" }

// erase forgets everything that was told up to a moment, but what forbids:
// opt-outs (without the words of who recorded them), blocks, reviews, the
// platform's wish to leave the contact alone. What allows goes, returns from
// an opt-out too: who was forgotten has to come back anew. A field without a
// time of its own, as an import leaves it, goes whenever it came.
func erase(r *Record, at time.Time) bool {
	if !at.After(r.ErasedAt) {
		return false
	}
	at = at.UTC()
	r.ErasedAt = at
	was := *r
	r.Name, r.Timezone, r.Labels, r.Attributes, r.Marks = "", "", nil, map[string]string{}, map[string]time.Time{}
	for k, marked := range was.Marks {
		if marked.After(at) {
			r.Marks[k] = marked
			r.keep(k, was)
		}
	}
	r.SMSConsent = was.SMSConsent && !r.Marks[consentMark].IsZero()
	r.tidy()
	if !r.LastInbound.After(at) {
		r.LastInbound, r.OpenedBy = time.Time{}, ""
	}
	if !r.AdMessageAt.After(at) {
		r.AdMessageAt = time.Time{}
	}
	r.Returns = newer(r.Returns, func(b Return) time.Time { return b.At }, at)
	r.Comments = newer(r.Comments, func(p Permission) time.Time { return p.At }, at)
	r.Tokens = newer(r.Tokens, func(p Permission) time.Time { return p.At }, at)
	if !r.Review.At.After(at) {
		r.Review.ID = ""
	}
	r.OptOuts = wordless(r.OptOuts, at)
	if !r.living() {
		r.Address = ""
	}
	return true
}

// living tells whether anything was told of the person since the erasure.
func (r *Record) living() bool {
	return !r.LastInbound.IsZero() || !r.AdMessageAt.IsZero() || len(r.Returns)+len(r.Comments)+len(r.Tokens)+len(r.Marks) > 0
}

func newer[T any](have []T, when func(T) time.Time, at time.Time) []T {
	var out []T
	for _, v := range have {
		if when(v).After(at) {
			out = append(out, v)
		}
	}
	return out
}

func wordless(outs []OptOut, at time.Time) []OptOut {
	outs = slices.Clone(outs)
	for i, o := range outs {
		if !o.At.After(at) {
			outs[i].Source = ""
		}
	}
	return outs
}

// since returns what of an update was told after an erasure. What forbids is
// taken in whenever it was told, but names nobody.
func (u Update) since(erased time.Time) Update {
	if erased.IsZero() {
		return u
	}
	if u.Profile != nil && !u.Profile.At.After(erased) {
		u.Profile = nil
	}
	if u.Change != nil && !u.Change.At.After(erased) {
		u.Change = nil
	}
	if !u.LastInbound.After(erased) {
		u.LastInbound, u.OpenedBy = time.Time{}, ""
	}
	if !u.AdMessageAt.After(erased) {
		u.AdMessageAt = time.Time{}
	}
	if u.Return != nil && !u.Return.At.After(erased) {
		u.Return = nil
	}
	if u.Comment != nil && !u.Comment.At.After(erased) {
		u.Comment = nil
	}
	if u.Token != nil && !u.Token.At.After(erased) {
		u.Token = nil
	}
	if !u.Review.At.After(erased) {
		u.Review.ID = ""
	}
	if u.OptOut != nil && !u.OptOut.At.After(erased) {
		o := *u.OptOut
		o.Source = ""
		u.OptOut = &o
	}
	if u.Profile == nil && u.Change == nil && u.LastInbound.IsZero() && u.AdMessageAt.IsZero() && u.Return == nil && u.Comment == nil && u.Token == nil {
		u.Address, u.SMSConsent = "", false
	}
	return u
}
