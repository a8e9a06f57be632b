package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// pageOfLabels is how many come at once where none is asked for, as
	// Graph has it for most edges; maxPageOfLabels the most.
	pageOfLabels, maxPageOfLabels = 25, 100
	// maxLabels bounds what a tester can order, far above what a Page has.
	maxLabels = 10_000
)

// labels are an account's custom labels, and who has them.
type labels struct {
	names []string         // a label's place is its number
	of    map[uint32][]int // by the person's place, numbers in order
}

// number is a label's, entered if new.
func (l *labels) number(name string) int {
	if i := slices.Index(l.names, name); i >= 0 {
		return i
	}
	l.names = append(l.names, strings.Clone(name))
	return len(l.names) - 1
}

func (l *labels) put(person uint32, name string) {
	if l.of == nil {
		l.of = map[uint32][]int{}
	}
	n := l.number(name)
	if i, has := slices.BinarySearch(l.of[person], n); !has {
		l.of[person] = slices.Insert(l.of[person], i, n)
	}
}

func (l *labels) remove(person uint32, name string) {
	n := slices.Index(l.names, name)
	if i, has := slices.BinarySearch(l.of[person], n); has {
		l.of[person] = slices.Delete(l.of[person], i, i+1)
	}
}

// labelOrder is what a tester says of labels: without a person, only that
// they are there.
type labelOrder struct {
	Account string   `json:"account"`
	Person  string   `json:"person"`
	Add     []string `json:"add"`
	Remove  []string `json:"remove"`
}

func (o *labelOrder) validate() error {
	for _, name := range slices.Concat(o.Add, o.Remove) {
		if name == "" || len(name) > 80 {
			return errors.New("a label has 1 to 80 bytes")
		}
	}
	if len(o.Person) > maxRecipientBytes {
		return fmt.Errorf("person must be an id of at most %d bytes", maxRecipientBytes)
	}
	return Account{Account: o.Account}.validate()
}

func (s *Sandbox) serveLabelOrder(w http.ResponseWriter, r *http.Request) {
	var o labelOrder
	err := decode(w, r, &o)
	if err == nil {
		err = o.validate()
	}
	if err == nil {
		err = s.label(&o)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, map[string]string{"account": o.Account, "person": o.Person})
}

func (s *Sandbox) label(o *labelOrder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.books.account(o.Account)
	if len(a.labels.names)+len(o.Add) > maxLabels {
		return fmt.Errorf("an account has at most %d labels", maxLabels)
	}
	if o.Person == "" {
		for _, name := range o.Add {
			a.labels.number(name)
		}
		return nil
	}
	person := s.books.place(a, o.Person, 0)
	for _, name := range o.Add {
		a.labels.put(person, name)
	}
	for _, name := range o.Remove {
		a.labels.remove(person, name)
	}
	return nil
}

// labelEdge is whose labels a path asks for: an account's, "me", or a
// person's.
func labelEdge(path string) (node string, ok bool) {
	path = strings.Trim(path, "/")
	if version, rest, _ := strings.Cut(path, "/"); isVersion(version) {
		path = rest
	}
	node, edge, _ := strings.Cut(path, "/")
	return node, node != "" && edge == "custom_labels"
}

// serveLabels answers GET /{account}/custom_labels and GET /{psid}/custom_labels,
// page by page.
func (s *Sandbox) serveLabels(w http.ResponseWriter, r *http.Request, node string) {
	var req request
	req.credentials(r.URL.RawQuery, r.Header.Get("Authorization"))
	names, numbers, problem := s.labelsOf(node, &req)
	if problem != nil {
		s.writeError(w, problem)
		return
	}
	q := r.URL.Query()
	body, problem := labelPage(names, numbers, q, "http://"+r.Host+r.URL.Path)
	if problem != nil {
		s.writeError(w, problem)
		return
	}
	writeGraph(w, http.StatusOK, body)
}

// labelsOf copies the labels of an account or of a person.
func (s *Sandbox) labelsOf(node string, req *request) (names []string, numbers []int, problem *graphError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, person, found := s.books.labelled(node, req.Token)
	if a == nil {
		return nil, nil, errUnsupported(http.MethodGet)
	}
	if err := a.authorize(req.Token, req.Proof); err != nil {
		return nil, nil, err
	}
	if a.declared.NoContactTerms {
		return nil, nil, errContactTerms(a.id)
	}
	if found {
		numbers = slices.Clone(a.labels.of[person])
	} else {
		for i := range a.labels.names {
			numbers = append(numbers, i)
		}
	}
	return slices.Clone(a.labels.names), numbers, nil
}

// labelled is the account that a node is, or that knows the person that it
// is: the one whose token it came with goes first.
func (b *books) labelled(node, token string) (a *account, person uint32, found bool) {
	if node == "me" {
		return b.byToken[token], 0, false
	}
	if a := b.byID[node]; a != nil {
		return a, 0, false
	}
	for _, a := range append([]*account{b.byToken[token]}, b.accounts...) {
		if a != nil {
			if place, ok := b.people.find(a.index, node); ok {
				return a, place, true
			}
		}
	}
	return nil, 0, false
}

// labelPage is one page of labels, with their names where fields asks for them.
func labelPage(names []string, numbers []int, q url.Values, self string) ([]byte, *graphError) {
	limit, from := pageOfLabels, 0
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return nil, errParam(0, "Param limit must be a positive number.")
		}
		limit = min(n, maxPageOfLabels)
	}
	if v := q.Get("after"); v != "" {
		raw, err := base64.URLEncoding.DecodeString(v)
		n, bad := strconv.Atoi(string(raw))
		if err != nil || bad != nil || n < 0 {
			return nil, errParam(0, "Invalid cursors values.")
		}
		from = n + 1 // labels that went since don't move the others
	}
	first, _ := slices.BinarySearch(numbers, from)
	some := numbers[first:min(first+limit, len(numbers))]
	type label struct {
		ID   string `json:"id"`
		Name string `json:"page_label_name,omitempty"`
	}
	type cursors struct {
		Before string `json:"before"`
		After  string `json:"after"`
	}
	type paging struct {
		Cursors cursors `json:"cursors"`
		Next    string  `json:"next,omitempty"`
	}
	out := struct {
		Data   []label `json:"data"`
		Paging *paging `json:"paging,omitempty"`
	}{Data: []label{}}
	named := slices.Contains(strings.Split(q.Get("fields"), ","), "page_label_name")
	for _, n := range some {
		l := label{ID: labelID(n)}
		if named {
			l.Name = names[n]
		}
		out.Data = append(out.Data, l)
	}
	if len(some) > 0 {
		cursor := func(n int) string { return base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(n))) }
		out.Paging = &paging{Cursors: cursors{cursor(some[0]), cursor(some[len(some)-1])}}
		if first+limit < len(numbers) {
			next := url.Values{"after": {out.Paging.Cursors.After}, "limit": {strconv.Itoa(limit)}}
			for _, name := range []string{"fields", "access_token", "appsecret_proof"} { // Graph's next carries the token too
				if v := q.Get(name); v != "" {
					next.Set(name, v)
				}
			}
			out.Paging.Next = self + "?" + next.Encode()
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err) // strings always marshal
	}
	return b, nil
}

// labelID makes ids that no parser of small numbers holds.
func labelID(n int) string { return strconv.Itoa(9_001_200_005_000_000 + n) }
