package policy

import (
	"encoding/json"
	"errors"
	"regexp"
	"time"
	"unicode/utf8"
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
	seen  []string // kept for its room
}

// Read reads one case. Fields beside id, at, sender, contact and message are
// notes and are passed over; inside those an unknown field is an error, since
// a misspelt opt_outs would permit what it should forbid, and so is a field
// that stands twice. A null counts as absent. Errors name the field; the case
// then has at least its id, as far as it can be made out.
func (r *CaseReader) Read(line []byte) (Case, error) {
	var c Case
	s := scanner{b: line, seen: r.seen[:0]}
	err := s.members("", func(key string) error {
		if !isField(key) {
			return s.skip(0)
		}
		if err := s.once(0, "", key); err != nil {
			return err
		}
		return r.field(&s, &c, key)
	})
	r.seen = s.seen
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = c.complete()
	}
	if err != nil && c.ID == "" {
		c.ID = FindID(line)
	}
	return c, err
}

// isField says whether key is a field of a case, and not a note. Only fields
// are looked at twice: a line may have very many notes.
func isField(key string) bool {
	switch key {
	case "id", "at", "sender", "contact", "message":
		return true
	default:
		return false
	}
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

// FindID looks for the id of a line that can't be read as a case, or of the
// beginning of one; "" where there is none to be made out. The id of the case
// goes before that of anything in it.
func FindID(line []byte) string {
	id := ""
	s := scanner{b: line}
	err := s.members("", func(key string) error {
		if key != "id" || id != "" {
			return s.skip(0)
		}
		return s.text("id", &id)
	})
	if id != "" || err == nil {
		return id
	}
	m := idField.FindSubmatch(line)
	if m == nil || !utf8.Valid(m[1]) || json.Unmarshal(m[1], &id) != nil {
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
		return unknown(key)
	}
}
