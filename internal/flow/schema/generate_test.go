package schema

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/flow"
)

type object = map[string]any

// The forms of texts. A duration is Go's, or days or weeks.
const (
	durationForm = `^-?([0-9]+[dw]|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`
	clockForm    = `^([01][0-9]|2[0-3]):[0-5][0-9]$`
	idForm       = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	stepForm     = `^[a-z0-9-]+$`
	typeForm     = `^[^*]+\*?$`
)

// more is what the types don't say of fields, by type and the field's name in
// a document.
func more() map[string]object {
	duration, clock := object{"pattern": durationForm}, object{"pattern": clockForm}
	id := object{"pattern": idForm, "maxLength": 63}
	flowID := object{"pattern": idForm, "maxLength": flow.MaxID}
	events := object{"items": object{"type": "string", "pattern": typeForm}, "uniqueItems": true, "maxItems": 50}
	some, yes := object{"minItems": 1}, object{"const": true}
	return map[string]object{
		"Spec.kind":          {"const": "Flow"},
		"Spec.id":            flowID,
		"Spec.type":          {"enum": []string{flow.AutoReply, flow.Automation, flow.Notification}},
		"Spec.sender":        {"pattern": idForm + "|^record_owner$", "maxLength": 63},
		"Spec.coalesce":      duration,
		"Spec.expires_after": duration,

		"Trigger.events":    events,
		"Trigger.inbound":   {"items": object{"enum": []string{"message", "postback", "referral", "optin", "reaction"}}, "uniqueItems": true},
		"Trigger.comment":   yes,
		"Keywords.match":    {"enum": []string{"", flow.Exact, flow.Word, flow.Prefix}},
		"Date.offset":       duration,
		"Date.at":           clock,
		"Reentry.after":     duration,
		"Condition.events":  events,
		"Frequency.at_most": {"minimum": 1, "maximum": 1000},
		"Frequency.per":     duration,
		"QuietHours.from":   clock,
		"QuietHours.to":     clock,

		"Limits.starts_per_minute": {"minimum": 0, "maximum": 1_000_000},

		"Criterion.id":   {"pattern": stepForm, "maxLength": 100},
		"Criterion.then": {"enum": []string{"", "stop", "next"}},
		"Schedule.after": duration,
		"Schedule.do":    some,
		"Step.id":        {"pattern": stepForm, "maxLength": 100},
		"Step.split":     {"minItems": 2, "maxItems": 50},
		"Step.branch":    {"minItems": 1, "maxItems": 50},
		"Step.start":     flowID,
		"Step.stop":      flowID,
		"Step.end":       yes,

		"Send.via":           {"enum": []string{"private_reply", "one_time_notification"}},
		"Send.sender":        id,
		"Send.expires_after": duration,
		"Send.otherwise":     {"maxItems": 5},
		"Wait.for":           duration,
		"Wait.until":         clock,
		"Wait.events":        events,
		"Wait.timeout":       duration,
		"Part.weight":        {"minimum": 1, "maximum": 10_000},
		"Repeat.at_most":     {"minimum": 1, "maximum": 100},
		"Repeat.do":          some,
		"Set.attributes":     {"additionalProperties": object{"type": "string", "minLength": 1}},
		"Webhook.data":       {"additionalProperties": object{"type": "string", "minLength": 1}, "maxProperties": 50},
		"Webhook.endpoint":   id,
		"Notify.sender":      id,
		"Notify.endpoint":    id,
		"Notify.to":          {"items": object{"type": "string", "minLength": 1}, "uniqueItems": true, "maxItems": 20},
		"Attachment.type":    {"enum": []string{"image", "audio", "video", "file"}},
	}
}

