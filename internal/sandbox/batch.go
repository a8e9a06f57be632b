package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// maxBatch is the requests one batch may hold (Graph batch requests page).
const maxBatch = 50

// batchItem is one request inside a batch.
type batchItem struct {
	Method string `json:"method"`
	URL    string `json:"relative_url"` // with or without version, may carry a query
	Body   string `json:"body"`         // urlencoded, nested fields as JSON text
}

// batchRequest is what came around the items: credentials for those without.
type batchRequest struct {
	items   []batchItem
	outer   request // Token and Proof only
	headers bool    // include_headers, true where absent
}

func (s *Sandbox) serveBatch(w http.ResponseWriter, r *http.Request, at int64, body []byte) {
	b, problem := decodeBatch(r.Header.Get("Content-Type"), body)
	if problem != nil {
		s.writeError(w, problem)
		return
	}
	b.outer.credentials(r.URL.RawQuery, r.Header.Get("Authorization"))
	calls := make([]call, len(b.items))
	for i, item := range b.items {
		calls[i] = item.call(b.outer)
		calls[i].at, calls[i].position = at, i
	}
	decisions, wire := s.process(calls, true)
	if !wire.hold(r.Context()) || wire.breaks(w) {
		return
	}
	wire.usage.set(w.Header())
	writeGraph(w, http.StatusOK, s.renderBatch(decisions, b.headers))
}

// decodeBatch reads a batch request; the batch field is an array, or the text
// of one.
func decodeBatch(contentType string, body []byte) (batchRequest, *graphError) {
	b := batchRequest{headers: true}
	var list []byte
	if isJSON(contentType, body) {
		var in struct {
			Batch   json.RawMessage `json:"batch"`
			Token   string          `json:"access_token"`
			Proof   string          `json:"appsecret_proof"`
			Headers *bool           `json:"include_headers"`
		}
		if json.Unmarshal(body, &in) != nil {
			return b, errParam(0, "The request body is not valid JSON.")
		}
		b.outer.Token, b.outer.Proof = in.Token, in.Proof
		b.headers = in.Headers == nil || *in.Headers
		list = unquote(in.Batch)
	} else {
		form, err := parseForm(contentType, body)
		if err != nil {
			return b, errParam(0, "The request body is not a valid form.")
		}
		b.outer.Token, b.outer.Proof = form.Get("access_token"), form.Get("appsecret_proof")
		b.headers = form.Get("include_headers") != "false"
		list = []byte(form.Get("batch"))
	}
	return b.decodeItems(list)
}

func (b batchRequest) decodeItems(list []byte) (batchRequest, *graphError) {
	if json.Unmarshal(list, &b.items) != nil {
		return b, errParam(0, "Param batch must be an array.")
	}
	switch {
	case len(b.items) == 0:
		return b, errParam(0, "Param batch must not be empty.")
	case len(b.items) > maxBatch:
		return b, errBatchSize()
	}
	return b, nil
}

// unquote is the text inside a JSON string, or the JSON as it is.
func unquote(raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return []byte(text)
	}
	return raw
}

// call is the item as a call of its own; what is wrong with it stays with it.
func (i batchItem) call(outer request) call {
	path, query, _ := strings.Cut(i.URL, "?")
	path, err := url.PathUnescape(path)
	account, ok := route(path)
	c := call{account: account}
	switch {
	case err != nil || !ok || account == "":
		c.account, c.problem = "", errUnknownPath("/"+strings.Trim(path, "/"))
	case i.Method != http.MethodPost:
		c.problem = errUnsupported(i.Method)
	default:
		c.request, c.problem = decodeRequest("", []byte(i.Body))
	}
	c.request.credentials(query, "")
	if c.request.Token == "" { // a proof belongs to its token
		c.request.Token, c.request.Proof = outer.Token, outer.Proof
	}
	return c
}

type header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type batchAnswer struct {
	Code    int      `json:"code"`
	Headers []header `json:"headers,omitempty"`
	Body    string   `json:"body"`
}

// renderBatch is the array of answers, in order of request; an item nobody
// answered is null.
func (s *Sandbox) renderBatch(ds []decision, headers bool) []byte {
	out := make([]*batchAnswer, len(ds))
	for i, d := range ds {
		if d.null {
			continue
		}
		status, body := s.render(d)
		out[i] = &batchAnswer{Code: status, Body: string(body)}
		if headers {
			out[i].Headers = []header{{"Content-Type", graphContentType}}
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}
