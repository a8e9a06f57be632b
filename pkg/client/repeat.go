package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

type keyOf struct{}

// WithIdempotencyKey returns a context whose POSTs carry a key of your own, 1
// to 255 visible characters of ASCII, instead of one that is made for each
// call: a script that is started again with the same key does nothing twice
// within 24 hours. Every request of another content needs another key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// CheckIdempotencyKey returns an error that says what an idempotency key is,
// for one that is not.
func CheckIdempotencyKey(key string) error {
	if key == "" || len(key) > 255 {
		return fmt.Errorf("a key of %d characters: want 1 to 255", len(key))
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return errors.New("want visible characters of ASCII without spaces, such as a UUID")
		}
	}
	return nil
}

// idempotencyKey is the key that a request goes out with, "" for none. What
// can be sent again gets one, since this client and net/http do so.
func idempotencyKey(ctx context.Context, r request) string {
	if r.method != http.MethodPost {
		return ""
	}
	if key, ok := ctx.Value(keyOf{}).(string); ok {
		return key
	}
	if r.stream != nil {
		return ""
	}
	return rand.Text()
}

// The bounds of sending a request again.
const (
	maxTries   = 5
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// again tells whether a request should be sent once more, and after how long.
// The first to be told to wait is whoever calls too often; a connection that
// broke may have broken before or after the server read the request, which the
// key makes one and the same.
func again(r request, key string, resp *http.Response, err error, try int) (time.Duration, bool) {
	if try >= maxTries || r.stream != nil {
		return 0, false
	}
	if err != nil {
		return firstPause << (try - 1), broke(err)
	}
	if resp.StatusCode != http.StatusTooManyRequests && (resp.StatusCode != http.StatusConflict || key == "") {
		return 0, false
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 { // a conflict that waiting does not end
		return 0, false
	}
	pause := time.Duration(seconds) * time.Second
	return pause, pause <= maxPause
}

// broke tells whether a connection was there and broke. One that was never
// made has another cause, which the caller wants to know at once.
func broke(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op != "dial" || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// pause waits, or returns why that came to an end.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
