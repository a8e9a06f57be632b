package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	"github.com/carillon-dev/carillon/internal/expression"
)

// Names that no author can write, for what changed() becomes.
const (
	changedName = "@changed" // by path: whether it is another value than before
	beforeName  = "@before"  // by path: the value before, null where there was none
	nowName     = "@now"
)

// environment declares what the expressions of a flow see, and the macros
// changed(path) and changed(path, from, to). They become look-ups in what the
// engine compared, since it alone knows the event before.
func (c *compiler) environment() (*cel.Env, error) {
	values := cel.MapType(cel.StringType, cel.DynType)
	return expression.NewEnv(
		cel.Variable("event", cel.DynType), cel.Variable("contact", cel.DynType), cel.Variable("run", cel.DynType),
		cel.Variable("steps", values), cel.Variable(changedName, cel.MapType(cel.StringType, cel.BoolType)),
		cel.Variable(beforeName, values), cel.Variable(nowName, values),
		cel.Macros(cel.GlobalMacro("changed", 1, c.changed), cel.GlobalMacro("changed", 3, c.changed)),
	)
}

// changed expands the macro. A path is a name of event or contact and what
// follows it by dots or in brackets.
func (c *compiler) changed(h parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	if !c.compares {
		return nil, h.NewError(args[0].ID(), "changed() is for the conditions of criteria")
	}
	path := pathOf(args[0])
	if len(path) < 2 || path[0] != "event" && path[0] != "contact" {
		return nil, h.NewError(args[0].ID(), "changed() wants a path such as event.data.stage")
	}
	if !slices.ContainsFunc(c.p.paths, func(p []string) bool { return slices.Equal(p, path) }) {
		c.p.paths = append(c.p.paths, path)
	}
	look := func(in string) ast.Expr {
		return h.NewCall(operators.Index, h.NewIdent(in), h.NewLiteral(types.String(named(path))))
	}
	out := look(changedName)
	if len(args) == 3 {
		out = h.NewCall(operators.LogicalAnd, out, h.NewCall(operators.LogicalAnd,
			h.NewCall(operators.Equals, look(beforeName), args[1]), h.NewCall(operators.Equals, look(nowName), args[2])))
	}
	return out, nil
}

// pathOf returns the names of a path, none for what is no path.
func pathOf(e ast.Expr) []string {
	switch e.Kind() { //nolint:exhaustive // nothing else is a path
	case ast.IdentKind:
		return []string{e.AsIdent()}
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return nil
		}
		return further(e.AsSelect().Operand(), e.AsSelect().FieldName())
	case ast.CallKind:
		call := e.AsCall()
		if f := call.FunctionName(); (f == operators.Index || f == operators.OptSelect || f == operators.OptIndex) && len(call.Args()) == 2 && call.Args()[1].Kind() == ast.LiteralKind {
			if name, ok := call.Args()[1].AsLiteral().(types.String); ok {
				return further(call.Args()[0], string(name))
			}
		}
	}
	return nil
}

func further(e ast.Expr, name string) []string {
	if p := pathOf(e); p != nil {
		return append(p, name)
	}
	return nil
}

// named is a path as one text.
func named(path []string) string { return strings.Join(path, "\x1f") }

// Last is what was last seen of what changed() asks about.
type Last struct {
	At  time.Time                  `json:"at"`  // of the event
	Seq uint64                     `json:"seq"` // of the event, or the change
	Of  map[string]json.RawMessage `json:"of"`  // by path; what was not there is null
}

// The bounds of what is remembered of one contact: of how many keys, the last
// used ones, and how long a value may be that is kept as it is, in bytes.
const (
	maxRemembered = 100
	maxValueKept  = 256
)

// changes is what an event has that the one before had not.
type changes struct {
	before, now map[string]json.RawMessage // by path
	late        bool                       // the event is older than the one before: nothing changed by it
}

// compare looks up the paths in what is seen now.
func (p *Program) compare(s *scope, before *Last, at time.Time) *changes {
	c := &changes{now: make(map[string]json.RawMessage, len(p.paths))}
	if before != nil {
		c.before, c.late = before.Of, at.Before(before.At)
	}
	var about map[string]any
	for _, path := range p.paths {
		from := s.happened()
		if path[0] == "contact" {
			if about == nil {
				about = s.contact()
			}
			from = about
		}
		c.now[named(path)] = kept(lookUp(from, path[1:]))
	}
	return c
}

// lookUp follows a path, nil where it leads nowhere.
func lookUp(v any, path []string) any {
	for _, name := range path {
		switch m := v.(type) {
		case map[string]any:
			v = m[name]
		case map[string]string:
			s, ok := m[name]
			if !ok {
				return nil
			}
			v = s
		default:
			return nil
		}
	}
	return v
}

// kept is a value as it is remembered: one that is long, by its hash.
func kept(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	if len(b) > maxValueKept {
		return fmt.Appendf(nil, `"sha256:%x"`, sha256.Sum256(b))
	}
	return b
}

// resolve returns one of the three maps that changed() looks in.
func (c *changes) resolve(name string) any {
	out := map[string]any{}
	if c == nil { // only criteria ask, and they are told
		return out
	}
	for path, now := range c.now {
		before, seen := c.before[path]
		switch name {
		case changedName:
			out[path] = !c.late && (!seen || !bytes.Equal(before, now))
		case beforeName:
			out[path] = value(before)
		default:
			out[path] = value(now)
		}
	}
	return out
}

func value(raw json.RawMessage) any {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return types.NullValue
	}
	return expression.Data(raw)
}

// remember notes what was seen of a key.
func (m *Memory) remember(key string, l Last) {
	if m.Values == nil {
		m.Values = map[string]Last{}
	}
	m.Values[key] = l
	for len(m.Values) > maxRemembered {
		oldest := ""
		for k, v := range m.Values {
			if o := m.Values[oldest]; oldest == "" || v.Seq < o.Seq || v.Seq == o.Seq && k < oldest {
				oldest = k
			}
		}
		delete(m.Values, oldest)
	}
}
