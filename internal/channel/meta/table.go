package meta

import (
	"time"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// Any in a Rule stands for every value of that number.
const Any = -1

// Rule is one row of the error table: what a platform error means to a job.
type Rule struct {
	Code      int    // or Any
	Subcode   int    // 0: only without a subcode; or Any
	Meaning   string // in our words
	Action    channel.Action
	Reason    reason.Code
	After     time.Duration  // as channel.Result.After
	Limit     int            // as channel.Result.Limit
	Then      channel.Action // as channel.Result.Then
	App       bool           // as channel.Result.App
	MaybeSent bool           // the error says that the message may be out: never a refusal
}

// How often a job is tried in all against an error that may pass: few times, a
// media fetch twice.
const (
	few   = 3
	twice = 2
)

// How long to wait, where the answer does not say it. None is published by
// the platform, except that a restriction is known to lift after half an hour
// at the earliest.
const (
	shortly    = 5 * time.Second
	threadIdle = 30 * time.Second // a person at the inbox, or an automated question
	slowed     = time.Minute
	restricted = 30 * time.Minute
	dayOff     = 24 * time.Hour
)

// errorTable has every error that the platform documents for sending, and
// those that others have seen. Permission codes pause a sender only when they
// come without a subcode: a subcode may speak of one recipient, and a sender
// paused for that is a broadcast lost. Never written to.
var errorTable = [...]Rule{
	{Code: 1, Subcode: Any, Meaning: "unknown error; a missing permission can cause it", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 1, Subcode: 99, Meaning: "unknown error", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 1, Subcode: 1357046, Meaning: "the reply was invalid, yet all may have been sent", Reason: reason.OutcomeUnknown, MaybeSent: true},
	{Code: 2, Subcode: Any, Meaning: "unexpected error, or the person has blocked the sender", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few, Then: channel.BlockContact},
	{Code: 2, Subcode: 2018344, Meaning: "the page has not accepted the contact terms that labels need", Action: channel.PauseSender, Reason: reason.FeatureRestricted},
	{Code: 3, Subcode: Any, Meaning: "the service has a problem", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 4, Subcode: Any, Meaning: "the app sends too many requests", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed, App: true},
	{Code: 4, Subcode: 2018022, Meaning: "too many sends to phone numbers", Action: channel.Retry, Reason: reason.RateCapped, After: slowed},
	{Code: 4, Subcode: 2018354, Meaning: "a marketing message before its minimum delay", Action: channel.Retry, Reason: reason.TokenCooldown, After: dayOff},
	{Code: 9, Subcode: 2018352, Meaning: "too many opt-in requests", Reason: reason.PlatformRejected},
	{Code: 10, Meaning: "the permission to send is missing", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 10, Subcode: 1404170, Meaning: "the page may not send opt-in requests", Action: channel.PauseSender, Reason: reason.FeatureRestricted},
	{Code: 10, Subcode: 1893015, Meaning: "the person stopped the notifications of this topic", Action: channel.BlockContact, Reason: reason.TopicStopped},
	{Code: 10, Subcode: 1893063, Meaning: "the sender is restricted from sending for a while", Action: channel.PauseSender, Reason: reason.SenderRestricted, After: restricted},
	{Code: 10, Subcode: 2018065, Meaning: "outside the window, and no permission for news", Reason: reason.PlatformWindow},
	{Code: 10, Subcode: 2018278, Meaning: "outside the window", Reason: reason.PlatformWindow},
	{Code: 10, Subcode: 2534022, Meaning: "outside the window (Instagram)", Reason: reason.PlatformWindow},
	{Code: 10, Subcode: 2018108, Meaning: "the person cannot receive messages now", Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
	{Code: 10, Subcode: 2018336, Meaning: "the person's thread is limited (Europe, Japan)", Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
	{Code: 10, Subcode: 2534077, Meaning: "the Instagram account's link or second factor needs attention", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 10, Subcode: 2018300, Meaning: "another app has control of the thread", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: 10900, Subcode: Any, Meaning: "the comment was answered in private before", Reason: reason.PrivateReplyUsed},
	{Code: 10903, Subcode: Any, Meaning: "a private reply after its 7 days", Reason: reason.PrivateReplyExpired},
	{Code: 17, Subcode: Any, Meaning: "the user's request limit", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 32, Subcode: Any, Meaning: "the page's request limit", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 100, Subcode: Any, Meaning: "a bad parameter, id or token", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 1893061, Meaning: "the message tag is retired", Reason: reason.TagRetired},
	{Code: 100, Subcode: 33, Meaning: "the object is missing or not ours", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018001, Meaning: "no such person", Reason: reason.RecipientNotFound},
	{Code: 100, Subcode: 2018007, Meaning: "the upload failed", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 100, Subcode: 2018008, Meaning: "the media could not be fetched", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: twice},
	{Code: 100, Subcode: 2018047, Meaning: "the media's type is not the one named", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: twice},
	{Code: 100, Subcode: 2018294, Meaning: "the video took longer than 75 s to fetch", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: twice},
	{Code: 100, Subcode: 2018109, Meaning: "the attachment is too large", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018034, Meaning: "the message is empty", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018032, Meaning: "the message's data is invalid", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018014, Meaning: "a message and a sender action in one call", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018074, Meaning: "the attachment id is invalid", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018164, Meaning: "the app id is invalid", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018320, Meaning: "the product is invalid", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2018328, Meaning: "the products are invalid", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2534013, Meaning: "the Instagram account is not linked", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 100, Subcode: 2534014, Meaning: "no such person (Instagram)", Reason: reason.RecipientNotFound},
	{Code: 100, Subcode: 2534015, Meaning: "the message's data is invalid (Instagram)", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2534025, Meaning: "the comment of a private reply is invalid (Instagram)", Reason: reason.PlatformRejected},
	{Code: 100, Subcode: 2534029, Meaning: "the business is shut out of messaging (Instagram)", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 100, Subcode: 2534037, Meaning: "another app has control of the thread (Instagram)", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: 102, Subcode: Any, Meaning: "the session is invalid", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: Any, Meaning: "the token is invalid", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 458, Meaning: "the app was removed from the account", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 459, Meaning: "the account must pass a checkpoint", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 460, Meaning: "the password was changed", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 463, Meaning: "the token has expired", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 467, Meaning: "the token was invalidated", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 190, Subcode: 492, Meaning: "the token's user has no role on the page", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 200, Meaning: "a permission is missing or the app is not live", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 200, Subcode: 1545041, Meaning: "the person is not available", Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
	{Code: 200, Subcode: 2018021, Meaning: "phone matching is not paid for", Action: channel.PauseSender, Reason: reason.FeatureRestricted},
	{Code: 200, Subcode: 2018027, Meaning: "phone matching has not passed review", Action: channel.PauseSender, Reason: reason.FeatureRestricted},
	{Code: 200, Subcode: 2018028, Meaning: "the app has not passed review", Action: channel.PauseSender, Reason: reason.FeatureRestricted},
	{Code: 200, Subcode: 2534041, Meaning: "the owner has closed access to messages (Instagram)", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 200, Subcode: 2534066, Meaning: "not permitted for this person (Instagram)", Action: channel.Retry, Reason: reason.RecipientUnavailable, After: shortly, Limit: few},
	{Code: 230, Meaning: "a permission is missing", Action: channel.PauseSender, Reason: reason.CredentialInvalid},
	{Code: 368, Subcode: Any, Meaning: "blocked for a while for breaking a policy", Action: channel.PauseSender, Reason: reason.SenderRestricted, After: restricted},
	{Code: 506, Subcode: Any, Meaning: "the same post again", Reason: reason.PlatformRejected},
	{Code: 508, Subcode: 2534122, Meaning: "a link that may not be shared", Reason: reason.PlatformRejected},
	{Code: 551, Subcode: Any, Meaning: "the person is not available", Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
	{Code: 551, Subcode: 1545041, Meaning: "the person is not available", Action: channel.BlockContact, Reason: reason.RecipientUnavailable},
	{Code: 613, Subcode: Any, Meaning: "too many calls", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 613, Subcode: 1893016, Meaning: "a second opt-in request on the same topic", Reason: reason.PlatformRejected},
	{Code: 613, Subcode: 2018338, Meaning: "too many tagged messages to this person", Action: channel.CooldownOfOne, Reason: reason.ContactCapped, After: dayOff},
	{Code: 613, Subcode: 2534040, Meaning: "too many calls (Instagram)", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 1200, Subcode: Any, Meaning: "sending failed for the moment", Action: channel.Retry, Reason: reason.PlatformRejected, After: shortly, Limit: few},
	{Code: 2022, Subcode: Any, Meaning: "commerce messages are disabled after a policy violation", Action: channel.PauseSender, Reason: reason.SenderRestricted},
	{Code: 10303, Subcode: Any, Meaning: "account linking failed", Reason: reason.PlatformRejected},
	{Code: 80001, Subcode: Any, Meaning: "the page's use case limit", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 80002, Subcode: Any, Meaning: "Instagram's use case limit", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 80006, Subcode: Any, Meaning: "Messenger's use case limit", Action: channel.SlowSender, Reason: reason.RateCapped, After: slowed},
	{Code: 2018300, Subcode: Any, Meaning: "another app has control of the thread", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: Any, Subcode: 2018300, Meaning: "another app has control of the thread", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: 2018321, Subcode: Any, Meaning: "the person is answering automated questions", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: Any, Subcode: 2018321, Meaning: "the person is answering automated questions", Action: channel.ThreadBusy, Reason: reason.ThreadControlled, After: threadIdle, Limit: few},
	{Code: 9000001, Subcode: Any, Meaning: "the message was deleted", Reason: reason.PlatformRejected},
	{Code: 36000, Subcode: Any, Meaning: "the image is too large", Reason: reason.PlatformRejected},
}
