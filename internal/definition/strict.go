package definition

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fieldError is a field that a document must not have, or not like this.
type fieldError struct {
	line int
	what string
}

// Error says what is wrong with the field.
func (e *fieldError) Error() string { return e.what }

// paths notes the line of every field below a mapping, those of lists as
// map[0].contact. Aliases are not
// followed: they may lead back to where they stand.
func paths(n *yaml.Node, above string, lines map[string]int) {
	if n.Kind == yaml.SequenceNode {
		for i, item := range n.Content {
			path := strings.TrimSuffix(above, ".") + "[" + strconv.Itoa(i) + "]"
			lines[path] = item.Line
			paths(item, path+".", lines)
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		path := above + n.Content[i].Value
		lines[path] = n.Content[i].Line
		paths(n.Content[i+1], path+".", lines)
	}
}

// lineOf is the line of the field that an error is about: of those that its
// words begin with, or that follow a colon in them, the most exact. Of a field
// that is missing it is that of what it is missing in, and the document's own
// where there is none.
func (d Document) lineOf(err error) int {
	line, exact := d.Line, ""
	for said := range strings.SplitSeq(err.Error(), ": ") {
		for path, at := range d.fields {
			rest, ok := strings.CutPrefix(said, path)
			if ok && (rest == "" || rest[0] == ' ' || rest[0] == '.') && len(path) > len(exact) {
				line, exact = at, path
			}
		}
	}
	return line
}

// locate adds the line of the field that a refusal is about.
func (d Document) locate(err error) error {
	if err == nil {
		return nil
	}
	return &fieldError{d.lineOf(err), err.Error()}
}

// walk goes through a mapping beside the type that it was decoded into. It
// returns the first field that the type lacks, or that holds a fraction where
// the type has a whole number: the decoder cuts 0.5 to 0 without a word, and 0
// messages in a second mean no limit.
func walk(n *yaml.Node, t reflect.Type, name string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Int && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!float" {
		return &fieldError{n.Line, fmt.Sprintf("%s: %s is not a whole number", name, n.Value)}
	}
	if n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice {
		for _, item := range n.Content {
			if err := walk(item, t.Elem(), name); err != nil {
				return err
			}
		}
	}
	if n.Kind != yaml.MappingNode || t.Kind() != reflect.Struct {
		return nil
	}
	types := make(map[string]reflect.Type, t.NumField())
	want := fieldsOf(t, types)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		ft, ok := types[key.Value]
		if !ok {
			return &fieldError{key.Line, fmt.Sprintf("unknown field %q: %s has %s", key.Value, name, strings.Join(want, ", "))}
		}
		if err := walk(n.Content[i+1], ft, key.Value); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf fills types in with a struct's fields by name, those of inlined
// structs among them, and returns the names in order.
func fieldsOf(t reflect.Type, types map[string]reflect.Type) (names []string) {
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			names = append(names, fieldsOf(f.Type, types)...)
			continue
		}
		types[tag], names = f.Type, append(names, tag)
	}
	return names
}
