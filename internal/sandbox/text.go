package sandbox

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio signs so
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxTextRunes is the longest text that Twilio takes, in characters.
const maxTextRunes = 1600

// text is what a send of a text message asks for beside its request.
type text struct {
	owner    string // the Twilio account, as in the path
	from     string // a number, or ""
	service  string // a messaging service, or ""
	callback string // where its status is told; "": nowhere
}

// textRoute reads the path of a send: /2010-04-01/Accounts/{Sid}/Messages.json.
func textRoute(path string) (owner string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/2010-04-01/Accounts/")
	owner, found := strings.CutSuffix(rest, "/Messages.json")
	return owner, ok && found && owner != "" && !strings.Contains(owner, "/")
}

// serveText answers a send as Twilio does.
func (s *Sandbox) serveText(w http.ResponseWriter, r *http.Request, at int64, owner string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	form, perr := url.ParseQuery(string(body))
	if err != nil || perr != nil {
		writeText(w, http.StatusBadRequest, textProblem(&graphError{status: http.StatusBadRequest, code: 20001, message: "The form could not be read"}))
		return
	}
	c := textCall(form, owner, at)
	user, password, _ := r.BasicAuth()
	if c.request.Token = password; user != owner {
		c.request.Token = ""
	}
	decisions, wire := s.process([]call{c}, false)
	if !wire.hold(r.Context()) || wire.breaks(w) {
		return
	}
	if d := decisions[0]; d.err != nil {
		e := textError(d.err)
		writeText(w, e.status, textProblem(e))
	} else {
		writeText(w, http.StatusCreated, textMessage(&c, textID(s.opts.Seed, d.message), "queued"))
	}
}

// textCall makes a call of a form. What names it in the books is the number or
// the service that it goes out from, and the job that its callback names.
func textCall(f url.Values, owner string, at int64) call {
	t := &text{owner: owner, from: f.Get("From"), service: f.Get("MessagingServiceSid"), callback: f.Get("StatusCallback")}
	m := &message{Text: f.Get("Body")}
	if u, err := url.Parse(t.callback); err == nil {
		m.Metadata = u.Query().Get("job")
	}
	return call{at: at, account: first(t.service, t.from), text: t, request: request{Recipient: recipient{ID: flexible(f.Get("To"))}, Message: m}}
}

// sms says whether text messages go out from the account: one is declared, or
// named as a number or a messaging service is.
func (a *account) sms() bool {
	return a.declared.Channel == "sms" || a.declared.Channel == "" && (strings.HasPrefix(a.id, "+") || strings.HasPrefix(a.id, "MG"))
}

// judgeText is what Twilio's rules say to a send.
func judgeText(c *call, optedOut bool) *graphError {
	to, body := string(c.request.Recipient.ID), c.request.Message.Text
	switch {
	case c.account == "":
		return textRefusal(21603, "A 'From' phone number is required")
	case to == "":
		return textRefusal(21604, "A 'To' phone number is required")
	case !numbered(to):
		return textRefusal(21211, fmt.Sprintf("The 'To' number %s is not a valid phone number", to))
	case body == "":
		return textRefusal(21602, "Message body is required")
	case utf8.RuneCountInString(body) > maxTextRunes:
		return textRefusal(21617, "The concatenated message body exceeds the 1600 character limit")
	case optedOut:
		return textRefusal(21610, "Attempt to send to unsubscribed recipient")
	}
	return nil
}

func textRefusal(code int, message string) *graphError {
	return &graphError{status: http.StatusBadRequest, code: code, message: message}
}

// numbered says whether s is a number as E.164 has it.
func numbered(s string) bool {
	n, plus := strings.CutPrefix(s, "+")
	return plus && len(n) >= 7 && len(n) <= 15 && n[0] != '0' && digits(n)
}

// textError words in Twilio's way what is refused before its rules are asked.
func textError(e *graphError) *graphError {
	switch e.code {
	case 190, 104, 2500:
		return &graphError{status: http.StatusUnauthorized, code: 20003, message: "Authenticate"}
	case 613:
		return &graphError{status: http.StatusTooManyRequests, code: 20429, message: "Too Many Requests"}
	case 10, 368:
		return &graphError{status: http.StatusForbidden, code: 20005, message: "Account not active"}
	}
	return e
}

