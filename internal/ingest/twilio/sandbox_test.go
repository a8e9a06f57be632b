package twilio

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	client "github.com/carillon-dev/carillon/internal/channel/twilio"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// TestTheSandboxIsUnderstood sends through the sandbox, which shares no code
// with the rest, and reads what it calls back with.
func TestTheSandboxIsUnderstood(t *testing.T) {
	t.Parallel()
	told := make(chan event.Event, 16)
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, err := Reader{}.Read(hook.Call{
			Hook: &hook.Spec{ID: "shop", Type: hook.Twilio}, Secrets: []secret.Text{"tok"}, Method: r.Method, URL: "http://" + r.Host + r.RequestURI,
			Header: textproto.MIMEHeader(r.Header), Body: body, At: time.Now(),
		})
		if err != nil {
			t.Error(err)
		}
		for _, e := range got.Events {
			told <- e
		}
	}))
	t.Cleanup(here.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	rig.Must(t, err)
	box := sandbox.New(sandbox.Options{})
	rig.Loop(t, func(ctx context.Context) error { return box.Serve(ctx, ln) })
	c, err := client.New(client.Options{BaseURL: "http://" + ln.Addr().String(), Timeout: 10 * time.Second})
	rig.Must(t, err)
	t.Cleanup(c.Close)

	const number, person = "+14155550100", "+14155550199"
	a := channel.Account{ID: number, Owner: "AC0123456789abcdef0123456789abcdef", Token: "tok", Callback: here.URL + "/hooks/twilio/shop"}
	m := channel.Message{Job: "202611.0.shop.k.spring~1", Recipient: person, Text: "Hello {there}, it’s ready"}
	sent := c.Send(t.Context(), a, m)
	if sent.Outcome != channel.Accepted {
		t.Fatalf("%+v", sent)
	}
	for _, want := range []event.Type{event.Echo, event.Delivered} {
		if e := <-told; e.Type != want || e.Job != m.Job || !e.Ours || e.MessageID != sent.MessageID || e.Account != number || e.Person != person {
			t.Errorf("%+v, want %s of %s", e, want, sent.MessageID)
		}
	}
	_, err = box.Subscribe(t.Context(), sandbox.Webhook{URL: a.Callback, AppSecret: "tok", Account: number})
	rig.Must(t, err)
	_, err = box.Happen(sandbox.Happening{Account: number, Person: person, Text: "STOP"})
	rig.Must(t, err)
	if e := <-told; e.Type != event.Message || e.Text != "STOP" || e.Account != number || e.Person != person || !e.Opens() {
		t.Errorf("%+v", e)
	}
	if r := c.Send(t.Context(), a, m); r.Outcome != channel.Refused || r.Action != channel.OptOut || r.Reason != reason.OptedOut || r.Code != 21610 {
		t.Errorf("after a STOP: %+v", r)
	}
}
