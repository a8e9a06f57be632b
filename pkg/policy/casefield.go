package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (r *CaseReader) sender(s *scanner, v *Sender, key string) error {
	at := "sender." + key
	switch key {
	case "channel":
		return s.channel(at, &v.Channel)
	case "capabilities":
		return s.list(at, &v.Capabilities)
	case "restricted":
		return s.bool(at, &v.Restricted)
	case "restricted_features":
		return s.list(at, &v.RestrictedFeatures)
	case "paused":
		return s.bool(at, &v.Paused)
	case "credential_invalid":
		return s.bool(at, &v.CredentialInvalid)
	case "unresolved":
		return s.bool(at, &v.Unresolved)
	case "disclosure_required":
		return s.bool(at, &v.DisclosureRequired)
	case "ad_window_hours":
		return s.hours(at, &v.AdWindow)
	case "relax_flow_templates":
		return s.bool(at, &v.RelaxFlowTemplates)
	case "number_type":
		return s.oneOf(at, &v.NumberType, "", "long_code", "toll_free", "short_code", "outside_us")
	case "timezone":
		return r.zone(s, at, &v.Zone)
	case "quiet_hours":
		return quietHours(s, at, &v.QuietHours)
	default:
		return unknown(at)
	}
}

func (r *CaseReader) contact(s *scanner, v *Facts, key string) error {
	at := "contact." + key
	switch key {
	case "last_inbound":
		return s.time(at, &v.LastInbound)
	case "opened_by":
		return s.oneOf(at, &v.OpenedBy, "", "message", "postback", "referral", "optin", "reaction", "ad_message", "comment")
	case "ad_message_at":
		return s.time(at, &v.AdMessageAt)
	case "opt_outs":
		return optOuts(s, at, v)
	case "blocked":
		return s.bool(at, &v.Blocked)
	case "optout_review":
		return s.bool(at, &v.OptOutReview)
	case "sms_consent":
		return s.bool(at, &v.SMSConsent)
	case "timezone":
		return r.zone(s, at, &v.Zone)
	case "country":
		return s.country(at, &v.Country)
	case "plus_one_used":
		return s.bool(at, &v.PlusOneUsed)
	case "disclosed_at":
		return s.time(at, &v.DisclosedAt)
	case "handed_over_at":
		return s.time(at, &v.HandedOverAt)
	default:
		return permissionFacts(s, v, key)
	}
}

// permissionFacts reads the facts behind the permissions that serve once.
func permissionFacts(s *scanner, v *Facts, key string) error {
	at := "contact." + key
	switch key {
	case "comment":
		return s.object(at, func(key string) error {
			switch key {
			case "at":
				return s.time(at+".at", &v.Comment.At)
			case "replied":
				return s.bool(at+".replied", &v.Comment.Replied)
			case "live_over":
				return s.bool(at+".live_over", &v.Comment.LiveOver)
			}
			return unknown(at + "." + key)
		})
	case "one_time_token":
		return s.object(at, func(key string) error {
			switch key {
			case "created":
				return s.time(at+".created", &v.OneTimeToken.Created)
			case "used":
				return s.bool(at+".used", &v.OneTimeToken.Used)
			}
			return unknown(at + "." + key)
		})
	case "notification":
		return s.object(at, func(key string) error {
			switch key {
			case "expires":
				return s.time(at+".expires", &v.Notification.Expires)
			case "stopped":
				return s.bool(at+".stopped", &v.Notification.Stopped)
			case "last_sent":
				return s.time(at+".last_sent", &v.Notification.LastSent)
			}
			return unknown(at + "." + key)
		})
	default:
		return unknown(at)
	}
}