// choices are fields of which exactly one is given, by type.
func choices() map[string][]string {
	return map[string][]string{
		"Spec":        {"steps", "criteria"},
		"Trigger":     {"events", "keywords", "inbound", "comment", "label", "segment", "date"},
		"LabelChange": {"added", "removed"},
		"Schedule":    {"after", "date"},
		"Step":        {"send", "wait", "branch", "split", "repeat", "set", "webhook", "start", "stop", "notify", "handover", "end"},
		"Wait":        {"for", "until", "date", "events"},
		"Notify":      {"endpoint", "sender"},
	}
}

// dependent are fields that need others.
func dependent() map[string]object {
	return map[string]object{
		"Wait":   {"events": []string{"timeout"}, "where": []string{"events"}, "timeout": []string{"events"}, "then": []string{"events"}, "else": []string{"events"}},
		"Notify": {"sender": []string{"to", "text"}, "to": []string{"sender"}},
		"Spec":   {"owner": []string{"owners"}, "owners": []string{"owner"}},
	}
}

// TestSchemaIsCurrent makes the schema anew and holds the file against it.
func TestSchemaIsCurrent(t *testing.T) {
	g := &generator{docs: comments(t), more: more(), definitions: object{}}
	root := g.structOf(reflect.TypeFor[flow.Spec]())
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Flow"
	root["definitions"] = g.definitions
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name := range g.more {
		t.Errorf("%s is no field of any type: correct more()", name)
	}
	current(t, "flow.json", append(b, '\n'))
}

type generator struct {
	docs        map[string]string // comments by type, and by type and field of Go
	more        map[string]object // what is left of it
	definitions object
}

// of is the schema of a type.
func (g *generator) of(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Struct:
		if g.definitions[t.Name()] == nil {
			g.definitions[t.Name()] = object{} // it may have itself in it
			g.definitions[t.Name()] = g.structOf(t)
		}
		return object{"$ref": "#/definitions/" + t.Name()}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	default:
		return object{"type": "string"}
	}
}

func (g *generator) structOf(t reflect.Type) object {
	properties, required := object{}, []string{}
	g.fields(t, t.Name(), properties, &required)
	out := object{"type": "object", "additionalProperties": false, "properties": properties}
	if d := g.docs[t.Name()]; d != "" {
		out["description"] = d
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if names := choices()[t.Name()]; names != nil {
		var ways []object
		for _, n := range names {
			if properties[n] == nil {
				panic(t.Name() + " has no field " + n)
			}
			ways = append(ways, object{"required": []string{n}})
		}
		out["oneOf"] = ways
	}
	if d := dependent()[t.Name()]; d != nil {
		out["dependencies"] = d
	}
	return out
}

// fields adds those of a struct, and of structs in it that are written inline.
// A null is what is absent, but where something is required.
func (g *generator) fields(t reflect.Type, as string, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			g.fields(f.Type, as, properties, required)
			continue
		}
		p := g.of(f.Type)
		d := g.docs[t.Name()+"."+f.Name]
		if ref := p["$ref"]; ref != nil && d != "" {
			p = object{"allOf": []object{{"$ref": ref}}} // beside a reference draft 7 reads nothing
		}
		if d != "" {
			p["description"] = d
		}
		maps.Copy(p, g.more[as+"."+name])
		delete(g.more, as+"."+name)
		properties[name] = p
		if options != "omitempty" {
			*required = append(*required, name)
		}
	}
}

// comments reads what stands beside types and fields where they are written.
func comments(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range []string{"flow/spec.go", "message/message.go", "content/content.go", "sender/sender.go", "broadcast/spec.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", file), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				spec := s.(*ast.TypeSpec)
				st, ok := spec.Type.(*ast.StructType)
				if _, taken := out[spec.Name.Name]; taken || !ok { // the flow's own go first: a broadcast has a Schedule too
					continue
				}
				out[spec.Name.Name] = line(g.Doc)
				for _, field := range st.Fields.List {
					for _, n := range field.Names {
						out[spec.Name.Name+"."+n.Name] = line(field.Comment)
					}
				}
			}
		}
	}
	return out
}

func line(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
