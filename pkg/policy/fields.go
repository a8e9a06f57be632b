package policy

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The most that one list may have: of names, or of fields, and of anything
// else, such as rules. Reading a rulebook compares entries with each other,
// and judging by it looks for every name, so that both take their time. The
// longest lists of the embedded one have some 200 names and 50 entries.
const (
	maxNames   = 2000
	maxEntries = 300
)

// tooLarge refuses a list or a mapping beyond the limits, nil for none. It
// comes before decoding, which compares every two keys of a mapping.
func tooLarge(n *yaml.Node) *Refusal {
	length, most, what := len(n.Content), maxNames, "names"
	if n.Kind == yaml.MappingNode {
		length, what = length/2, "fields"
	} else {
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				most, what = maxEntries, "entries"
				break
			}
		}
	}
	if length > most {
		return &Refusal{Line: n.Line, Err: fmt.Errorf("%d %s in one list: at most %d", length, what, most)}
	}
	for _, c := range n.Content {
		if r := tooLarge(c); r != nil {
			return r
		}
	}
	return nil
}

// shape is the fields that types have in a rulebook, by name. The decoder
// tells unknown ones only while it reads a text, and the text is read once.
type shape map[reflect.Type]map[string]reflect.Type

// unknown refuses the first field of n that typ does not have, nil for none.
// What fits no type at all is for the decoder to refuse.
func (s shape) unknown(n *yaml.Node, typ reflect.Type) *Refusal {
	switch {
	case n.Kind == yaml.DocumentNode:
		return s.unknown(n.Content[0], typ)
	case n.Kind == yaml.AliasNode: // may stand where another type is read; no type holds itself, so that this ends
		return s.unknown(n.Alias, typ)
	case n.Kind == yaml.SequenceNode && typ.Kind() == reflect.Slice:
		for _, c := range n.Content {
			if r := s.unknown(c, typ.Elem()); r != nil {
				return r
			}
		}
	case n.Kind == yaml.MappingNode && typ.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			if r := s.unknown(n.Content[i], typ.Elem()); r != nil {
				return r
			}
		}
	case n.Kind == yaml.MappingNode && typ.Kind() == reflect.Struct:
		return s.unknownOf(n, typ)
	}
	return nil
}

func (s shape) unknownOf(n *yaml.Node, typ reflect.Type) *Refusal {
	if s[typ] == nil {
		s[typ] = map[string]reflect.Type{}
		s.learn(s[typ], typ)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		of, ok := s[typ][key.Value]
		if !ok || key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" { // an alias or a merge is not read as what it looks like
			return &Refusal{Line: key.Line, Err: fmt.Errorf("field %s not found here: correct its name or remove it", key.Value)}
		}
		if r := s.unknown(value, of); r != nil {
			return r
		}
	}
	return nil
}

// learn adds the fields of typ, with those of inline structs.
func (s shape) learn(fields map[string]reflect.Type, typ reflect.Type) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch name, option, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
		case option == "inline":
			s.learn(fields, f.Type)
		case name != "":
			fields[name] = f.Type
		}
	}
}
