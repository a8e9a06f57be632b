package consent_test

import (
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/rig"
)

func optOut() contact.OptOut {
	return contact.OptOut{Scope: contact.All, At: time.Now(), Source: "a letter"}
}

type world struct {
	*rig.Rooms
	desk consent.Desk
	id   job.ID
}

// newWorld has a contact with a claim without an outcome.
func newWorld(t *testing.T) world {
	t.Helper()
	r := rig.Open(t, engines)
	rig.Must(t, r.Ledger.Ensure(t.Context(), "202611", 0))
	src := job.Source{Month: "202611", Sender: "bakery", Name: "spring~1"}
	w := world{r, consent.Desk{Facts: r.Facts, Ledger: r.Ledger}, src.Job(r.Facts.Key("bakery", rig.Address(0)))}
	r.Record(t, w.id, ledger.Record{State: job.Claimed})
	return w
}

func TestOptOutWaitsForTheOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	done := make(chan consent.Recorded, 1)
	go func() {
		out, err := w.desk.OptOut(t.Context(), "bakery", rig.Address(0), optOut())
		if err != nil {
			t.Error(err)
		}
		done <- out
	}()
	rig.Until(t, "the gate sees the opt-out", func() bool {
		l, err := w.View.Look(t.Context(), "bakery", "spring~1", []job.Key{w.id.Contact})
		return err == nil && l.Contacts[0] != nil && l.Contacts[0].OptedOut(contact.All)
	})
	select {
	case out := <-done:
		t.Fatalf("answered %+v with a claim open", out)
	default:
	}
	w.Record(t, w.id, ledger.Record{State: job.Sent})
	if out := <-done; !out.InForce || len(out.InFlight) != 0 {
		t.Errorf("answered %+v", out)
	}
}

// What outlasts the wait is named, and an opt-out of which nobody knows
// whether it is in force does not say that it is.
func TestOptOutNamesWhatOutlastsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.id
	other.Name = "winter~1"
	w.Record(t, other, ledger.Record{State: job.Claimed})
	w.Record(t, other, ledger.Record{State: job.Sent})
	start := time.Now()
	out, err := w.desk.OptOut(t.Context(), "bakery", rig.Address(0), optOut())
	rig.Must(t, err)
	if out.InForce || !slices.Equal(out.InFlight, []job.ID{w.id}) {
		t.Errorf("answered %+v", out)
	}
	if took := time.Since(start); took > 9*time.Second {
		t.Errorf("the answer took %s", took)
	}
	r, ok, err := w.Facts.Contact(t.Context(), "bakery", w.id.Contact)
	if err != nil || !ok || !r.OptedOut(contact.All) {
		t.Errorf("known: %+v, %v, %v", r, ok, err)
	}
}

// One contact's claims are no other's, nor are another sender's.
func TestOthersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Settled(t, nil)
	for sender, address := range map[string]string{"bakery": rig.Address(1), "shop": rig.Address(0)} {
		out, err := w.desk.OptOut(t.Context(), sender, address, optOut())
		if err != nil || !out.InForce || len(out.InFlight) != 0 {
			t.Errorf("%s: %+v, %v", sender, out, err)
		}
	}
}

func TestOptOutThatCantBeRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rig.Must(t, w.Engines.JetStream.DeleteStream(t.Context(), w.Names.FactsStream()))
	if out, err := w.desk.OptOut(t.Context(), "bakery", rig.Address(0), optOut()); err == nil || out.InForce {
		t.Errorf("answered %+v, %v", out, err)
	}
}
