package sandbox

import (
	"net/http"
	"time"
)

const (
	day = 24 * time.Hour
	// standardWindow opens with every qualifying action (policy page).
	standardWindow = day
	// tagWindow bounds HUMAN_AGENT and CUSTOMER_FEEDBACK.
	tagWindow = 7 * day
	// replyWithin bounds a private reply to a comment or a post (private
	// replies page), tokenLife a one-time notification (its page).
	replyWithin = 7 * day
	tokenLife   = 365 * day
	// maxAdWindow is what the policy page of 2026-09-28 gives at most to a
	// first message after an ad. It promises no length, so that accounts get
	// the standard window unless they are declared with more.
	maxAdWindow = 7 * day
)

// Permissions an account may hold; one declared without a list holds all.
const (
	permitHuman   = "human_agent"
	permitUtility = "utility"
	permitNews    = "news"
)

// tagRule is one message tag: when it is in force and what it asks for.
// Times are UTC; a zero time is no bound. Ages are inside below their limit.
type tagRule struct {
	from, until time.Time
	instagram   bool
	within      time.Duration // of the last inbound; 0: any time
	permit      string        // "": none
	template    string        // template_type it must carry; "": any content
	retired     bool          // asked for after until it is known as deprecated, else as invalid
}

// rulebook holds the dates of the platform's rules. It is read only.
type rulebook struct {
	tags              map[string]tagRule
	utilityFrom       time.Time
	adWindowFrom      time.Time
	notificationUntil time.Time // recurring notification tokens
}

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// newRulebook states the platform's dates: tags of 2019 from its announcement
// of 2019-08-29, the end of the legacy ones on 2020-03-04, the end of the
// event tags by the notice of 2026-03-27. More are tags to know besides, for
// whoever tries a rule that the platform does not have yet.
func newRulebook(more []string) rulebook {
	announced, legacyEnd, eventEnd := date(2019, 8, 29), date(2020, 3, 4), date(2026, 4, 27)
	tags := map[string]tagRule{
		"CONFIRMED_EVENT_UPDATE":       {from: announced, until: eventEnd, retired: true},
		"POST_PURCHASE_UPDATE":         {from: announced, until: eventEnd, retired: true},
		"ACCOUNT_UPDATE":               {until: eventEnd, retired: true}, // a legacy tag before
		"HUMAN_AGENT":                  {from: announced, instagram: true, within: tagWindow, permit: permitHuman},
		"CUSTOMER_FEEDBACK":            {from: date(2021, 6, 2), within: tagWindow, template: "customer_feedback"},
		"NON_PROMOTIONAL_SUBSCRIPTION": {permit: permitNews},
		"BUSINESS_PRODUCTIVITY":        {until: legacyEnd},
		"COMMUNITY_ALERT":              {until: legacyEnd},
		"CONFIRMED_EVENT_REMINDER":     {until: legacyEnd},
		"PAIRING_UPDATE":               {until: legacyEnd},
		"APPLICATION_UPDATE":           {until: legacyEnd},
		"PAYMENT_UPDATE":               {until: legacyEnd},
		"PERSONAL_FINANCE_UPDATE":      {until: legacyEnd},
		"SHIPPING_UPDATE":              {until: legacyEnd},
		"RESERVATION_UPDATE":           {until: legacyEnd},
		"ISSUE_RESOLUTION":             {until: legacyEnd},
		"APPOINTMENT_UPDATE":           {until: legacyEnd},
		"GAME_EVENT":                   {until: legacyEnd},
		"TRANSPORTATION_UPDATE":        {until: legacyEnd},
		"FEATURE_FUNCTIONALITY_UPDATE": {until: legacyEnd},
		"TICKET_UPDATE":                {until: legacyEnd},
	}
	for _, tag := range more {
		tags[tag] = tagRule{instagram: true}
	}
	return rulebook{tags: tags, utilityFrom: date(2025, 9, 29), adWindowFrom: date(2026, 9, 28),
		notificationUntil: date(2026, 2, 10)}
}

// violation is what a business did that it must not, whatever was answered.
type violation uint8

const (
	wroteOptedOut  violation = 1 << iota // to a person who opted out
	wroteOutside                         // outside every window that would allow it
	usedRetired                          // with a tag that is no longer in force
	brokeRate                            // above the account's rate
	wroteAfterStop                       // to one who asked to stop, after that was told and answered

	allViolations = wroteOptedOut | wroteOutside | usedRetired | brokeRate | wroteAfterStop
)

