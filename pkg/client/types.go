package client

import (
	"fmt"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// Problem is a refusal or a failure, as RFC 9457 shapes it.
type Problem struct {
	Type     string `json:"type"`               // about:blank: the status says it all
	Title    string `json:"title"`              // the status in words
	Status   int    `json:"status"`             // HTTP status
	Detail   string `json:"detail,omitempty"`   // what, where and what to do, in one line
	Instance string `json:"instance,omitempty"` // path of the request, without its query
	TraceID  string `json:"trace_id,omitempty"` // 32 hex digits; the server's log has it too

	Missing []Warning `json:"missing,omitempty"` // of a refused launch: the warnings that it waits for
}

// Error returns the detail, or the status where there is none.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	if p.Title != "" {
		return fmt.Sprintf("%d %s", p.Status, p.Title)
	}
	return fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status))
}

// Applied is what became of one document.
type Applied struct {
	Kind     string    `json:"kind"` // such as Sender
	ID       string    `json:"id"`
	Action   string    `json:"action"`             // created, updated or unchanged
	Version  int       `json:"version,omitempty"`  // of a flow
	Impact   []string  `json:"impact,omitempty"`   // of a flow: what becomes of the runs that are under way
	Warnings []string  `json:"warnings,omitempty"` // advice that is no refusal: codes of the rulebook's, and what else there is to say
	Advice   []Warning `json:"advice,omitempty"`   // in words, those of Warnings that are codes
}

// Warning is advice of the rulebook on a broadcast. It refuses nothing.
type Warning struct {
	Code        string `json:"code"`
	Says        string `json:"says"`                  // its clause in words
	Acknowledge bool   `json:"acknowledge,omitempty"` // launching the broadcast asks to acknowledge it
}

// Acknowledged is a warning that whoever launched a broadcast said was read.
type Acknowledged struct {
	Code string    `json:"code"`
	At   time.Time `json:"at"`
}

// LaunchRequest names the warnings that whoever launches has read, by code.
type LaunchRequest struct {
	Acknowledge []string `json:"acknowledge,omitempty"`
}

// ApplyResult is what became of the documents of one file, in their order.
type ApplyResult struct {
	DryRun  bool      `json:"dry_run,omitempty"` // nothing was changed
	Applied []Applied `json:"applied"`
}

// The states of a sender.
const (
	SenderOpen   = "open"
	SenderPaused = "paused"
)

// Sender is a sender with where it stands.
type Sender struct {
	ID     string      `json:"id"`
	State  string      `json:"state"`            // SenderOpen or SenderPaused
	Reason reason.Code `json:"reason,omitempty"` // of a paused one
	Why    string      `json:"why,omitempty"`    // the same in words
	Since  time.Time   `json:"since,omitzero"`   // when the state was last changed; zero: never
	Spec   SenderSpec  `json:"spec"`
	Load   *LaneLoad   `json:"load,omitempty"` // nil: it has no lane, since nothing was launched from it

	// Pace is the percentage of its rate that the sender uses while the
	// platform finds it too fast, 5 to 99. 0: all of it, or it can't be told.
	Pace int `json:"pace,omitempty"`

	// Enforcement is what the platform did to the account; nil: nothing is
	// known. A warning stops nothing; a block pauses an open sender.
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// Labels is what pulling the Page's custom labels came to; nil: they never
	// were.
	Labels *Labels `json:"labels,omitempty"`
}

// Labels is what the newest pull of a Page's custom labels came to, or is about
// to. They are labels of contacts here, with fb: before their names.
type Labels struct {
	Waiting  bool         `json:"waiting"` // one is ordered and has not begun
	Began    time.Time    `json:"began,omitzero"`
	Ended    time.Time    `json:"ended,omitzero"` // zero: it goes on
	Labels   int          `json:"labels"`         // that the Page has
	Unusable int          `json:"unusable"`       // of those, whose names can't be labels here
	Contacts int          `json:"contacts"`       // known when it began
	Read     int          `json:"read"`
	Changed  int          `json:"changed"`
	Gone     int          `json:"gone"`   // contacts that the platform does not know or show
	Failed   int          `json:"failed"` // contacts that could not be read this time
	Error    *LabelsError `json:"error,omitempty"`
}

