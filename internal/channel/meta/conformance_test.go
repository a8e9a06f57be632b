package meta

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/channeltest"
)

// graph speaks the Graph API's side of the wire.
type graph struct{}

// sendBody is a send as the platform reads it.
type sendBody struct {
	Recipient struct {
		ID string `json:"id"`
	} `json:"recipient"`
	Type    string `json:"messaging_type"`
	Tag     string `json:"tag"`
	Message struct {
		Text     string `json:"text"`
		Metadata string `json:"metadata"`
	} `json:"message"`
}

// batchItem is an entry of a batch as the platform reads it.
type batchItem struct {
	Method      string `json:"method"`
	RelativeURL string `json:"relative_url"`
	Body        string `json:"body"`
}

// readForm reads a batch's form.
func readForm(body string) (form url.Values, items []batchItem, sends []sendBody, err error) {
	if form, err = url.ParseQuery(body); err != nil {
		return nil, nil, nil, err
	}
	if err = json.Unmarshal([]byte(form.Get("batch")), &items); err != nil {
		return nil, nil, nil, fmt.Errorf("batch: %w", err)
	}
	for _, each := range items {
		fields, err := url.ParseQuery(each.Body)
		if err != nil {
			return nil, nil, nil, err
		}
		s := sendBody{Type: fields.Get("messaging_type"), Tag: fields.Get("tag")}
		if err := json.Unmarshal([]byte(fields.Get("recipient")), &s.Recipient); err != nil {
			return nil, nil, nil, fmt.Errorf("recipient: %w", err)
		}
		if err := json.Unmarshal([]byte(fields.Get("message")), &s.Message); err != nil {
			return nil, nil, nil, fmt.Errorf("message: %w", err)
		}
		sends = append(sends, s)
	}
	return form, items, sends, nil
}

func (graph) Recipients(r *http.Request) ([]string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var sends []sendBody
	if r.Header.Get("Content-Type") == "application/json" {
		sends = make([]sendBody, 1)
		err = json.Unmarshal(body, &sends[0])
	} else {
		_, _, sends, err = readForm(string(body))
	}
	var recipients []string
	for _, s := range sends {
		recipients = append(recipients, s.Recipient.ID)
	}
	return recipients, err
}

func (graph) Accept(w http.ResponseWriter, recipients []string, accepted int) {
	write(w, 200, recipients, func(i int) any {
		if i >= accepted {
			return nil
		}
		return map[string]string{"recipient_id": recipients[i], "message_id": "m_" + recipients[i]}
	})
}

func (graph) Refuse(w http.ResponseWriter, recipients []string) {
	write(w, 400, recipients, func(i int) any {
		return map[string]any{"error": map[string]any{"message": "No matching user " + recipients[i], "type": "OAuthException",
			"code": 100, "error_subcode": 2018001, "fbtrace_id": "A1"}}
	})
}

func write(w http.ResponseWriter, status int, recipients []string, each func(i int) any) {
	if len(recipients) == 1 {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(each(0))
		return
	}
	var items []any
	for i := range recipients {
		if each(i) == nil {
			items = append(items, nil)
			continue
		}
		body, _ := json.Marshal(each(i))
		items = append(items, map[string]any{"code": status, "body": string(body)})
	}
	json.NewEncoder(w).Encode(items)
}

// account has every credential, so that every call carries a proof.
func account() channel.Account {
	return channel.Account{ID: "1234567890", Token: "EAAG-token", AppSecret: "app-secret"}
}

// open returns a client that closes with the test. Its timeout allows for a
// machine that has other things to do.
func open(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = channeltest.Patience
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConformance(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, func(t *testing.T) channeltest.Subject {
		s := channeltest.NewServer(t, graph{})
		return channeltest.Subject{Platform: open(t, Options{BaseURL: s.URL}), Account: account(), Server: s}
	})
}
