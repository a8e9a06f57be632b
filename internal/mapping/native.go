package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/sender"
)

// Changed is the type of events that need no rules: their data says which
// contact of which sender they are about, and what changed of it.
const Changed event.Type = "carillon.contact.changed"

// said is the data of such an event.
type said struct {
	Sender  string `json:"sender"`
	Contact string `json:"contact"`
	contact.Change
}

// Native reads an event of type Changed. Its error is for who sent it.
func Native(e event.Event) (event.Event, error) {
	var s said
	d := json.NewDecoder(bytes.NewReader(e.Data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return e, fmt.Errorf("data: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	switch {
	case !sender.ValidID(s.Sender):
		return e, fmt.Errorf("data.sender: want the id of a Sender")
	case !contact.ValidAddress(s.Contact):
		return e, fmt.Errorf("data.contact: want the platform's id of a contact, 1 to 256 bytes without spaces or slashes")
	}
	if !s.At.IsZero() {
		e.Time = s.At.UTC()
	}
	c := s.Change
	c.At = time.Time{}
	if c.OptOut != "" && c.Source == "" {
		c.Source = cut(e.Source, contact.MaxName)
	}
	if err := c.Validate(); err != nil {
		return e, fmt.Errorf("data.%w", err)
	}
	e.Sender, e.Person = s.Sender, s.Contact
	if !c.Empty() {
		e.Change = &c
	}
	return e, nil
}