// LabelsError is why a pull ended early.
type LabelsError struct {
	Code    int    `json:"code,omitempty"` // the platform's; 0: it gave none
	Subcode int    `json:"subcode,omitempty"`
	Detail  string `json:"detail"`
	Link    string `json:"link,omitempty"` // where the platform sends the operator, as to accept the contact terms
}

// Enforcement is what a platform did to an account: the newest word on whether
// it is blocked, and the newest warning, each by the platform's clock.
type Enforcement struct {
	Action   string    `json:"action,omitempty"` // block or unblock; "": neither was told
	At       time.Time `json:"at,omitzero"`
	Why      string    `json:"why,omitempty"`
	Warning  string    `json:"warning,omitempty"`
	WarnedAt time.Time `json:"warned_at,omitzero"`
}

// MovedSender is a sender that was paused or resumed.
type MovedSender struct {
	Sender
	InForce  bool `json:"in_force"`  // every recheck from now on sees it
	InFlight int  `json:"in_flight"` // after a pause: claimed before, without an outcome yet

	// Uncounted says that the scheduler which answered was behind the ledger:
	// more than InFlight may still arrive.
	Uncounted bool `json:"uncounted,omitempty"`
}

// Review is a contact whose words may have meant stop.
type Review struct {
	Contact  string    `json:"contact"`
	At       time.Time `json:"at"`             // when the newest such words were written
	Text     string    `json:"text,omitempty"` // "": not kept any more, or taken back
	OptedOut bool      `json:"opted_out,omitempty"`
}

// What a person can make of a review.
const (
	ReviewOptOut = "optout"
	ReviewKeep   = "keep"
)

// ReviewRequest says what a contact's words meant.
type ReviewRequest struct {
	Contact  string    `json:"contact"`
	Decision string    `json:"decision"`    // ReviewOptOut or ReviewKeep
	At       time.Time `json:"at,omitzero"` // of the words that were read: later ones wait anew; zero: all
}

// SenderSpec is a Sender document.
type SenderSpec struct {
	Kind         string      `json:"kind"`
	ID           string      `json:"id"`
	Channel      string      `json:"channel"`
	Account      string      `json:"account"`
	Credential   string      `json:"credential"` // a reference, never the secret
	AppSecret    string      `json:"app_secret,omitempty"`
	Capabilities []string    `json:"capabilities,omitempty"`
	Rate         Rate        `json:"rate,omitzero"`
	Batch        bool        `json:"batch,omitempty"`
	Weight       int         `json:"weight,omitempty"`   // of the workers, where they are short; 0: 1
	Timezone     string      `json:"timezone,omitempty"` // IANA name
	QuietHours   *QuietHours `json:"quiet_hours,omitempty"`
	AdWindow     int         `json:"ad_window_hours,omitempty"` // hours
	RelaxFlows   bool        `json:"relax_flow_templates,omitempty"`
	NumberType   string      `json:"number_type,omitempty"`
	Restricted   bool        `json:"restricted,omitempty"`
	Withdrawn    []string    `json:"restricted_features,omitempty"`
	Disclosure   bool        `json:"disclosure_required,omitempty"`
	StopWords    []string    `json:"stop_words,omitempty"`
	StartWords   []string    `json:"start_words,omitempty"`
	HelpWords    []string    `json:"help_words,omitempty"`
	Unknown      Unknown     `json:"unknown,omitzero"`
	Labels       LabelsSpec  `json:"labels,omitzero"`

	AccountSID     string  `json:"account_sid,omitempty"`     // sms: the Twilio account
	StatusCallback string  `json:"status_callback,omitempty"` // sms: where receipts come in
	TenDLC         *TenDLC `json:"ten_dlc,omitempty"`         // sms: what carriers let the registered number send
}

// LabelsSpec is how the custom labels of a Page become labels of contacts.
type LabelsSpec struct {
	Pull string `json:"pull,omitempty"` // how often, a duration such as 1h; "": when it is ordered
}

