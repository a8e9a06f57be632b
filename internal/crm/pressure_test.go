package crm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPressure: events are refused from the first above the most that may
// wait, until a tenth less wait, and what was seen counts for a second.
func TestPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting uint64
		var fails error
		looks := 0
		var log bytes.Buffer
		p := &Pressure{Most: 100, Log: slog.New(slog.NewTextHandler(&log, nil)), Waiting: func(context.Context) (uint64, error) { looks++; return waiting, fails }}
		for i, c := range []struct {
			waiting uint64
			refused bool
		}{{0, false}, {100, false}, {101, true}, {100, true}, {91, true}, {90, false}, {100, false}, {1000, true}, {0, false}} {
			waiting = c.waiting
			time.Sleep(lookEvery)
			err := p.check(t.Context())
			b, refused := errors.AsType[*Behind](err)
			if refused != c.refused || refused && (b.Waiting != c.waiting || b.After != after) || !refused && err != nil {
				t.Errorf("%d: %d wait: %v", i, c.waiting, err)
			}
		}
		if p.Refused() != 4 || strings.Count(log.String(), "WARN") != 2 || strings.Count(log.String(), "INFO") != 2 {
			t.Errorf("%d refused\n%s", p.Refused(), log.String())
		}
		waiting, looks = 1000, 0
		time.Sleep(lookEvery - 1)
		if err := p.check(t.Context()); err != nil || looks != 0 {
			t.Errorf("looked %d times within a second: %v", looks, err)
		}
		time.Sleep(time.Nanosecond)
		if err := p.check(t.Context()); err == nil || looks != 1 {
			t.Errorf("looked %d times after a second: %v", looks, err)
		}
		fails = errors.New("no answer")
		time.Sleep(lookEvery)
		if err := p.check(t.Context()); !errors.Is(err, fails) {
			t.Errorf("nobody knows: %v", err)
		}
		if err := (*Pressure)(nil).check(t.Context()); err != nil {
			t.Errorf("where nobody looks: %v", err)
		}
		if err := (&Pressure{}).check(t.Context()); err != nil {
			t.Errorf("without a bound: %v", err)
		}
	})
}
