package rehearsal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Script is what happens in a rehearsal: what is told, in the order in which it
// comes in, and what becomes of what goes out. Read makes one; something is told
// in it.
type Script struct {
	Told     []Told
	Fates    []Fate
	Repeated int // lines that had been told before, which change nothing
}

// Told is one thing that is told, by a CRM or by a platform.
type Told struct {
	event.Event
	Arrives time.Time // when it comes in, by the rehearsal's clock
	Line    int       // of the file, from 1
	act     bool      // a person did it, on the sender's platform
	word    *contact.Change
}

// Fate is what becomes of messages and calls that it is for. Those for which
// none is said are taken by whoever they go to.
type Fate struct {
	Outcome job.State   `json:"outcome"` // sent, failed, unknown
	Reason  reason.Code `json:"reason"`  // of failed; absent: platform_rejected
	Flow    string      `json:"flow"`    // and the fields below: absent means any
	Step    string      `json:"step"`
	Sender  string      `json:"sender"`
	Contact string      `json:"contact"`
	At      time.Time   `json:"at"`    // from then on
	After   span        `json:"after"` // how long the answer takes, such as 90s
	Times   int         `json:"times"` // of so many; 0: of all
}

// span is a duration as documents have it.
type span time.Duration

// UnmarshalText reads Go's form, and days.
func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil || d < 0 || d > maxAfter {
		return fmt.Errorf("after %q: want a duration up to %s, such as 90s", b, maxAfter)
	}
	*s = span(d)
	return nil
}

// The bounds of a file and of what stands in it.
const (
	MaxFile  = 64 << 20 // bytes
	MaxLines = 200_000
	maxAfter = 72 * time.Hour
)

// Decode reads one CloudEvent in JSON. Its error is for who wrote it.
type Decode func(body []byte) ([]event.Event, error)

// act is a line about what a person did, as a platform would tell it.
type act struct {
	Event      event.Type    `json:"event"`
	At         time.Time     `json:"at"`
	Arrives    time.Time     `json:"arrives"` // absent: at once
	ID         string        `json:"id"`      // absent: lines that say the same are one
	Sender     string        `json:"sender"`
	Contact    string        `json:"contact"`
	Text       string        `json:"text"`
	Payload    string        `json:"payload"`
	Permission string        `json:"permission"` // of comment and token; absent: the id
	Ad         bool          `json:"ad"`
	Live       bool          `json:"live"`
	Standby    bool          `json:"standby"`
	Scope      contact.Scope `json:"scope"` // of opt_out and opt_in; absent: all
}

// The words that are no event of a platform: somebody recorded them.
const (
	optOut event.Type = "opt_out"
	optIn  event.Type = "opt_in"
)

// acts are what a line may say that somebody did.
func acts() []event.Type {
	return []event.Type{
		event.Message, event.Postback, event.Referral, event.OptIn, event.Reaction, event.Unreaction, event.Comment, event.Token,
		event.Stopped, event.Resumed, event.Edited, event.Deleted, event.ThreadTaken, event.ThreadBack, optOut, optIn,
	}
}

// recorded is the CloudEvents extension that says when an event came in.
const recorded = "recordedtime"

// apart is how long after the line before it something is told that has no
// time of its own.
const apart = time.Second

// Read reads a file of events: JSON objects one behind the other, or an array
// of them. from is when the first happened where it has no time of its own;
// zero: it must have one. Its error names the line.
func Read(data []byte, from time.Time, decode Decode) (*Script, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), MaxFile)
	}
	objects, err := split(data)
	if err != nil {
		return nil, err
	}
	s, clock := &Script{}, from
	if !from.IsZero() {
		clock = from.Add(-apart)
	}
	for _, o := range objects {
		told, err := s.read(o.body, decode)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", o.line, err)
		}
		for _, t := range told {
			t.Line = o.line
			if t.Time.IsZero() && clock.IsZero() {
				return nil, fmt.Errorf("line %d: the first event needs a time, or name one with --from", o.line)
			}
			if t.Time.IsZero() {
				t.Time = clock.Add(apart)
			}
			clock = t.Time
			if t.Arrives.Before(t.Time) {
				t.Arrives = t.Time
			}
			s.Told = append(s.Told, t)
		}
	}
	if len(s.Told) == 0 {
		return nil, errors.New("no event")
	}
	s.order()
	return s, nil
}

// From is when the first event comes in.
func (s *Script) From() time.Time { return s.Told[0].Arrives }

// order brings what is told into the order in which it comes in, whatever the
// order of the lines, and leaves repeats out.
func (s *Script) order() {
	slices.SortStableFunc(s.Told, func(a, b Told) int {
		return cmp.Or(a.Arrives.Compare(b.Arrives), a.Time.Compare(b.Time), strings.Compare(a.Source, b.Source), cmp.Compare(len(a.ID), len(b.ID)), strings.Compare(a.ID, b.ID))
	})
	type name struct{ source, id string }
	seen := map[name]bool{}
	all := len(s.Told)
	s.Told = slices.DeleteFunc(s.Told, func(t Told) bool {
		n := name{t.Source, t.ID}
		defer func() { seen[n] = true }()
		return seen[n]
	})
	s.Repeated = all - len(s.Told)
}

// object is one JSON object of a file.
type object struct {
	body []byte
	line int
}