// Unknown is what is made of messages of which the answer was lost.
type Unknown struct {
	LikelyAfter string `json:"likely_after,omitempty"` // a duration such as 10m, which is what "" means
	Redrive     bool   `json:"redrive,omitempty"`      // the standing order: those that are likely not sent go out again
}

// TenDLC is what carriers let a registered number send.
type TenDLC struct {
	Class     string `json:"class,omitempty"`      // AT&T's message class: A to F, or T
	PerMinute int    `json:"per_minute,omitempty"` // segments; 0: what the class allows
	PerDay    int    `json:"per_day,omitempty"`    // segments in a Pacific day; 0: no cap
	Brand     string `json:"brand,omitempty"`      // senders of one brand share its day
}

// Rate is a sender's cap on calls.
type Rate struct {
	PerSecond int `json:"per_second"` // 0: the default
	Burst     int `json:"burst,omitempty"`
}

// QuietHours are clock times, HH:MM, To excluded.
type QuietHours struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// LaneLoad is what a sender's lane has in hand, in jobs.
type LaneLoad struct {
	Sources   int `json:"sources"`   // broadcasts
	Unclaimed int `json:"unclaimed"` // with the workers
	Claimed   int `json:"claimed"`
	Held      int `json:"held"`
	Waiting   int `json:"waiting"` // given back, to go again

	Sidelined *Sidelined `json:"sidelined,omitempty"` // nil: the lane has its full share of the workers
}

// Sidelined says why a sender gets only single messages tried.
type Sidelined struct {
	Reason reason.Code `json:"reason"` // of the last messages that came back, or got no answer
	Since  time.Time   `json:"since"`
}

// BadRow is one row of a CSV that was not taken in.
type BadRow struct {
	Line   int    `json:"line"` // of the file, from 1, header included
	Reason string `json:"reason"`
}

// ImportProgress counts the rows of an import so far.
type ImportProgress struct {
	Rows      int `json:"rows"`      // read
	Written   int `json:"written"`   // new or changed contacts
	Unchanged int `json:"unchanged"` // repeated without a change
	Other     int `json:"other"`     // rows whose column sender names another one
	Bad       int `json:"bad"`       // refused, each reported
}

// ImportDone is how an import ended.
type ImportDone struct {
	ImportProgress
	InForce bool `json:"in_force"`        // every recheck from now on sees it; false after a check
	Check   bool `json:"check,omitempty"` // nothing was stored
}

// ImportEvent is one line of an import's answer: exactly one field is set.
// Done or Error is the last.
type ImportEvent struct {
	Bad      *BadRow         `json:"bad,omitempty"`
	Progress *ImportProgress `json:"progress,omitempty"`
	Done     *ImportDone     `json:"done,omitempty"`
	Error    *Problem        `json:"error,omitempty"`
}

// OptOutRequest records an opt-out that was made anywhere.
type OptOutRequest struct {
	Contact string `json:"contact"`         // the platform's id of the contact: PSID, IGSID or E.164 number
	Scope   string `json:"scope,omitempty"` // all (also "") or marketing
	Source  string `json:"source"`          // where it was made, in words
}

// OptOutResult says whether the line is drawn: in force, and nothing on its
// way. Otherwise InFlight names the jobs that may still arrive.
type OptOutResult struct {
	InForce  bool     `json:"in_force"`
	InFlight []string `json:"in_flight"`
}

// ContactChange is what somebody off the platform says of a contact at a
// moment. Each part counts by itself: of what was said of a label, the newest
// counts. Fields that are absent say nothing.
type ContactChange struct {
	Contact    string             `json:"contact"`               // the platform's id of the contact
	At         time.Time          `json:"at,omitzero"`           // since when it is so; zero: since now
	Name       *string            `json:"name,omitempty"`        // "": none
	Timezone   *string            `json:"timezone,omitempty"`    // IANA name; "": unknown
	Labels     map[string]bool    `json:"labels,omitempty"`      // false takes one off
	Attributes map[string]*string `json:"attributes,omitempty"`  // nil unsets one
	SMSConsent bool               `json:"sms_consent,omitempty"` // given
	OptOut     string             `json:"opt_out,omitempty"`     // all or marketing
	OptIn      string             `json:"opt_in,omitempty"`      // all or marketing: the contact's own word that it wants messages again
	Source     string             `json:"source,omitempty"`      // of an opt-out: where it was made, in words
}

