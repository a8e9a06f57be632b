package policy

import (
	"time"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// permission is a Permission made ready: the conditions that it has, in the
// order of the rulebook, and the advice that it may give.
type permission struct {
	term
	*Permission
	conditions []reason.Code
	advice     []*advice // that it may give
	ended      string    // evidence note
	begins     string    // evidence note
}

// id is the permission's, "" for none.
func (p *permission) id() string {
	if p == nil {
		return ""
	}
	return p.ID
}

func (rb *Rulebook) newPermission(p *Permission) *permission {
	out := &permission{term: p.term(), Permission: p}
	if !p.To.IsZero() {
		out.ended = "ended on " + p.To.String()
	}
	if !p.From.IsZero() {
		out.begins = "begins on " + p.From.String()
	}
	for _, code := range rb.Conditions {
		if p.asks(code) {
			out.conditions = append(out.conditions, code)
		}
	}
	return out
}

// asks says whether code is a condition of p.
func (p *Permission) asks(code reason.Code) bool {
	switch code {
	case reason.NotOnChannel:
		return true
	case reason.SponsoredNotSendable:
		return p.NotSendable
	case reason.TagPromotional:
		return !p.Promotional
	case reason.TagNeedsHuman:
		return len(p.Authors) > 0
	case reason.TagNeedsTemplate:
		return p.Template != ""
	case reason.UseCaseMissing:
		return len(p.UseCases) > 0
	case reason.CapabilityMissing:
		return p.Capability != ""
	case reason.RegionExcluded:
		return len(p.Excluded) > 0
	case reason.PrivateReplyMissing, reason.PrivateReplyExpired, reason.PrivateReplyUsed:
		return p.Since == sinceComment
	case reason.TokenMissing, reason.TokenUsed:
		return p.Since == sinceToken
	case reason.TokenExpired:
		return p.Since == sinceToken || p.Since == sinceNotification
	case reason.TopicStopped, reason.TokenCooldown:
		return p.Since == sinceNotification
	case reason.NeverWrote:
		return p.Since == sinceInbound
	case reason.TagWindowClosed:
		return p.Since == sinceInbound && p.Limit > 0
	default:
		return false
	}
}

// The facts that a limit is measured from.
const (
	sinceInbound      = "last_inbound"
	sinceAd           = "ad_message"
	sinceComment      = "comment"
	sinceToken        = "one_time_token"
	sinceNotification = "notification"
)

// cooldown is the wait between two messages to one token on a day, 0 for none.
func (p *Permission) cooldown(sec int64) time.Duration {
	var limit time.Duration
	for _, l := range p.Cooldown {
		if l.From.IsZero() || l.From.Unix() <= sec {
			limit = time.Duration(l.Limit)
		}
	}
	return limit
}