// names lists the violations as summaries and lists name them.
func (v violation) names() []string {
	var out []string
	for i, name := range []string{"opted_out", "outside_window", "retired_tag", "rate", "after_stop"} {
		if v&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// circumstances is all that a rule may look at beside the request.
type circumstances struct {
	at        time.Time
	instagram bool
	strict    bool
	adWindow  time.Duration
	permits   func(string) bool
	approved  func(*utility) bool
	person    standing
	known     bool
	used      bool // the recipient's one-time permission was used up
}

// standing is how a person and an account stand. Times are nanoseconds since
// 1970, 0 is never.
type standing struct {
	lastInbound int64
	adMessage   int64
	optedOut    bool
	blocked     bool
	elsewhere   bool // another app has the thread
	stopped     bool // asked to stop, and that was told and answered
}

// judge says what the rules answer to a request, nil for yes, and what it
// breaks. The order is the platform's as far as it can be told: parameters,
// then the person, then the moment.
func (b *rulebook) judge(r *request, c circumstances) (*graphError, violation) {
	if e := shape(r, c.instagram); e != nil {
		return e, optOut(c)
	}
	rule, tagged := b.tags[r.Tag]
	if e, v := b.checkTag(r, rule, tagged, c); e != nil {
		return e, v | optOut(c)
	}
	if r.Recipient.ID == "" {
		return b.judgeOnce(r, c)
	}
	switch {
	case !c.known && c.strict:
		return errNoUser(c.instagram), 0
	case c.person.optedOut:
		return errUnavailable(), wroteOptedOut
	case c.person.blocked:
		return errUnavailable(), 0
	case c.person.elsewhere:
		return errThread(c.instagram), 0
	}
	return b.checkMoment(r, rule, c)
}

func optOut(c circumstances) violation {
	if c.person.optedOut {
		return wroteOptedOut
	}
	return 0
}

// checkTag judges the tag itself: a retired one is refused in and out of the
// window ("all API requests containing" it).
func (b *rulebook) checkTag(r *request, rule tagRule, known bool, c circumstances) (*graphError, violation) {
	switch {
	case r.Tag == "" && r.MessagingType == "MESSAGE_TAG":
		return errParam(0, "Param tag is required with messaging_type MESSAGE_TAG."), 0
	case r.Tag == "":
		return nil, 0
	case !known, c.instagram && !rule.instagram, c.at.Before(rule.from):
		return errInvalidTag(), 0
	case !rule.until.IsZero() && !c.at.Before(rule.until):
		if rule.retired {
			return errRetiredTag(r.Tag), usedRetired
		}
		return errInvalidTag(), usedRetired
	case rule.permit == permitNews && !c.permits(permitNews):
		return errPermission(2018065, "This message is sent outside of allowed window and needs the News Messaging permission."), 0
	case rule.permit != "" && !c.permits(rule.permit):
		return errPermission(0, "Application does not have permission for this action."), 0
	case rule.template != "" && r.Message != nil && !r.Message.has(rule.template):
		return errParam(0, "This tag is only allowed with the "+rule.template+" template."), 0
	}
	return nil, 0
}

// checkMoment judges the time that passed since the person acted.
func (b *rulebook) checkMoment(r *request, rule tagRule, c circumstances) (*graphError, violation) {
	if r.MessagingType == "UTILITY" {
		return b.checkUtility(r, c), 0
	}
	if within(c.person.lastInbound, c.at, standardWindow) {
		return nil, 0
	}
	if !c.at.Before(b.adWindowFrom) && within(c.person.adMessage, c.at, c.adWindow) {
		return nil, 0
	}
	if r.MessagingType == "MESSAGE_TAG" && c.person.lastInbound != 0 &&
		(rule.within == 0 || within(c.person.lastInbound, c.at, rule.within)) {
		return nil, 0
	}
	return errWindow(c.instagram), wroteOutside
}

// within says whether less than limit has passed since the given event. One
// that lies ahead, by a clock that differs, is new.
func within(event int64, at time.Time, limit time.Duration) bool {
	return event != 0 && at.Sub(time.Unix(0, event)) < limit
}

func (b *rulebook) checkUtility(r *request, c circumstances) *graphError {
	switch {
	case c.instagram, c.at.Before(b.utilityFrom):
		return errParam(0, "messaging_type UTILITY is not supported.")
	case !c.permits(permitUtility):
		return errPermission(0, "Application does not have permission for this action.")
	case r.Message != nil && !c.approved(r.Message.Template):
		return errTemplate()
	}
	return nil
}

// judgeOnce judges sends that a comment, a post or a token allows once,
// without a window. Since 2021-09-13 no tag goes with a private reply.
func (b *rulebook) judgeOnce(r *request, c circumstances) (*graphError, violation) {
	to := r.Recipient
	switch {
	case to.UserRef != "" || to.PhoneNumber != "":
		return errNoUser(c.instagram), 0
	case to.NotificationToken != "" && (c.instagram || !c.at.Before(b.notificationUntil)),
		to.OneTimeToken != "" && c.instagram:
		return errParam(0, "The notification token is invalid or has expired."), 0
	case r.Tag != "":
		return errInvalidTag(), 0
	case !c.known && c.strict:
		return errUnsupported(http.MethodPost), 0
	case to.OneTimeToken != "" && !within(c.person.lastInbound, c.at, tokenLife):
		return errParam(0, "The notification token is invalid or has expired."), 0
	case (to.CommentID != "" || to.PostID != "") && !within(c.person.lastInbound, c.at, replyWithin):
		return refuse(http.StatusBadRequest, 10903, 0, "This user can't reply to this activity."), 0
	case c.used && (to.OneTimeToken != "" || to.NotificationToken != ""):
		return errParam(0, "The notification token is invalid or has expired."), 0
	case c.used:
		return refuse(http.StatusBadRequest, 10900, 0, "Activity already replied to."), 0
	}
	return nil, 0
}
