package contact

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Change is what somebody off the platform, such as a CRM, says of a contact
// at a moment. Each part counts by itself: of what was said of a label, the
// newest counts, whatever was said of others. Zero fields say nothing.
type Change struct {
	At         time.Time          `json:"at,omitzero"`
	Name       *string            `json:"name,omitempty"`        // "": it has none
	Timezone   *string            `json:"timezone,omitempty"`    // IANA name; "": unknown
	Labels     map[string]bool    `json:"labels,omitempty"`      // false: it is taken off
	Attributes map[string]*string `json:"attributes,omitempty"`  // nil: it is unset
	SMSConsent bool               `json:"sms_consent,omitempty"` // given; an opt-out is how it is taken back
	OptOut     Scope              `json:"opt_out,omitempty"`
	OptIn      Scope              `json:"opt_in,omitempty"`
	Erase      bool               `json:"erase,omitempty"`  // everything told up to At is forgotten, but what forbids
	Source     string             `json:"source,omitempty"` // of an opt-out: where it was made
}

// The bounds of a change, so that a record stays far below what a message of
// the stream may hold, 1 MiB.
const (
	MaxName  = 256 // bytes: of a name, a label, an attribute's name, a source
	MaxValue = 1000
	MaxParts = 100 // labels and attributes of one change
	maxMarks = 200 // of a record: labels and attributes that were changed one by one, the newest
)

// Validate returns one error that says what to change, or nil.
func (c *Change) Validate() error {
	if len(c.Labels)+len(c.Attributes) > MaxParts {
		return fmt.Errorf("labels and attributes: %d in one change, at most %d", len(c.Labels)+len(c.Attributes), MaxParts)
	}
	if c.Name != nil && !fits(*c.Name) {
		return fmt.Errorf("name: want at most %d bytes of UTF-8 in one line", MaxName)
	}
	if c.Timezone != nil && *c.Timezone != "" && !zoneExists(*c.Timezone) {
		return fmt.Errorf("timezone %q is not an IANA time zone such as Europe/Oslo", quoted(*c.Timezone))
	}
	for l := range c.Labels {
		if l == "" || !fits(l) || strings.TrimSpace(l) != l || strings.Contains(l, ";") {
			return fmt.Errorf("labels: %q: want 1 to %d bytes in one line, without ';' or spaces around it", quoted(l), MaxName)
		}
	}
	for name, v := range c.Attributes {
		switch {
		case name == "" || !fits(name) || strings.TrimSpace(name) != name:
			return fmt.Errorf("attributes: %q: want a name of 1 to %d bytes in one line, without spaces around it", quoted(name), MaxName)
		case slices.Contains(known(), strings.ToLower(name)):
			return fmt.Errorf("attributes: %q has a field of its own", name)
		case v != nil && (len(*v) > MaxValue || !utf8.ValidString(*v)):
			return fmt.Errorf("attributes: %s: want at most %d bytes of UTF-8", name, MaxValue)
		}
	}
	return c.validateWord()
}

func (c *Change) validateWord() error {
	for _, w := range []struct {
		field string
		scope Scope
	}{{"opt_out", c.OptOut}, {"opt_in", c.OptIn}} {
		if w.scope != "" && w.scope != All && w.scope != Marketing {
			return fmt.Errorf("%s %q: want all or marketing", w.field, quoted(string(w.scope)))
		}
	}
	switch {
	case c.OptOut != "" && c.OptIn != "":
		return errors.New("opt_out and opt_in: one change says one of them")
	case !fits(c.Source):
		return fmt.Errorf("source: want at most %d bytes in one line", MaxName)
	case c.Erase && (c.says() || c.OptOut != "" || c.OptIn != ""):
		return errors.New("erase: such a change says nothing else")
	}
	return nil
}

// Empty tells whether the change says nothing at all.
func (c *Change) Empty() bool { return !c.says() && c.OptOut == "" && c.OptIn == "" && !c.Erase }

// says tells whether the change says anything of fields that have a mark.
func (c *Change) says() bool {
	return c.Name != nil || c.Timezone != nil || len(c.Labels)+len(c.Attributes) > 0 || c.SMSConsent
}

