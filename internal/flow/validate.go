package flow

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/sender"
)

// The bounds of a document. A run holds where it stands in every criterion and
// schedule, and each of its expressions is looked at for many contacts.
const (
	maxSteps      = 200
	maxDepth      = 5 // steps in steps
	maxRounds     = 1000
	maxList       = 50   // of criteria, schedules, cases, parts, event types, conditions
	maxExpression = 4000 // bytes
	maxEventType  = 200  // bytes
	maxLabel      = 256  // bytes
	maxOwners     = 1000
	maxMoves      = 200
)

// Validate returns one error that begins with the flow and the field, and says
// what to write instead, or nil. Whether expressions can be read, Compile says.
func (s *Spec) Validate() error {
	if !validFlowID(s.ID) {
		return fmt.Errorf("id %q: want 1 to %d characters out of a-z, 0-9 and '-', neither first nor last a '-'", s.ID, MaxID)
	}
	for _, check := range []func() error{
		s.validHead, s.validTrigger, s.validContact, s.validReentry, s.validEnds, s.validPace, s.validNodes, s.validSteps, s.validMove,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("flow %s: %w", s.ID, err)
		}
	}
	return nil
}

func validFlowID(id string) bool { return len(id) <= MaxID && sender.ValidID(id) }

// validStepID is for ids of steps as they are given or made by place.
func validStepID(id string) bool { return regexp.MustCompile(`^[a-z0-9-]{1,100}$`).MatchString(id) }

func (s *Spec) validHead() error {
	switch {
	case s.Type != AutoReply && s.Type != Automation && s.Type != Notification:
		return fmt.Errorf("type %q: want auto_reply, automation or notification", s.Type)
	case s.Sender != RecordOwner && s.Sender != Auto && !sender.ValidID(s.Sender):
		return fmt.Errorf("sender %q: want the id of a Sender, record_owner or auto", s.Sender)
	case s.Sender != RecordOwner && s.Owner != "":
		return errors.New("owner: it goes with sender record_owner")
	case s.Sender != RecordOwner && len(s.Owners) > 0:
		return errors.New("owners: they go with sender record_owner")
	case s.Sender == RecordOwner && s.Owner == "":
		return errors.New("owner is missing: with sender record_owner it is an expression that gives the owner, such as event.data.owner_id")
	case s.Sender == RecordOwner && (len(s.Owners) == 0 || len(s.Owners) > maxOwners):
		return fmt.Errorf("owners: %d: want 1 to %d, the id of a Sender by each owner", len(s.Owners), maxOwners)
	}
	for owner, id := range ordered(s.Owners) {
		if owner == "" || !sender.ValidID(id) {
			return fmt.Errorf("owners.%s %q: want the id of a Sender by the owner", owner, id)
		}
	}
	return bounded("owner", s.Owner)
}

// validContact says whether a flow knows whom it is about: platforms tell who
// wrote and facts whose they are, and what a CRM tells only its author can read.
func (s *Spec) validContact() error {
	t := &s.Trigger
	switch {
	case len(t.Events) > 0 && s.Contact == "" && s.Sender != Auto:
		return errors.New("contact is missing: with a trigger of events it is an expression that gives the contact's id, such as event.data.psid")
	case len(t.Events) > 0 && s.Contact != "" && s.Sender == Auto:
		return errors.New("contact: with sender auto it is unknown whose id that is; name it under also, by Sender")
	case len(t.Events) > 0 && s.Sender == Auto && len(s.Also) == 0:
		return errors.New("also is missing: with sender auto and a trigger of events it has the contact's ids by Sender")
	case len(t.Events) == 0 && s.Contact != "":
		return errors.New("contact: it goes with a trigger of events; every other knows whom it is about")
	case len(t.Events) == 0 && s.Sender == RecordOwner:
		return errors.New("sender record_owner: it goes with a trigger of events, which tell the owner")
	}
	for id, e := range ordered(s.Also) {
		if !sender.ValidID(id) || e == "" {
			return fmt.Errorf("also.%s: want an expression that gives the contact's id, by the id of a Sender", id)
		}
		if id == s.Sender {
			return fmt.Errorf("also.%s: that is the flow's own sender; leave it out", id)
		}
		if err := bounded("also."+id, e); err != nil {
			return err
		}
	}
	return bounded("contact", s.Contact)
}

