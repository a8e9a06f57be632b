// Package plan turns an audience into an ordered snapshot of contacts: who is
// written to, and in which order. It is pure: the same facts give the same
// snapshot.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/contact"
)

// Selector decides who belongs to an audience.
type Selector struct {
	audience broadcast.Audience
	where    cel.Program // nil: everybody
}

// costLimit bounds one evaluation of a where expression, in CEL's units; a
// comparison costs about one, so that only a runaway macro reaches it.
const costLimit = 10_000

// NewSelector compiles an audience. Its error names what is wrong with the
// where expression, and where in it.
func NewSelector(a broadcast.Audience) (*Selector, error) {
	s := &Selector{audience: a}
	if a.Where == "" {
		return s, nil
	}
	env, err := cel.NewEnv(
		cel.Variable("name", cel.StringType),
		cel.Variable("timezone", cel.StringType),
		cel.Variable("labels", cel.ListType(cel.StringType)),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("comment_open", cel.BoolType), // a private reply has something to answer
		cel.Variable("token_open", cel.BoolType),   // a one-time notification is allowed
	)
	if err != nil {
		return nil, fmt.Errorf("audience.where: %w", err)
	}
	ast, issues := env.Compile(a.Where)
	if issues.Err() != nil {
		e := issues.Errors()[0]
		return nil, fmt.Errorf("audience.where: %s (line %d, column %d)", e.Message, e.Location.Line(), e.Location.Column()+1)
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("audience.where: gives %s, want true or false", ast.OutputType())
	}
	s.where, err = env.Program(ast, cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("audience.where: %w", err)
	}
	return s, nil
}

// Match tells whether the contact belongs to the audience. One that was erased
// belongs to none, and one without an attribute that the expression reads does
// not; other failures are errors.
func (s *Selector) Match(r contact.Record) (bool, error) {
	if r.Erased() {
		return false, nil
	}
	for _, l := range s.audience.Labels {
		if !slices.Contains(r.Labels, l) {
			return false, nil
		}
	}
	for _, l := range s.audience.ExcludeLabels {
		if slices.Contains(r.Labels, l) {
			return false, nil
		}
	}
	if s.where == nil {
		return true, nil
	}
	v, _, err := s.where.Eval(vars(r))
	if err != nil {
		if isMissing(err) {
			return false, nil
		}
		return false, fmt.Errorf("audience.where: %w", err)
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("audience.where: gives %T, want true or false", v.Value())
	}
	return b, nil
}

// isMissing tells whether an evaluation failed because the contact lacks an
// attribute. The library has no typed error for it.
func isMissing(err error) bool { return strings.Contains(err.Error(), "no such key") }

func vars(r contact.Record) map[string]any {
	labels, attrs := r.Labels, r.Attributes
	if labels == nil {
		labels = []string{}
	}
	if attrs == nil {
		attrs = map[string]string{}
	}
	comment, _ := r.Comment()
	token, _ := r.Token()
	return map[string]any{"name": r.Name, "timezone": r.Timezone, "labels": labels, "attributes": attrs,
		"comment_open": comment.ID != "" && !comment.Used, "token_open": token.ID != "" && !token.Used}
}

// Why says in words what keeps a contact out of the audience, "" where
// nothing does.
func (s *Selector) Why(r contact.Record) string {
	if r.Erased() {
		return "it was erased, and nothing was heard of it since"
	}
	for _, l := range s.audience.Labels {
		if !slices.Contains(r.Labels, l) {
			return fmt.Sprintf("it lacks the label %q", l)
		}
	}
	for _, l := range s.audience.ExcludeLabels {
		if slices.Contains(r.Labels, l) {
			return fmt.Sprintf("it has the excluded label %q", l)
		}
	}
	ok, err := s.Match(r)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return "audience.where is false for it: " + s.audience.Where
	}
	return ""
}
