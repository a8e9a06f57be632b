package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// fails says whether the condition that code stands for refuses the message
// under permission p.
func (j *judge) fails(p *permission, code reason.Code) bool {
	switch code {
	case reason.NotOnChannel:
		return !p.on(j.channel) || j.offChannel()
	case reason.SponsoredNotSendable: // asked only of what is not sendable
		return true
	case reason.TagPromotional:
		return j.m.Promotional
	case reason.TagNeedsHuman:
		return !contains(p.Authors, j.origin())
	case reason.TagNeedsTemplate:
		return !j.m.HasTemplate || j.templateKind() != p.Template
	case reason.UseCaseMissing:
		return j.m.UseCase != "" && !contains(p.UseCases, j.m.UseCase)
	case reason.CapabilityMissing:
		return !contains(j.s.Capabilities, p.Capability)
	case reason.RegionExcluded:
		return contains(p.Excluded, j.f.Country)
	case reason.NeverWrote:
		return j.wrote().IsZero()
	case reason.TagWindowClosed:
		return j.age(j.wrote()) >= time.Duration(p.Limit)
	default:
		return j.onceFails(p, code)
	}
}

// onceFails looks at the facts behind permissions that serve once, or once
// in a while.
func (j *judge) onceFails(p *permission, code reason.Code) bool {
	c, t, n := &j.f.Comment, &j.f.OneTimeToken, &j.f.Notification
	limit := time.Duration(p.Limit)
	switch code {
	case reason.PrivateReplyMissing:
		return c.At.IsZero()
	case reason.PrivateReplyExpired:
		return c.LiveOver || j.age(c.At) >= limit
	case reason.PrivateReplyUsed:
		return c.Replied
	case reason.TokenMissing:
		return t.Created.IsZero()
	case reason.TokenUsed:
		return t.Used
	case reason.TokenExpired:
		if p.Since == sinceNotification {
			// A known end is the first instant without the token.
			return !n.Expires.IsZero() && !j.at.Before(n.Expires)
		}
		return j.age(t.Created) >= limit
	case reason.TopicStopped:
		return n.Stopped
	case reason.TokenCooldown:
		return !n.LastSent.IsZero() && j.age(n.LastSent) < p.cooldown(j.sec)
	default:
		return false
	}
}

// failure is the verdict where the condition refuses the message.
func (j *judge) failure(p *permission, code reason.Code) Verdict {
	v := j.refuse(p.ID, code, code == reason.TokenCooldown, Evidence{Note: conditionNote(code)})
	switch code {
	case reason.TagWindowClosed, reason.PrivateReplyExpired, reason.PrivateReplyUsed, reason.TokenUsed:
		note := v.Evidence.Note
		v.Evidence = j.basis(p)
		v.Evidence.Note = note
		if code == reason.PrivateReplyExpired && j.f.Comment.LiveOver {
			v.Evidence.Note = "the live broadcast is over"
		}
	case reason.TagNeedsHuman:
		if len(p.Authors) != 1 || p.Authors[0] != "agent" {
			v.Evidence.Note = "its origin is not one that the permission is for"
		}
	case reason.TokenExpired:
		v.Evidence = j.basis(p)
		if p.Since == sinceNotification {
			v.Evidence = j.measure("end of the token", j.f.Notification.Expires, 0)
		}
	case reason.TokenCooldown:
		v.Evidence = j.basis(p)
		v.Until = j.f.Notification.LastSent.Add(v.Evidence.Limit).UTC()
	}
	return v
}

// conditionNote is the evidence of a condition where numbers don't tell it.
func conditionNote(code reason.Code) string {
	return map[reason.Code]string{
		reason.NotOnChannel:         "the channel does not have it",
		reason.SponsoredNotSendable: "only an ads account sends these",
		reason.TagPromotional:       "the permission carries nothing promotional",
		reason.TagNeedsHuman:        "a person must write it",
		reason.TagNeedsTemplate:     "the permission goes with its own template only",
		reason.UseCaseMissing:       "not one of the approved use cases",
		reason.CapabilityMissing:    "the sender lacks the capability",
		reason.RegionExcluded:       "not offered in the contact's country",
		reason.PrivateReplyMissing:  "no comment to answer is known",
		reason.PrivateReplyUsed:     "the comment was answered before",
		reason.TokenMissing:         "the person gave no token",
		reason.TokenUsed:            "the token was used before",
		reason.TopicStopped:         "the person stopped the topic",
		reason.NeverWrote:           "the contact never wrote",
	}[code]
}
