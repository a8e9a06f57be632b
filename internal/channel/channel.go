// Package channel is the contract between the worker and a messaging
// platform: what is asked of it, and what its answer means to a job. The
// packages below it know their platform's wire form and error codes; nobody
// else does.
package channel

import (
	"context"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/content"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Account is who sends: the platform account and its credentials.
type Account struct {
	ID        string // Page id, Instagram account id, E.164 number or Twilio messaging service
	Instagram bool   // the account is an Instagram one (same endpoint, other limits)
	Token     secret.Text
	AppSecret secret.Text // empty: no appsecret_proof is sent
	Owner     string      // SMS: the Twilio account that ID belongs to
	Callback  string      // SMS: where the platform tells what became of a message; empty: nowhere
}

// Message is one rendered message, ready for the wire.
type Message struct {
	Job       string // job id; travels as metadata, so that an echo names the job
	Recipient string // PSID, IGSID or E.164 number; or what To says
	To        RecipientKind
	Type      string // messaging_type: RESPONSE, UPDATE, MESSAGE_TAG, UTILITY
	Tag       string // with MESSAGE_TAG
	Text      string
	Body      *content.Body // beside the text, or in its place; nil: a plain text
	Expires   time.Time     // SMS: after it nobody wants the message any more; zero: never
}

// RecipientKind says what names the recipient. All but the contact serve once.
type RecipientKind uint8

// The kinds of recipients.
const (
	ToContact RecipientKind = iota // the contact's own address
	ToComment                      // the id of a comment, which its author is answered to in private
	ToPost                         // the id of a visitor's post, the same
	ToToken                        // the token of one notification
)

// Outcome says what is known of one message after a call.
type Outcome uint8

// The outcomes of a call. The zero value is Unknown: what nobody decided may
// have been accepted.
const (
	Unknown  Outcome = iota // the platform may have it: never sent again unasked
	Accepted                // the platform has it
	Refused                 // the platform said no; it does not have it
	NotSent                 // nothing left this process
)

// Action is what a refusal asks of the worker.
type Action uint8

// The actions of the error table. The zero value dead-letters the job.
const (
	DeadLetter    Action = iota // the job ends failed with Reason
	Retry                       // try the job again after Result.After
	BlockContact                // the job ends; the contact is blocked until the next inbound
	PauseSender                 // the job goes back; the sender is paused with Reason
	SlowSender                  // the job goes back after Result.After; the sender slows down
	ThreadBusy                  // try again shortly; after a few times the job ends
	CooldownOfOne               // the job waits; this contact is left alone for Result.After
	OptOut                      // the job ends; the platform says that the contact opted out
)

// String names the outcome as it is written in records and logs.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Accepted:
		return "accepted"
	case Refused:
		return "refused"
	case NotSent:
		return "not_sent"
	}
	return "outcome(" + strconv.Itoa(int(o)) + ")"
}

// String names the action as it is written in records and logs.
func (a Action) String() string {
	switch a {
	case DeadLetter:
		return "dead_letter"
	case Retry:
		return "retry"
	case BlockContact:
		return "block_contact"
	case PauseSender:
		return "pause_sender"
	case SlowSender:
		return "slow_sender"
	case ThreadBusy:
		return "thread_busy"
	case CooldownOfOne:
		return "cooldown_of_one"
	case OptOut:
		return "opt_out"
	}
	return "action(" + strconv.Itoa(int(a)) + ")"
}

// Result is what a call says of one message. The zero Result is an Unknown
// without a reason; no Platform returns it.
type Result struct {
	Outcome   Outcome
	MessageID string        // the platform's id, with Accepted
	Action    Action        // with Refused or NotSent
	Reason    reason.Code   // with everything but Accepted
	After     time.Duration // how long to wait before Action's next try; 0: the caller's own choice
	Limit     int           // attempts in all before Then takes over; 0: the caller's own limit
	// Then replaces Action once Limit is reached. When it is BlockContact the
	// job ends as reason.RecipientUnavailable, whatever Reason said so far.
	Then    Action
	Code    int    // platform error code; 0: none
	Subcode int    // platform error subcode; 0: none
	App     bool   // with SlowSender: the app is too fast, not this account alone
	Status  int    // HTTP status; 0: no answer
	Detail  string // the platform's words, scrubbed of addresses and texts
	TraceID string // the platform's own trace id (fbtrace_id)
	// Usage and AppUsage are the highest percentages that the usage headers name
	// of the account's quotas and of the app's, 0 to 100; 0 when absent.
	Usage, AppUsage int
}

// Platform sends messages. Implementations never retry a send, keep every
// call within ctx, and report what may have left as Unknown.
type Platform interface {
	// Send makes one call for one message.
	Send(ctx context.Context, a Account, m Message) Result
	// SendBatch makes one call for up to 50 messages. It returns one result
	// for each message, in order.
	SendBatch(ctx context.Context, a Account, ms []Message) []Result
}
