package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
)

const (
	// labelsAtOnce is how many labels one page may have, the most that Graph
	// gives.
	labelsAtOnce = "100"
	// maxCursor and maxLink bound what is taken over of an answer, in bytes.
	maxCursor, maxLink = 512, 300
)

// Labels asks for one page of the custom labels of the account, or of a person
// where one is named; after is empty for the first. The error is a
// *channel.Fault where the platform, or the way to it, is its cause.
func (c *Client) Labels(ctx context.Context, a channel.Account, person, after string) (channel.Labels, error) {
	req, err := c.endpoints.labels(a, person, after)
	if err != nil {
		return channel.Labels{}, err
	}
	call := c.wire.Begin()
	call.Form = call.Form[:0]
	// Its address may be quoted in what comes back.
	answer, lost := c.wire.Do(ctx, call, req, []channel.Message{{Recipient: person}})
	if lost != nil {
		return channel.Labels{}, &channel.Fault{Status: lost.Status, Detail: lost.Detail}
	}
	defer c.wire.Recycle(call)
	out, fault := readLabels(answer.Status, answer.Body, person)
	if fault != nil {
		return channel.Labels{}, fault
	}
	used := readUsage(answer.Header)
	out.Usage = max(used.app, used.percent)
	return out, nil
}

// labels prepares GET {base}/{version}/{node}/custom_labels. What Graph's own
// address of the next page would carry, the token, stays in a header.
func (s *endpoints) labels(a channel.Account, person, after string) (*http.Request, error) {
	e, err := s.of(a)
	if err != nil {
		return nil, err
	}
	node := person
	if node == "" {
		node = a.ID
	}
	if !accountPattern.MatchString(node) {
		return nil, &channel.Fault{Code: noNode, Detail: "the contact's id is none that the platform gives"}
	}
	u := s.base.root
	if !s.base.fixed {
		u.Path += "/" + s.base.version
	}
	u.Path += "/" + node + "/custom_labels"
	q := url.Values{"fields": {"page_label_name"}, "limit": {labelsAtOnce}}
	if after != "" {
		q.Set("after", after)
	}
	u.RawQuery = q.Encode()
	if proof := e.single.URL.RawQuery; proof != "" {
		u.RawQuery += "&" + proof
	}
	return &http.Request{
		Method: http.MethodGet, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Authorization": e.single.Header["Authorization"], "Accept": {"application/json"}, "User-Agent": {"carillon"}},
	}, nil
}

// noNode is Graph's code for an object that does not exist, or that the token
// may not see.
const noNode = 100

// labelAnswer is the body of an answer, good or bad.
type labelAnswer struct {
	Data *[]struct {
		Name string `json:"page_label_name"`
	} `json:"data"`
	Paging struct {
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
		Next string `json:"next"` // only whether it is there counts: it carries the token
	} `json:"paging"`
	Error json.RawMessage `json:"error"`
}

// readLabels reads an answer. What is no list of labels is a fault, so that
// nobody loses labels over an answer that was not understood.
func readLabels(status int, body []byte, person string) (channel.Labels, *channel.Fault) {
	var a labelAnswer
	broken := json.Unmarshal(body, &a)
	if len(a.Error) > 0 && !bytes.Equal(a.Error, []byte("null")) {
		return channel.Labels{}, readFault(status, a.Error, person)
	}
	if status/100 != 2 || broken != nil || a.Data == nil {
		return channel.Labels{}, &channel.Fault{Status: status, Detail: fmt.Sprintf("the answer, with status %d, is no list of labels", status)}
	}
	var out channel.Labels
	for _, l := range *a.Data {
		if l.Name == "" {
			return channel.Labels{}, &channel.Fault{Status: status, Detail: "the answer has a label without a name"}
		}
		out.Names = append(out.Names, l.Name)
	}
	if a.Paging.Next == "" {
		return out, nil
	}
	if out.After = a.Paging.Cursors.After; out.After == "" || len(out.After) > maxCursor {
		return channel.Labels{}, &channel.Fault{Status: status, Detail: "the answer has more pages and no cursor to them"}
	}
	return out, nil
}

// readFault reads Graph's error. Its link is taken out before its words are
// scrubbed: it names the Page, by a number.
func readFault(status int, raw []byte, person string) *channel.Fault {
	var g graphError
	var user struct {
		Words string `json:"error_user_msg"`
	}
	// Only what could be read counts; the code 0 says that none was.
	_, _ = json.Unmarshal(raw, &g), json.Unmarshal(raw, &user)
	f := &channel.Fault{Status: status, Code: int(g.Code), Subcode: int(g.Subcode)}
	f.Detail = wire.Scrub(strings.TrimSpace(g.Message+" "+user.Words), []channel.Message{{Recipient: person}})
	for _, words := range []string{g.Message, user.Words} {
		if f.Link == "" {
			f.Link = link(words, person)
		}
	}
	return f
}

// link returns the first address in words that an operator can be sent to:
// https, without a query, which could carry a token, and without the person.
func link(words, person string) string {
	_, rest, found := strings.Cut(words, "https://")
	if !found {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "?")
	for i, c := range rest {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("\"'<>#()[]\\`", c) {
			rest = rest[:i]
			break
		}
	}
	u, err := url.Parse("https://" + strings.TrimRight(rest, ".,;:!"))
	if err != nil || u.Host == "" || u.User != nil || len(u.String()) > maxLink || person != "" && strings.Contains(u.String(), person) {
		return ""
	}
	return u.String()
}
