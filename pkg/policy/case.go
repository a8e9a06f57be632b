package policy

import (
	"encoding/json"
	"errors"
	"regexp"
	"time"
)

// Case is one question to the rulebook.
type Case struct {
	ID      string
	At      time.Time
	Sender  Sender
	Facts   Facts
	Message Message
}

// Judge is Evaluate on the case.
func (c *Case) Judge(rb *Rulebook) Verdict {
	return Evaluate(rb, c.At, &c.Message, &c.Facts, &c.Sender)
}

// CaseReader reads cases from JSON. It keeps the time zones that it has seen
// and must not be used by two goroutines at once. The zero value is ready.
type CaseReader struct {
	zones map[string]*time.Location
}

// Read reads one case. Fields beside id, at, sender, contact and message are
// notes and are passed over; inside those an unknown field is an error, since
// a misspelt opt_outs would permit what it should forbid. A null counts as
// absent. Errors name the field; the case then has at least its id, as far as
// it can be made out.
func (r *CaseReader) Read(line []byte) (Case, error) {
	var c Case
	s := scanner{b: line}
	err := s.object("", func(key string) error { return r.field(&s, &c, key) })
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = c.complete()
	}
	if err != nil && c.ID == "" {
		c.ID = findID(line)
	}
	return c, err
}

// complete asks for what a case can't be judged without.
func (c *Case) complete() error {
	switch {
	case c.ID == "":
		return errors.New("id: missing")
	case c.At.IsZero():
		return errors.New("at: missing")
	case c.Sender.Channel == "":
		return errors.New("sender.channel: missing")
	case c.Message.Origin == "":
		return errors.New("message: missing")
	default:
		return nil
	}
}

var idField = regexp.MustCompile(`"id"\s*:\s*("(?:[^"\\]|\\.)*")`)

// findID looks for the id of a line that can't be read otherwise.
func findID(line []byte) string {
	m := idField.FindSubmatch(line)
	var id string
	if m == nil || json.Unmarshal(m[1], &id) != nil {
		return ""
	}
	return id
}

func (r *CaseReader) field(s *scanner, c *Case, key string) error {
	switch key {
	case "id":
		return s.text("id", &c.ID)
	case "at":
		return s.time("at", &c.At)
	case "sender":
		return s.object("sender", func(key string) error { return r.sender(s, &c.Sender, key) })
	case "contact":
		return s.object("contact", func(key string) error { return r.contact(s, &c.Facts, key) })
	case "message":
		if s.null() {
			return nil
		}
		c.Message.Origin = "broadcast"
		return s.object("message", func(key string) error { return message(s, &c.Message, key) })
	default:
		return s.skip(0)
	}
}
