package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
)

const hookSecret = "what the platform signs with"

// call posts a signed webhook to the process and returns the answer's status,
// 0 where there was none, and how long it took.
func (p *process) call(body string) (int, time.Duration) {
	p.t.Helper()
	m := hmac.New(sha256.New, []byte(hookSecret))
	m.Write([]byte(body))
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.addr+"/hooks/meta/shop", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
	begun := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Log(err)
		return 0, time.Since(begun)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	p.t.Logf("%d in %v %s", resp.StatusCode, time.Since(begun), answer)
	return resp.StatusCode, time.Since(begun)
}

func writes(person, text string) string {
	at := time.Now().UnixMilli()
	return fmt.Sprintf(`{"object":"page","entry":[{"id":"4242","time":%d,"messaging":[{"sender":{"id":%q},"recipient":{"id":"4242"},"timestamp":%d,"message":{"mid":"m-%s","text":%q}}]}]}`,
		at, person, at, person, text)
}

// TestHooksWithoutEngines: what a platform tells while Redis is away is kept
// and answered in time, and in force once Redis is back; while NATS is away
// nothing is answered well, and what is told again then is taken.
func TestHooksWithoutEngines(t *testing.T) {
	dir := t.TempDir()
	js, hot := natsOne(t, dir), redisAt(t, "redis", freeAddr(t), dir)
	pl := newPlatform(t, sandbox.Options{})
	p := boot(t, pl, "CARILLON_NATS_URL=nats://"+js.addr, "CARILLON_REDIS_URL=redis://"+hot.addr, "HOOK_SECRET="+hookSecret, "HOOK_TOKEN=t")
	if _, err := p.api.Apply(t.Context(), "shop.yaml", strings.NewReader("kind: Sender\nid: shop\nchannel: messenger\naccount: \"4242\"\ncredential: env:BAKERY_TOKEN\nrate: {per_second: 10}\n"+
		"---\nkind: Hook\nid: shop\ntype: meta\nsecrets: [env:HOOK_SECRET]\nverify_token: env:HOOK_TOKEN\n")); err != nil {
		t.Fatal(err)
	}
	if status, took := p.call(writes("1", "hello")); status != 200 || took > platformWaits {
		t.Fatalf("with both: %d after %v", status, took)
	}
	hot.end(t, syscall.SIGKILL)
	if status, took := p.call(writes("2", "STOP")); status != 200 || took > platformWaits {
		t.Errorf("without Redis: %d after %v", status, took)
	}
	hot.start()
	hot.listens()
	p.until("what was told without Redis is in force", func() bool {
		c, err := p.api.Contact(t.Context(), "shop", "2")
		return err == nil && len(c.Contact.OptOuts) == 1
	})
	js.end(t, syscall.SIGKILL)
	body := writes("3", "hello")
	if status, _ := p.call(body); status < 500 {
		t.Errorf("without NATS: %d", status)
	}
	js.start()
	js.listens()
	p.until("the platform's repeat is taken", func() bool { status, _ := p.call(body); return status == 200 })
	if c, err := p.api.Contact(t.Context(), "shop", "3"); err != nil || c.Contact.LastInbound.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
}