func message(s *scanner, v *Message, key string) error {
	at := "message." + key
	switch key {
	case "origin":
		if s.null() {
			return nil
		}
		err := s.oneOf(at, &v.Origin, "", "broadcast", "flow", "agent")
		if v.Origin == "" {
			v.Origin = "broadcast"
		}
		return err
	case "flow_type":
		return s.oneOf(at, &v.FlowType, "", "auto_reply", "automation", "notification")
	case "promotional":
		return s.bool(at, &v.Promotional)
	case "tag":
		return s.text(at, &v.Tag)
	case "via":
		return s.text(at, &v.Via)
	case "use_case":
		return s.text(at, &v.UseCase)
	case "sender_choice":
		return s.oneOf(at, &v.SenderChoice, "", "record_owner", "auto")
	case "field_channel":
		return s.channel(at, &v.FieldChannel)
	case "healthcare":
		return s.bool(at, &v.Healthcare)
	case "discloses":
		return s.bool(at, &v.Discloses)
	case "text":
		return s.text(at, &v.Text)
	case "template":
		if s.null() {
			return nil
		}
		v.HasTemplate = true
		return s.object(at, func(key string) error { return template(s, &v.Template, key) })
	default:
		return unknown(at)
	}
}

func template(s *scanner, v *Template, key string) error {
	at := "message.template." + key
	switch key {
	case "name":
		return s.text(at, &v.Name)
	case "kind":
		return s.text(at, &v.Kind)
	case "channels":
		return s.list(at, &v.Channels)
	case "approved":
		approved := true
		err := s.bool(at, &approved)
		v.Unapproved = !approved
		return err
	default:
		return unknown(at)
	}
}

func unknown(at string) error { return fmt.Errorf("%s: unknown field", at) }

// optOuts reads the scopes; one that is not known is an error, since to pass
// over it could permit what the contact refused.
func optOuts(s *scanner, at string, v *Facts) error {
	var scopes []string
	if err := s.list(at, &scopes); err != nil {
		return err
	}
	for _, scope := range scopes {
		switch scope {
		case "all":
			v.OptedOutAll = true
		case "marketing":
			v.OptedOutMarket = true
		default:
			return fmt.Errorf("%s: %q: want all or marketing", at, scope)
		}
	}
	return nil
}

func (r *CaseReader) zone(s *scanner, at string, to **time.Location) error {
	var name string
	if err := s.text(at, &name); err != nil || name == "" {
		return err
	}
	zone, ok := r.zones[name]
	if !ok {
		var err error
		// Local would make the answer depend on the machine.
		if zone, err = time.LoadLocation(name); err != nil || name == "Local" {
			return fmt.Errorf("%s: unknown time zone %q: want a name like Europe/Oslo", at, name)
		}
		if r.zones == nil {
			r.zones = map[string]*time.Location{}
		}
		r.zones[strings.Clone(name)] = zone
	}
	*to = zone
	return nil
}

func quietHours(s *scanner, at string, to *QuietHours) error {
	if s.null() {
		return nil
	}
	var from, until string
	err := s.object(at, func(key string) error {
		switch key {
		case "from":
			return s.text(at+".from", &from)
		case "to":
			return s.text(at+".to", &until)
		}
		return unknown(at + "." + key)
	})
	if err != nil {
		return err
	}
	if *to, err = ParseQuietHours(from, until); err != nil {
		return fmt.Errorf("%s.%w", at, err)
	}
	return nil
}

// country reads two letters in either case; "" and null leave to as it is. Of
// a text that no list of countries has, nobody could say that it is excluded.
func (s *scanner) country(at string, to *string) error {
	var v string
	if err := s.text(at, &v); err != nil || v == "" {
		return err
	}
	if len(v) != 2 || !isAlpha(v[0]) || !isAlpha(v[1]) {
		return fmt.Errorf("%s: %q: want two letters of ISO 3166, such as NO", at, v)
	}
	switch v = strings.ToUpper(v); v {
	case "UK": // reserved beside GB, and what people write
		v = "GB"
	case "EL": // the European Union's own code
		v = "GR"
	}
	*to = v
	return nil
}

// hours reads a number of hours, fractions allowed.
func (s *scanner) hours(at string, to *time.Duration) error {
	raw, err := s.number(at)
	if err != nil || raw == "" {
		return err
	}
	n, err := strconv.ParseFloat(raw, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%s: %s: want hours from 0 to 168", at, raw)
	}
	// More than 168 counts as 168; capping here keeps the product in range.
	*to = time.Duration(min(n, 1000) * float64(time.Hour))
	return nil
}
