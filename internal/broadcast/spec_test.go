package broadcast

import (
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/rate"
)

func spec(edit func(*Spec)) *Spec {
	s := &Spec{Kind: "Broadcast", ID: "menu", Sender: "bakery", Message: message.Message{Text: "Hello {{.name}}"}}
	edit(s)
	return s
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(*Spec)
		want string // "": valid
	}{
		{"least", func(*Spec) {}, ""},
		{"all", func(s *Spec) {
			s.Schedule.At, s.Pace.PerSecond, s.ExpiresAfter = "2026-11-22T10:00:00+01:00", 50, "6h"
		}, ""},
		{"no id", func(s *Spec) { s.ID = "" }, `id "": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		{"id with the mark of an occurrence", func(s *Spec) { s.ID = "menu~1" }, `id "menu~1": want 1 to 63 characters out of a-z, 0-9 and '-'`},
		{"no sender", func(s *Spec) { s.Sender = "" }, `broadcast menu: sender "": want the id of a Sender`},
		{"sender", func(s *Spec) { s.Sender = "a.b" }, `broadcast menu: sender "a.b": want the id of a Sender`},
		{"no text", func(s *Spec) { s.Message.Text = "" }, "broadcast menu: message.text is empty"},
		{"longest text", func(s *Spec) { s.Message.Text = strings.Repeat("x", 16384) }, ""},
		{"text too long", func(s *Spec) { s.Message.Text = strings.Repeat("x", 16385) }, "broadcast menu: message.text has 16385 bytes, at most 16384"},
		{"text", func(s *Spec) { s.Message.Text = "{{.name" }, "broadcast menu: message.text: text:1: unclosed action"},
		{"fastest", func(s *Spec) { s.Pace.PerSecond = rate.MaxPerSecond }, ""},
		{"too fast", func(s *Spec) { s.Pace.PerSecond = rate.MaxPerSecond + 1 }, "broadcast menu: pace.per_second 100001: want 0 to 100000"},
		{"backwards", func(s *Spec) { s.Pace.PerSecond = -1 }, "broadcast menu: pace.per_second -1: want 0 to 100000"},
		{"at", func(s *Spec) { s.Schedule.At = "tomorrow" }, `broadcast menu: schedule.at "tomorrow": want RFC 3339 such as 2026-11-22T10:00:00+01:00`},
		{"at without zone", func(s *Spec) { s.Schedule.At = "2026-11-22T10:00:00" }, `broadcast menu: schedule.at "2026-11-22T10:00:00": want RFC 3339 such as 2026-11-22T10:00:00+01:00`},
		{"expiry", func(s *Spec) { s.ExpiresAfter = "soon" }, `broadcast menu: expires_after "soon": want a duration from 1s to 365d, such as 6h or 7d`},
	} {
		err := spec(c.edit).Validate()
		if got := text(err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]time.Duration{
		"": 168 * time.Hour, "1s": time.Second, "6h": 6 * time.Hour, "1d": 24 * time.Hour, "7d": 168 * time.Hour, "365d": 8760 * time.Hour, "8760h": 8760 * time.Hour,
		"999ms": 0, "0d": 0, "-1d": 0, "1.5d": 0, "d": 0, "366d": 0, "8760h0m0.000000001s": 0, "1w": 0, " 1d": 0, "1d ": 0,
		"213504d": 0, "9223372036854775807d": 0, "-9223372036854775808d": 0, "99999999999999999999d": 0, // would wrap around
	} {
		got, err := spec(func(s *Spec) { s.ExpiresAfter = v }).Expiry()
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("expires_after %q: %v, %v; want %v", v, got, err, want)
		}
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	got, err := spec(func(s *Spec) { s.Schedule.At = "2026-11-22T10:00:00+01:00" }).At()
	if want := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC); err != nil || !got.Equal(want) {
		t.Errorf("At() = %v, %v; want %v", got, err, want)
	}
	if got, err := spec(func(*Spec) {}).At(); err != nil || !got.IsZero() {
		t.Errorf("At() without a schedule = %v, %v; want the zero time", got, err)
	}
}

// TestSource asserts that every launched broadcast names a source that a job
// id can carry, and that the source leads back to it.
func TestSource(t *testing.T) {
	t.Parallel()
	b := Broadcast{Spec: *spec(func(s *Spec) { s.ID = strings.Repeat("a", 63) }), Month: "202611", Part: 3, Occurrence: 1_000_000}
	src := b.Source()
	if want := (job.Source{Month: "202611", Part: 3, Sender: "bakery", Name: b.Spec.ID + "~1000000"}); src != want {
		t.Errorf("Source() = %+v, want %+v", src, want)
	}
	if !job.ValidToken(src.Name) || IDOf(src.Name) != b.Spec.ID {
		t.Errorf("source %q: valid %t, of %q", src.Name, job.ValidToken(src.Name), IDOf(src.Name))
	}
}

// A broadcast is due at its time, or at once where that has come; its end is
// reckoned from then, until it has passed.
func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		at, after string
		due, ends time.Duration // of now
	}{
		"no time":               {"", "1h", 0, time.Hour},
		"no time, no end":       {"", "", 0, DefaultExpiry},
		"later":                 {"2026-11-22T12:00:00+01:00", "1h", time.Hour, 2 * time.Hour},
		"1 ns later":            {"2026-11-22T10:00:00.000000001Z", "1h", 1, time.Hour + 1},
		"now":                   {"2026-11-22T10:00:00Z", "1h", 0, time.Hour},
		"1 ns before its end":   {"2026-11-22T09:00:00.000000001Z", "1h", 0, time.Hour},
		"at its end":            {"2026-11-22T09:00:00Z", "1h", 0, 0},
		"1 ns after its end":    {"2026-11-22T08:59:59.999999999Z", "1h", 0, -1},
		"long after, elsewhere": {"2026-11-20T12:00:00+02:00", "24h", 0, -24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := Spec{Schedule: Schedule{At: c.at}, ExpiresAfter: c.after}
			due, ends, err := s.Times(now)
			if err != nil || !due.Equal(now.Add(c.due)) || !ends.Equal(now.Add(c.ends)) || due.Location() != time.UTC || ends.Location() != time.UTC {
				t.Errorf("due %s, ends %s, %v", due, ends, err)
			}
		})
	}
	for _, s := range []Spec{{Schedule: Schedule{At: "noon"}}, {ExpiresAfter: "soon"}} {
		if _, _, err := s.Times(now); err == nil {
			t.Errorf("%+v has times", s)
		}
	}
}
