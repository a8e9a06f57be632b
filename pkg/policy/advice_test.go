package policy

import (
	"slices"
	"strings"
	"testing"
)

// TestWordings holds the wording that is advised on, and what only looks like
// it, under the account tag.
func TestWordings(t *testing.T) {
	rb := book()
	at := date(t, "2025-06-01")
	facts := Facts{LastInbound: at.AddDate(0, 0, -3)}
	sender := Sender{Channel: Messenger}
	for code, texts := range map[string]struct{ says, saysNot []string }{
		"promotional_wording": {
			[]string{
				"Leave us a review", "Please review your purchase", "Give us 5 stars", "Give us a 5 star rating", "Write a review", "Rate us on Google", "Leave feedback",
				"Save 20% today", "Save 12.5 % now", "SAVE $1,000", "Save €5", "Upgrade to premium", "Check our latest products", "Product launch", "Buy one get one free", "buy 2 get 1",
				"We offer our apologies and an offer", "Half price this week", "vote in our poll", "50% off", "A survey of your land, and our survey", "Black Friday", "donate",
			},
			[]string{
				"We offer our apologies", "The parcel is for sale representative Ola", "Your new product key is K1", "Great deal of work", "A great deal of work",
				"Your deal with us is closed", "Your donation receipt", "The survey of your land is complete", "Save your work", "Save % of it", "save 20 pages",
				"You have 5 stars", "Your review is complete", "Please review our terms", "Use code 482913 to log in", "We will upgrade to version 2", "salesman", "Your pollen test",
			},
		},
		"recurring_under_account_update": {
			[]string{
				"Bills are due", "Statements ready", "Your invoice is due", "Payment is due on Monday", "Your rent is due", "Your bill is due", "Your monthly statement is available",
				"This month's statement", "New job listings", "3 new jobs for you", "Weekly report attached", "Daily digest", "Payment is due to a fault late, and a bill is due",
			},
			[]string{
				"Your daily limit was changed", "We changed your monthly plan", "Daily deals", "The delay in payment is due to a fault", "Due to a fault your account is locked",
				"Your bill was corrected", "Your weekly hours were changed", "Your job application was rejected",
			},
		},
	} {
		for i, text := range slices.Concat(texts.says, texts.saysNot) {
			want := i < len(texts.says)
			v := Evaluate(rb, at, &Message{Origin: "agent", Tag: "ACCOUNT_UPDATE", Text: text}, &facts, &sender)
			if v.Kind != Send || slices.Contains(v.Warnings, code) != want {
				t.Errorf("%q: %v, want %s: %v", text, v.Warnings, code, want)
			}
		}
	}
}

func TestWordingsFind(t *testing.T) {
	w := newWordings(&Advice{Phrases: []string{"deal", "deals", "save #%", "ab#c"}, Harmless: []string{"a great deal of", "deal with it"}})
	for text, want := range map[string]string{
		"": "", "Deal": "deal", "deals": "deals", "dealt": "", "a great deal of": "", "great deal of": "deal", "a  great deal of": "deal", "a great, deal of": "deal",
		"a great deal of deals": "deals", "deal with it": "", "deal with its": "deal", "Save 1.5%": "save 1.5%", "save 1.%": "", "save .5%": "", "save %": "", "save 5": "", "save 5,000%x": "save 5,000%",
		"ab1c": "ab1c", "ab12,3c": "ab12,3c", "abc": "", "xab1c": "", "ab1cd": "", "ab1cé": "",
	} {
		if got := w.find(text); got != want || w.in(text) != (want != "") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if err := numbersLate("phrases", []string{"ab#", "a #"}); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"#", "a#", "# off"} {
		if err := numbersLate("phrases", []string{s}); err == nil || !strings.Contains(err.Error(), "phrases: ") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
