package examples_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/examples"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/message"
	"github.com/carillon-dev/carillon/internal/plan"
)

func TestDocumentsAreValid(t *testing.T) {
	senders, err := definition.Decode("senders.yaml", examples.Senders())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range senders {
		ids = append(ids, d.Sender.ID)
	}
	broadcasts, err := definition.Decode("broadcasts.yaml", examples.Broadcasts())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range broadcasts {
		if !slices.Contains(ids, d.Broadcast.Sender) {
			t.Errorf("broadcast %s goes out from %s, which senders.yaml lacks", d.Broadcast.ID, d.Broadcast.Sender)
		}
	}
	if hooks, err := definition.Decode("hooks.yaml", examples.Hooks()); err != nil || len(hooks) != 1 || hooks[0].Hook == nil {
		t.Errorf("hooks.yaml: %d documents, %v", len(hooks), err)
	}
	if len(senders) != 3 || len(broadcasts) != 3 {
		t.Errorf("%d senders and %d broadcasts, want 3 of each", len(senders), len(broadcasts))
	}
}

// read imports the contacts of one sender as the importer does.
func read(t *testing.T, file []byte, sender string, at time.Time) (good []contact.Record, bad []string, other int) {
	t.Helper()
	rows, err := contact.NewRows(bytes.NewReader(file), sender, at)
	if err != nil {
		t.Fatal(err)
	}
	for {
		u, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return good, bad, other
		}
		if b, ok := errors.AsType[*contact.BadRow](err); ok {
			bad = append(bad, b.Reason)
			continue
		}
		if errors.Is(err, contact.ErrOther) {
			other++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r, _ := contact.Merge(contact.Record{}, u)
		good = append(good, r)
	}
}

func TestContactsOfEachSender(t *testing.T) {
	for _, c := range []struct {
		sender string
		good   int
		bad    []string // a part of each reason, in the file's order
	}{
		{"bakery-oslo", 3200, []string{"last_inbound", "timezone", "columns", "id is empty"}},
		{"bakery-berlin", 1800, []string{"opened_by", "opted_out"}},
		{"bakery-insta", 1000, []string{"UTF-8", "future"}},
	} {
		t.Run(c.sender, func(t *testing.T) {
			good, bad, other := read(t, examples.Contacts(examples.Moment()), c.sender, examples.Moment())
			if len(good) != c.good || len(good)+len(bad)+other != 6008 {
				t.Errorf("%d good rows, %d bad, %d of others; want %d good of 6008", len(good), len(bad), other, c.good)
			}
			if len(bad) != len(c.bad) {
				t.Fatalf("bad rows %q, want %d", bad, len(c.bad))
			}
			for i, why := range bad {
				if !strings.Contains(why, c.bad[i]) {
					t.Errorf("bad row %d: %q, want it to speak of %q", i, why, c.bad[i])
				}
			}
		})
	}
}

// The spread must be the same whenever the file is used, and no window may
// close while a run is still beginning.
func TestContactsMoveWithTheClock(t *testing.T) {
	for _, now := range []time.Time{examples.Moment(), time.Date(2031, 3, 1, 23, 59, 59, 999, time.FixedZone("", 3600))} {
		inside, never, closingSoon := 0, 0, 0
		newest := time.Time{}
		for _, s := range []string{"bakery-oslo", "bakery-berlin", "bakery-insta"} {
			good, _, _ := read(t, examples.Contacts(now), s, now)
			for _, r := range good {
				left := r.LastInbound.Add(24 * time.Hour).Sub(now)
				switch {
				case r.LastInbound.IsZero():
					never++
				case left > 0 && left < 3*time.Minute:
					t.Errorf("a window closes %v after the start", left)
				case left > 0:
					inside++
				}
				if left > 0 && left < 10*time.Minute {
					closingSoon++
				}
				if r.LastInbound.After(newest) {
					newest = r.LastInbound
				}
			}
		}
		if inside != 4200 || never != 300 || closingSoon != 48 {
			t.Errorf("at %v: %d inside, %d never wrote, %d close within 10 minutes; want 4200, 300, 48", now, inside, never, closingSoon)
		}
		if d := now.Sub(newest); d < 0 || d >= time.Second {
			t.Errorf("at %v the newest inbound is %v old, want less than a second", now, d)
		}
	}
}

// A sample run is to take 20 to 40 seconds: audience over pace.
func TestBroadcastsTakeHalfAMinute(t *testing.T) {
	docs, err := definition.Decode("broadcasts.yaml", examples.Broadcasts())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		b := d.Broadcast
		sel, err := plan.NewSelector(b.Audience)
		if err != nil {
			t.Fatal(err)
		}
		text, err := message.ParseTemplate(b.Message.Text)
		if err != nil {
			t.Fatal(err)
		}
		good, _, _ := read(t, examples.Contacts(examples.Moment()), b.Sender, examples.Moment())
		size, unfilled := 0, 0
		for _, r := range good {
			in, err := sel.Match(r)
			if err != nil {
				t.Fatal(err)
			}
			if !in {
				continue
			}
			size++
			if _, err := text.Render(r, nil); err != nil {
				unfilled++
			}
		}
		if seconds := size / b.Pace.PerSecond; seconds < 20 || seconds > 40 {
			t.Errorf("%s: %d contacts at %d/s take %d s, want 20 to 40", b.ID, size, b.Pace.PerSecond, seconds)
		}
		if b.ID == "weekend-bread" && unfilled < 100 || b.ID != "weekend-bread" && unfilled != 0 {
			t.Errorf("%s: the text can't be filled in for %d contacts", b.ID, unfilled)
		}
	}
}
