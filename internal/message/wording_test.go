package message

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func ada() contact.Record {
	return contact.Record{Address: "1", Name: "Ada", Attributes: map[string]string{"order": "4711"}}
}

func TestRenderBody(t *testing.T) {
	t.Parallel()
	m := Message{Text: "Hello {{.name}}", Parts: content.Parts{Buttons: []content.Button{{Title: "Order {{.order}}", URL: "https://example.com/{{.order}}"}, {Title: "No", Payload: "NO"}}}}
	w, err := NewWording(Broadcast(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Render(ada())
	if err != nil || got.Text != "Hello Ada" || got.Body.Buttons[0].Title != "Order 4711" || got.Body.Buttons[0].URL != "https://example.com/4711" || got.Body.Buttons[1].Payload != "NO" || got.Words != "Order 4711\nNo" {
		t.Errorf("%+v %+v, %v", got, got.Body, err)
	}
	r := ada()
	r.Attributes["order"] = strings.Repeat("1", 15)
	if _, err := w.Render(r); err == nil || err.Error() != "buttons[0].title has more than 20 characters" {
		t.Errorf("too long once filled in: %v", err)
	}
	delete(r.Attributes, "order")
	if _, err := w.Render(r); err == nil {
		t.Error("an empty field went out")
	}
	// A text of one contact that leaves no room for buttons.
	r = ada()
	r.Name = strings.Repeat("a", 635)
	if _, err := w.Render(r); err == nil || err.Error() != "text with buttons has more than 640 characters" {
		t.Errorf("a long name: %v", err)
	}
}

// TestBodiesWithoutFieldsAreShared: nothing is copied where nothing differs.
func TestBodiesWithoutFieldsAreShared(t *testing.T) {
	w, err := NewWording(Broadcast(), Message{Parts: content.Parts{Attachment: &content.Attachment{Type: "video", ID: "1"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := w.Render(ada())
	two, err2 := w.Render(ada())
	if err1 != nil || err2 != nil || one.Body != two.Body || !w.Media() {
		t.Errorf("%v %v", err1, err2)
	}
	plain, err := NewWording(Broadcast(), Message{Text: "Hello"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := ada()
	if n := testing.AllocsPerRun(100, func() { _, _ = plain.Render(r) }); n > 0 { //nolint:errcheck // counted only
		t.Errorf("a plain text takes %v allocations", n)
	}
}

func TestWordingOfATemplate(t *testing.T) {
	t.Parallel()
	utility := &content.Template{ID: "order", Type: "utility", Utility: &content.Utility{Name: "order_update", Language: "en", Status: "pending", Body: []content.Parameter{{Name: "order_id", Text: "{{.order}}"}}}}
	w, err := NewWording(Broadcast(), Message{Template: "order"}, utility)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Render(ada())
	if err != nil || got.Text != "" || got.Body.Utility.Body[0].Text != "4711" || got.Words != "4711" {
		t.Errorf("%+v, %v", got, err)
	}
	if p := w.Policy(); !p.HasTemplate || p.Template.Kind != "utility" || !p.Template.Unapproved {
		t.Errorf("%+v", p)
	}
	mtm := &content.Template{ID: "m", Type: "mtm", Tag: "HUMAN_AGENT", Text: "Hello {{.name}}"}
	if w, err = NewWording(Broadcast(), Message{Template: "m"}, mtm); err != nil || w.Policy().Tag != "HUMAN_AGENT" || w.Policy().Template.Kind != "mtm" {
		t.Errorf("%+v, %v", w.Policy(), err)
	}
	if _, err = NewWording(Broadcast(), Message{Template: "m", Tag: "ACCOUNT_UPDATE"}, mtm); err == nil || err.Error() != "tag: template m is mapped with HUMAN_AGENT; leave it out" {
		t.Error(err)
	}
	if _, err = NewWording(Broadcast(), Message{Template: "m"}, &content.Template{ID: "m", Type: "standard", Parts: content.Parts{Elements: []content.Element{{Title: "{{.name"}}}}); err == nil || !strings.HasPrefix(err.Error(), "elements[0].title: ") {
		t.Error(err)
	}
}

func TestMessageValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		m    Message
		want string
	}{
		{"attachment alone", Message{Parts: content.Parts{Attachment: &content.Attachment{Type: "image", ID: "1"}}}, ""},
		{"template", Message{Template: "t", Promotional: true}, ""},
		{"via", Message{Text: "x", Via: PrivateReply}, ""},
		{"template and text", Message{Template: "t", Text: "x"}, "template: it stands instead of a text and everything with it; leave those out"},
		{"no such via", Message{Text: "x", Via: "pigeon"}, `via "pigeon": want private_reply or one_time_notification; no other way is open to a message`},
		{"via and tag", Message{Text: "x", Via: PrivateReply, Tag: "HUMAN_AGENT"}, "tag: none goes with via, which is a permission of its own"},
		{"limits", Message{Text: "x", Parts: content.Parts{Buttons: []content.Button{{Title: "t"}}}}, "buttons[0]: want one of url, payload and phone"},
		{"action", Message{Text: "x", Parts: content.Parts{Buttons: []content.Button{{Title: "{{.x", Payload: "p"}}}}, "buttons[0].title: text:1: unclosed action"},
	} {
		if got := text(c.m.Validate()); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestPolicyMessage(t *testing.T) {
	t.Parallel()
	w, err := NewWording(Author{Origin: "flow", FlowType: "notification", SenderChoice: "auto"}, Message{Text: "secret", Promotional: true, Tag: "HUMAN_AGENT"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := w.Policy()
	want := policy.Message{Origin: "flow", FlowType: "notification", SenderChoice: "auto", Promotional: true, Tag: "HUMAN_AGENT"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
