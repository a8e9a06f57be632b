// Package expression compiles and evaluates the CEL expressions that documents
// carry. It is pure: the same expression over the same values gives the same.
//
// Invariant: no error has a value in it that an event or a contact holds, so
// that it may be logged and shown, and no evaluation runs on: what it may cost
// is bounded.
package expression

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

// costLimit bounds one evaluation, in CEL's units; a comparison costs about
// one, so that only a runaway macro reaches it.
const costLimit = 10_000

// Expression is compiled. A nil one says nothing.
type Expression struct {
	field   string
	program cel.Program
}

// NewEnv returns what expressions are compiled in: the language, optional
// values, helpers for texts, and what the options declare.
func NewEnv(options ...cel.EnvOption) (*cel.Env, error) {
	env, err := cel.NewEnv(append([]cel.EnvOption{cel.OptionalTypes(), ext.Strings()}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("expressions: %w", err)
	}
	return env, nil
}

// Compile compiles the text of a field, nil for an empty one. What it gives
// must be known to be of a wanted type, or be known only once there is an
// event. The error begins with the field and says where in the text.
func Compile(env *cel.Env, field, text string, want ...*cel.Type) (*Expression, error) {
	if text == "" {
		return nil, nil
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		e := issues.Errors()[0]
		says, _, _ := strings.Cut(e.Message, " expecting ") // what follows is every token of the grammar
		return nil, fmt.Errorf("%s: %s (line %d, column %d)", field, says, e.Location.Line(), e.Location.Column()+1)
	}
	if gives := ast.OutputType(); !gives.IsExactType(cel.DynType) && !slices.ContainsFunc(want, gives.IsExactType) {
		return nil, fmt.Errorf("%s: gives %s, want %s", field, gives, oneOf(want))
	}
	p, err := env.Program(ast, cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return &Expression{field, p}, nil
}

func oneOf(types []*cel.Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}
