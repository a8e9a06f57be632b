package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Happening is what a person does, or what befalls a thread or an account. It
// is entered in the books and told to whom it concerns.
type Happening struct {
	Account string    `json:"account"`
	Person  string    `json:"person"`  // but for policy
	Kind    string    `json:"kind"`    // see Kinds; absent: message
	At      time.Time `json:"at"`      // absent: now; told in milliseconds
	ID      string    `json:"id"`      // of the message, comment or token; absent: a new one
	Text    string    `json:"text"`    // of a message, comment or edit
	Payload string    `json:"payload"` // of a postback, a quick reply or an opt-in
	Live    bool      `json:"live"`    // comment: on a live broadcast
	Action  string    `json:"action"`  // policy: warning, block or unblock
	Reason  string    `json:"reason"`  // policy
}

// Happened is a happening as the books have it.
type Happened struct {
	Seq     uint64 `json:"seq"`
	Account string `json:"account"`
	Person  string `json:"person,omitempty"`
	ID      string `json:"id,omitempty"`
	Told    int    `json:"told"` // to so many webhooks
}

// deed is one kind of happening.
type deed struct {
	field string // "": not told
	opens bool   // the window
	item  func(h *Happening, appID string, instagram bool) fragment
}

// deeds are all kinds. Which ones open the window is what the policy page
// lists; comments and one-time notifications give a permission of their own.
func deeds() map[string]deed {
	return map[string]deed{
		"message":              {fieldMessages, true, writes},
		"ad_message":           {fieldMessages, true, writesFromAd},
		"postback":             {fieldPostbacks, true, presses},
		"referral":             {fieldReferrals, true, follows},
		"optin":                {fieldOptins, true, optsIn},
		"reaction":             {fieldReactions, true, reacts},
		"unreaction":           {fieldReactions, false, reacts},
		"edit":                 {fieldEdits, false, edits},
		"delete":               {fieldMessages, false, deletes},
		"comment":              {fieldFeed, false, comments},
		"one_time":             {fieldOptins, false, acceptsOne},
		"stop_notifications":   {fieldOptins, false, controls},
		"resume_notifications": {fieldOptins, false, controls},
		"block":                {},
		"thread_taken":         {fieldHandovers, false, handsOver},
		"thread_back":          {fieldHandovers, false, handsOver},
		"policy":               {fieldPolicy, false, enforces},
	}
}

// Kinds lists every kind of happening.
func Kinds() []string {
	return slices.Sorted(maps.Keys(deeds()))
}

func (h *Happening) validate() error {
	if _, ok := deeds()[h.Kind]; !ok {
		return fmt.Errorf("kind %q: must be one of %s", h.Kind, strings.Join(Kinds(), ", "))
	}
	switch {
	case h.Kind == "policy" && !slices.Contains([]string{"warning", "block", "unblock"}, h.Action):
		return fmt.Errorf("action %q: must be warning, block or unblock", h.Action)
	case h.Kind != "policy" && (h.Person == "" || len(h.Person) > maxRecipientBytes):
		return fmt.Errorf("person must be an id of 1 to %d bytes", maxRecipientBytes)
	case len(h.ID) > maxRecipientBytes/2: // it is kept with its kind before it
		return fmt.Errorf("id must have at most %d bytes", maxRecipientBytes/2)
	case (h.Kind == "delete" || h.Kind == "edit") && h.ID == "":
		return errors.New("id must name the message")
	case len(h.Text) > maxMessengerText*4:
		return errors.New("text is longer than a person can write")
	}
	return Account{Account: h.Account}.validate()
}

// Happen enters a happening and tells it.
func (s *Sandbox) Happen(h Happening) (Happened, error) {
	if h.Kind == "" {
		h.Kind = "message"
	}
	if h.At.IsZero() {
		h.At = s.opts.Now()
	}
	if err := h.validate(); err != nil {
		return Happened{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.books.account(h.Account)
	r := toldRecord{row: row{s.books.told.reserve(), h.At.UnixNano(), a, h.Person}, kind: h.Kind}
	if h.ID == "" {
		h.ID = s.books.newID(&h, r.seq)
	}
	r.id = h.ID
	r.standby = s.books.happen(a, &h, &r)
	told := s.tell(a, &h, r.seq, r.standby)
	r.told = told > 0
	s.books.told.put(r)
	return Happened{r.seq, a.id, h.Person, h.ID, told}, nil
}

// newID names what has no name: a token and a comment as they are named, all
// else as a message.
func (b *books) newID(h *Happening, seq uint64) string {
	switch h.Kind {
	case "comment":
		return h.Account + "_" + strconv.FormatUint(seq, 10)
	case "one_time":
		return "T" + scatter(mix(b.opts.Seed+2)+seq)
	}
	return "m_" + scatter(mix(b.opts.Seed+3)+seq)
}

// happen enters what a happening changes, and says whether the person writes
// while another app has the thread.
func (b *books) happen(a *account, h *Happening, r *toldRecord) (standby bool) {
	at := h.At.UnixNano()
	if h.Kind == "policy" {
		a.restricted = h.Action == "block" || a.restricted && h.Action != "unblock"
		return false
	}
	place := b.place(a, h.Person, 0)
	p := b.people.at(place)
	if deeds()[h.Kind].opens {
		p.wrote(at, h.Kind == "ad_message")
		p.flags &^= blockedBusiness // one who has blocked a business can't write to it
	}
	switch h.Kind {
	case "message", "ad_message":
		b.asks.hear(place, h.Text, r)
		if stop, start := textWord(h.Text); a.sms() && stop {
			p.flags |= optedOutAll
		} else if a.sms() && start || r.asks == asksStart {
			p.flags &^= optedOutAll
		}
	case "comment":
		b.permit(a, "comment_id:"+h.ID, place, at)
	case "one_time":
		b.permit(a, "one_time_notif_token:"+h.ID, place, at)
	case "stop_notifications":
		p.flags |= optedOutMarketing
		r.asks = asksNoNotices
	case "resume_notifications":
		p.flags &^= optedOutMarketing
		r.asks = asksNotices
	case "block":
		p.flags |= blockedBusiness
	case "thread_taken":
		p.flags |= threadElsewhere
	case "thread_back":
		p.flags &^= threadElsewhere
	}
	return p.flags&threadElsewhere != 0 && h.Kind != "thread_taken"
}

// permit enters a permission to write once, which is kept as a person of its
// own who remembers whose it is.
func (b *books) permit(a *account, key string, owner uint32, at int64) {
	place, added := b.people.add(a.index, key)
	if added {
		b.people.at(place).lastInbound = at
		b.owners[place] = owner
	}
}

func (s *Sandbox) serveHappening(w http.ResponseWriter, r *http.Request) {
	var h Happening
	s.happenAs(w, r, &h, func() error { return nil })
}

// serveInbound enters an inbound: a happening that opens the window.
func (s *Sandbox) serveInbound(w http.ResponseWriter, r *http.Request) {
	var h Happening
	s.happenAs(w, r, &h, func() error {
		if _, err := opens(h.Kind); err != nil {
			return fmt.Errorf("kind: %w", err)
		}
		return nil
	})
}

func (s *Sandbox) happenAs(w http.ResponseWriter, r *http.Request, h *Happening, check func() error) {
	err := decode(w, r, h)
	if err == nil {
		err = check()
	}
	var done Happened
	if err == nil {
		done, err = s.Happen(*h)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, done)
}