func (s *Spec) validTrigger() error {
	t := &s.Trigger
	kinds := count(len(t.Events) > 0, t.Keywords != nil, len(t.Inbound) > 0, t.Comment, t.Label != nil, t.Segment != nil, t.Date != nil)
	if kinds != 1 {
		return errors.New("trigger: want one of events, keywords, inbound, comment, label, segment and date")
	}
	if s.Type == AutoReply && t.Keywords == nil && len(t.Inbound) == 0 && !t.Comment {
		return errors.New("trigger: a flow of type auto_reply answers, so that it begins by keywords, inbound or comment; other types may begin by this")
	}
	if err := eventTypes("trigger.events", t.Events); err != nil {
		return err
	}
	if t.Keywords != nil {
		if err := t.Keywords.validate(); err != nil {
			return fmt.Errorf("trigger.keywords.%w", err)
		}
	}
	for i, k := range t.Inbound {
		if !slices.Contains([]event.Type{event.Message, event.Postback, event.Referral, event.OptIn, event.Reaction}, event.Type(k)) || slices.Contains(t.Inbound[:i], k) {
			return fmt.Errorf("%s %q: want message, postback, referral, optin or reaction, each once", nth("trigger.inbound", i), k)
		}
	}
	if l := t.Label; l != nil {
		if (l.Added == "") == (l.Removed == "") || len(l.Added)+len(l.Removed) > maxLabel {
			return fmt.Errorf("trigger.label: want one of added and removed, a label of at most %d bytes", maxLabel)
		}
	}
	if err := validSegment(t.Segment); err != nil {
		return err
	}
	if err := t.Date.validate("trigger.date"); err != nil {
		return err
	}
	return bounded("trigger.where", t.Where)
}

func validSegment(a *broadcast.Audience) error {
	switch {
	case a == nil:
		return nil
	case len(a.Labels) == 0 && len(a.ExcludeLabels) == 0 && a.Where == "":
		return errors.New("trigger.segment: want labels, exclude_labels or where: everybody is in an empty one")
	case len(a.Labels) > maxList || len(a.ExcludeLabels) > maxList:
		return fmt.Errorf("trigger.segment: want at most %d labels", maxList)
	}
	return bounded("trigger.segment.where", a.Where)
}

// validate checks a date that may be absent.
func (d *Date) validate(path string) error {
	if d == nil {
		return nil
	}
	if d.Field == "" {
		return fmt.Errorf("%s.field is missing: an expression that gives the date, such as contact.attributes.renewal", path)
	}
	if d.Offset != "" {
		if err := within(d.Offset, -MaxDuration, MaxDuration, "-365d to 365d"); err != nil {
			return fmt.Errorf("%s.offset %w", path, err)
		}
	}
	if d.At != "" {
		if _, err := clockTime(d.At); err != nil {
			return fmt.Errorf("%s.at %w", path, err)
		}
	}
	return bounded(path+".field", d.Field)
}

func (s *Spec) validReentry() error {
	r := &s.Reentry
	if r.Never && (r.Key != "" || r.After != "") {
		return errors.New("reentry: never goes alone; with key it would be once for each key anyway")
	}
	if r.After != "" {
		if err := ofYear(r.After); err != nil {
			return fmt.Errorf("reentry.after %w", err)
		}
	}
	if err := bounded("reentry.key", r.Key); err != nil || s.Coalesce == "" {
		return err
	}
	if *r == (Reentry{}) {
		return errors.New("coalesce: want a reentry beside it, which says what belongs together: without one every event is by itself")
	}
	if err := within(s.Coalesce, time.Second, 30*day, "1s to 30d"); err != nil {
		return fmt.Errorf("coalesce %w", err)
	}
	return nil
}

// validEnds checks what ends a run.
func (s *Spec) validEnds() error {
	if len(s.Exit) > maxList {
		return fmt.Errorf("exit: %d: want at most %d", len(s.Exit), maxList)
	}
	for i := range s.Exit {
		if err := s.Exit[i].validate(nth("exit", i)); err != nil {
			return err
		}
	}
	if s.Goal == nil {
		return nil
	}
	return s.Goal.validate("goal")
}

func (c *Condition) validate(path string) error {
	if len(c.Events) == 0 && c.Where == "" {
		return fmt.Errorf("%s: want events, where or both: it ends every run else", path)
	}
	if err := eventTypes(path+".events", c.Events); err != nil {
		return err
	}
	return bounded(path+".where", c.Where)
}

// validPace checks when and how often a flow may write.
func (s *Spec) validPace() error {
	if q := s.QuietHours; q != nil {
		if err := validQuiet(q); err != nil {
			return fmt.Errorf("quiet_hours%w", err)
		}
	}
	if f := s.Frequency; f != nil {
		if f.AtMost < 1 || f.AtMost > 1000 {
			return fmt.Errorf("frequency.at_most %d: want 1 to 1,000", f.AtMost)
		}
		if err := ofYear(f.Per); err != nil {
			return fmt.Errorf("frequency.per %w", err)
		}
	}
	if n := s.Limits.StartsPerMinute; n < 0 || n > 1_000_000 {
		return fmt.Errorf("limits.starts_per_minute %d: want 1 to 1,000,000, or 0 for no limit", n)
	}
	return validExpiry("expires_after", s.Expires)
}

