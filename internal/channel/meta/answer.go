package meta

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
)

// maxTrace is how many bytes of the platform's trace id a result keeps; the ones
// seen have 11 to 27.
const maxTrace = 64

// answer is the body of one send's answer, good or bad.
type answer struct {
	MessageID string          `json:"message_id"`
	Error     json.RawMessage `json:"error"`
}

// graphError is what the platform says of a refusal. Without a code it is not
// the platform that spoke.
type graphError struct {
	Message string `json:"message"`
	Code    number `json:"code"`
	Subcode number `json:"error_subcode"`
	TraceID string `json:"fbtrace_id"`
}

// number is a JSON number, also where it is written as a string. What is
// neither is 0.
type number int

// UnmarshalJSON never fails: a strange code must not hide the error it is in.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil || v < 0 {
		v = 0 // a negative code must not meet Any
	}
	*n = number(v)
	return nil
}

// item is one entry of a batch's answer.
type item struct {
	Code int    `json:"code"`
	Body string `json:"body"`
}

// reply is a whole answer as it came.
type reply struct {
	status int
	body   []byte
	usage  usage
}

// judge says what an answer with this status and body means to the messages
// ms. Every error is read by its code, whatever the status; where there is none
// the status decides, and what does not say no plainly may have been accepted.
func (rules rulebook) judge(status int, body []byte, ms []channel.Message) channel.Result {
	if id, ok := acceptedID(body); ok && status/100 == 2 {
		return channel.Result{Outcome: channel.Accepted, MessageID: wire.Cut(id, wire.MaxID), Status: status}
	}
	var a answer
	// Only the fields found count: a body that is no JSON leaves them empty.
	_ = json.Unmarshal(body, &a)
	failed := len(a.Error) > 0 && !bytes.Equal(a.Error, []byte("null"))
	if failed {
		var g graphError
		_ = json.Unmarshal(a.Error, &g)
		if g.Code != 0 && a.MessageID == "" {
			return rules.refusal(status, g, ms)
		}
	}
	switch {
	case status/100 == 2 && a.MessageID != "" && !failed:
		return channel.Result{Outcome: channel.Accepted, MessageID: wire.Cut(a.MessageID, wire.MaxID), Status: status}
	case a.MessageID != "":
		return wire.Unclear(status, "the answer names a message and an error")
	case status == http.StatusTooManyRequests:
		return refused(&overloaded, status)
	case status >= 300 && status < 500 && status != http.StatusRequestTimeout:
		return refused(&unlisted, status)
	}
	return wire.Unclear(status, "the answer says neither yes nor no")
}

// acceptedID reads the answer that nearly every send gets, as the platform
// writes it. ok is false for everything else, which takes a JSON decoder.
func acceptedID(body []byte) (id string, ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"recipient_id":"`))
	if !ok {
		return "", false
	}
	rest = rest[plain7(rest):]
	if rest, ok = bytes.CutPrefix(rest, []byte(`","message_id":"`)); !ok {
		return "", false
	}
	n := plain7(rest)
	if n == 0 || !bytes.Equal(bytes.TrimRight(rest[n:], "\r\n"), []byte(`"}`)) {
		return "", false
	}
	return string(rest[:n]), true
}

// plain7 measures the printable ASCII at the start of b that a JSON string
// holds as it is.
func plain7(b []byte) int {
	for i, c := range b {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(b)
}

// judgeBatch says what an answer means to each message of a batch.
func (rules rulebook) judgeBatch(status int, body []byte, ms []channel.Message) []channel.Result {
	results := make([]channel.Result, len(ms))
	if items, ok := readItems(body, len(ms)); ok {
		for i := range results {
			results[i] = rules.judgeItem(items, i, status, ms[i:i+1])
		}
		return results
	}
	whole := rules.judge(status, body, ms)
	if whole.Outcome == channel.Accepted || halfDone(whole) {
		trace := whole.TraceID
		whole = wire.Unclear(status, "the batch was answered as a whole")
		whole.TraceID = trace
	}
	for i := range results {
		results[i] = whole
	}
	return results
}

// halfDone reports whether the platform may have broken down in the middle of
// a batch: a general error beside a 5xx does not say that nothing was sent.
func halfDone(r channel.Result) bool {
	return r.Outcome == channel.Refused && r.Status >= 500 && (r.Code == 1 || r.Code == 2)
}

func (rules rulebook) judgeItem(items []*item, i, status int, m []channel.Message) channel.Result {
	if i >= len(items) || items[i] == nil {
		return wire.Unclear(status, "the batch's answer leaves this message out")
	}
	return rules.judge(items[i].Code, []byte(items[i].Body), m)
}

// readItems reads a batch's answer. One with more entries than messages cannot
// be told apart, so it is none.
func readItems(body []byte, n int) (items []*item, ok bool) {
	if body = bytes.TrimLeft(body, " \t\r\n"); len(body) == 0 || body[0] != '[' {
		return nil, false
	}
	// An entry of another shape is left with the fields that could be read.
	_ = json.Unmarshal(body, &items)
	return items, len(items) <= n && items != nil
}

// refusal is what a Graph error means.
func (rules rulebook) refusal(status int, g graphError, ms []channel.Message) channel.Result {
	rule, _ := rules.find(int(g.Code), int(g.Subcode))
	r := refused(rule, status)
	if rule.MaybeSent {
		r = wire.Unclear(status, "")
	}
	r.Code, r.Subcode = int(g.Code), int(g.Subcode)
	r.Detail = wire.Scrub(g.Message, ms)
	r.TraceID = wire.Cut(wire.OneLine(g.TraceID), maxTrace)
	return r
}

func refused(rule *Rule, status int) channel.Result {
	return channel.Result{
		Outcome: channel.Refused, Action: rule.Action, Reason: rule.Reason,
		After: rule.After, Limit: rule.Limit, Then: rule.Then, App: rule.App, Status: status,
	}
}

// add completes r with what the usage headers say. A named time to regain access
// outlasts the table's.
func (u usage) add(r channel.Result) channel.Result {
	r.Usage, r.AppUsage = u.percent, u.app
	if r.Action == channel.SlowSender {
		r.After = max(r.After, u.regain)
	}
	return r
}
