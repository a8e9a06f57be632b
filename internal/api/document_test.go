package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
)

type object = map[string]any

func parsed(t *testing.T) object {
	t.Helper()
	b, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var doc object
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// follow resolves a reference within the document.
func follow(t *testing.T, doc, v object) object {
	t.Helper()
	ref, ok := v["$ref"].(string)
	if !ok {
		return v
	}
	at := any(doc)
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := at.(object)
		next, ok := m[part]
		if at = next; !ok {
			t.Fatalf("%s leads nowhere", ref)
		}
	}
	return follow(t, doc, at.(object))
}

// TestDocumentHasEveryRoute holds paths, parameters and security of the
// document against the routes, both ways.
func TestDocumentHasEveryRoute(t *testing.T) {
	doc := parsed(t)
	if doc["openapi"] != "3.1.0" {
		t.Errorf("version %v", doc["openapi"])
	}
	type operation struct {
		Query, Path []string
		Keyed       bool // it takes an Idempotency-Key
		Open, Body  bool
	}
	want, got, ids := map[string]operation{}, map[string]operation{}, map[string]bool{}
	for _, rt := range (&Server{}).routes() {
		o := operation{Keyed: rt.method == http.MethodPost, Query: slices.Sorted(slices.Values(rt.query)), Open: !strings.HasPrefix(rt.path, "/v1/") || rt.path == documentPath}
		for part := range strings.SplitSeq(rt.path, "/") {
			if strings.HasPrefix(part, "{") {
				o.Path = append(o.Path, strings.Trim(part, "{}"))
			}
		}
		last := rt.path[strings.LastIndex(rt.path, "/")+1:]
		onFlow := strings.HasPrefix(rt.path, "/v1/flows/") && rt.method == http.MethodPost
		o.Body = onFlow || slices.Contains([]string{"apply", "contacts", "events", "changes", "erase", "reviews", "optouts", "launch", "diff", "redrive", "discard", "replay", "tokens"}, last) && rt.method == http.MethodPost
		want[rt.method+" "+rt.path] = o
	}
	for path, item := range doc["paths"].(object) {
		for method, v := range item.(object) {
			op := v.(object)
			if id := op["operationId"].(string); ids[id] {
				t.Errorf("operation %s stands twice", id)
			} else {
				ids[id] = true
			}
			var o operation
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				param := follow(t, doc, p.(object))
				switch param["in"] {
				case "path":
					o.Path = append(o.Path, param["name"].(string))
				case "header":
					o.Keyed = param["name"] == "Idempotency-Key"
				default:
					o.Query = append(o.Query, param["name"].(string))
				}
			}
			slices.Sort(o.Query)
			_, o.Open = op["security"]
			_, o.Body = op["requestBody"]
			got[strings.ToUpper(method)+" "+path] = o
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestReferences: every reference leads somewhere, and no schema is unused.
func TestReferences(t *testing.T) {
	doc := parsed(t)
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case object:
			follow(t, doc, v)
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	for name := range doc["components"].(object)["schemas"].(object) {
		if !used["#/components/schemas/"+name] {
			t.Errorf("schema %s is never used", name)
		}
	}
}

// TestSchemasAreTheTypes holds the schemas against the types of the client:
// the same members, of the same kinds, required unless they may be absent.
func TestSchemasAreTheTypes(t *testing.T) {
	doc := parsed(t)
	schemas := doc["components"].(object)["schemas"].(object)
	for name, v := range map[string]any{
		"Problem": client.Problem{}, "ApplyResult": client.ApplyResult{}, "Sender": client.Sender{}, "MovedSender": client.MovedSender{},
		"SenderSpec": client.SenderSpec{}, "Labels": client.Labels{}, "ImportCounts": client.ImportProgress{}, "ImportEvent": client.ImportEvent{},
		"OptOutRequest": client.OptOutRequest{}, "OptOutResult": client.OptOutResult{}, "BroadcastSpec": client.BroadcastSpec{},
		"Broadcast": client.Broadcast{}, "Stopped": client.Stopped{}, "Progress": client.Progress{}, "Audit": client.Audit{},
		"AuditMember": client.AuditMember{}, "Forecast": client.Forecast{}, "Story": client.Story{}, "Record": client.Record{},
		"Contact": client.Contact{}, "ContactStory": client.ContactStory{}, "Letter": client.Letter{}, "DeadFilter": client.DeadFilter{},
		"Warning": client.Warning{}, "LaunchRequest": client.LaunchRequest{}, "Policy": client.Policy{}, "LogEntry": client.LogEntry{},
		"PolicyDiffRequest": client.PolicyDiffRequest{}, "PolicyDiffEvent": client.PolicyDiffEvent{}, "RuleChange": client.RuleChange{},
		"BroadcastImpact": client.BroadcastImpact{}, "Token": client.Token{}, "TokenRequest": client.TokenRequest{},
		"Outcome": client.Outcome{}, "Outcomes": client.Outcomes{}, "Endpoint": client.Endpoint{}, "EndpointPush": client.EndpointPush{}, "ReplayRequest": client.ReplayRequest{},
		"Flow": client.Flow{}, "FlowDetail": client.FlowDetail{}, "RunCount": client.RunCount{}, "SteerRequest": client.SteerRequest{}, "SteeredFlow": client.SteeredFlow{},
		"Run": client.Run{}, "RunVisit": client.RunVisit{}, "Runs": client.Runs{}, "StopRunsRequest": client.StopRunsRequest{}, "StoppedRuns": client.StoppedRuns{},
		"CreatedToken": client.CreatedToken{}, "RevokedToken": client.RevokedToken{},
		"HandleRequest": client.HandleRequest{}, "HandleResult": client.HandleResult{}, "Health": health{},
	} {
		sameShape(t, doc, schemas[name].(object), reflect.TypeOf(v), name)
	}
}

func sameShape(t *testing.T, doc, schema object, typ reflect.Type, at string) {
	t.Helper()
	s := merged(t, doc, schema)
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer",
		reflect.Float64: "number", reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}[typ.Kind()]
	if typ == reflect.TypeFor[time.Time]() {
		want = "string"
		if s["format"] != "date-time" {
			t.Errorf("%s: format %v", at, s["format"])
		}
	}
	if s["type"] != want {
		t.Errorf("%s: type %v, want %s", at, s["type"], want)
		return
	}
	switch {
	case want == "array":
		sameShape(t, doc, s["items"].(object), typ.Elem(), at+"[]")
	case typ.Kind() == reflect.Map && typ.Elem().Kind() == reflect.Interface:
		if s["additionalProperties"] != true {
			t.Errorf("%s: want additionalProperties: true, for a map of anything", at)
		}
	case typ.Kind() == reflect.Map:
		sameShape(t, doc, s["additionalProperties"].(object), typ.Elem(), at+"{}")
	case want == "object":
		sameMembers(t, doc, s, typ, at)
	}
}

func sameMembers(t *testing.T, doc, s object, typ reflect.Type, at string) {
	t.Helper()
	props, _ := s["properties"].(object)
	required, _ := s["required"].([]any)
	seen := map[string]bool{}
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous {
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		seen[name] = true
		p, ok := props[name].(object)
		if !ok {
			t.Errorf("%s.%s is not in the document", at, name)
			continue
		}
		if must := !strings.Contains(opts, "omit"); must != slices.Contains(required, any(name)) {
			t.Errorf("%s.%s: required is %v", at, name, !must)
		}
		sameShape(t, doc, p, f.Type, at+"."+name)
	}
	for name := range props {
		if !seen[name] {
			t.Errorf("%s.%s is in no type", at, name)
		}
	}
}

// merged resolves references and allOf.
func merged(t *testing.T, doc, schema object) object {
	t.Helper()
	s := follow(t, doc, schema)
	all, ok := s["allOf"].([]any)
	if !ok {
		return s
	}
	props, required := object{}, []any{}
	for _, part := range all {
		p := merged(t, doc, part.(object))
		maps.Copy(props, p["properties"].(object))
		required = append(required, p["required"].([]any)...)
	}
	return object{"type": "object", "properties": props, "required": required}
}

// TestSpecsAreTheDocuments: what is applied comes back whole, field by field.
func TestSpecsAreTheDocuments(t *testing.T) {
	s, b := &sender.Spec{}, &broadcast.Spec{}
	fill(reflect.ValueOf(s).Elem())
	fill(reflect.ValueOf(b).Elem())
	for _, c := range []struct{ have, wire any }{{s, wireSenderSpec(s)}, {b, wireBroadcastSpec(b)}} {
		var want, got any
		roundTrip(t, c.have, &want)
		roundTrip(t, c.wire, &got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%T: %s", c.wire, d)
		}
	}
}

// fill sets every field to something that is not its zero value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	}
}

func roundTrip(t *testing.T, from any, into *any) {
	t.Helper()
	b, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}
