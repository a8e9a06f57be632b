package content

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/pkg/policy"
)

func long(n int) string { return strings.Repeat("é", n) }

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestCheck holds both sides of every limit.
func TestCheck(t *testing.T) {
	t.Parallel()
	buttons := func(n int) []Button {
		bs := make([]Button, n)
		for i := range bs {
			bs[i] = Button{Title: "Open", URL: "https://example.com/"}
		}
		return bs
	}
	elements := func(n int, edit func(*Element)) []Element {
		es := make([]Element, n)
		for i := range es {
			es[i] = Element{Title: "Rolls"}
		}
		edit(&es[0])
		return es
	}
	same := func(*Element) {}
	replies := func(n int, edit func(*QuickReply)) []QuickReply {
		qs := make([]QuickReply, n)
		for i := range qs {
			qs[i] = QuickReply{Title: "Yes"}
		}
		edit(&qs[0])
		return qs
	}
	question := Question{ID: "q1", Type: "csat"}
	feedback := func(edit func(*Feedback)) *Feedback {
		f := &Feedback{Title: "How was it?", Questions: []Question{question}, PrivacyURL: "https://example.com/privacy"}
		edit(f)
		return f
	}
	utility := func(edit func(*Utility)) *Utility {
		u := &Utility{Name: "order_update", Language: "pt_BR"}
		edit(u)
		return u
	}
	for _, c := range []struct {
		name string
		text string
		body Body
		sms  bool
		want string // "": fine
	}{
		{name: "text with buttons", text: long(640), body: Body{Parts: Parts{Buttons: buttons(1)}}},
		{name: "its text too long", text: long(641), body: Body{Parts: Parts{Buttons: buttons(1)}}, want: "text with buttons has more than 640 characters"},
		{name: "its text to be filled in", text: long(641) + "{{.name}}", body: Body{Parts: Parts{Buttons: buttons(1)}}},
		{name: "most buttons", text: "x", body: Body{Parts: Parts{Buttons: buttons(3)}}},
		{name: "too many buttons", text: "x", body: Body{Parts: Parts{Buttons: buttons(4)}}, want: "buttons: 4, at most 3"},
		{name: "buttons alone", body: Body{Parts: Parts{Attachment: &Attachment{Type: "image", ID: "1"}, Buttons: buttons(1)}}, want: "buttons go with a text"},
		{name: "longest title of a button", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: long(20), Payload: long(1000)}}}}},
		{name: "title of a button", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: long(21), Payload: "p"}}}}, want: "buttons[0].title has more than 20 characters"},
		{name: "no title", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Payload: "p"}}}}, want: "buttons[0].title is empty"},
		{name: "payload", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", Payload: long(1001)}}}}, want: "buttons[0].payload has more than 1000 characters"},
		{name: "two deeds", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", Payload: "p", URL: "https://example.com"}}}}, want: "buttons[0]: want one of url, payload and phone"},
		{name: "no deed", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t"}}}}, want: "buttons[0]: want one of url, payload and phone"},
		{name: "phone", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", Phone: "+4799999999"}}}}},
		{name: "bad phone", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", Phone: "99999999"}}}}, want: "buttons[0].phone: want + and 7 to 15 digits"},
		{name: "no URL", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", URL: "example.com"}}}}, want: "buttons[0].url is no URL that begins with https:// or http://, of at most 2048 bytes"},
		{name: "script", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", URL: "javascript:alert(1)"}}}}, want: "buttons[0].url is no URL that begins with https:// or http://, of at most 2048 bytes"},
		{name: "URL to be filled in", text: "x", body: Body{Parts: Parts{Buttons: []Button{{Title: "t", URL: "{{.page}}"}}}}},
		{name: "most elements", body: Body{Parts: Parts{Elements: elements(10, same)}}},
		{name: "too many elements", body: Body{Parts: Parts{Elements: elements(11, same)}}, want: "elements: 11, at most 10"},
		{name: "longest element", body: Body{Parts: Parts{Elements: elements(1, func(e *Element) { e.Title, e.Subtitle, e.Buttons = long(80), long(80), buttons(3) })}}},
		{name: "title of an element", body: Body{Parts: Parts{Elements: elements(1, func(e *Element) { e.Title = long(81) })}}, want: "elements[0].title has more than 80 characters"},
		{name: "subtitle of an element", body: Body{Parts: Parts{Elements: elements(1, func(e *Element) { e.Subtitle = long(81) })}}, want: "elements[0].subtitle has more than 80 characters"},
		{name: "buttons of an element", body: Body{Parts: Parts{Elements: elements(1, func(e *Element) { e.Buttons = buttons(4) })}}, want: "elements[0].buttons: 4, at most 3"},
		{name: "a deed of an element's", body: Body{Parts: Parts{Elements: elements(1, func(e *Element) { e.Buttons = []Button{{Title: "t"}} })}}, want: "elements[0].buttons[0]: want one of url, payload and phone"},
		{name: "most quick replies", text: "x", body: Body{Parts: Parts{QuickReplies: replies(13, func(q *QuickReply) { q.Title, q.Payload = long(20), long(1000) })}}},
		{name: "too many quick replies", text: "x", body: Body{Parts: Parts{QuickReplies: replies(14, func(*QuickReply) {})}}, want: "quick_replies: 14, at most 13"},
		{name: "title of a quick reply", text: "x", body: Body{Parts: Parts{QuickReplies: replies(1, func(q *QuickReply) { q.Title = long(21) })}}, want: "quick_replies[0].title has more than 20 characters"},
		{name: "payload of a quick reply", text: "x", body: Body{Parts: Parts{QuickReplies: replies(1, func(q *QuickReply) { q.Payload = long(1001) })}}, want: "quick_replies[0].payload has more than 1000 characters"},
		{name: "quick replies alone", body: Body{Parts: Parts{QuickReplies: replies(1, func(*QuickReply) {})}}, want: "text is empty, and there is nothing in its place"},
		{name: "attachment", body: Body{Parts: Parts{Attachment: &Attachment{Type: "file", URL: "https://example.com/menu.pdf"}}}},
		{name: "no such medium", body: Body{Parts: Parts{Attachment: &Attachment{Type: "sticker", ID: "1"}}}, want: `attachment.type "sticker": want image, audio, video or file`},
		{name: "attachment of nothing", body: Body{Parts: Parts{Attachment: &Attachment{Type: "image"}}}, want: "attachment: want one of url and id"},
		{name: "text and attachment", text: "x", body: Body{Parts: Parts{Attachment: &Attachment{Type: "image", ID: "1"}}}, want: "one message carries a text, an attachment or elements; send two messages"},
		{name: "utility", body: Body{Utility: utility(func(u *Utility) { u.Body = []Parameter{{Name: "a", Text: "1"}}; u.Payloads = []string{"p"} })}},
		{name: "its name", body: Body{Utility: utility(func(u *Utility) { u.Name = "Order Update" })}, want: `utility.name "Order Update": want the template's name out of a-z, 0-9 and _`},
		{name: "its language", body: Body{Utility: utility(func(u *Utility) { u.Language = "english" })}, want: `utility.language "english": want a code such as en or pt_BR`},
		{name: "its status", body: Body{Utility: utility(func(u *Utility) { u.Status = "fine" })}, want: `utility.status "fine": want approved, pending, rejected or paused`},
		{name: "named by halves", body: Body{Utility: utility(func(u *Utility) { u.Body = []Parameter{{Name: "a", Text: "1"}, {Text: "2"}} })}, want: "utility: either all parameters of a component have a name or none"},
		{name: "an empty parameter", body: Body{Utility: utility(func(u *Utility) { u.Body = []Parameter{{Name: "a"}} })}, want: "utility.body[0].text is empty"},
		{name: "utility with replies", body: Body{Parts: Parts{QuickReplies: replies(1, func(*QuickReply) {})}, Utility: utility(func(*Utility) {})}, want: "quick_replies don't go with a template of this type"},
		{name: "feedback", body: Body{Feedback: feedback(func(f *Feedback) { f.ExpiresInDays = 7 })}},
		{name: "feedback for too long", body: Body{Feedback: feedback(func(f *Feedback) { f.ExpiresInDays = 8 })}, want: "feedback.expires_in_days 8: want 1 to 7"},
		{name: "no question", body: Body{Feedback: feedback(func(f *Feedback) { f.Questions = nil })}, want: "feedback.questions: 0, want 1 to 3"},
		{name: "a question twice", body: Body{Feedback: feedback(func(f *Feedback) { f.Questions = []Question{question, question} })}, want: `feedback.questions[1].id "q1": want letters and digits, each question its own`},
		{name: "a question of another type", body: Body{Feedback: feedback(func(f *Feedback) { f.Questions = []Question{{ID: "q", Type: "poll"}} })}, want: `feedback.questions[0].type "poll": want csat, nps or ces`},
		{name: "no privacy", body: Body{Feedback: feedback(func(f *Feedback) { f.PrivacyURL = "" })}, want: "feedback.privacy_url is empty"},
		{name: "SMS with more", text: "x", body: Body{Parts: Parts{Buttons: buttons(1)}}, sms: true, want: "an SMS carries text only"},
		{name: "SMS", text: "x", sms: true},
	} {
		channel := policy.Messenger
		if c.sms {
			channel = policy.SMS
		}
		if got := said(c.body.Check(c.text, channel)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTemplateValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		t    Template
		want string
	}{
		{"standard", Template{ID: "t", Type: "standard", Text: "Hello"}, ""},
		{"mtm", Template{ID: "t", Type: "mtm", Tag: "HUMAN_AGENT", Text: "Hello"}, ""},
		{"utility", Template{ID: "t", Type: "utility", Utility: &Utility{Name: "n", Language: "en"}}, ""},
		{"cards", Template{ID: "t", Type: "standard", Parts: Parts{Elements: []Element{{Title: "x"}}}}, ""},
		{"id", Template{ID: "T", Type: "standard", Text: "x"}, `id "T": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		{"sender", Template{ID: "t", Sender: "A", Type: "standard", Text: "x"}, `template t: sender "A": want the id of a Sender, or none`},
		{"type", Template{ID: "t", Type: "carousel", Text: "x"}, `template t: type "carousel": want standard, mtm, utility or customer_feedback`},
		{"channel", Template{ID: "t", Type: "standard", Text: "x", Channels: []string{"fax"}}, `template t: channels: "fax": want messenger, instagram or sms`},
		{"mtm without a tag", Template{ID: "t", Type: "mtm", Text: "x"}, "template t: tag: it belongs to type mtm, and that needs one"},
		{"a tag elsewhere", Template{ID: "t", Type: "standard", Text: "x", Tag: "HUMAN_AGENT"}, "template t: tag: it belongs to type mtm, and that needs one"},
		{"nothing", Template{ID: "t", Type: "standard"}, "template t: text is empty, and there is nothing in its place"},
		{"utility without its block", Template{ID: "t", Type: "utility"}, "template t: utility: it belongs to type utility, and that needs it"},
		{"utility with a text", Template{ID: "t", Type: "utility", Text: "x", Utility: &Utility{Name: "n", Language: "en"}}, "template t: text: a template of this type has no content of its own"},
		{"feedback without its block", Template{ID: "t", Type: "customer_feedback"}, "template t: feedback: it belongs to type customer_feedback, and that needs it"},
		{"limits", Template{ID: "t", Type: "standard", Text: "x", Parts: Parts{Buttons: []Button{{Title: long(21), Payload: "p"}}}}, "template t: buttons[0].title has more than 20 characters"},
	} {
		if got := said(c.t.Validate()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	pending := Template{ID: "t", Type: "utility", Channels: []string{"messenger"}, Utility: &Utility{Status: "pending"}}
	if got := pending.Policy(); got.Name != "t" || got.Kind != "utility" || !got.Unapproved || len(got.Channels) != 1 {
		t.Errorf("%+v", got)
	}
}

// drawBody draws a body with every kind of field filled in.
func drawBody(t *rapid.T) *Body {
	word := rapid.StringMatching(`[a-z]{0,4}`)
	buttons := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Button {
		return Button{Title: word.Draw(t, "title"), URL: word.Draw(t, "url"), Payload: word.Draw(t, "payload"), Phone: word.Draw(t, "phone")}
	}), 0, 3)
	b := &Body{Parts: Parts{Buttons: buttons.Draw(t, "buttons")}}
	for range rapid.IntRange(0, 3).Draw(t, "elements") {
		b.Elements = append(b.Elements, Element{Title: word.Draw(t, "title"), Subtitle: word.Draw(t, "subtitle"), ImageURL: word.Draw(t, "image"), Buttons: buttons.Draw(t, "buttons")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "replies") {
		b.QuickReplies = append(b.QuickReplies, QuickReply{Title: word.Draw(t, "title"), Payload: word.Draw(t, "payload")})
	}
	if rapid.Bool().Draw(t, "attachment") {
		b.Attachment = &Attachment{Type: "image", URL: word.Draw(t, "url")}
	}
	if rapid.Bool().Draw(t, "utility") {
		b.Utility = &Utility{Name: "n", Body: []Parameter{{Text: word.Draw(t, "parameter")}}, Payloads: []string{word.Draw(t, "payload")}}
	}
	if rapid.Bool().Draw(t, "feedback") {
		b.Feedback = &Feedback{Title: word.Draw(t, "title"), Questions: []Question{{ID: "q", Title: word.Draw(t, "question")}}}
	}
	return b
}

// TestMapReachesEveryFieldOfACopy: what is filled in is all there is, and the
// body that many contacts share stays as it was.
func TestMapReachesEveryFieldOfACopy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBody(t)
		before := b.Fields()
		filled, err := b.Map(func(path, v string) (string, error) { return path + "=" + v, nil })
		if err != nil {
			t.Fatal(err)
		}
		after := filled.Fields()
		if len(after) != len(before) {
			t.Fatalf("%d fields of %d", len(after), len(before))
		}
		for path, v := range before {
			if after[path] != path+"="+v {
				t.Errorf("%s is %q", path, after[path])
			}
			if now := b.Fields()[path]; now != v {
				t.Errorf("the body itself has %q at %s now", now, path)
			}
		}
	})
}

func TestWords(t *testing.T) {
	t.Parallel()
	b := &Body{Parts: Parts{
		Elements:     []Element{{Title: "Rolls", Subtitle: "warm", URL: "https://example.com", Buttons: []Button{{Title: "Order", Payload: "P"}}}},
		QuickReplies: []QuickReply{{Title: "Yes", Payload: "Y"}},
	}}
	if got, want := b.Words(), "Rolls\nwarm\nOrder\nYes"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !(*Body)(nil).Plain() || !(&Body{}).Plain() || b.Plain() {
		t.Error("Plain")
	}
	if (*Attachment)(nil).Media() || (&Attachment{Type: "image"}).Media() || !(&Attachment{Type: "audio"}).Media() || !(&Attachment{Type: "video"}).Media() {
		t.Error("Media")
	}
}