// ContactChanges are changes of one sender's contacts, 1 to 500.
type ContactChanges struct {
	Contacts []ContactChange `json:"contacts"`
}

// ContactsChanged says what changes came to. Where a contact opted out, the
// line is drawn as by OptOut: InFlight names the jobs that may still arrive.
type ContactsChanged struct {
	Written   int      `json:"written"`   // new or changed contacts
	Unchanged int      `json:"unchanged"` // already so, or something newer is known
	InForce   bool     `json:"in_force"`
	InFlight  []string `json:"in_flight"`
}

// EventsTaken says what became of a CRM's events.
type EventsTaken struct {
	New      int          `json:"new"`       // kept now
	Repeated int          `json:"repeated"`  // known by source and id from before
	Contacts int          `json:"contacts"`  // that they were found to be about
	InFlight int          `json:"in_flight"` // messages to who opted out that may still arrive
	Nobody   []NobodyTold `json:"nobody"`    // events that name no contact

	Unresolved []NobodyTold `json:"unresolved,omitempty"` // events that name somebody, but not by every rule and flow that is for them
}

// NobodyTold is an event that names no contact: what it says is not kept. Of
// one that is unresolved it is.
type NobodyTold struct {
	Source string `json:"source"`
	ID     string `json:"id"`
	Why    string `json:"why,omitempty"` // "": no rule is for it, or it has none of what the rules read
}

// EraseRequest forgets a person.
type EraseRequest struct {
	Contact string    `json:"contact"`     // the platform's id of the contact
	At      time.Time `json:"at,omitzero"` // what was told up to then is forgotten; zero: up to now
}

// Erased says what an erasure came to.
type Erased struct {
	Events   int  `json:"events"`    // about the person, that were forgotten
	Complete bool `json:"complete"`  // no event is left; else the rest is forgotten within seconds
	InFlight int  `json:"in_flight"` // messages that may still arrive
}

// BroadcastSpec is a Broadcast document.
type BroadcastSpec struct {
	Kind         string   `json:"kind"`
	ID           string   `json:"id"`
	Sender       string   `json:"sender"`
	Audience     Audience `json:"audience,omitzero"`
	Message      Message  `json:"message"`
	Schedule     Schedule `json:"schedule,omitzero"`
	Pace         Pace     `json:"pace,omitzero"`
	ExpiresAfter string   `json:"expires_after,omitempty"`
}

// Audience says who is written to; the zero value is everybody.
type Audience struct {
	Labels        []string `json:"labels,omitempty"`
	ExcludeLabels []string `json:"exclude_labels,omitempty"`
	Where         string   `json:"where,omitempty"` // CEL
}

// Schedule says when; the zero value is when launched.
type Schedule struct {
	At string `json:"at,omitempty"` // RFC 3339
}

// Pace slows a broadcast down below its sender's rate.
type Pace struct {
	PerSecond int `json:"per_second,omitempty"` // 0: the sender's rate
}

// Frozen says how an audience came about.
type Frozen struct {
	At          time.Time `json:"at"`
	Contacts    int       `json:"contacts"`          // in the audience
	Seen        int       `json:"seen"`              // looked at
	NotMatching int       `json:"not_matching"`      // left out by labels or where
	Errors      int       `json:"errors,omitempty"`  // left out because where could not be decided
	Example     string    `json:"example,omitempty"` // one such error
	FactsSeq    uint64    `json:"facts_seq"`         // the facts' sequence that it was taken at
}