// split parts a file into its objects. Those of an array stand for themselves.
func split(data []byte) ([]object, error) {
	var out []object
	lines := lineCount{data: data}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte(byteOrderMark))))
	skipped := len(data) - len(bytes.TrimPrefix(data, []byte(byteOrderMark)))
	for {
		var one json.RawMessage
		err := d.Decode(&one)
		end := skipped + int(d.InputOffset())
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("line %d: what begins there is not JSON: %w", lines.at(end+blank(data[end:])), err)
		}
		out = append(out, elements(one, end-len(one), &lines)...)
		if len(out) > MaxLines {
			return nil, fmt.Errorf("more than %d events", MaxLines)
		}
	}
}

// byteOrderMark is what some programs begin a file of UTF-8 with.
const byteOrderMark = "\ufeff"

func blank(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " \t\r\n")) }

// elements returns an object, or those of an array, which is known to be JSON.
// offset is where it begins.
func elements(one json.RawMessage, offset int, lines *lineCount) []object {
	if one[0] != '[' {
		return []object{{one, lines.at(offset)}}
	}
	var out []object
	d := json.NewDecoder(bytes.NewReader(one))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		var e json.RawMessage
		if d.Decode(&e) != nil {
			return out
		}
		out = append(out, object{e, lines.at(offset + int(d.InputOffset()) - len(e))})
	}
	return out
}

// lineCount finds lines by offsets that only rise.
type lineCount struct {
	data         []byte
	counted, sum int
}

func (l *lineCount) at(offset int) int {
	l.sum += bytes.Count(l.data[l.counted:offset], []byte("\n"))
	l.counted = offset
	return l.sum + 1
}

// read reads one object: a CloudEvent, what a person did, or a fate.
func (s *Script) read(body []byte, decode Decode) ([]Told, error) {
	var head struct {
		SpecVersion *string `json:"specversion"`
		Event       *string `json:"event"`
		Outcome     *string `json:"outcome"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, errors.New("want a JSON object")
	}
	switch {
	case head.SpecVersion != nil:
		return cloudEvents(body, decode)
	case head.Event != nil:
		t, err := person(body)
		return []Told{t}, err
	case head.Outcome != nil:
		f, err := fate(body)
		s.Fates = append(s.Fates, f)
		return nil, err
	}
	return nil, errors.New(`want a CloudEvent with "specversion", what a person did with "event", or what becomes of messages with "outcome"`)
}

func cloudEvents(body []byte, decode Decode) ([]Told, error) {
	events, err := decode(body)
	if err != nil {
		return nil, err
	}
	out := make([]Told, len(events))
	for i, e := range events {
		out[i].Event = e
		if at := e.Extensions[recorded]; at != "" {
			if out[i].Arrives, err = time.Parse(time.RFC3339, at); err != nil {
				return nil, fmt.Errorf("%s: want a time in RFC 3339", recorded)
			}
		}
	}
	return out, nil
}

// person reads what a person did.
func person(body []byte) (Told, error) {
	var a act
	if err := strict(body, &a); err != nil {
		return Told{}, err
	}
	switch {
	case !slices.Contains(acts(), a.Event):
		return Told{}, fmt.Errorf("event %q: want one of %s", a.Event, list(acts()))
	case a.Sender == "" || !contact.ValidAddress(a.Contact):
		return Told{}, errors.New("want the id of a sender and the platform's id of a contact")
	case a.Scope != "" && a.Event != optOut && a.Event != optIn:
		return Told{}, errors.New("scope: only of opt_out and opt_in")
	}
	if a.ID == "" {
		sum := sha256.Sum256(canonical(a))
		a.ID = hex.EncodeToString(sum[:8])
	}
	t := Told{act: true, Arrives: a.Arrives.UTC(), Event: event.Event{
		Source: "rehearsal/" + a.Sender, ID: a.ID, Type: a.Event, Time: a.At.UTC(), Sender: a.Sender, Person: a.Contact,
		MessageID: a.ID, Text: a.Text, Payload: a.Payload, Ad: a.Ad, Live: a.Live, Standby: a.Standby, Permission: a.Permission,
	}}
	if t.Permission == "" && (a.Event == event.Comment || a.Event == event.Token) {
		t.Permission = a.ID
	}
	if a.Arrives.IsZero() {
		t.Arrives = time.Time{}
	}
	scope := cmp.Or(a.Scope, contact.All)
	if a.Event == optOut {
		t.word = &contact.Change{OptOut: scope, Source: "the rehearsal"}
	}
	if a.Event == optIn {
		t.word = &contact.Change{OptIn: scope, Source: "the rehearsal"}
	}
	if t.word != nil {
		return t, t.word.Validate()
	}
	return t, nil
}

// canonical is a line however it was written.
func canonical(a act) []byte {
	b, err := json.Marshal(a)
	if err != nil { // texts, times and truths
		return nil
	}
	return b
}

func fate(body []byte) (Fate, error) {
	var f Fate
	if err := strict(body, &f); err != nil {
		return f, err
	}
	switch f.Outcome {
	case job.Sent, job.Unknown:
		if f.Reason != "" {
			return f, errors.New("reason: only of outcome failed")
		}
		if f.Outcome == job.Unknown {
			f.Reason = reason.OutcomeUnknown
		}
	case job.Failed:
		f.Reason = cmp.Or(f.Reason, reason.PlatformRejected)
		if _, ok := reason.Lookup(f.Reason); !ok {
			return f, fmt.Errorf("reason %q is none; docs/reasons.md lists them", f.Reason)
		}
	default:
		return f, fmt.Errorf("outcome %q: want sent, failed or unknown", f.Outcome)
	}
	if f.Times < 0 {
		return f, fmt.Errorf("times %d: want 1 or more, or none", f.Times)
	}
	return f, nil
}

// strict reads an object and refuses a field that there is not.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func list[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}
