package flow

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/expression"
	"github.com/carillon-dev/carillon/internal/job"
)

// branch goes the first way that holds, or on where none does.
func (x *turn) branch(th *Thread, in *instruction) {
	for i, w := range in.ways {
		ok, err := x.s.holds(w.when)
		if err != nil {
			x.fail("step %s: %v", in.step, err)
			return
		}
		if ok {
			x.visit(Visit{Step: in.step, Did: in.kind.name(), What: fmt.Sprintf("case %d", i+1)})
			x.leave(th, w.at)
			return
		}
	}
	x.visit(Visit{Step: in.step, Did: in.kind.name(), What: "no case"})
	x.leave(th, in.next)
}

// split goes one way by chance, which is the same for a contact whenever it
// comes to a step of this name in the flow, also in later versions.
func (x *turn) split(th *Thread, in *instruction) {
	weights := make([]int, len(in.ways))
	for i, w := range in.ways {
		weights[i] = w.weight
	}
	i := part(x.id.Flow, in.step, x.id.Contact, weights)
	x.visit(Visit{Step: in.step, Did: in.kind.name(), What: fmt.Sprintf("part %d", i+1)})
	x.leave(th, in.ways[i].at)
}

// part picks one of some weights by a hash of flow, step and contact.
func part(flow, step string, k job.Key, weights []int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%d:%s", len(flow), flow, len(step), step)
	h.Write(k[:])
	n := int(binary.BigEndian.Uint64(h.Sum(nil)) % uint64(max(1, total))) //nolint:gosec // below total
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}

// repeat begins another round, or leaves the loop.
func (x *turn) repeat(th *Thread, in *instruction) {
	if len(th.Rounds) < in.depth { // it comes from outside
		th.Rounds = append(th.Rounds, 0)
	}
	round := &th.Rounds[in.depth-1]
	ok, err := *round < in.most, error(nil)
	if ok {
		ok, err = x.s.holds(in.where)
	}
	switch {
	case err != nil:
		x.fail("step %s: %v", in.step, err)
	case ok:
		*round++
		x.visit(Visit{Step: in.step, Did: in.kind.name(), What: fmt.Sprintf("round %d", *round)})
		x.leave(th, in.then)
	default:
		th.Rounds = th.Rounds[:in.depth-1]
		x.visit(Visit{Step: in.step, Did: in.kind.name(), What: "over"})
		x.leave(th, in.next)
	}
}

// set changes labels and attributes of the contact that names the run. An
// attribute of which nothing is said stays as it is.
func (x *turn) set(th *Thread, in *instruction) {
	ev := x.s.evaluation()
	c := contact.Change{At: x.w.Now.UTC(), Labels: in.labels, Attributes: map[string]*string{}}
	for name, e := range ordered(in.values) {
		if v, said := ev.Attribute(e); said {
			c.Attributes[name] = v
		}
	}
	if ev.Err == nil && c.Validate() != nil {
		ev.Err = fmt.Errorf("an attribute's value is longer than %d bytes", contact.MaxValue)
	}
	if ev.Err != nil {
		x.fail("step %s: %v", in.step, ev.Err)
		return
	}
	x.owe(Effect{Kind: Change, ID: x.visitOf(th.At, 0).String(), Identity: x.s.who, Labels: c.Labels, Attributes: c.Attributes})
	x.visit(Visit{Step: in.step, Did: in.kind.name()})
	x.overlay(&c)
	x.leave(th, in.next)
}

// overlay lets what follows at this look see a change that is only owed yet.
func (x *turn) overlay(c *contact.Change) {
	x.w.Contacts = maps.Clone(x.w.Contacts)
	if x.w.Contacts == nil {
		x.w.Contacts = map[string]contact.Record{}
	}
	r, _ := contact.Merge(x.w.Contacts[x.s.who.Sender], c.Update(x.s.who.Person))
	x.w.Contacts[x.s.who.Sender] = r
}

// anyType is what data of a call may be.
func anyType() []*cel.Type {
	return append(valueTypes(), cel.TimestampType, cel.ListType(cel.DynType), cel.MapType(cel.StringType, cel.DynType))
}

// call tells an endpoint and waits until it took it, or was given up.
func (x *turn) call(th *Thread, in *instruction) {
	data := map[string]any{}
	ev := x.s.evaluation()
	for name, e := range ordered(in.values) {
		v, err := plain(ev, e)
		if ev.Err == nil && err != nil {
			ev.Err = fmt.Errorf("data.%s: can't be written as JSON", name)
		}
		data[name] = v
	}
	if ev.Err != nil {
		x.fail("step %s: %v", in.step, ev.Err)
		return
	}
	th.Hook, th.Since = x.reach(th, in, data), x.w.Now.UTC()
}

// plain is what an expression gives, as JSON; null where it says nothing.
func plain(ev *expression.Evaluation, e *expression.Expression) (any, error) {
	v := ev.Value(e)
	if v == nil {
		return nil, nil
	}
	return native(v)
}

// native is a value as JSON has it; whole numbers that JSON's readers would
// round are texts.
func native(v ref.Val) (any, error) {
	n, err := v.ConvertToNative(types.JSONValueType)
	if err != nil {
		return nil, err
	}
	j, ok := n.(interface{ AsInterface() any })
	if !ok {
		return nil, fmt.Errorf("%T is no JSON", n)
	}
	return j.AsInterface(), nil
}

// tell tells an endpoint the text of a notice. A text that can't be filled in
// for the contact is told as it was written: a team is to know all the same.
func (x *turn) tell(th *Thread, in *instruction) {
	text, err := in.text.About(x.r.Data()).Render(x.w.Contacts[x.s.who.Sender])
	if err != nil {
		text.Text, _ = in.text.Written()
	}
	x.reach(th, in, map[string]any{"text": text.Text})
}

// reach asks for a call and returns its id.
func (x *turn) reach(th *Thread, in *instruction, data map[string]any) string {
	id := x.visitOf(th.At, len(in.sends)).String()
	b, err := json.Marshal(map[string]any{
		"flow": x.id.Flow, "run": x.id.String(), "step": in.step, "sender": x.s.who.Sender, "contact": x.s.who.Person, "data": data,
	})
	if err != nil { // all of it was read from JSON
		b = []byte("{}")
	}
	x.owe(Effect{Kind: Call, ID: id, Endpoint: in.endpoint, Data: b})
	x.visit(Visit{Step: in.step, Did: in.kind.name(), Job: id})
	return id
}

// other starts or stops another flow for the contact.
func (x *turn) other(th *Thread, in *instruction) {
	kind := Start
	if in.kind == stopping {
		kind = Stop
	}
	x.owe(Effect{Kind: kind, ID: x.visitOf(th.At, 0).String(), Flow: in.flow})
	x.visit(Visit{Step: in.step, Did: in.kind.name(), What: in.flow})
	x.leave(th, in.next)
}
