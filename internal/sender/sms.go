package sender

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/segment"
)

// NumberTypes are what a number can be; the rules ask. Empty: a long code.
func NumberTypes() []string { return []string{"long_code", "toll_free", "short_code", "outside_us"} }

// validSMS checks what belongs to a number or a messaging service.
func (s *Spec) validSMS() error {
	switch {
	case !ValidNumber(s.Account) && !ValidServiceSID(s.Account):
		return fmt.Errorf("account %q: want a number such as +14155550100, or a messaging service: MG and 32 hex digits", s.Account)
	case !ValidAccountSID(s.AccountSID):
		return fmt.Errorf("account_sid %q: want the Twilio account: AC and 32 hex digits", s.AccountSID)
	case s.Batch:
		return errors.New("batch: Twilio takes one message a call")
	case s.AppSecret != "":
		return errors.New("app_secret belongs to messenger and instagram")
	case s.NumberType != "" && !slices.Contains(NumberTypes(), s.NumberType):
		return fmt.Errorf("number_type %q: want %s", s.NumberType, strings.Join(NumberTypes(), ", "))
	}
	if u, err := url.Parse(s.StatusCallback); s.StatusCallback != "" &&
		(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "") {
		return fmt.Errorf("status_callback %q: want the whole address of a hook, such as https://example.com/hooks/twilio/shop", s.StatusCallback)
	}
	if s.TenDLC == nil {
		return nil
	}
	if s.TenDLC.Brand != "" && !ValidID(s.TenDLC.Brand) {
		return fmt.Errorf("ten_dlc brand %q: want 1 to 63 characters out of a-z, 0-9 and '-'", s.TenDLC.Brand)
	}
	return s.TenDLC.Validate()
}

// BudgetName is whose day the sender's segments are counted in: its brand's,
// or its own. No two are the same.
func (s *Spec) BudgetName() string {
	if s.TenDLC != nil && s.TenDLC.Brand != "" {
		return "brand~" + s.TenDLC.Brand
	}
	return "sender~" + s.ID
}

// Units is how much a message with a text counts against the sender's rate:
// segments of a text message, 1 elsewhere.
func (s *Spec) Units(text string) int {
	if s.SMS() {
		return segment.Of(text).Segments
	}
	return 1
}

// ValidNumber tells whether s is an E.164 number: + and 7 to 15 digits, the
// first of them not 0.
func ValidNumber(s string) bool {
	digits, plus := strings.CutPrefix(s, "+")
	return plus && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// ValidAccountSID tells whether s names a Twilio account.
func ValidAccountSID(s string) bool { return validSID(s, "AC") }

// ValidServiceSID tells whether s names a Twilio messaging service.
func ValidServiceSID(s string) bool { return validSID(s, "MG") }

func validSID(s, kind string) bool {
	hex, ok := strings.CutPrefix(s, kind)
	return ok && len(hex) == 32 && strings.Trim(hex, "0123456789abcdefABCDEF") == ""
}
