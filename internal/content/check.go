package content

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/pkg/policy"
)

// Limits of a message's parts, in code points or in number. Those of texts
// with buttons, of cards and of how many quick replies there may be are
// published (the button, generic template and quick reply pages of
// 2026-04-22); the others are what other clients keep to.
const (
	maxButtonText    = 640
	maxButtons       = 3
	maxElements      = 10
	maxElementTitle  = 80
	maxQuickReplies  = 13
	maxTitle         = 20
	maxPayload       = 1000
	maxFeedbackTitle = 65
	maxQuestions     = 3
	maxFeedbackDays  = 7
	maxURL           = 2048
)

// Check says what of a message a platform would refuse, or nil. text is what
// stands beside the body. A field with an action ("{{") is passed over: it is
// to be checked once it is filled in.
func (b *Body) Check(text string, channel policy.Channel) error {
	if b.Plain() {
		return nil
	}
	if channel == policy.SMS {
		return errors.New("an SMS carries text only")
	}
	if err := b.combination(text); err != nil {
		return err
	}
	if err := b.counts(); err != nil {
		return err
	}
	return b.Fits(text)
}

// Fits is Check for a message whose document passed it and whose fields are
// filled in now: that changes no more than what they hold.
func (b *Body) Fits(text string) error {
	if len(b.Buttons) > 0 && !open(text) && utf8.RuneCountInString(text) > maxButtonText {
		return fmt.Errorf("text with buttons has more than %d characters", maxButtonText)
	}
	return b.visit(field.check)
}

// combination says which parts of the body can't go together.
func (b *Body) combination(text string) error {
	kinds := 0
	for _, has := range []bool{text != "", b.Attachment != nil, len(b.Elements) > 0, b.Utility != nil, b.Feedback != nil} {
		if has {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return errors.New("text is empty, and there is nothing in its place")
	case kinds > 1:
		return errors.New("one message carries a text, an attachment or elements; send two messages")
	case len(b.Buttons) > 0 && text == "":
		return errors.New("buttons go with a text")
	case len(b.QuickReplies) > 0 && (b.Utility != nil || b.Feedback != nil):
		return errors.New("quick_replies don't go with a template of this type")
	}
	return nil
}

// counts checks how many parts there are and what kind they are.
func (b *Body) counts() error {
	switch {
	case len(b.Buttons) > maxButtons:
		return fmt.Errorf("buttons: %d, at most %d", len(b.Buttons), maxButtons)
	case len(b.Elements) > maxElements:
		return fmt.Errorf("elements: %d, at most %d", len(b.Elements), maxElements)
	case len(b.QuickReplies) > maxQuickReplies:
		return fmt.Errorf("quick_replies: %d, at most %d", len(b.QuickReplies), maxQuickReplies)
	}
	if err := b.Attachment.check(); err != nil {
		return err
	}
	if err := checkButtons("buttons", b.Buttons); err != nil {
		return err
	}
	for i, e := range b.Elements {
		if len(e.Buttons) > maxButtons {
			return fmt.Errorf("elements[%d].buttons: %d, at most %d", i, len(e.Buttons), maxButtons)
		}
		if err := checkButtons(at("elements", i)+".buttons", e.Buttons); err != nil {
			return err
		}
	}
	if err := b.Utility.check(); err != nil {
		return err
	}
	return b.Feedback.check()
}

func (a *Attachment) check() error {
	if a == nil {
		return nil
	}
	switch a.Type {
	case "image", "audio", "video", "file":
	default:
		return fmt.Errorf("attachment.type %q: want image, audio, video or file", a.Type)
	}
	if (a.URL == "") == (a.ID == "") {
		return errors.New("attachment: want one of url and id")
	}
	return nil
}

func checkButtons(path string, bs []Button) error {
	for i, b := range bs {
		n := 0
		for _, s := range []string{b.URL, b.Payload, b.Phone} {
			if s != "" {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s[%d]: want one of url, payload and phone", path, i)
		}
		if b.Phone != "" && !open(b.Phone) && !validPhone(b.Phone) {
			return fmt.Errorf("%s[%d].phone: want + and 7 to 15 digits", path, i)
		}
	}
	return nil
}

func validPhone(s string) bool {
	rest, ok := strings.CutPrefix(s, "+")
	return ok && len(rest) >= 7 && len(rest) <= 15 && !strings.ContainsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
}

func (u *Utility) check() error {
	if u == nil {
		return nil
	}
	switch {
	case u.Name == "" || !matches(`^[a-z0-9_]{1,512}$`, u.Name):
		return fmt.Errorf("utility.name %q: want the template's name out of a-z, 0-9 and _", u.Name)
	case !matches(`^[a-z]{2,3}(_[A-Z]{2})?$`, u.Language):
		return fmt.Errorf("utility.language %q: want a code such as en or pt_BR", u.Language)
	case !u.knownStatus():
		return fmt.Errorf("utility.status %q: want approved, pending, rejected or paused", u.Status)
	case len(u.Payloads) > maxButtons:
		return fmt.Errorf("utility.payloads: %d, at most %d", len(u.Payloads), maxButtons)
	}
	for _, ps := range [][]Parameter{u.Header, u.Body} {
		for _, p := range ps {
			if (p.Name == "") != (ps[0].Name == "") {
				return errors.New("utility: either all parameters of a component have a name or none")
			}
		}
	}
	return nil
}

func (u *Utility) knownStatus() bool {
	switch u.Status {
	case "", "approved", "pending", "rejected", "paused":
		return true
	}
	return false
}

func (f *Feedback) check() error {
	if f == nil {
		return nil
	}
	if n := len(f.Questions); n == 0 || n > maxQuestions {
		return fmt.Errorf("feedback.questions: %d, want 1 to %d", n, maxQuestions)
	}
	if f.ExpiresInDays < 0 || f.ExpiresInDays > maxFeedbackDays {
		return fmt.Errorf("feedback.expires_in_days %d: want 1 to %d", f.ExpiresInDays, maxFeedbackDays)
	}
	seen := map[string]bool{}
	for i, q := range f.Questions {
		path := at("feedback.questions", i)
		switch {
		case !matches(`^[A-Za-z0-9]{1,80}$`, q.ID) || seen[q.ID]:
			return fmt.Errorf("%s.id %q: want letters and digits, each question its own", path, q.ID)
		case q.Type != "csat" && q.Type != "nps" && q.Type != "ces":
			return fmt.Errorf("%s.type %q: want csat, nps or ces", path, q.Type)
		case !matches(`^[a-z0-9_]{0,40}$`, q.ScoreLabel), !matches(`^[a-z0-9_]{0,40}$`, q.ScoreOption):
			return fmt.Errorf("%s: score_label and score_option are names such as neg_pos and five_stars", path)
		}
		seen[q.ID] = true
	}
	return nil
}

// matches is for what an author writes, once: not for each message.
func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

// check looks at one string. Its error never says what the string is: it may
// be a contact's.
func (f field) check() error {
	v := *f.value
	switch {
	case v == "":
		return fmt.Errorf("%s is empty", f.path)
	case open(v):
		return nil
	case f.max > 0 && utf8.RuneCountInString(v) > f.max:
		return fmt.Errorf("%s has more than %d characters", f.path, f.max)
	case f.use == link && !validLink(v):
		return fmt.Errorf("%s is no URL that begins with https:// or http://, of at most %d bytes", f.path, maxURL)
	}
	return nil
}

// validLink asks for an absolute URL. Plain http is the platform's to refuse:
// it takes it for some.
func validLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURL && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// open tells whether a string is still to be filled in.
func open(s string) bool { return strings.Contains(s, "{{") }
