package reason

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md")

func TestDocument(t *testing.T) {
	const path = "../../docs/reasons.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current: run go test ./pkg/reason -update", path)
	}
}

// group is the codes about one thing.
type group struct {
	about, title string
	when         string // it is looked at, and in what order
}

// groups are in the order of the architecture.
func groups() []group {
	const first = "The four groups from the sender to the author are checked before anything that could allow the message, row by row in " +
		"this order. The order is that of `checks` in the rulebook."
	return []group{
		{"sender", "About the sender", first},
		{"contact", "About the contact", "Checked after the sender."},
		{"content", "About the content", "Checked after the contact."},
		{"author", "About the author", "Checked after the content."},
		{"permission", "About the permission", "Looked at where nothing above forbids the message. With a `via`, that permission alone is tried: " +
			"`via_unknown` and `via_retired` first, then its conditions from `not_on_channel` to `tag_window_closed`, each only where the " +
			"permission has it. Without one, a message inside the window is sent, tag or not, unless its template is of a kind " +
			"that the channel has not. Outside, one with a tag, or with a template that asks " +
			"for a permission, is tried by that: `tag_unknown` and `tag_retired` first, then the same conditions. One with neither is " +
			"`never_wrote` where the contact never did, else `window_closed`. The order is that of `conditions` in the rulebook."},
		{"hour", "About the hour", "Looked at last of what the rulebook says, of a message that would be sent."},
		{"caps", "About the caps", "Asked after the rulebook has said send, when the message takes its place among the others; the platform may say the same of its own count."},
		{"job", "About the job", "Looked at before the rulebook: what belongs to a source that has ended or was cancelled is not judged at all."},
		{"platform", "About the platform", "What the platform answered, or that it did not; there is one answer and so one reason. The platform may " +
			"also give a reason of another group, such as `credential_invalid`."},
		{"carillon", "About Carillon", "The first two are given where nothing can be looked at; the last where a fault shows."},
	}
}

func document() string {
	var b strings.Builder
	b.WriteString(`# Reasons

Every message that was not sent has exactly one of these reasons: the first that applies. The list is generated from
` + "`pkg/reason`" + `; which rule gives a reason, from what day on, and where it stands in the sources, is in
[the rulebook](rulebook.md).

| word | meaning |
|---|---|
| hold | The message waits and goes on by itself once the cause has passed, with every check again. Nobody needs to redrive it. A message that the platform kept putting off ends at its last attempt, with the reason that the platform gave. |
| final | The message ends. Blocked, failed and unknown ones are dead letters; cancelled and expired ones are counted with their source. |
| redrive | ` + "`carillon dead redrive`" + ` sends a dead letter through every check again, as it was launched: it helps only where the contact, the sender, the platform or the rulebook has changed. It is refused once the source has ended or was cancelled; another text or tag is another broadcast. |
| source | What the message belongs to: one occurrence of a broadcast, or one step of a flow's run. |
| via | The field of a message that names the one permission to be tried, such as ` + "`private_reply`" + `. |
| permission | A rule that allows a message: a window, a tag, a template, a via or consent. |
`)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| code | ends as | meaning | what to do | redrive |\n|---|---|---|---|---|\n", g.title, g.when)
		for _, e := range All() {
			if e.About == g.about {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", e.Code, e.Ending, e.Meaning, e.Action, redrive(e))
			}
		}
	}
	b.WriteString("\n## Warnings\n\nAdvice that refuses nothing and stands beside a verdict that sends. [The rulebook](rulebook.md) says\n" +
		"which texts get it, and which of it the launch of a broadcast asks its author to acknowledge.\n\n| warning | meaning | what to do |\n|---|---|---|\n")
	for _, w := range Warnings() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", w.Code, w.Meaning, w.Action)
	}
	return b.String()
}

func redrive(e Entry) string {
	switch {
	case e.Ending == Held:
		return "goes on once " + e.After
	case e.Redrive:
		return "helps once " + e.After
	default:
		return "does not help"
	}
}

// TestGroups wants every code in a group, and the list in their order.
func TestGroups(t *testing.T) {
	at := 0
	for _, e := range All() {
		i := slices.IndexFunc(groups(), func(g group) bool { return g.about == e.About })
		if i < at {
			t.Errorf("%s: %q is no group, or stands before the one before it", e.Code, e.About)
		}
		at = i
	}
}