func validQuiet(q *sender.QuietHours) error {
	from, err := clockTime(q.From)
	if err != nil {
		return fmt.Errorf(".from %w", err)
	}
	to, err := clockTime(q.To)
	if err != nil {
		return fmt.Errorf(".to %w", err)
	}
	if from == to {
		return fmt.Errorf(": from and to are both %s", q.From)
	}
	return nil
}

func validExpiry(path, s string) error {
	if s == "" {
		return nil
	}
	if err := ofYear(s); err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	return nil
}

// validNodes checks the criteria, without the steps in them.
func (s *Spec) validNodes() error {
	switch {
	case (len(s.Steps) == 0) == (len(s.Criteria) == 0):
		return errors.New("steps: want either these or criteria")
	case len(s.Criteria) > maxList:
		return fmt.Errorf("criteria: %d: want at most %d", len(s.Criteria), maxList)
	}
	seen := map[string]bool{}
	for i := range s.Criteria {
		c, path := &s.Criteria[i], nth("criteria", i)
		if c.ID != "" && (!validStepID(c.ID) || seen[c.ID]) {
			return fmt.Errorf("%s.id %q: want characters out of a-z, 0-9 and '-', each criterion its own", path, c.ID)
		}
		seen[c.ID] = true
		if err := c.validate(path); err != nil {
			return err
		}
	}
	return nil
}

func (c *Criterion) validate(path string) error {
	switch {
	case len(c.Do) == 0 && len(c.Schedule) == 0:
		return fmt.Errorf("%s: want do, schedule or both", path)
	case c.Then != "" && c.Then != "stop" && c.Then != "next":
		return fmt.Errorf("%s.then %q: want stop or next", path, c.Then)
	case len(c.Schedule) > maxList:
		return fmt.Errorf("%s.schedule: %d: want at most %d", path, len(c.Schedule), maxList)
	}
	for i := range c.Schedule {
		at, sc := nth(path+".schedule", i), &c.Schedule[i]
		if (sc.After == "") == (sc.Date == nil) {
			return fmt.Errorf("%s: want one of after and date", at)
		}
		if len(sc.Do) == 0 {
			return fmt.Errorf("%s.do is missing: want at least one step", at)
		}
		if sc.After != "" {
			if err := ofYear(sc.After); err != nil {
				return fmt.Errorf("%s.after %w", at, err)
			}
		}
		if err := sc.Date.validate(at + ".date"); err != nil {
			return err
		}
	}
	return bounded(path+".when", c.When)
}

// validMove asks for steps that there are. Those of earlier versions, which
// stand on the left, are known where the earlier version is.
func (s *Spec) validMove() error {
	if len(s.Move) > maxMoves {
		return fmt.Errorf("move: %d: want at most %d", len(s.Move), maxMoves)
	}
	ids := s.resting()
	for from, to := range ordered(s.Move) {
		if !validStepID(from) {
			return fmt.Errorf("move.%s: want the id of a step of an earlier version", from)
		}
		if !ids[to] {
			return fmt.Errorf("move.%s %q: want the id of a step of this version", from, to)
		}
	}
	return nil
}

// eventTypes checks a list of types, of which each may end in a star.
func eventTypes(path string, types []string) error {
	if len(types) > maxList {
		return fmt.Errorf("%s: %d: want at most %d", path, len(types), maxList)
	}
	for i, t := range types {
		if len(t) > maxEventType || strings.TrimSuffix(t, "*") == "" || strings.Contains(strings.TrimSuffix(t, "*"), "*") || slices.Contains(types[:i], t) {
			return fmt.Errorf("%s %q: want the type of an event, or its beginning as in order.*, each once", nth(path, i), t)
		}
	}
	return nil
}

// bounded says whether an expression, which may be absent, is short enough; Compile reads it.
func bounded(path, e string) error {
	if len(e) > maxExpression {
		return fmt.Errorf("%s: %d bytes: want at most %d", path, len(e), maxExpression)
	}
	if e != "" && strings.TrimSpace(e) == "" {
		return fmt.Errorf("%s is blank: want an expression, or leave it out", path)
	}
	return nil
}

func count(holds ...bool) (n int) {
	for _, h := range holds {
		if h {
			n++
		}
	}
	return n
}
