package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/definition"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/pkg/policy"
)

var engines *engine.Engines

func TestMain(m *testing.M) { os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e })) }

// account is that of rig.Bakery.
const account = "1234567890"

// world is an installation with a desk and the sender bakery.
type world struct {
	*rig.Rooms
	desk *ingest.Desk
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{Rooms: rig.Open(t, engines)}
	w.Apply(t, rig.Bakery)
	w.desk = w.open(t, nil)
	return w
}

// open opens one more desk of the installation; change may be nil.
func (w world) open(t *testing.T, change func(*ingest.Config)) *ingest.Desk {
	t.Helper()
	senders, err := definition.NewCache(t.Context(), w.Defs)
	rig.Must(t, err)
	t.Cleanup(senders.Close)
	c := ingest.Config{
		NATS: w.Engines.NATS, Streams: w.Streams, Names: w.Names, Facts: w.Facts,
		Consent: &consent.Desk{Facts: w.Facts, Ledger: w.Ledger}, Senders: senders, Rulebook: policy.Default(), Log: w.Log,
	}
	if change != nil {
		change(&c)
	}
	d, err := ingest.Open(t.Context(), c)
	rig.Must(t, err)
	return d
}

// at is a moment of the test's day.
func at(minute int) time.Time {
	return time.Date(2026, 11, 20, 12, minute, 0, 0, time.UTC)
}

// told is an event of the bakery's Page about its i-th contact.
func told(typ event.Type, i int, at time.Time) event.Event {
	return event.Event{
		Source: "meta/shop", ID: fmt.Sprintf("%s-%d-%d", typ, i, at.UnixMilli()), Type: typ, Time: at,
		Channel: "messenger", Account: account, Person: rig.Address(i),
	}
}

func wrote(i int, at time.Time, text string) event.Event {
	e := told(event.Message, i, at)
	e.MessageID, e.Text = fmt.Sprintf("m-%d-%d", i, at.UnixMilli()), text
	return e
}

func (w world) take(t *testing.T, events ...event.Event) ingest.Taken {
	t.Helper()
	out, err := w.desk.Take(t.Context(), events)
	for n := out.New; err != nil; n = out.New {
		if !errors.Is(err, ingest.ErrTooLate) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		// Told again, as platforms do: what was new before is a repeat now.
		out, err = w.desk.Take(t.Context(), events)
		out.New, out.Repeated = out.New+n, out.Repeated-n
	}
	return out
}

func (w world) contact(t *testing.T, i int) contact.Record {
	t.Helper()
	r, _, err := w.Facts.Contact(t.Context(), "bakery", w.Facts.Key("bakery", rig.Address(i)))
	rig.Must(t, err)
	return r
}
