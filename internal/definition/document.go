// Package definition keeps what operators define: it reads their YAML
// documents strictly, and stores what they define with revisions for
// compare-and-set.
package definition

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/endpoint"
	"github.com/carillon-dev/carillon/internal/flow"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Document is one YAML document: exactly one of its fields is set.
type Document struct {
	Sender    *sender.Spec
	Broadcast *broadcast.Spec
	Hook      *hook.Spec
	Endpoint  *endpoint.Spec
	Template  *content.Template
	Flow      *flow.Spec
	Line      int // of the file, where the document begins

	fields map[string]int // lines of its fields by path, such as message.text
}

// MaxFile bounds a file of documents, in bytes.
const MaxFile = 1 << 20

// Error says what is wrong with a file, and where.
type Error struct {
	File string
	Line int // 0: unknown
	Err  error
}

// Error returns file, line and cause in one line.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Decode reads the documents of one file. It returns either all of them,
// valid each by itself and no two of one kind and id, or an *Error.
func Decode(file string, data []byte) ([]Document, error) {
	if len(data) > MaxFile {
		return nil, &Error{File: file, Err: fmt.Errorf("%d bytes, at most %d", len(data), MaxFile)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []Document
	lines := map[string]int{} // of kind and id
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, yamlError(file, 0, err)
		}
		if n.Kind == 0 || len(n.Content) == 0 || n.Content[0].Tag == "!!null" {
			continue // nothing between two separators
		}
		d, err := decodeOne(n.Content[0])
		if err != nil {
			return nil, yamlError(file, n.Content[0].Line, err)
		}
		if first := lines[d.name()]; first != 0 {
			return nil, &Error{File: file, Line: d.Line, Err: fmt.Errorf("%s stands twice, first on line %d", d.name(), first)}
		}
		lines[d.name()] = d.Line
		docs = append(docs, d)
	}
	if len(docs) == 0 {
		return nil, &Error{File: file, Err: errors.New("no document: want " + kinds)}
	}
	return docs, nil
}

// Kind returns what the document defines, such as Sender.
func (d Document) Kind() string { kind, _, _ := d.head(); return kind }

// ID returns the id of what it defines.
func (d Document) ID() string { _, id, _ := d.head(); return id }

// Of returns the sender that it is about, "" for what is about none or about
// several.
func (d Document) Of() string { _, _, of := d.head(); return of }

func (d Document) head() (kind, id, of string) {
	switch {
	case d.Sender != nil:
		return "Sender", d.Sender.ID, d.Sender.ID
	case d.Hook != nil:
		return "Hook", d.Hook.ID, ""
	case d.Endpoint != nil:
		return "Endpoint", d.Endpoint.ID, ""
	case d.Template != nil:
		return "Template", d.Template.ID, d.Template.Sender
	case d.Flow != nil:
		return "Flow", d.Flow.ID, onlySender(d.Flow)
	default:
		return "Broadcast", d.Broadcast.ID, d.Broadcast.Sender
	}
}

// onlySender is the sender of a flow that is about one alone.
func onlySender(f *flow.Spec) string {
	if ids := f.Senders(); len(ids) == 1 && f.Sender != flow.Auto {
		return ids[0]
	}
	return ""
}

func (d Document) name() string { return strings.ToLower(d.Kind()) + " " + d.ID() }

func decodeOne(n *yaml.Node) (Document, error) {
	var head struct {
		Kind string `yaml:"kind"`
	}
	if n.Kind != yaml.MappingNode {
		return Document{}, errors.New("want a mapping that begins with " + kinds)
	}
	if err := n.Decode(&head); err != nil {
		return Document{}, err
	}
	d := Document{Line: n.Line, fields: map[string]int{}}
	paths(n, "", d.fields)
	switch head.Kind {
	case "Sender":
		d.Sender = &sender.Spec{}
		if err := strict(n, d.Sender); err != nil {
			return d, err
		}
		return d, d.locate(d.Sender.Validate())
	case "Broadcast":
		d.Broadcast = &broadcast.Spec{}
		if err := strict(n, d.Broadcast); err != nil {
			return d, err
		}
		return d, d.locate(d.Broadcast.Validate())
	case "Hook":
		d.Hook = &hook.Spec{}
		if err := strict(n, d.Hook); err != nil {
			return d, err
		}
		return d, d.locate(d.Hook.Validate())
	case "Endpoint":
		d.Endpoint = &endpoint.Spec{}
		if err := strict(n, d.Endpoint); err != nil {
			return d, err
		}
		return d, d.locate(d.Endpoint.Validate())
	case "Template":
		d.Template = &content.Template{}
		if err := strict(n, d.Template); err != nil {
			return d, err
		}
		return d, d.locate(checkTemplate(d.Template))
	case "Flow":
		d.Flow = &flow.Spec{}
		if err := strict(n, d.Flow); err != nil {
			return d, err
		}
		return d, d.locate(checkFlowAlone(d.Flow))
	case "":
		return d, errors.New("no kind: want " + kinds)
	}
	return d, fmt.Errorf("kind %q: want %s", head.Kind, kinds)
}

// kinds are the documents that can be applied.
const kinds = "kind: Sender, Hook, Endpoint, Template, Broadcast or Flow"

// checkTemplate looks at a template, and whether its fields can be filled in.
func checkTemplate(t *content.Template) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if _, err := message.NewWording(message.Broadcast(), message.Message{Template: t.ID}, t); err != nil {
		return fmt.Errorf("template %s: %w", t.ID, err)
	}
	return nil
}

// strict decodes a node into a struct and refuses what the decoder is lenient
// about. The node is checked itself, since encoding it again would lose its
// lines.
func strict(n *yaml.Node, into any) error {
	if err := n.Decode(into); err != nil {
		return err
	}
	return walk(n, reflect.TypeOf(into), "the document")
}

// yamlError turns what the decoder says into one line with file and line;
// line is where the document begins, for what has no better one.
func yamlError(file string, line int, err error) error {
	if e, ok := errors.AsType[*fieldError](err); ok {
		return &Error{File: file, Line: e.line, Err: e}
	}
	msg := err.Error()
	if te, ok := errors.AsType[*yaml.TypeError](err); ok && len(te.Errors) > 0 {
		msg = te.Errors[0]
	}
	msg = strings.TrimPrefix(msg, "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(msg); m != nil {
		line, _ = strconv.Atoi(m[1])
		msg = msg[len(m[0]):]
	}
	return &Error{File: file, Line: line, Err: errors.New(plain(msg))}
}

// misfit is what the decoder says of a value that its field can't take: the
// kinds of both, and the value where it is a single one.
var misfit = regexp.MustCompile("^cannot unmarshal !!([a-z]+)(?: (`.*`))?(?: into (.*))?$")

// plain says without types of Go what a field wants.
func plain(msg string) string {
	m := misfit.FindStringSubmatch(msg)
	if m == nil {
		return msg
	}
	want, have := "a mapping", m[2]
	switch into := strings.TrimPrefix(m[3], "*"); {
	case into == "string":
		want = "text"
	case into == "bool":
		want = "true or false"
	case strings.HasPrefix(into, "int"):
		want = "a whole number"
	case strings.HasPrefix(into, "[]"):
		want = "a list"
	}
	if have == "" {
		have = map[string]string{"seq": "a list", "map": "a mapping"}[m[1]]
	}
	return "want " + want + ", not " + have
}