func fits(s string) bool {
	return len(s) <= MaxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// ValidAddress tells whether a text can be the platform's id of a contact: 1
// to 256 bytes of UTF-8 without spaces or slashes.
func ValidAddress(s string) bool {
	return s != "" && len(s) <= maxID && utf8.ValidString(s) && !strings.ContainsAny(s, " \t\r\n/")
}

// Update returns what the change says of the contact of an address.
func (c *Change) Update(address string) Update {
	u := Update{Address: address}
	if c.says() {
		u.Change = c
	}
	if c.OptOut != "" {
		u.OptOut = &OptOut{Scope: c.OptOut, At: c.At, Source: c.Source}
	}
	if c.OptIn != "" {
		u.Return = &Return{Scope: c.OptIn, At: c.At}
	}
	if c.Erase {
		u.Erased = c.At
	}
	return u
}

// The keys of marks. A label's and an attribute's are followed by its name.
const (
	nameMark    = "n"
	zoneMark    = "z"
	consentMark = "c"
	labelMark   = "l:"
	attrMark    = "x:"
)

// register is one field of a record that changes by itself: its mark, and
// what the record has for it. Of two words at the same moment the greater one
// counts, and something counts before nothing, so that order does not matter.
type register struct {
	mark string
	have *string // nil: nothing
	want *string
	set  func(*string)
}

// mergeChange takes in what a change says of fields that have a mark. The
// record's maps and lists may be another record's: they are copied first.
func mergeChange(r *Record, c Change) (changed bool) {
	if c.At.IsZero() || !c.says() {
		return false
	}
	copied := false
	for _, g := range r.registers(c) {
		at := r.Marks[g.mark]
		if at.After(c.At) || at.Equal(c.At) && !greater(g.want, g.have) {
			continue
		}
		if !copied {
			r.Marks, r.Labels, r.Attributes = clone(r.Marks), slices.Clone(r.Labels), clone(r.Attributes)
			copied = true
		}
		r.Marks[g.mark] = c.At.UTC()
		g.set(g.want)
	}
	if copied {
		r.forgetOldest()
		r.tidy()
	}
	return copied
}

func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// tidy gives what is empty the form in which it is read back.
func (r *Record) tidy() {
	if len(r.Marks) == 0 {
		r.Marks = nil
	}
	if len(r.Labels) == 0 {
		r.Labels = nil
	}
	if len(r.Attributes) == 0 {
		r.Attributes = nil
	}
}

func greater(a, b *string) bool {
	return a != nil && (b == nil || *a > *b)
}

func (r *Record) registers(c Change) []register {
	var gs []register
	if c.Name != nil {
		gs = append(gs, register{nameMark, some(r.Name), some(*c.Name), func(v *string) { r.Name = text(v) }})
	}
	if c.Timezone != nil {
		gs = append(gs, register{zoneMark, some(r.Timezone), some(*c.Timezone), func(v *string) { r.Timezone = text(v) }})
	}
	if c.SMSConsent {
		g := register{mark: consentMark, want: some("given"), set: func(*string) { r.SMSConsent = true }}
		if r.SMSConsent {
			g.have = g.want
		}
		gs = append(gs, g)
	}
	for l, has := range c.Labels {
		g := register{mark: labelMark + l, set: func(v *string) { r.setLabel(l, v != nil) }}
		if slices.Contains(r.Labels, l) {
			g.have = &l
		}
		if has {
			g.want = &l
		}
		gs = append(gs, g)
	}
	for name, v := range c.Attributes {
		g := register{mark: attrMark + name, want: v, set: func(v *string) { r.setAttribute(name, v) }}
		if have, ok := r.Attributes[name]; ok {
			g.have = &have
		}
		gs = append(gs, g)
	}
	return gs
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (r *Record) setLabel(l string, has bool) {
	i, found := slices.BinarySearch(r.Labels, l)
	switch {
	case has && !found:
		r.Labels = slices.Insert(r.Labels, i, l)
	case !has && found:
		r.Labels = slices.Delete(r.Labels, i, i+1)
	}
}

func (r *Record) setAttribute(name string, v *string) {
	if v == nil {
		delete(r.Attributes, name)
		return
	}
	r.Attributes[name] = *v
}

// forgetOldest bounds a record: of the labels and attributes that were changed
// one by one the newest stay. Which those are does not depend on the order in
// which they came.
func (r *Record) forgetOldest() {
	if len(r.Marks) <= maxMarks {
		return
	}
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(r.Marks)), func(k string) bool { return len(k) == 1 })
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(r.Marks[b].Compare(r.Marks[a]), strings.Compare(a, b))
	})
	for _, k := range keys[min(len(keys), maxMarks):] {
		r.unmark(k)
	}
}

// unmark takes a field's mark, and what it marks, off the record.
func (r *Record) unmark(k string) {
	delete(r.Marks, k)
	switch l, isLabel := strings.CutPrefix(k, labelMark); {
	case isLabel:
		r.setLabel(l, false)
	case strings.HasPrefix(k, attrMark):
		delete(r.Attributes, strings.TrimPrefix(k, attrMark))
	}
}

// mergeProfile takes in a profile that replaces what is there as a whole. What
// was changed after it stays, and so that what was changed before it and is
// told later can't undo it, what it changes has its time where there was one.
func mergeProfile(r *Record, p Profile) bool {
	if len(r.Marks) == 0 {
		if sameProfile(*r, p) {
			return false
		}
		r.Name, r.Timezone, r.Labels, r.Attributes = p.Name, p.Timezone, p.Labels, p.Attributes
		return true
	}
	was := *r
	r.Name, r.Timezone, r.Labels, r.Attributes, r.Marks = p.Name, p.Timezone, slices.Clone(p.Labels), clone(p.Attributes), clone(r.Marks)
	for k, at := range r.Marks {
		if at.After(p.At) {
			r.keep(k, was)
		} else if !was.same(k, *r) {
			r.Marks[k] = p.At.UTC()
		}
	}
	r.tidy()
	return !sameProfile(*r, Profile{Name: was.Name, Timezone: was.Timezone, Labels: was.Labels, Attributes: was.Attributes})
}

// keep takes a marked field over from the record as it was.
func (r *Record) keep(k string, was Record) {
	switch name, isLabel := strings.CutPrefix(k, labelMark); {
	case k == nameMark:
		r.Name = was.Name
	case k == zoneMark:
		r.Timezone = was.Timezone
	case isLabel:
		r.setLabel(name, slices.Contains(was.Labels, name))
	case strings.HasPrefix(k, attrMark):
		name = strings.TrimPrefix(k, attrMark)
		if v, ok := was.Attributes[name]; ok {
			r.Attributes[name] = v
		} else {
			delete(r.Attributes, name)
		}
	}
}

// same tells whether a marked field is the same in another record.
func (r *Record) same(k string, o Record) bool {
	switch name, isLabel := strings.CutPrefix(k, labelMark); {
	case k == nameMark:
		return r.Name == o.Name
	case k == zoneMark:
		return r.Timezone == o.Timezone
	case isLabel:
		return slices.Contains(r.Labels, name) == slices.Contains(o.Labels, name)
	case strings.HasPrefix(k, attrMark):
		name = strings.TrimPrefix(k, attrMark)
		v, ok := r.Attributes[name]
		w, has := o.Attributes[name]
		return ok == has && v == w
	}
	return true
}
