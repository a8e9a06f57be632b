package twilio

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
	"github.com/carillon-dev/carillon/internal/tendlc"
)

// answer is the body of an answer, good or bad: a message, or an error.
type answer struct {
	SID       string `json:"sid"`
	Status    word   `json:"status"`     // of a message a word, of an error the HTTP status
	ErrorCode number `json:"error_code"` // of a message that failed at once

	Code    number `json:"code"` // of an error
	Message string `json:"message"`
}

// word is a JSON string; what is none is "".
type word string

// UnmarshalJSON never fails: a number must not hide the error it is in.
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	_ = json.Unmarshal(b, &s)
	*w = word(s)
	return nil
}

// number is a JSON number, also where it is written as a string. What is
// neither is 0.
type number int

// UnmarshalJSON never fails: a strange code must not hide the error it is in.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil || v < 0 {
		v = 0
	}
	*n = number(v)
	return nil
}

// judge says what an answer means to the messages ms. A 5xx says nothing,
// whatever its words: the message may have been made before something broke.
func (c *Client) judge(a wire.Answer, ms []channel.Message) channel.Result {
	var body answer
	// Only the fields found count: a body that is no JSON leaves them empty.
	_ = json.Unmarshal(a.Body, &body)
	ok := a.Status/100 == 2
	switch {
	case ok && body.SID != "" && body.Status == "failed":
		return c.refusal(a, body.ErrorCode, "", ms)
	case ok && body.SID != "":
		return channel.Result{Outcome: channel.Accepted, MessageID: wire.Cut(body.SID, wire.MaxID), Status: a.Status}
	case body.SID != "":
		return wire.Unclear(a.Status, "the answer names a message and an error")
	case a.Status >= 300 && a.Status < 500 && a.Status != http.StatusRequestTimeout:
		return c.refusal(a, body.Code, body.Message, ms)
	}
	r := wire.Unclear(a.Status, "the answer says neither yes nor no")
	r.Code = int(body.Code)
	return r
}

// refusal is what an error means.
func (c *Client) refusal(a wire.Answer, code number, words string, ms []channel.Message) channel.Result {
	rule, listed := find(int(code))
	switch {
	case listed:
	case a.Status == http.StatusTooManyRequests:
		rule = &overloaded
	case a.Status == http.StatusUnauthorized && code == 0:
		rule, _ = find(20003)
	}
	return channel.Result{
		Outcome: channel.Refused, Action: rule.Action, Reason: rule.Reason, After: c.after(rule), Limit: rule.Limit,
		Code: int(code), Status: a.Status, Detail: wire.Scrub(words, ms),
	}
}

// after is how long a rule asks to wait.
func (c *Client) after(rule *Rule) time.Duration {
	if !rule.Day {
		return rule.After
	}
	now := c.now()
	return tendlc.DayOf(now, c.pacific).End.Sub(now)
}
