package api

import (
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/pkg/client"
)

func wireMessage(m message.Message) client.Message {
	out := client.Message{
		Text: m.Text, Buttons: wireButtons(m.Buttons), Template: m.Template, Via: m.Via,
		Promotional: m.Promotional, Tag: m.Tag, UseCase: m.UseCase, Healthcare: m.Healthcare, Discloses: m.Discloses,
	}
	if m.Attachment != nil {
		a := client.Attachment(*m.Attachment)
		out.Attachment = &a
	}
	for _, e := range m.Elements {
		out.Elements = append(out.Elements, client.Element{
			Title: e.Title, Subtitle: e.Subtitle, ImageURL: e.ImageURL, URL: e.URL, Buttons: wireButtons(e.Buttons),
		})
	}
	for _, q := range m.QuickReplies {
		out.QuickReplies = append(out.QuickReplies, client.QuickReply(q))
	}
	return out
}

func wireButtons(bs []content.Button) []client.Button {
	var out []client.Button
	for _, b := range bs {
		out = append(out, client.Button(b))
	}
	return out
}
