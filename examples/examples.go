// Package examples holds the sample data of an invented bakery chain, for
// `carillon dev` and for tests: senders, a hook, broadcasts, contacts, and flows with what happens to them. It decides
// nothing and imports no other package of this module.
package examples

import (
	"bytes"
	"embed"
	"time"
)

// What the files of this directory hold.
var (
	//go:embed senders.yaml
	senders []byte
	//go:embed hooks.yaml
	hooks []byte
	//go:embed broadcasts.yaml
	broadcasts []byte
	//go:embed contacts.csv
	contacts []byte
	//go:embed flows
	flows embed.FS
)

// Flow is a worked example of an automation, for flow test and for a server.
type Flow struct {
	ID        string // of the Flow, and how its files are called
	Documents []byte // YAML: the flow, with the senders and templates that it needs
	Events    []byte // what happens, a line of JSON each
	Golden    []byte // what comes of it with FlowContacts
}

// Flows returns the worked examples of automations.
func Flows() []Flow {
	var out []Flow
	for _, id := range []string{"order-shipped", "abandoned-cart", "appointment"} {
		out = append(out, Flow{ID: id, Documents: ofFlows(id + ".yaml"), Events: ofFlows(id + ".ndjson"), Golden: ofFlows(id + ".golden")})
	}
	return out
}

// FlowContacts returns the contacts of all examples, CSV, as of Moment.
func FlowContacts() []byte { return ofFlows("contacts.csv") }

func ofFlows(name string) []byte {
	b, err := flows.ReadFile("flows/" + name)
	if err != nil { // it is embedded: a test reads every one
		return nil
	}
	return b
}

// Moment is the newest last_inbound of contacts.csv, one row apart that lies
// in the future on purpose.
func Moment() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

// Senders returns three Sender documents, YAML.
func Senders() []byte { return bytes.Clone(senders) }

// Hooks returns one Hook document, YAML.
func Hooks() []byte { return bytes.Clone(hooks) }

// Broadcasts returns three Broadcast documents, YAML.
func Broadcasts() []byte { return bytes.Clone(broadcasts) }

// Contacts returns contacts.csv as if it had been written now: every
// last_inbound moved by the time since Moment, whole seconds, so that as many
// windows are open today as on that day. Everything else keeps its bytes, the
// rows that an import refuses included.
func Contacts(now time.Time) []byte {
	shift := now.Sub(Moment()).Truncate(time.Second)
	out := make([]byte, 0, len(contacts))
	for line := range bytes.Lines(contacts) {
		out = append(out, moved(line, shift)...)
	}
	return out
}

// inboundColumn is the place of last_inbound in contacts.csv, whose columns
// up to there are never quoted.
const inboundColumn = 3

func moved(line []byte, shift time.Duration) []byte {
	cells := bytes.SplitN(line, []byte(","), inboundColumn+2)
	if len(cells) < inboundColumn+2 {
		return line // too few columns
	}
	at, err := time.Parse(time.RFC3339, string(cells[inboundColumn]))
	if err != nil {
		return line // the header, never wrote, or no time at all
	}
	cells[inboundColumn] = []byte(at.Add(shift).Format(time.RFC3339))
	return bytes.Join(cells, []byte(","))
}
