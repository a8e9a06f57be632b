package sandbox

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const textOwner = "AC0123456789abcdef0123456789abcdef"

// sendText posts a form as Twilio's clients do and returns the answer.
func sendText(t *testing.T, base, token string, f url.Values) (status int, body map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/2010-04-01/Accounts/"+textOwner+"/Messages.json", strings.NewReader(f.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(textOwner, token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func textForm() url.Values {
	return url.Values{"From": {"+14155550100"}, "To": {"+14155550199"}, "Body": {"Hello"}}
}

// textBox serves a sandbox whose couriers run until the test ends.
func textBox(t *testing.T, o Options) (*Sandbox, string) {
	t.Helper()
	s := New(o)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	go s.outbox.run(t.Context())
	return s, h.URL
}

func TestTextSends(t *testing.T) {
	t.Parallel()
	s, base := textBox(t, Options{})
	status, body := sendText(t, base, "tok", textForm())
	if sid, _ := body["sid"].(string); status != http.StatusCreated || !strings.HasPrefix(sid, "SM") || len(sid) != 34 || body["status"] != "queued" || body["error_code"] != nil {
		t.Fatalf("%d %v", status, body)
	}
	if _, again := sendText(t, base, "tok", textForm()); again["sid"] == body["sid"] {
		t.Error("two messages have one sid")
	}
	if _, err := s.Happen(Happening{Account: "+14155550100", Person: "+14155550188", Text: " stop "}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		edit   func(url.Values)
		status int
		code   float64
	}{
		{"no number", func(f url.Values) { f.Set("To", "4155550199") }, 400, 21211},
		{"nobody", func(f url.Values) { f.Del("To") }, 400, 21604},
		{"from nowhere", func(f url.Values) { f.Del("From") }, 400, 21603},
		{"no words", func(f url.Values) { f.Del("Body") }, 400, 21602},
		{"the longest", func(f url.Values) { f.Set("Body", strings.Repeat("я", 1600)) }, 201, 0},
		{"too long", func(f url.Values) { f.Set("Body", strings.Repeat("я", 1601)) }, 400, 21617},
		{"one who wrote STOP", func(f url.Values) { f.Set("To", "+14155550188") }, 400, 21610},
		{"the same, of another number", func(f url.Values) { f.Set("To", "+14155550188"); f.Set("From", "+14155550101") }, 201, 0},
		{"of a messaging service", func(f url.Values) { f.Del("From"); f.Set("MessagingServiceSid", "MG1") }, 201, 0},
	} {
		f := textForm()
		c.edit(f)
		status, body := sendText(t, base, "tok", f)
		code, _ := body["code"].(float64)
		if status != c.status || code != c.code || code != 0 && body["status"] != float64(status) {
			t.Errorf("%s: %d %v", c.name, status, body)
		}
	}
	if _, err := s.Happen(Happening{Account: "+14155550100", Person: "+14155550188", Text: "Start"}); err != nil {
		t.Fatal(err)
	}
	f := textForm()
	f.Set("To", "+14155550188")
	if status, body := sendText(t, base, "tok", f); status != http.StatusCreated {
		t.Errorf("one who wrote START: %d %v", status, body)
	}
}

func TestTextCredentialsAndRate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, base := textBox(t, Options{RatePerSecond: 1, Now: func() time.Time { return now }})
	s.mu.Lock()
	s.books.account("+14155550101").declared.Token = "right"
	s.mu.Unlock()
	f := textForm()
	f.Set("From", "+14155550101")
	if status, body := sendText(t, base, "wrong", f); status != http.StatusUnauthorized || body["code"] != float64(20003) {
		t.Errorf("a wrong token: %d %v", status, body)
	}
	if status, body := sendText(t, base, "right", f); status != http.StatusTooManyRequests || body["code"] != float64(20429) {
		t.Errorf("the second call of a second: %d %v", status, body)
	}
}

// heard is a webhook that keeps what it was told.
func heard(t *testing.T, token string) (string, <-chan url.Values) {
	t.Helper()
	got := make(chan url.Values, 16)
	h := httptest.NewUnstartedServer(nil)
	h.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		text := "http://" + r.Host + r.RequestURI
		var names []string
		for name := range f {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			text += name + f.Get(name)
		}
		mac := hmac.New(sha1.New, []byte(token))
		mac.Write([]byte(text))
		if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Twilio-Signature") != want {
			t.Errorf("signed %q, want %q", r.Header.Get("X-Twilio-Signature"), want)
		}
		f.Set("job", r.URL.Query().Get("job"))
		got <- f
	})
	h.Start()
	t.Cleanup(h.Close)
	return h.URL + "/hooks/twilio/shop", got
}

func TestTextStatusesAreTold(t *testing.T) {
	t.Parallel()
	_, base := textBox(t, Options{})
	hook, got := heard(t, "tok")
	f := textForm()
	f.Set("StatusCallback", hook+"?job=j1")
	_, body := sendText(t, base, "tok", f)
	for _, status := range []string{"sent", "delivered"} {
		if told := <-got; told.Get("MessageStatus") != status || told.Get("MessageSid") != body["sid"] || told.Get("job") != "j1" || told.Get("To") != "+14155550199" {
			t.Errorf("told %v, want %s", told, status)
		}
	}
}

func TestTextInboundIsTold(t *testing.T) {
	t.Parallel()
	s, _ := textBox(t, Options{})
	hook, got := heard(t, "tok")
	if _, err := s.Subscribe(t.Context(), Webhook{URL: hook, AppSecret: "tok", Account: "+14155550100"}); err != nil {
		t.Fatal(err)
	}
	done, err := s.Happen(Happening{Account: "+14155550100", Person: "+14155550199", Text: "hi"})
	if err != nil || done.Told != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if told := <-got; told.Get("Body") != "hi" || told.Get("From") != "+14155550199" || told.Get("To") != "+14155550100" || told.Get("SmsStatus") != "received" || told.Get("MessageSid") != done.ID {
		t.Errorf("told %v", told)
	}
	if done, err := s.Happen(Happening{Account: "+14155550100", Person: "+14155550199", Kind: "reaction"}); err != nil || done.Told != 0 {
		t.Errorf("a reaction to a text message: %+v, %v", done, err)
	}
}
