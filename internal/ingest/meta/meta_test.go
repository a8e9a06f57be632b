package meta_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // to show that it is refused
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest/meta"
	"github.com/carillon-dev/carillon/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag of the test binary

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // never written

func shop() *hook.Spec {
	return &hook.Spec{ID: "shop", Type: hook.Meta, Secrets: []string{"env:NEW", "env:OLD"}, VerifyToken: "env:V", AppID: "1517776481860111"}
}

func sign(key string, body []byte) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

func call(body []byte, signature string) hook.Call {
	return hook.Call{
		Hook: shop(), Secrets: []secret.Text{"new", "old"}, Method: "POST", At: now, Body: body,
		Header: textproto.MIMEHeader{"X-Hub-Signature-256": {signature}},
	}
}

// TestSignature: any secret of the hook signs, over the very bytes that came,
// and nothing else does.
func TestSignature(t *testing.T) {
	t.Parallel()
	body := []byte(`{"object":"page","entry":[{"id":"1","messaging":[{"sender":{"id":"2"},"recipient":{"id":"1"},"message":{"mid":"m","text":"h\u00e9"}}]}]}`)
	good := sign("new", body)
	for name, c := range map[string]struct {
		body   []byte
		header string
		ok     bool
	}{
		"by the new secret":   {body, good, true},
		"by the old secret":   {body, sign("old", body), true},
		"upper case":          {body, "sha256=" + strings.ToUpper(good[7:]), true},
		"by another":          {body, sign("other", body), false},
		"by no secret":        {body, sign("", body), false},
		"missing":             {body, "", false},
		"without its name":    {body, good[7:], false},
		"short":               {body, good[:len(good)-2], false},
		"long":                {body, good + "00", false},
		"no hex":              {body, "sha256=" + strings.Repeat("z", 64), false},
		"sha1 alone":          {body, "sha1=" + sha1Of("new", body), false},
		"the same, unescaped": {bytes.Replace(body, []byte(`\u00e9`), []byte("é"), 1), good, false},
		"a space more":        {append(bytes.Clone(body), ' '), good, false},
	} {
		told, err := meta.Reader{}.Read(call(c.body, c.header))
		if c.ok && (err != nil || len(told.Events) != 1) || !c.ok && (!errors.Is(err, hook.ErrRefused) || told.Events != nil) {
			t.Errorf("%s: %+v, %v", name, told, err)
		}
	}
	raw, err := hex.DecodeString(good[7:])
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		if _, err := (meta.Reader{}).Read(call(body, "sha256="+hex.EncodeToString(raw))); !errors.Is(err, hook.ErrRefused) {
			t.Fatalf("bit %d of the signature does not count: %v", bit, err)
		}
		raw[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range len(body) * 8 {
		other := bytes.Clone(body)
		other[bit/8] ^= 1 << (bit % 8)
		if _, err := (meta.Reader{}).Read(call(other, good)); !errors.Is(err, hook.ErrRefused) {
			t.Fatalf("bit %d of the body is not signed: %v", bit, err)
		}
	}
}

func sha1Of(key string, body []byte) string {
	m := hmac.New(sha1.New, []byte(key))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	const base = "https://example.com/hooks/meta/shop?"
	for name, c := range map[string]struct {
		query, token string
		want         string // "": refused
	}{
		"as the platform asks": {"hub.mode=subscribe&hub.verify_token=a%20token&hub.challenge=1158201444", "a token", "1158201444"},
		"another token":        {"hub.mode=subscribe&hub.verify_token=b&hub.challenge=1", "a token", ""},
		"no token":             {"hub.mode=subscribe&hub.challenge=1", "a token", ""},
		"none known here":      {"hub.mode=subscribe&hub.verify_token=&hub.challenge=1", "", ""},
		"another mode":         {"hub.mode=unsubscribe&hub.verify_token=a%20token&hub.challenge=1", "a token", ""},
		"no question":          {"", "a token", ""},
		"no address":           {"%zz&\x7f", "a token", ""},
	} {
		told, err := meta.Reader{}.Read(hook.Call{Hook: shop(), Method: "GET", URL: base + c.query, VerifyToken: secret.Text(c.token), Secrets: []secret.Text{"s"}})
		if c.want == "" && !errors.Is(err, hook.ErrRefused) || c.want != "" && (err != nil || string(told.Answer.Body) != c.want || !strings.HasPrefix(told.Answer.Type, "text/plain")) {
			t.Errorf("%s: %q, %v", name, told.Answer, err)
		}
	}
	if _, err := (meta.Reader{}).Read(hook.Call{Hook: shop(), Method: "PUT"}); err == nil || err.Error() != "this hook takes GET, POST, not PUT" {
		t.Error(err)
	}
}

// shown is an event with the fields that it is not stored with.
type shown struct {
	ID   string     `json:"id"`
	Type event.Type `json:"type"`
	Time time.Time  `json:"time"`
	event.Event
}

// TestGolden holds every form that the platform sends against the events that
// it is read as.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".events.json") {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		events, err := meta.Decode(shop(), body, now)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var got bytes.Buffer
		for _, e := range events {
			b, err := json.Marshal(shown{e.ID, e.Type, e.Time, e})
			if err != nil {
				t.Fatal(err)
			}
			got.Write(append(b, '\n'))
		}
		golden := strings.TrimSuffix(file, ".json") + ".events.json"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s is read as\n%s\nwant (%v)\n%s", file, got.Bytes(), err, want)
		}
	}
}
