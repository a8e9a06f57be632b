package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxWebhooks bounds what one event costs.
	maxWebhooks = 64
	// maxLate bounds how late an event is told.
	maxLate = 10 * time.Minute
	// maxItems is the most updates in one request that the platform
	// announces (Graph webhooks page); usualItems is ours where none is asked for.
	maxItems, usualItems = 1000, 20
	// answerWithin is how long the platform waits for an answer.
	answerWithin = 5 * time.Second
)

// Fields that can be subscribed to, by Messenger's names for both channels.
const (
	fieldMessages  = "messages"
	fieldPostbacks = "messaging_postbacks"
	fieldReferrals = "messaging_referrals"
	fieldOptins    = "messaging_optins"
	fieldReactions = "message_reactions"
	fieldEdits     = "message_edits"
	fieldEchoes    = "message_echoes"
	fieldDelivered = "message_deliveries"
	fieldReads     = "message_reads"
	fieldHandovers = "messaging_handovers"
	fieldPolicy    = "messaging_policy_enforcement"
	fieldStandby   = "standby"
	fieldFeed      = "feed" // comments; Instagram's comments too
)

func fields() []string {
	return []string{fieldMessages, fieldPostbacks, fieldReferrals, fieldOptins, fieldReactions, fieldEdits, fieldEchoes,
		fieldDelivered, fieldReads, fieldHandovers, fieldPolicy, fieldStandby, fieldFeed}
}

// Webhook is a subscription: who is told what happens, and how badly. The
// probabilities are drawn for each event by itself.
type Webhook struct {
	URL         string   `json:"url"`
	AppSecret   string   `json:"app_secret"`   // signs; "": not signed
	VerifyToken string   `json:"verify_token"` // "": the URL is not asked whether it wants this
	AppID       string   `json:"app_id"`       // of the echoes
	Account     string   `json:"account"`      // "": every account
	Fields      []string `json:"fields"`       // absent: all
	Items       int      `json:"items"`        // most events in one request, 1 to 1,000; 0: 20
	Read        *float64 `json:"read"`         // share of the delivered messages that are read, 0 to 1; absent: a half

	Late    float64 `json:"late"`    // told up to late_ms late
	LateMS  int     `json:"late_ms"` // 1 to 600,000
	Repeat  float64 `json:"repeat"`  // told again after its 200, up to late_ms later
	Reorder float64 `json:"reorder"` // told after ones that happened later
	Drop    float64 `json:"drop"`    // lost on its first try
}

func (h Webhook) validate() error {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url %q: want the whole address of a webhook, such as http://127.0.0.1:8080/hooks/meta/shop", h.URL)
	case h.Items < 0 || h.Items > maxItems:
		return fmt.Errorf("items %d: must be from 1 to %d", h.Items, maxItems)
	case h.LateMS < 0 || h.LateMS > int(maxLate.Milliseconds()):
		return fmt.Errorf("late_ms %d: must be from 1 to %d", h.LateMS, maxLate.Milliseconds())
	case h.LateMS == 0 && (h.Late > 0 || h.Repeat > 0):
		return errors.New("late and repeat need late_ms: how late at most")
	}
	for _, f := range h.Fields {
		if !slices.Contains(fields(), f) {
			return fmt.Errorf("field %q: must be one of %s", f, strings.Join(fields(), ", "))
		}
	}
	read := 0.0
	if h.Read != nil {
		read = *h.Read
	}
	for name, p := range map[string]float64{"read": read, "late": h.Late, "repeat": h.Repeat, "reorder": h.Reorder, "drop": h.Drop} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("%s %v: must be from 0 to 1", name, p)
		}
	}
	if h.Account == "" {
		return nil
	}
	return Account{Account: h.Account}.validate()
}

func (h *Webhook) wants(account, field string) bool {
	return (h.Account == "" || h.Account == account) && (len(h.Fields) == 0 || slices.Contains(h.Fields, field))
}

// reads is the share of delivered messages that are read.
func (h *Webhook) reads() float64 {
	if h.Read == nil {
		return 0.5
	}
	return *h.Read
}

// Subscription is a webhook and what became of it. Secrets are not told back.
type Subscription struct {
	ID       int    `json:"id"`
	URL      string `json:"url"`
	Account  string `json:"account,omitempty"`
	Posts    uint64 `json:"posts"`      // requests made
	Answered uint64 `json:"answered"`   // events answered 200, repeats included
	Refused  uint64 `json:"refused"`    // requests answered otherwise, late, or not at all
	Dropped  uint64 `json:"dropped"`    // events lost on their first try by order
	Waiting  int    `json:"waiting"`    // events still to be told
	Lost     uint64 `json:"lost"`       // events given up, or not taken since too many waited
	Slowest  int64  `json:"slowest_ms"` // answer
}

// Subscribe verifies a webhook as the platform does, and tells it from now on
// what happens. One for the same URL and account is replaced.
func (s *Sandbox) Subscribe(ctx context.Context, h Webhook) (Subscription, error) {
	if err := h.validate(); err != nil {
		return Subscription{}, err
	}
	if err := s.verify(ctx, h); err != nil {
		return Subscription{}, err
	}
	return s.outbox.subscribe(h)
}

// verify asks the URL to echo a challenge, unless there is no token to ask by.
func (s *Sandbox) verify(ctx context.Context, h Webhook) error {
	if h.VerifyToken == "" {
		return nil
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return err
	}
	challenge := strconv.FormatUint(randomSeed()>>32, 10)
	q := u.Query()
	q.Set("hub.mode", "subscribe")
	q.Set("hub.challenge", challenge)
	q.Set("hub.verify_token", h.VerifyToken)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := s.outbox.client.Do(req)
	if err != nil {
		return fmt.Errorf("verify %s: %w", h.URL, errors.Unwrap(err)) // the URL of the error holds the token
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != challenge {
		return fmt.Errorf("verify %s: status %d and %d bytes: want 200 and the challenge", h.URL, resp.StatusCode, len(body))
	}
	return nil
}

// Unsubscribe ends all subscriptions. What still waited is forgotten.
func (s *Sandbox) Unsubscribe() { s.outbox.unsubscribe() }

// Subscriptions lists all webhooks.
func (s *Sandbox) Subscriptions() []Subscription { return s.outbox.subscriptions() }

func (s *Sandbox) serveSubscribe(w http.ResponseWriter, r *http.Request) {
	var h Webhook
	err := decode(w, r, &h)
	var done Subscription
	if err == nil {
		done, err = s.Subscribe(r.Context(), h)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, done)
}

func (s *Sandbox) serveSubscriptions(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, map[string][]Subscription{"webhooks": s.Subscriptions()})
}

func (s *Sandbox) serveUnsubscribe(w http.ResponseWriter, _ *http.Request) {
	s.Unsubscribe()
	respond(w, http.StatusOK, map[string][]Subscription{"webhooks": {}})
}
