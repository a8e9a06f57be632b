package message

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// fillName is the function that every printing action ends in. No author can
// write it, since it is not among those available.
const fillName = "_fill"

// functions replaces those of the library that turn values into text by ones
// that refuse an empty field.
func functions() template.FuncMap {
	return template.FuncMap{
		fillName: fill,
		"print":  func(args ...any) (string, error) { return sprint(fmt.Sprint, args) },
		"printf": sprintf,
	}
}

// available are the functions that a text may call.
func available() []string {
	return []string{"and", "eq", "ge", "gt", "index", "le", "len", "lt", "ne", "not", "or", "print", "printf", "slice"}
}

// fill is what an action prints.
func fill(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", errMissing
	case field:
		if v == "" {
			return "", errMissing
		}
		return string(v), nil
	case []string:
		if len(v) == 0 {
			return "", errMissing
		}
		return strings.Join(v, ", "), nil
	case map[string]any, map[string]field, []any:
		return "", errWhole
	}
	return fmt.Sprint(v), nil // a literal, a length, the answer of a comparison, text made by print
}

// sprint formats arguments that are all filled and not too long together.
func sprint(format func(...any) string, args []any) (string, error) {
	size, filled := 0, make([]any, len(args))
	for i, a := range args {
		s, err := fill(a)
		if err != nil {
			return "", err
		}
		if size += len(s); size > maxRendered {
			return "", errTooLong
		}
		if filled[i] = a; isText(a) {
			filled[i] = s
		}
	}
	return format(filled...), nil
}

// isText tells whether a value is formatted as text; numbers and truth stay
// what they are, for their verbs.
func isText(v any) bool {
	switch v.(type) {
	case field, []string:
		return true
	}
	return false
}

var errFormat = errors.New("printf: its format and its arguments don't fit; widths go up to 99, without * and [n]")

func sprintf(format string, args ...any) (string, error) {
	// Wider ones, and arguments used again, could make a short text huge.
	wide := regexp.MustCompile(`%[-+# 0]*(\d*\.?\d*[*\[]|\d{3}|\d*\.\d{3})`)
	if wide.MatchString(strings.ReplaceAll(format, "%%", "")) {
		return "", errFormat
	}
	s, err := sprint(func(args ...any) string { return fmt.Sprintf(format, args...) }, args)
	// The library writes what does not fit into the text.
	if err == nil && strings.Contains(s, "%!") {
		return "", errFormat
	}
	return s, err
}

// list walks a parsed text, refuses what it must not have, and lets every
// printing action end in fill.
func list(l *parse.ListNode, inLoop bool) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := node(n, inLoop); err != nil {
			return err
		}
	}
	return nil
}

func node(n parse.Node, inLoop bool) error {
	switch n := n.(type) {
	case *parse.ActionNode:
		if err := pipe(n.Pipe); err != nil {
			return err
		}
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(fillName).SetPos(n.Pos)}})
		}
	case *parse.IfNode:
		return branch(&n.BranchNode, inLoop)
	case *parse.WithNode:
		return branch(&n.BranchNode, inLoop)
	case *parse.RangeNode:
		if inLoop {
			return fmt.Errorf("line %d: a range in a range is not available in a text", n.Line)
		}
		if !isField(n.Pipe) {
			return fmt.Errorf("line %d: range goes over a field of the contact, such as .labels", n.Line)
		}
		return branch(&n.BranchNode, true)
	case *parse.TemplateNode:
		return fmt.Errorf("line %d: template is not available in a text", n.Line)
	}
	return nil
}

func branch(b *parse.BranchNode, inLoop bool) error {
	return cmp.Or(pipe(b.Pipe), list(b.List, inLoop), list(b.ElseList, inLoop))
}

// isField tells whether a pipe is one field and nothing else: a number there
// would be a loop as long as somebody likes.
func isField(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	_, ok := p.Cmds[0].Args[0].(*parse.FieldNode)
	return ok
}

func pipe(p *parse.PipeNode) error {
	for _, c := range p.Cmds {
		for _, a := range c.Args {
			if err := argument(a, p.Line); err != nil {
				return err
			}
		}
	}
	return nil
}

func argument(a parse.Node, line int) error {
	switch a := a.(type) {
	case *parse.IdentifierNode:
		if !slices.Contains(available(), a.Ident) {
			return fmt.Errorf("line %d: function %s is not available in a text; there are %s", line, a.Ident, strings.Join(available(), ", "))
		}
	case *parse.PipeNode:
		return pipe(a)
	case *parse.ChainNode:
		return argument(a.Node, line)
	}
	return nil
}
