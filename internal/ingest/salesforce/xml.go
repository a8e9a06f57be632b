package salesforce

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds of a body beyond its length, so that no small one becomes a large
// one here.
const (
	maxDepth = 32
	maxNodes = 200_000
)

// node is one element of a body.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	text     string
	children []node
}

// instance is the namespace of type and nil (XML Schema, part 1).
const instance = "http://www.w3.org/2001/XMLSchema-instance"

func (n *node) child(local string) *node {
	if n == nil {
		return nil
	}
	for i := range n.children {
		if n.children[i].name.Local == local {
			return &n.children[i]
		}
	}
	return nil
}

// words is an element's text without what stands around it, "" of none.
func (n *node) words() string {
	if n == nil {
		return ""
	}
	return strings.TrimSpace(n.text)
}

func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.Name.Space == instance && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

func (n *node) isNil() bool { return n.attr("nil") == "true" || n.attr("nil") == "1" }

// object is the type of a record, such as Contact.
func (n *node) object() string {
	if n == nil {
		return "unknown"
	}
	t := n.attr("type")
	if _, local, ok := strings.Cut(t, ":"); ok {
		t = local
	}
	if t == "" || len(t) > 100 || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "unknown"
	}
	return t
}

// parse reads a body as a tree. Entities of its own, which grow, and
// documents of others, which would be fetched, are refused with the
// declaration that they need.
func parse(body []byte) (*node, error) {
	p := parser{d: xml.NewDecoder(bytes.NewReader(body))}
	for {
		t, err := p.d.Token()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		if err != nil {
			return nil, errors.New("it is not XML")
		}
		switch t := t.(type) {
		case xml.Directive:
			return nil, errDeclared
		case xml.StartElement:
			n := node{name: t.Name, attrs: t.Attr}
			if err := p.fill(&n, 1); err != nil {
				return nil, err
			}
			return &n, p.end()
		}
	}
}

var errDeclared = errors.New("it declares a document type, which no SOAP message may")

type parser struct {
	d     *xml.Decoder
	nodes int
}

// fill reads what is inside of an element.
func (p *parser) fill(n *node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	if p.nodes++; p.nodes > maxNodes {
		return fmt.Errorf("it has more than %d elements", maxNodes)
	}
	var text strings.Builder
	for {
		t, err := p.d.Token()
		if err != nil {
			return errors.New("it is not XML")
		}
		switch t := t.(type) {
		case xml.Directive:
			return errDeclared
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			n.children = append(n.children, node{name: t.Name, attrs: t.Attr})
			if err := p.fill(&n.children[len(n.children)-1], depth+1); err != nil {
				return err
			}
		case xml.EndElement:
			n.text = text.String()
			return nil
		}
	}
}

// end asserts that nothing but space and comments follows.
func (p *parser) end() error {
	for {
		t, err := p.d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("it is not XML")
		}
		switch t := t.(type) {
		case xml.Comment, xml.ProcInst:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errors.New("something follows the envelope")
			}
		default:
			return errors.New("something follows the envelope")
		}
	}
}
