package content

import (
	"slices"
	"strconv"
	"strings"
)

// use is what a field is for, and so what it must look like.
type use uint8

const (
	shown  use = iota // read by the contact
	link              // a URL
	hidden            // given back, or looked up
)

// field is one string of a body.
type field struct {
	path     string
	value    *string
	max      int // code points; 0: no limit of its own
	use      use
	required bool
}

// visit calls fn with every string of the body, in the order in which they
// are shown.
func (b *Body) visit(fn func(field) error) error {
	v := visitor{fn: fn}
	if a := b.Attachment; a != nil {
		v.add("attachment.url", &a.URL, 0, link, a.ID == "")
		v.add("attachment.id", &a.ID, 0, hidden, a.URL == "")
	}
	v.buttons("buttons", b.Buttons)
	for i := range b.Elements {
		e, at := &b.Elements[i], at("elements", i)
		v.add(at+".title", &e.Title, maxElementTitle, shown, true)
		v.add(at+".subtitle", &e.Subtitle, maxElementTitle, shown, false)
		v.add(at+".image_url", &e.ImageURL, 0, link, false)
		v.add(at+".url", &e.URL, 0, link, false)
		v.buttons(at+".buttons", e.Buttons)
	}
	for i := range b.QuickReplies {
		q, at := &b.QuickReplies[i], at("quick_replies", i)
		v.add(at+".title", &q.Title, maxTitle, shown, true)
		v.add(at+".payload", &q.Payload, maxPayload, hidden, false)
		v.add(at+".image_url", &q.ImageURL, 0, link, false)
	}
	v.utility(b.Utility)
	v.feedback(b.Feedback)
	return v.err
}

// visitor stops at the first error.
type visitor struct {
	fn  func(field) error
	err error
}

func (v *visitor) add(path string, value *string, most int, use use, required bool) {
	if v.err == nil && (required || *value != "") {
		v.err = v.fn(field{path, value, most, use, required})
	}
}

func (v *visitor) buttons(path string, bs []Button) {
	for i := range bs {
		b, at := &bs[i], at(path, i)
		v.add(at+".title", &b.Title, maxTitle, shown, true)
		v.add(at+".url", &b.URL, 0, link, false)
		v.add(at+".payload", &b.Payload, maxPayload, hidden, false)
		v.add(at+".phone", &b.Phone, 0, hidden, false)
	}
}

func (v *visitor) utility(u *Utility) {
	if u == nil {
		return
	}
	for _, list := range []struct {
		name string
		ps   []Parameter
	}{{"utility.header", u.Header}, {"utility.body", u.Body}} {
		for i := range list.ps {
			v.add(at(list.name, i)+".text", &list.ps[i].Text, 0, shown, true)
		}
	}
	for i := range u.Payloads {
		v.add(at("utility.payloads", i), &u.Payloads[i], maxPayload, hidden, true)
	}
}

func (v *visitor) feedback(f *Feedback) {
	if f == nil {
		return
	}
	v.add("feedback.title", &f.Title, maxFeedbackTitle, shown, true)
	v.add("feedback.subtitle", &f.Subtitle, maxElementTitle, shown, false)
	v.add("feedback.button_title", &f.ButtonTitle, maxTitle, shown, false)
	for i := range f.Questions {
		q, at := &f.Questions[i], at("feedback.questions", i)
		v.add(at+".title", &q.Title, maxElementTitle, shown, false)
		v.add(at+".follow_up", &q.FollowUp, maxElementTitle, shown, false)
	}
	v.add("feedback.privacy_url", &f.PrivacyURL, 0, link, true)
}

func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// Fields returns every string of the body that is not empty, with its path.
func (b *Body) Fields() map[string]string {
	out := map[string]string{}
	_ = b.visit(func(f field) error { // which has no error to give
		if *f.value != "" {
			out[f.path] = *f.value
		}
		return nil
	})
	return out
}

// Map returns a copy of the body whose strings are what fill makes of them;
// its error ends it. The body itself stays as it is.
func (b *Body) Map(fill func(path, value string) (string, error)) (*Body, error) {
	out := b.clone()
	err := out.visit(func(f field) error {
		if *f.value == "" {
			return nil
		}
		v, err := fill(f.path, *f.value)
		*f.value = v
		return err
	})
	return out, err
}

// Words is all that the contact reads of the body, a line each.
func (b *Body) Words() string {
	var out []string
	_ = b.visit(func(f field) error { // which has no error to give
		if f.use == shown && *f.value != "" {
			out = append(out, *f.value)
		}
		return nil
	})
	return strings.Join(out, "\n")
}

func (b *Body) clone() *Body {
	out := *b
	if b.Attachment != nil {
		a := *b.Attachment
		out.Attachment = &a
	}
	out.Buttons, out.QuickReplies, out.Elements = slices.Clone(b.Buttons), slices.Clone(b.QuickReplies), slices.Clone(b.Elements)
	for i := range out.Elements {
		out.Elements[i].Buttons = slices.Clone(out.Elements[i].Buttons)
	}
	if b.Utility != nil {
		u := *b.Utility
		u.Header, u.Body, u.Payloads = slices.Clone(u.Header), slices.Clone(u.Body), slices.Clone(u.Payloads)
		out.Utility = &u
	}
	if b.Feedback != nil {
		f := *b.Feedback
		f.Questions = slices.Clone(f.Questions)
		out.Feedback = &f
	}
	return &out
}