// Broadcast is a broadcast with what became of it.
type Broadcast struct {
	ID         string         `json:"id"`
	Sender     string         `json:"sender"`
	State      string         `json:"state"` // draft, scheduled, running, paused, done, cancelled or expired
	Spec       BroadcastSpec  `json:"spec"`
	Occurrence int            `json:"occurrence"`       // from 1; 0: not launched
	Source     string         `json:"source,omitempty"` // what its jobs and dead letters name it; "": not launched
	LaunchedAt time.Time      `json:"launched_at,omitzero"`
	DueAt      time.Time      `json:"due_at,omitzero"`
	EndsAt     time.Time      `json:"ends_at,omitzero"`
	ClosedAt   time.Time      `json:"closed_at,omitzero"`
	Frozen     *Frozen        `json:"frozen,omitempty"` // nil until the audience is frozen
	Counts     map[string]int `json:"counts"`           // by bucket, all seven
	Progress   Progress       `json:"progress"`

	Acknowledged []Acknowledged `json:"acknowledged,omitempty"` // warnings, at the launch
}

// Over tells whether nothing of the broadcast leaves any more.
func (b Broadcast) Over() bool { return Over(b.State) }

// Over tells whether a broadcast in this state has ended.
func Over(state string) bool { return state == "done" || state == "cancelled" || state == "expired" }

// Stopped is a broadcast that was paused or cancelled. Of InFlight jobs the
// outcome is still to come: they may arrive.
type Stopped struct {
	Broadcast
	InForce  bool `json:"in_force"`  // every recheck from now on sees it
	InFlight int  `json:"in_flight"` // claimed before, without an outcome yet

	// Uncounted says that the scheduler which answered was behind the ledger:
	// more than InFlight may still arrive.
	Uncounted bool `json:"uncounted,omitempty"`
}

// Counts is how many of an audience are in each bucket. Claimed and Held are
// parts of Pending.
type Counts struct {
	Sent      int `json:"sent"`
	Blocked   int `json:"blocked"`
	Failed    int `json:"failed"`
	Unknown   int `json:"unknown"`
	Cancelled int `json:"cancelled"`
	Expired   int `json:"expired"`
	Pending   int `json:"pending"`
	Claimed   int `json:"claimed"`
	Held      int `json:"held"`
}

// Progress is where a broadcast stands by the running tally, which may be a
// moment behind the ledger. An audit is exact.
type Progress struct {
	ID            string              `json:"id"`
	State         string              `json:"state"`
	Audience      int                 `json:"audience"`
	Frozen        bool                `json:"frozen"` // false: the audience is not fixed yet, and counts as empty
	Counts        Counts              `json:"counts"`
	ByReason      map[reason.Code]int `json:"by_reason"`                 // of what ended and was not sent
	RatePerSecond float64             `json:"rate_per_second,omitempty"` // messages sent, mean from the freeze to the newest record; absent before the first
	At            time.Time           `json:"at"`
}

// Audit is the proven account of a broadcast: the seven buckets sum up to
// Audience where Balanced.
type Audit struct {
	Audience  int                 `json:"audience"`
	Sent      int                 `json:"sent"`
	Blocked   int                 `json:"blocked"`
	Failed    int                 `json:"failed"`
	Unknown   int                 `json:"unknown"`
	Cancelled int                 `json:"cancelled"`
	Expired   int                 `json:"expired"`
	Pending   int                 `json:"pending"`
	ByReason  map[reason.Code]int `json:"by_reason"` // of what ended and was not sent
	Balanced  bool                `json:"balanced"`
	State     string              `json:"state"`
	Frozen    bool                `json:"frozen"`     // false: the audience is not fixed yet, and counts as empty
	Held      map[reason.Code]int `json:"held"`       // of what is pending because it waits for something
	Claimed   int                 `json:"claimed"`    // of what is pending, on the wire or about to be
	Doubtful  int                 `json:"doubtful"`   // not sent by the last outcome, yet an earlier attempt's answer was lost: they may have it
	Problems  []string            `json:"problems"`   // why it does not balance
	LedgerSeq uint64              `json:"ledger_seq"` // ledger sequence of the moment

	Delivered int `json:"delivered"` // of Sent: the platform says that they were delivered, or read
	Read      int `json:"read"`      // of Delivered

	LikelyNotSent           int `json:"likely_not_sent"`            // of Unknown: no echo came, though others' did
	RedrivenByStandingOrder int `json:"redriven_by_standing_order"` // jobs that went again by the sender's document, whatever became of them
}

