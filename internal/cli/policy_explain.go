package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/policy"
	"github.com/carillon-dev/carillon/pkg/reason"
)

const explainHelp = `Every rule tried for each case on stdin, in the order of the rulebook, with the
facts that it compared. The sign => stands where the verdict comes from. Outcomes:

  passed, refused, held      of what forbids a message, and of quiet hours
  allowed, closed, refused   of what may allow it; closed: its time is over
  not_asked                  the message does not ask for it
  not_reached                the verdict was found before: what it would say
  not_in_force               not on that day
  other_channel              not on that channel
  warned                     advice

The cases are those of "carillon policy check"; a line that is none is answered
with its error, and the exit code is then 1. With --json one line per case: what
check answers, and every rule.`

func newExplainCommand(load func() (*policy.Rulebook, error), asJSON *bool) *cobra.Command {
	return casesCommand("explain", "Every rule tried for each case on stdin, and why it applied or not", explainHelp, load,
		func(rb *policy.Rulebook, in io.Reader, out io.Writer, said *notes) (int, error) {
			e := explainer{rulebook: rb, asJSON: *asJSON, notes: said}
			return e.explain(in, out)
		})
}

// explainer explains case after case.
type explainer struct {
	rulebook *policy.Rulebook
	asJSON   bool
	notes    *notes
	reader   policy.CaseReader
}

// explain says how many lines were no case. The error is of reading or
// writing.
func (e *explainer) explain(in io.Reader, out io.Writer) (bad int, err error) {
	lines := newLineReader(in)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return bad, nil
		}
		c := policy.Case{ID: lines.id}
		if err == nil {
			c, err = readCase(&e.reader, e.rulebook, line)
		} else if !errors.Is(err, errLineTooLong) {
			return bad, err
		}
		var text []byte
		switch {
		case err != nil && e.asJSON:
			text = append(policy.AppendError(nil, c.ID, lines.number, err), '\n')
		case err != nil:
			text = append([]byte(console.Clean(fmt.Sprintf("%s: error: line %d: %v", shownID(c.ID), lines.number, err))), '\n')
		case e.asJSON:
			text = e.record(&c)
		default:
			text = e.page(&c)
		}
		if err != nil {
			bad++
		} else {
			e.notes.add(lines.number, e.rulebook.Unasked(&c.Sender))
		}
		if _, err := out.Write(text); err != nil {
			return bad, err
		}
	}
}

// record is what check answers, and why.
func (e *explainer) record(c *policy.Case) []byte {
	v := c.Judge(e.rulebook)
	answer := policy.AppendAnswer(nil, c.ID, v)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// Strings, numbers and truths always marshal.
	_ = enc.Encode(reasoning{Because: v.Explain(), Tried: e.tried(c)})
	return append(append(answer[:len(answer)-1], ','), b.Bytes()[1:]...)
}

// reasoning is what explain adds to an answer.
type reasoning struct {
	Because string         `json:"because"`
	Tried   []policy.Tried `json:"tried"`
}

func (e *explainer) tried(c *policy.Case) []policy.Tried {
	return policy.Explain(e.rulebook, c.At, &c.Message, &c.Facts, &c.Sender)
}

// page is the case for a person to read.
func (e *explainer) page(c *policy.Case) []byte {
	v := c.Judge(e.rulebook)
	var b bytes.Buffer
	b.WriteString(console.Clean(shownID(c.ID)+": "+strings.Join(verdictWords(v), " ")) + "\n")
	writeHanging(&b, "   ", because(v))
	for _, w := range v.Warnings {
		writeHanging(&b, "   warning: ", advised(w))
	}
	group := ""
	for _, t := range e.tried(c) {
		if t.Group != group {
			group = t.Group
			fmt.Fprintf(&b, "%s\n", groupTitle(group))
		}
		sign := ""
		if t.Decides {
			sign = "=>"
		}
		writeHanging(&b, fmt.Sprintf("%-2s %-13s ", sign, t.Outcome), triedName(t)+": "+would(t.Would)+t.Why)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// verdictWords is the verdict, its reason and its rule.
func verdictWords(v policy.Verdict) []string {
	words := []string{v.Kind.String()}
	if v.Reason != "" {
		words = append(words, string(v.Reason))
	}
	if v.Rule != "" && v.Rule != string(v.Reason) {
		words = append(words, "by", v.Rule)
	}
	return words
}

// because is what the verdict was decided on, without the rule and the
// reason, which stand above it.
func because(v policy.Verdict) string {
	v.Rule = ""
	return strings.TrimPrefix(v.Explain(), string(v.Reason)+": ")
}

func groupTitle(group string) string {
	return map[string]string{
		"check": "What forbids a message, in this order:", "permission": "What may allow it:", "hours": "Whether it waits for the hour:", "advice": "What is advised:",
	}[group]
}

// triedName is the rule, with what tells it from others of the same id.
func triedName(t policy.Tried) string {
	switch {
	case t.Rule == "":
		return t.Entry
	case t.Entry != "":
		return t.Rule + " (" + t.Entry + ")"
	default:
		return t.Rule
	}
}

// would is the outcome that a rule not reached would have had.
func would(outcome string) string {
	return map[string]string{
		"passed": "would pass: ", "refused": "would refuse: ", "held": "would hold: ", "closed": "would be closed: ", "allowed": "would allow: ", "warned": "would warn: ",
	}[outcome]
}

// advised is a warning with what its author should do, where Carillon has
// words for it.
func advised(code string) string {
	if w, ok := reason.LookupWarning(code); ok {
		return code + ": " + w.Action
	}
	return code
}

// writeHanging writes text after a prefix, in lines that fit on the screen
// and begin where the first one does. Cases and rulebooks come from anywhere,
// so that nothing of them may steer a terminal.
func writeHanging(b *bytes.Buffer, prefix, text string) {
	for _, line := range wrap(console.Clean(text), screen-len(prefix)) {
		b.WriteString(prefix + line + "\n")
		prefix = strings.Repeat(" ", len(prefix))
	}
}

// shownID is an id as one line shows it.
func shownID(id string) string {
	if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q", id)
	}
	return id
}
