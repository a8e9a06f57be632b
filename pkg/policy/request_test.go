package policy

import (
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// judged is the reason that the default rulebook gives for a text inside the
// window, "" where it is sent.
func judged(rb *Rulebook, text string) reason.Code {
	at, m, f, s := benchCase()
	m.Text = text
	return Evaluate(rb, at, m, f, s).Reason
}

func TestPaymentDataRequested(t *testing.T) {
	asks := []string{
		"Please send us your card number and CVV.",
		"To refund you, reply with your account number",
		"If you have not paid yet, reply with your card number.",
		"If you have not paid yet reply with your card number.",
		"If you haven't paid: send us your card number",
		"Not sure how to pay? Send your card number.",
		"Don't wait - send us your CVV!",
		"Can't log in? Tell us your account number and PIN",
		"We do not store data so please send us your card number",
		"You won't regret it. Give us your PIN",
		"Never mind the form, send us your IBAN",
		"What are your card details?",
		"What's your CVV?",
		"What’s your account number?",
		"To pay, send card number and expiry to us.",
		"Send the card number to us",
		"Reply with your routing number",
		"Send us your sort code and account number.",
		"Share your PIN with our agent",
		"PLEASE SEND YOUR IBAN",
		"please provide your bank details",
		"Please send us your name, address and card number",
		"Please reply with the following:\n- card number\n- expiry date",
		"Reply with your loyalty card and your card number",
		"Text us your debit card number",
		"May I have your card number?",
		"Can we get your bank account number?",
		"We just need your CVV to finish.",
		"Confirm your bank details to go on",
		"Please verify your card information",
		"Send a photo of your credit card",
		"Let us have your IBAN, and we pay today.",
		"Your order is ready. Respond with your card details. Never share them with others.",
		"Never share your PIN. Now send us your card number.",
		"Email us your account details",
		"Thank you—please send your card number",
		"“Send us your card number”",
		"Pay now 💳 send us your card number",
		"We need your CVC.",
		"Tell me your PIN code",
		"Why don't you send us your card number?",
		"Won’t you share your IBAN with us?",
		"Don't hesitate to send us your card number",
		"Do not forget to send us your card number",
	}
	passes := []string{
		"We will never ask you to send your card number",
		"We will never ask you to send your card number.",
		"Never share your PIN",
		"Never share your PIN.",
		"Never, under any name, will we ask for a PIN.",
		"Please don't send us your card number.",
		"Please don’t send us your card number.",
		"Do not reply with your CVV.",
		"Don’t ever give us your account number over chat.",
		"You don't need to send us your card details.",
		"There is no need to share your bank details.",
		"Our staff won't ask you to confirm your PIN.",
		"No one from our team will ask you to share your PIN.",
		"Nobody from the bank will text you to share your PIN",
		"Beware of scammers who ask you to send your card number.",
		"If someone asks you to share your PIN, call us.",
		"Never send or share your card number.",
		"Under no circumstances send us your card number",
		"You cannot send us your card number here",
		"It is not safe to share your PIN by text",
		"You will not be asked to enter your PIN",
		"We do not ask you to send card numbers by chat",
		"Please send your invoice, we already have your account number.",
		"Send us your order number; your account number is not needed.",
		"Please send the form without your card number",
		"Send us the receipt, but not the card number.",
		"Reply with your loyalty card number to see your points",
		"Share your pin location so that we find you",
		"Reply with your order number. We charge the card number on file.",
		"Please confirm your booking and pay with your credit card at the desk.",
		"Let us know if you can't find your account number",
		"Give us a call and have your account number ready",
		"Pay here: https://pay.example/1",
		"Your card has expired, update it in the app.",
		"We sent your bank details form back by post.",
		"The card number you gave us is on file.",
		"Please send us your address and phone number",
		"We pin your message to the top. Share your story with us!",
		"Tell us what you think of our new cards",
		"Send us a photo of your cake and tell your friends, your family, your neighbours and then everybody else about the card number game",
		"Your account number is at the top of every invoice.",
	}
	rb := book()
	for _, text := range asks {
		if got := judged(rb, text); got != reason.PaymentDataRequested {
			t.Errorf("sent, %q: %q", got, text)
		}
	}
	for _, text := range passes {
		if got := judged(rb, text); got != "" {
			t.Errorf("refused as %s: %q", got, text)
		}
	}
}

// TestRequestLimits counts the words on either side of a phrase.
func TestRequestLimits(t *testing.T) {
	r := newRequest(&Check{
		Phrases: []string{"send us"}, Objects: []string{"iban"}, Unless: []string{"never", "no one"}, Between: []string{"you", "to"}, Within: 3,
	})
	for text, want := range map[string]bool{
		"send us iban":                  true,
		"send us a iban":                true, // us, a, iban
		"send us a b iban":              false,
		"never send us iban":            false,
		"never you to send us iban":     false, // to, you, never
		"never you to you send us iban": true,
		"no one to send us iban":        false,
		"never, send us iban":           true,
		"never\nsend us iban":           true,
		`"never" send us iban`:          false,
		"*never* send us iban":          false,
		"xnever send us iban":           true,
		"never mind send us iban":       true,
		"send us. iban":                 false,
		"send us v.iban":                true,
		"send us e.g.":                  false,
		"send us\niban":                 true,
		"send us ibans":                 false,
		"SEND US IBAN":                  true,
		"send us":                       false,
		"iban":                          false,
		"iban, send us":                 false,
	} {
		if got := r.in(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestRequestAllocatesNothing looks at a text that is searched to its end.
func TestRequestAllocatesNothing(t *testing.T) {
	rb := book()
	at, m, f, s := benchCase()
	m.Text = strings.Repeat("Never send us your card number. ", 30)
	if n := testing.AllocsPerRun(100, func() { Evaluate(rb, at, m, f, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRequest wants the same answer whatever the case, a warning before a
// text that changes nothing, and a plain request after it that is found.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{"Please send us your card number", "Never, ever share your PIN", "don’t send us\xff IBAN", "'send' us; 'pin'", "reply with e.g. card\nnumber"} {
		f.Add(text)
	}
	r := newRequest(findCheck(f, book(), reason.PaymentDataRequested))
	f.Fuzz(func(t *testing.T, text string) {
		asks := r.in(text)
		if r.in(upperASCII(text)) != asks {
			t.Fatalf("capitals change the answer for %q", text)
		}
		if r.in("Never share your PIN.\n"+text) != asks {
			t.Fatalf("a warning before changes the answer for %q", text)
		}
		if !r.in(text + "\nSend us your card number.") {
			t.Fatalf("a request after it is missed: %q", text)
		}
	})
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

func findCheck(t testing.TB, rb *Rulebook, code reason.Code) *Check {
	t.Helper()
	for i := range rb.Checks {
		if rb.Checks[i].ID == string(code) {
			return &rb.Checks[i]
		}
	}
	t.Fatalf("no check %s", code)
	return nil
}
