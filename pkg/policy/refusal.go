package policy

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Refusal is what is wrong with a rulebook and where: the error of Parse.
type Refusal struct {
	Line int // of the text, from 1; 0: no one line is at fault
	Err  error
}

// Error says both in one line.
func (r *Refusal) Error() string {
	if r.Line == 0 {
		return "rulebook: " + r.Err.Error()
	}
	return fmt.Sprintf("rulebook: line %d: %v", r.Line, r.Err)
}

// Unwrap gives the error without its place.
func (r *Refusal) Unwrap() error { return r.Err }

// undecodable puts the decoder's words into one line: of several errors the
// first, since the others often follow from it.
func undecodable(err error) *Refusal {
	if errors.Is(err, io.EOF) {
		return &Refusal{Err: errors.New("the file is empty")}
	}
	text := err.Error()
	if te, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = te.Errors[0]
	}
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "yaml: "), "\n")
	line := 0
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits: only too many of them fail, and no file is that long
		text = text[len(m[0]):]
	}
	return &Refusal{Line: line, Err: errors.New(reworded(text))}
}

// reworded takes what only a Go programmer would read out of the decoder's words.
func reworded(text string) string {
	m := regexp.MustCompile("^cannot unmarshal !!\\w+(?: (`.*`))? into (.+)$").FindStringSubmatch(text)
	if m == nil {
		return text
	}
	want := "fields below it, by name"
	switch {
	case strings.HasPrefix(m[2], "[]"):
		want = "a list"
	case m[2] == "bool":
		want = "true or false"
	case m[2] == "int" || strings.HasPrefix(m[2], "float"):
		want = "a number"
	case m[2] == "string" || m[2] == "policy.Channel" || m[2] == "reason.Code":
		want = "a word or a sentence"
	}
	if m[1] == "" {
		return "not what belongs here: want " + want
	}
	return m[1] + " is not what belongs here: want " + want
}

// fault is where validate's errors say that the fault is: the list, the
// entry by index or key, and the field.
var fault = regexp.MustCompile(`^([a-z_]+)(?:\[([^\]]+)\])?(?: "[^"]*")?(?:: ([a-z_]+)\b)?`)

// located finds the line of what validate refused: that of the field where
// the entry has it, else of the entry, else of the list.
func located(doc *yaml.Node, err error) *Refusal {
	r := &Refusal{Err: err}
	m := fault.FindStringSubmatch(err.Error())
	if m == nil || len(doc.Content) == 0 {
		return r
	}
	for at, key := doc.Content[0], 1; key < len(m); key++ {
		line, value := child(at, m[key])
		if line == 0 && m[key] != "" {
			break
		}
		if m[key] != "" {
			r.Line, at = line, value
		}
	}
	return r
}

// child is the line and the value of a field of a mapping, or of an entry of
// a list; 0 where there is none.
func child(n *yaml.Node, key string) (int, *yaml.Node) {
	if i, err := strconv.Atoi(key); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
		return n.Content[i].Line, n.Content[i]
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i].Line, n.Content[i+1]
		}
	}
	return 0, nil
}
