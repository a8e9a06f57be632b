package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// platformWaits is how long a platform waits for the answer to a webhook.
const platformWaits = 5 * time.Second

// toldOf is one webhook of a burst: several things that people did, in one call.
type toldOf struct {
	body   []byte
	signed string
	events int
	stops  []string // who opts out in it
}

// burst is a platform that tells of much at once, and again of what was not
// answered well, as Meta does.
type burst struct {
	t    *testing.T
	url  string
	http *http.Client

	mu      sync.Mutex
	lines   map[string]time.Time // when the webhook with a person's opt-out was answered well
	refused int                  // tellings that were not answered well, or not in time
	slowest time.Duration        // to answer, well or not
	last    time.Time            // when the last was answered well
	late    time.Duration        // how much later than planned something was told, since the machine was busy
}

func newBurst(t *testing.T, url string) *burst {
	t.Helper()
	b := &burst{t: t, url: url, lines: map[string]time.Time{}}
	b.http = &http.Client{Timeout: platformWaits, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	t.Cleanup(b.http.CloseIdleConnections)
	return b
}

// mostTold is the largest number of updates in one call of a burst. Meta puts up
// to 1,000 into one; most calls have few.
const mostTold = 100

// compose makes calls of 1 to mostTold messages, n in all: the stop words of
// those who opt out, anywhere between what strangers say.
func compose(account string, dice *rand.Rand, n int, strangers func(i int) string, stops []string) []toldOf {
	said := make([][2]string, 0, n)
	for _, who := range stops {
		said = append(said, [2]string{who, "STOP"})
	}
	for i := len(said); i < n; i++ {
		said = append(said, [2]string{strangers(i), "hello there"})
	}
	dice.Shuffle(len(said), func(i, j int) { said[i], said[j] = said[j], said[i] })
	var out []toldOf
	now := time.Now()
	for from := 0; from < n; {
		k := min(n-from, 1+dice.IntN(1+dice.IntN(mostTold))) // 25 on average, few more often than many
		c := toldOf{events: k}
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"object":"page","entry":[{"id":%q,"time":%d,"messaging":[`, account, now.UnixMilli())
		for i, s := range said[from : from+k] {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"sender":{"id":%q},"recipient":{"id":%q},"timestamp":%d,"message":{"mid":"m_burst-%d","text":%q}}`,
				s[0], account, now.UnixMilli(), from+i, s[1])
			if s[1] == "STOP" {
				c.stops = append(c.stops, s[0])
			}
		}
		b.WriteString(`]}]}`)
		m := hmac.New(sha256.New, []byte(hookSecret))
		m.Write(b.Bytes())
		c.body, c.signed = b.Bytes(), "sha256="+hex.EncodeToString(m.Sum(nil))
		out = append(out, c)
		from += k
	}
	return out
}

// tell tells of everything at so many events a second, whoever is slow to
// answer, and returns once all was answered well.
func (b *burst) tell(calls []toldOf, perSecond int) {
	b.t.Helper()
	var wg sync.WaitGroup
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	begun, due := time.Now(), 0
	for i := range calls {
		for time.Since(begun) < time.Duration(due)*time.Second/time.Duration(perSecond) {
			<-tick.C
		}
		b.late = max(b.late, time.Since(begun)-time.Duration(due)*time.Second/time.Duration(perSecond))
		wg.Go(func() { b.insist(&calls[i]) })
		due += calls[i].events
	}
	wg.Wait()
}

// insist tells of one thing until that is answered well, less and less often,
// as Meta does.
func (b *burst) insist(c *toldOf) {
	limit := time.Now().Add(patience)
	for pause := time.Second; !b.once(c); pause *= 2 {
		if time.Now().After(limit) {
			b.t.Errorf("%d events were told for %s in vain", c.events, patience)
			return
		}
		select {
		case <-b.t.Context().Done():
			return
		case <-time.After(pause):
		}
	}
}

func (b *burst) once(c *toldOf) bool {
	begun := time.Now()
	status, answer := b.post(c)
	took := time.Since(begun)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slowest = max(b.slowest, took)
	if status != http.StatusOK {
		if b.refused++; b.refused < 10 {
			b.t.Logf("%d events: %d after %s: %s", c.events, status, took.Round(time.Millisecond), answer)
		}
		return false
	}
	b.last = time.Now()
	for _, who := range c.stops {
		b.lines[who] = b.last
	}
	return true
}

func (b *burst) post(c *toldOf) (status int, answer string) {
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url, bytes.NewReader(c.body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("X-Hub-Signature-256", c.signed)
	resp, err := b.http.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(said)
}
