// Package examples holds the sample data of an invented bakery chain, for
// `carillon dev` and for tests: senders, a hook, broadcasts, contacts, and flows with what happens to them. It decides
// nothing and imports no other package of this module.
package examples

import (
	"bytes"
	"embed"
	"encoding/json"
	"regexp"
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
	Does      string // in a sentence
	Documents []byte // YAML: the flow, with the senders and templates that it needs
	Events    []byte // what happens, a line of JSON each
	Golden    []byte // what comes of it with FlowContacts
}

// Flows returns the worked examples of automations.
func Flows() []Flow {
	var out []Flow
	for _, f := range []struct{ id, does string }{
		{"order-shipped", "Who bought is told on Messenger that the order left, or else by SMS."},
		{"abandoned-cart", "Who left a basket and bought nothing within an hour is asked once."},
		{"appointment", "A day before an appointment, wherever that moves to, a text message reminds of it."},
	} {
		out = append(out, Flow{f.id, f.does, ofFlows(f.id + ".yaml"), ofFlows(f.id + ".ndjson"), ofFlows(f.id + ".golden")})
	}
	return out
}

// FlowContacts returns the contacts of all examples of flows as if they had
// been written now, as Contacts does.
func FlowContacts(now time.Time) []byte { return shifted(ofFlows("contacts.csv"), now) }

// told is when the last event of the examples happens.
func told() time.Time { return time.Date(2026, 11, 22, 10, 40, 0, 0, time.UTC) }

// CRMEvents returns the events of the example that a CRM tells, CloudEvents in
// JSON, as if the last of all examples happened now: every time in them moved.
func (f Flow) CRMEvents(now time.Time) (events []json.RawMessage) {
	shift := now.Sub(told()).Truncate(time.Second)
	moment := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)
	for line := range bytes.Lines(f.Events) {
		if !bytes.Contains(line, []byte(`"specversion"`)) {
			continue // what a person did, and what becomes of messages
		}
		events = append(events, moment.ReplaceAllFunc(bytes.TrimSpace(line), func(b []byte) []byte {
			at, err := time.Parse(time.RFC3339, string(b))
			if err != nil {
				return b
			}
			return []byte(at.Add(shift).Format(time.RFC3339))
		}))
	}
	return events
}

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
func Contacts(now time.Time) []byte { return shifted(contacts, now) }

func shifted(file []byte, now time.Time) []byte {
	shift := now.Sub(Moment()).Truncate(time.Second)
	out := make([]byte, 0, len(file))
	for line := range bytes.Lines(file) {
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