// textID is Twilio's id of accepted message n.
func textID(seed, n uint64) string {
	return fmt.Sprintf("SM%016x%016x", mix(seed+5), mix(mix(seed+6)+n))
}

func textProblem(e *graphError) []byte {
	return textJSON(map[string]any{"code": e.code, "message": e.message, "more_info": "https://www.twilio.com/docs/errors/" + strconv.Itoa(e.code), "status": e.status})
}

func textMessage(c *call, id, status string) []byte {
	return textJSON(map[string]any{
		"sid": id, "status": status, "account_sid": c.text.owner, "to": string(c.request.Recipient.ID), "from": nullable(c.text.from),
		"messaging_service_sid": nullable(c.text.service), "body": c.request.Message.Text, "direction": "outbound-api", "api_version": "2010-04-01",
		"error_code": nil, "error_message": nil, "num_media": "0",
	})
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func textJSON(v map[string]any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

func writeText(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// statusesOf queues what Twilio tells of an accepted message, signed by the
// token that it was sent with.
func (s *Sandbox) statusesOf(c *call, seq uint64) {
	if c.text.callback == "" {
		return
	}
	to := &subscriber{Webhook{URL: c.text.callback}, &counted{}}
	for _, st := range []struct {
		status string
		after  time.Duration
		as     uint32
	}{{"sent", 0, toldEcho}, {"delivered", deliveredAfter, toldDelivered}} {
		f := url.Values{
			"MessageSid": {textID(s.opts.Seed, seq)}, "SmsSid": {textID(s.opts.Seed, seq)}, "MessageStatus": {st.status}, "SmsStatus": {st.status},
			"AccountSid": {c.text.owner}, "To": {string(c.request.Recipient.ID)}, "From": {c.text.from}, "ApiVersion": {"2010-04-01"},
		}
		if c.text.service != "" {
			f.Set("MessagingServiceSid", c.text.service)
		}
		s.outbox.post(to, letter{sealed: sealText(c.text.callback, c.request.Token, f)}, st.after, mark{message: seq, as: st.as})
	}
}

// tellText tells what a person wrote to the webhooks of a number or service.
func (s *Sandbox) tellText(a *account, h *Happening, seq uint64) int {
	to := s.outbox.subscribers(a.id, fieldMessages)
	for _, sub := range to {
		f := url.Values{
			"MessageSid": {h.ID}, "SmsSid": {h.ID}, "SmsMessageSid": {h.ID}, "SmsStatus": {"received"}, "From": {h.Person}, "To": {a.id}, "Body": {h.Text},
			"NumMedia": {"0"}, "NumSegments": {"1"}, "ApiVersion": {"2010-04-01"},
		}
		if strings.HasPrefix(a.id, "MG") {
			f.Set("MessagingServiceSid", a.id)
		}
		s.outbox.post(sub, letter{sealed: sealText(sub.URL, sub.AppSecret, f)}, 0, mark{told: seq})
	}
	return len(to)
}

// sealText makes a request as Twilio does: a form, and an HMAC-SHA1 of the
// address and the fields behind it under the account's token.
func sealText(address, token string, f url.Values) *sealed {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	mac := hmac.New(sha1.New, []byte(token))
	io.WriteString(mac, address)
	for _, name := range names {
		io.WriteString(mac, name+f.Get(name))
	}
	return &sealed{
		url: address, contentType: "application/x-www-form-urlencoded; charset=UTF-8", body: []byte(f.Encode()),
		header: http.Header{"X-Twilio-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}},
	}
}

// textWord is what Twilio itself takes a message for: it acts on these words
// when they stand alone, whatever the business does.
func textWord(s string) (stop, start bool) {
	switch strings.ToUpper(strings.TrimSpace(s)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT":
		return true, false
	case "START", "YES", "UNSTOP":
		return false, true
	}
	return false, false
}
