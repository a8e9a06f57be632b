package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/api"
)

// witness stands before the server and holds every answer against the
// document that the server itself gives out.
type witness struct {
	next http.Handler
	doc  map[string]any

	mu         sync.Mutex
	violations []string
	answered   map[string]bool // METHOD path, with a status below 300
}

func newWitness(s *api.Server) (*witness, error) {
	w := &witness{next: s, answered: map[string]bool{}}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/openapi.json", nil))
	return w, json.Unmarshal(rec.Body.Bytes(), &w.doc)
}

// take returns what was found since it was last asked.
func (w *witness) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.violations
	w.violations = nil
	return v
}

// operations are all that the document has, METHOD path.
func (w *witness) operations() []string {
	var out []string
	for path, item := range w.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tee) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	t := &tee{ResponseWriter: rw}
	cut := true
	defer func() {
		if t.status == 0 {
			return // nobody was there to hear the answer
		}
		if err := w.check(r, t, cut); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.violations = append(w.violations, fmt.Sprintf("%s %s: %d: %v", r.Method, r.URL.Path, t.status, err))
		}
	}()
	w.next.ServeHTTP(t, r)
	cut = false
}

func (w *witness) check(r *http.Request, t *tee, cut bool) error {
	kind := t.Header().Get("Content-Type")
	route, op := w.operation(r)
	if t.status >= 400 {
		if kind != "application/problem+json" {
			return fmt.Errorf("content type %q", kind)
		}
		return w.validate(map[string]any{"$ref": "#/components/schemas/Problem"}, t.body.Bytes(), "problem")
	}
	if strings.HasPrefix(r.URL.Path, "/hooks/") {
		return nil // answered as each platform wants it
	}
	if op == nil {
		return fmt.Errorf("no such operation in the document")
	}
	w.mu.Lock()
	w.answered[r.Method+" "+route] = true
	w.mu.Unlock()
	resp, ok := op["responses"].(map[string]any)[strconv.Itoa(t.status)].(map[string]any)
	if !ok {
		return fmt.Errorf("the document has no such status")
	}
	media, ok := resp["content"].(map[string]any)[kind].(map[string]any)
	if !ok {
		return fmt.Errorf("the document has no content type %q", kind)
	}
	schema := media["schema"].(map[string]any)
	if kind == "application/x-tar" {
		return nil // whoever takes it checks it
	}
	if kind != "application/x-ndjson" {
		return w.validate(schema, t.body.Bytes(), "answer")
	}
	lines := bytes.SplitAfter(t.body.Bytes(), []byte("\n"))
	for i, line := range lines[:len(lines)-1] {
		if cut && i == len(lines)-2 {
			schema = map[string]any{"$ref": "#/components/schemas/ImportEvent"}
		}
		if err := w.validate(schema, line, "line "+strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	if last := lines[len(lines)-1]; len(last) > 0 && !cut {
		return fmt.Errorf("the last line has no end")
	}
	return nil
}

func (w *witness) operation(r *http.Request) (string, map[string]any) {
	for path, item := range w.doc["paths"].(map[string]any) {
		op, ok := item.(map[string]any)[strings.ToLower(r.Method)].(map[string]any)
		if ok && matches(path, r.URL.Path) {
			return path, op
		}
	}
	return "", nil
}

func matches(pattern, path string) bool {
	p, q := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if p[i] != q[i] && (!strings.HasPrefix(p[i], "{") || q[i] == "redrive" || q[i] == "discard") {
			return false
		}
	}
	return true
}

func (w *witness) validate(schema map[string]any, body []byte, at string) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return w.valid(schema, v, at)
}

// resolved follows references and merges allOf.
func (w *witness) resolved(schema map[string]any) map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		v := any(w.doc)
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			v = v.(map[string]any)[part]
		}
		return w.resolved(v.(map[string]any))
	}
	all, ok := schema["allOf"].([]any)
	if !ok {
		return schema
	}
	out := map[string]any{"type": "object", "properties": map[string]any{}, "required": []any{}}
	for _, part := range all {
		p := w.resolved(part.(map[string]any))
		maps.Copy(out["properties"].(map[string]any), p["properties"].(map[string]any))
		out["required"] = append(out["required"].([]any), p["required"].([]any)...)
	}
	return out
}

// valid holds a value against a schema. A member that the schema does not
// list is an error: the document must be complete.
func (w *witness) valid(schema map[string]any, v any, at string) error {
	s := w.resolved(schema)
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, enum)
	}
	if c, ok := s["const"]; ok && c != v {
		return fmt.Errorf("%s: %v is not %v", at, v, c)
	}
	switch s["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %T is no object", at, v)
		}
		return w.validObject(s, m, at)
	case "array":
		a, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: %T is no array", at, v)
		}
		for i, e := range a {
			if err := w.valid(s["items"].(map[string]any), e, at+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
		return nil
	}
	return validScalar(s, v, at)
}

func (w *witness) validObject(s, m map[string]any, at string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := m[name.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", at, name)
		}
	}
	if most, ok := s["maxProperties"].(float64); ok && len(m) > int(most) {
		return fmt.Errorf("%s: %d members", at, len(m))
	}
	props, _ := s["properties"].(map[string]any)
	for name, v := range m {
		p, ok := props[name].(map[string]any)
		if !ok {
			p, ok = s["additionalProperties"].(map[string]any)
		}
		if !ok {
			if s["additionalProperties"] == true {
				continue
			}
			return fmt.Errorf("%s: %s is not in the document", at, name)
		}
		if err := w.valid(p, v, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func validScalar(s map[string]any, v any, at string) error {
	ok := false
	switch x := v.(type) {
	case string:
		ok = s["type"] == "string"
		if s["format"] == "date-time" {
			_, err := time.Parse(time.RFC3339Nano, x)
			ok = ok && err == nil
		}
	case bool:
		ok = s["type"] == "boolean"
	case float64:
		least, bounded := s["minimum"].(float64)
		ok = (s["type"] == "number" || s["type"] == "integer" && x == float64(int64(x))) && (!bounded || x >= least)
	}
	if !ok {
		return fmt.Errorf("%s: %v (%T) is not %v", at, v, v, s)
	}
	return nil
}