// FlowAudit is the proven account of a flow: of all that was planned, and of
// each part of it.
type FlowAudit struct {
	Audit             // LedgerSeq is 0: there is one for each part
	Parts []AuditPart `json:"parts"` // by month, part and sender
}

// AuditPart is the account of what one sender sent for a flow in one part of
// one month's ledger.
type AuditPart struct {
	Month   string `json:"month"` // yyyymm
	Part    int    `json:"part"`
	Sender  string `json:"sender"`
	Account Audit  `json:"account"`
}

// AuditMember is one contact of an audience with where its job stands.
type AuditMember struct {
	Job     string      `json:"job"`
	Contact string      `json:"contact"`      // key
	ID      string      `json:"id,omitempty"` // the platform's id of the contact; "": nothing is known of it any more
	Bucket  string      `json:"bucket"`
	State   string      `json:"state"`
	Reason  reason.Code `json:"reason,omitempty"`
}

// Forecast is what the gate would say of an audience at a moment, by what is
// known now.
type Forecast struct {
	At       time.Time           `json:"at"`
	Audience int                 `json:"audience"`
	Send     map[string]int      `json:"send"`  // by rule
	Hold     map[reason.Code]int `json:"hold"`  // by reason
	Block    map[reason.Code]int `json:"block"` // by reason
}

// Record is one move of a job, as the ledger has it.
type Record struct {
	State     string        `json:"state"`
	From      string        `json:"from"`
	Attempt   int           `json:"attempt,omitempty"`
	At        time.Time     `json:"at"`
	Reason    reason.Code   `json:"reason,omitempty"`
	Rule      string        `json:"rule,omitempty"`
	Evidence  string        `json:"evidence,omitempty"`  // what the verdict was decided on, in words
	FactsSeq  uint64        `json:"facts_seq,omitempty"` // the facts' watermark that the verdict saw
	Until     time.Time     `json:"until,omitzero"`      // not before
	Deadline  time.Duration `json:"deadline,omitempty"`  // claimed: how long the claim stands, ns
	MessageID string        `json:"message_id,omitempty"`
	Code      int           `json:"code,omitempty"` // the platform's error
	Subcode   int           `json:"subcode,omitempty"`
	Status    int           `json:"status,omitempty"` // HTTP status of the platform's answer
	Detail    string        `json:"detail,omitempty"` // the platform's words, scrubbed
	Trace     string        `json:"trace,omitempty"`  // trace id, 32 hex digits
	By        string        `json:"by,omitempty"`
	Discarded bool          `json:"discarded,omitempty"`
}

// Step is one thing that happened to a job.
type Step struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"` // launched, planned, waiting, or a state of the job
	Text   string    `json:"text"` // in words
	Seq    uint64    `json:"seq,omitempty"`
	Record *Record   `json:"record,omitempty"` // nil where no record tells it
}

// Now is what the gate would say of a job at this moment.
type Now struct {
	Verdict string      `json:"verdict"` // send, hold or block
	Rule    string      `json:"rule,omitempty"`
	Reason  reason.Code `json:"reason,omitempty"`
	Text    string      `json:"text"`
}

// Doubt is what is known of a message of which the answer was lost: evidence,
// not proof.
type Doubt struct {
	LikelyNotSent bool   `json:"likely_not_sent"`
	Text          string `json:"text"`
}

// Story is what became of one job.
type Story struct {
	Job       string      `json:"job"`
	Broadcast string      `json:"broadcast"`      // "" for a flow's
	Flow      string      `json:"flow,omitempty"` // of a flow's: which one, the run that asked for it, and at which step
	Run       string      `json:"run,omitempty"`
	Step      string      `json:"step,omitempty"`
	State     string      `json:"state"`
	Bucket    string      `json:"bucket"`
	Reason    reason.Code `json:"reason,omitempty"`
	Steps     []Step      `json:"steps"`
	Now       *Now        `json:"now,omitempty"`   // of a job that can still move
	Doubt     *Doubt      `json:"doubt,omitempty"` // of a job whose outcome is unknown
}

