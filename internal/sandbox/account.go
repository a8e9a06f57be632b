package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Account is what a tester declares of an account. Absent fields mean: any
// token, no proof, the sandbox's rate, messenger, 24 hours, all permissions,
// any template.
type Account struct {
	Account        string    `json:"account"`
	Token          string    `json:"token"`
	AppSecret      string    `json:"app_secret"`
	Expired        bool      `json:"expired"`          // every token is refused
	RatePerSecond  int       `json:"rate_per_second"`  // 1 to 1,000,000
	Channel        string    `json:"channel"`          // messenger, instagram or sms
	AdWindowHours  int       `json:"ad_window_hours"`  // 24 to 168, after a first message from an ad
	Permissions    *[]string `json:"permissions"`      // of human_agent, utility, news
	Templates      *[]string `json:"templates"`        // approved utility templates, as "name/language"
	NoContactTerms bool      `json:"no_contact_terms"` // labels can't be read
}

func (a Account) validate() error {
	switch {
	case a.Account == "" || a.Account == "me" || len(a.Account) > 128 || strings.ContainsAny(a.Account, "/?"):
		return errors.New(`account must be an id of 1 to 128 characters without / or ?, and not "me"`)
	case a.RatePerSecond < 0 || a.RatePerSecond > 1_000_000:
		return fmt.Errorf("rate_per_second %d: must be from 1 to 1000000", a.RatePerSecond)
	case a.Channel != "" && a.Channel != "messenger" && a.Channel != "instagram" && a.Channel != "sms":
		return fmt.Errorf("channel %q: must be messenger, instagram or sms", a.Channel)
	case a.AdWindowHours != 0 && (a.AdWindowHours < 24 || a.AdWindowHours > 168):
		return fmt.Errorf("ad_window_hours %d: must be from 24 to 168", a.AdWindowHours)
	case a.Permissions != nil:
		for _, p := range *a.Permissions {
			if p != permitHuman && p != permitUtility && p != permitNews {
				return fmt.Errorf("permission %q: must be %s, %s or %s", p, permitHuman, permitUtility, permitNews)
			}
		}
	}
	if a.Templates != nil {
		for _, t := range *a.Templates {
			if name, language, ok := strings.Cut(t, "/"); !ok || name == "" || language == "" {
				return fmt.Errorf("template %q: want its name and language, such as order_update/en", t)
			}
		}
	}
	return nil
}

// account is an account as the books hold it.
type account struct {
	id         string  // never changed, so that lists read it without the lock
	index      uint32  // the same
	declared   Account // with its rate filled in
	people     int     // persons the books hold for it
	calls      window
	media      window
	day        rolling // calls of 24 hours
	counts     counts
	labels     labels
	restricted bool // by an enforcement
}

func (a *account) instagram() bool { return a.declared.Channel == "instagram" }

func (a *account) permits(p string) bool {
	return a.declared.Permissions == nil || slices.Contains(*a.declared.Permissions, p)
}

// approved says whether a utility template may be used; without a list, any.
func (a *account) approved(u *utility) bool {
	return a.declared.Templates == nil || slices.Contains(*a.declared.Templates, u.Name+"/"+u.Language.Code)
}

func (a *account) adWindow() time.Duration {
	return min(maxAdWindow, max(standardWindow, time.Duration(a.declared.AdWindowHours)*time.Hour))
}

// authorize checks the token and, where there is an app secret, its proof:
// the hex HMAC-SHA256 of the token under the secret.
func (a *account) authorize(token, proof string) *graphError {
	d := &a.declared
	switch {
	case token == "":
		return errNoToken()
	case d.Expired, d.Token != "" && d.Token != token:
		return errToken()
	case d.AppSecret != "" && !hmac.Equal([]byte(proof), []byte(proofOf(d.AppSecret, token))):
		return errProof(proof)
	}
	return nil
}

func proofOf(secret, token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}
