package twilio

import (
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Rule is one row of the error table: what an error means to a job. The same
// codes come in two ways: in the answer to a send, which then did not happen,
// and later, when a carrier did not take what Twilio had accepted. Then the job
// ends with Reason whatever Action says; what Action says of the sender or the
// contact holds all the same.
type Rule struct {
	Code    int
	Meaning string // in our words
	Action  channel.Action
	Reason  reason.Code
	After   time.Duration // as channel.Result.After
	Limit   int           // as channel.Result.Limit
	Day     bool          // nothing goes until the next Pacific day: After is how far away that is
}

const few = 3

// How long to wait. None is published but the day.
const (
	shortly = 5 * time.Second
	slowed  = 2 * time.Second // too many calls at a time
	queued  = time.Minute     // Twilio's own queue of the number is full
)

// unlisted is what an error outside the table means: worth a few tries, then
// the job ends. It never pauses a sender.
var unlisted = Rule{Meaning: "an error outside the table", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few}

// overloaded is what a bare 429 means, which names no code.
var overloaded = Rule{Meaning: "too many requests", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed}

// errorTable has the errors of sending a text message, of Twilio's API (2xxxx)
// and of carriers (3xxxx), and those of other channels that Twilio carries
// (63xxx). Never written to.
var errorTable = [...]Rule{
	{Code: 14107, Meaning: "the number sends too fast", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 20003, Meaning: "the account's credential is refused", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 20005, Meaning: "the account is not active", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 20404, Meaning: "the account does not exist", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 20429, Meaning: "too many requests", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 21211, Meaning: "no valid number", Reason: reason.RecipientNotFound},
	{Code: 21212, Meaning: "the sender's number is not valid", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 21408, Meaning: "the account may not send to this region", Reason: reason.PlatformRejected},
	{Code: 21602, Meaning: "the message has no text", Reason: reason.PlatformRejected},
	{Code: 21603, Meaning: "no sender is named", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 21604, Meaning: "no recipient is named", Reason: reason.RecipientNotFound},
	{Code: 21606, Meaning: "the number can't send messages, or not there", Reason: reason.PlatformRejected},
	{Code: 21609, Meaning: "the address of status callbacks is not valid", Action: channel.PauseSender, Reason: reason.PlatformRejected},
	{Code: 21610, Meaning: "the person has opted out", Action: channel.OptOut, Reason: reason.OptedOut},
	{Code: 21611, Meaning: "the number's queue is full", Action: channel.SlowSender, Reason: reason.RateCapped, After: queued},
	{Code: 21612, Meaning: "this number can't be reached from the sender's", Reason: reason.RecipientUnavailable},
	{Code: 21614, Meaning: "no mobile number", Reason: reason.RecipientNotFound},
	{Code: 21617, Meaning: "the text is longer than 1,600 characters", Reason: reason.TextTooLong},
	{Code: 21635, Meaning: "a landline", Reason: reason.RecipientNotFound},
	{Code: 21659, Meaning: "the sender's number is none of Twilio's", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 21660, Meaning: "the sender's number is of another account", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 21701, Meaning: "the messaging service does not exist", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 21702, Meaning: "the messaging service is not available", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 21703, Meaning: "the messaging service has no numbers", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 30001, Meaning: "the queue is full", Action: channel.SlowSender, Reason: reason.RateCapped, After: queued},
	{Code: 30002, Meaning: "the account is suspended", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 30003, Meaning: "the phone can't be reached", Action: channel.Retry, Reason: reason.RecipientUnavailable, After: queued, Limit: few},
	{Code: 30004, Meaning: "the message is blocked, by the person or the carrier", Reason: reason.RecipientUnavailable},
	{Code: 30005, Meaning: "the phone is not known", Reason: reason.RecipientNotFound},
	{Code: 30006, Meaning: "a landline, or a carrier that can't be reached", Reason: reason.RecipientNotFound},
	{Code: 30007, Meaning: "the carrier filtered the message", Reason: reason.CarrierFiltered},
	{Code: 30008, Meaning: "the carrier gives no cause", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 30022, Meaning: "more than the campaign may send", Action: channel.SlowSender, Reason: reason.RateCapped, After: queued},
	{Code: 30023, Meaning: "the brand's daily cap is spent", Action: channel.SlowSender, Reason: reason.BudgetSpent, Day: true},
	{Code: 30027, Meaning: "the brand's daily cap at T-Mobile is spent", Action: channel.SlowSender, Reason: reason.BudgetSpent, Day: true},
	{Code: 30032, Meaning: "the toll-free number is not verified", Action: channel.PauseSender, Reason: reason.SenderUnregistered},
	{Code: 30034, Meaning: "the number is of no registered campaign", Action: channel.PauseSender, Reason: reason.SenderUnregistered},
	{Code: 63013, Meaning: "the channel's policy forbids it", Reason: reason.PlatformRejected},
	{Code: 63014, Meaning: "the person has blocked the sender", Action: channel.OptOut, Reason: reason.OptedOut},
	{Code: 63016, Meaning: "outside the window", Reason: reason.PlatformWindow},
	{Code: 63018, Meaning: "the channel's rate", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 63033, Meaning: "the person has blocked the sender", Action: channel.OptOut, Reason: reason.OptedOut},
	{Code: 63038, Meaning: "the account's daily cap is spent", Action: channel.SlowSender, Reason: reason.BudgetSpent, Day: true},
}

// Rules returns the error table, for whoever prints or checks it. The slice is
// the caller's.
func Rules() []Rule { return slices.Clone(errorTable[:]) }

// find returns the rule of a code. ok is false when it is in no row; the rule is
// then that of unlisted errors.
func find(code int) (rule *Rule, ok bool) {
	i, ok := slices.BinarySearchFunc(errorTable[:], code, func(r Rule, code int) int { return r.Code - code })
	if !ok {
		return &unlisted, false
	}
	return &errorTable[i], true
}

// Later says what an error means that comes after the message was accepted: why
// the job ends, and what is to be done about its sender or contact.
func Later(code int) (why reason.Code, act channel.Action) {
	rule, _ := find(code)
	return rule.Reason, rule.Action
}
