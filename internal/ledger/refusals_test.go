package ledger

import (
	"errors"
	"testing"
	"time"
)

// Refusals count once they go on for three seconds, until something is written
// or nothing was tried for ten.
func TestRefusals(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	newest := at.Add(refusedFor)
	for name, c := range map[string]struct {
		tried []time.Time
		over  bool
		now   time.Time
		want  error
	}{
		"none":                  {nil, false, at, nil},
		"one":                   {[]time.Time{at}, false, at.Add(refusedFor), nil},
		"short":                 {[]time.Time{at, newest.Add(-1)}, false, newest, nil},
		"long":                  {[]time.Time{at, newest}, false, newest, no},
		"just now":              {[]time.Time{at, newest}, false, newest.Add(refusedLast - 1), no},
		"a while ago":           {[]time.Time{at, newest}, false, newest.Add(refusedLast), nil},
		"something was written": {[]time.Time{at, newest}, true, newest, nil},
	} {
		var r refusals
		for _, when := range c.tried {
			r.add(when, no)
		}
		if c.over {
			r.over()
			r.add(c.now, no)
		}
		if err := r.last(c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A committer whose records are refused says so, until one is written.
func TestCommitterSaysThatItCannotWrite(t *testing.T) {
	t.Parallel()
	h := open(t)
	c := h.committer(t)
	elsewhere := source()
	elsewhere.Month = "202612" // there is no such ledger yet
	done := make(chan struct{})
	go func() { c.Commit(t.Context(), Bulk, claims(elsewhere, 0, 1)); close(done) }()
	limit, look := time.After(time.Minute), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for c.Writes() == nil {
		select {
		case <-limit:
			t.Fatal("it never said so")
		case <-look.C:
		}
	}
	if err := h.ledger.Ensure(t.Context(), elsewhere.Month, 0); err != nil {
		t.Fatal(err)
	}
	received(t, "the stuck group", done)
	if err := c.Writes(); err != nil {
		t.Errorf("after it was written: %v", err)
	}
}