// ContactOptOut is one recorded opt-out.
type ContactOptOut struct {
	Scope  string    `json:"scope"` // all or marketing
	At     time.Time `json:"at"`
	Source string    `json:"source,omitempty"`
}

// Contact is what is known of one contact of a sender.
type Contact struct {
	ID          string            `json:"id"` // the platform's
	Name        string            `json:"name,omitempty"`
	Timezone    string            `json:"timezone,omitempty"`
	Labels      []string          `json:"labels,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	LastInbound time.Time         `json:"last_inbound,omitzero"`
	OpenedBy    string            `json:"opened_by,omitempty"`
	AdMessageAt time.Time         `json:"ad_message_at,omitzero"`
	OptOuts     []ContactOptOut   `json:"opt_outs,omitempty"`
	BlockedAt   time.Time         `json:"blocked_at,omitzero"`
	SMSConsent  bool              `json:"sms_consent,omitempty"`
	ErasedAt    time.Time         `json:"erased_at,omitzero"` // what was told up to then is forgotten, but what forbids
}

// Missed says why a contact is not in a broadcast's audience.
type Missed struct {
	Broadcast string `json:"broadcast"`
	Why       string `json:"why"`
}

// ContactStory is everything that was meant for one contact of a sender.
type ContactStory struct {
	Key     string   `json:"key"` // what jobs name the contact
	Known   bool     `json:"known"`
	Contact *Contact `json:"contact,omitempty"` // nil where nothing is known
	Stories []Story  `json:"stories"`           // oldest first
	Missed  []Missed `json:"missed"`
}

// Letter is a dead letter: a job that ended blocked, failed or unknown.
type Letter struct {
	Job      string      `json:"job"`
	Sender   string      `json:"sender"`
	Contact  string      `json:"contact,omitempty"` // the platform's id of the contact; "": nothing is known of it any more
	Source   string      `json:"source"`
	State    string      `json:"state"`
	Reason   reason.Code `json:"reason"`
	Rule     string      `json:"rule,omitempty"`
	Evidence string      `json:"evidence,omitempty"`
	At       time.Time   `json:"at"`
	Attempt  int         `json:"attempt,omitempty"`
	Code     int         `json:"code,omitempty"`
	Subcode  int         `json:"subcode,omitempty"`
	Detail   string      `json:"detail,omitempty"`
	Trace    string      `json:"trace,omitempty"`
	Seq      uint64      `json:"seq"`             // of the outcome in the ledger
	Doubt    *Doubt      `json:"doubt,omitempty"` // where the outcome is unknown
}

// DeadFilter picks dead letters. Zero fields pick all.
type DeadFilter struct {
	Reason reason.Code `json:"reason,omitempty"`
	State  string      `json:"state,omitempty"` // blocked, failed or unknown
	Sender string      `json:"sender,omitempty"`
	Source string      `json:"source,omitempty"` // as a letter names it, or a broadcast's id
	Since  time.Time   `json:"since,omitzero"`
	Until  time.Time   `json:"until,omitzero"` // excluded

	LikelyNotSent bool `json:"likely_not_sent,omitempty"` // only unknown outcomes that are likely not sent
}

// HandleRequest picks dead letters to redrive or discard, either by job or by
// filter.
type HandleRequest struct {
	Jobs   []string    `json:"jobs,omitempty"`
	Filter *DeadFilter `json:"filter,omitempty"` // an empty one picks all
	DryRun bool        `json:"dry_run,omitempty"`
	By     string      `json:"by,omitempty"` // who asks, for the job's story; "": the API
}

// Refusal says why nothing was done about a job.
type Refusal struct {
	Job string `json:"job"`
	Why string `json:"why"`
}

// HandleResult is what became of the letters that were picked. After a dry
// run Done counts what would be done.
type HandleResult struct {
	Matched      int       `json:"matched"`
	Done         int       `json:"done"`
	Refused      []Refusal `json:"refused"` // the first thousand
	RefusedCount int       `json:"refused_count"`
}
