package access

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/rig"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// open opens a store of an installation, with a clock of its own.
func open(t *testing.T, r *rig.Rooms) (*Store, *clock) {
	t.Helper()
	s, err := Open(t.Context(), r.Streams, r.Names, r.Log)
	rig.Must(t, err)
	c := &clock{t: time.Now()}
	s.now = c.now
	return s, c
}

func create(t *testing.T, s *Store, g Grant) (Token, string) {
	t.Helper()
	k, text, err := s.Create(t.Context(), Root(), g)
	rig.Must(t, err)
	return k, text
}

func TestLifeOfAToken(t *testing.T) {
	s, clock := open(t, rig.Open(t, engines))
	k, text := create(t, s, Grant{Name: "crm", Role: Operator, Senders: []string{"shop", "bakery"}, Expires: clock.now().Add(time.Hour)})
	p, err := s.Admit(text)
	if err != nil || p.ID != k.ID || p.Name != "crm" || p.Role != Operator || !p.SeesAll([]string{"bakery", "shop"}) || p.SeesAll(nil) || !p.Expires.Equal(k.Expires) {
		t.Errorf("%+v, %v", p, err)
	}
	if k.CreatedBy != RootID || !k.Created.Equal(clock.now()) || strings.Contains(k.Hash, text[len(text)-64:]) {
		t.Errorf("%+v", k)
	}
	for _, other := range []string{"", "x", newText().reveal(), text[:len(text)-1] + "x", textPrefix + k.ID + "_" + strings.Repeat("0", 64)} {
		if _, err := s.Admit(other); err != ErrRefused { //nolint:errorlint // whoever has no secret is told nothing more
			t.Errorf("%q: %v", other, err)
		}
	}
	clock.move(time.Hour - 1)
	rig.Must(t, s.refresh(t.Context()))
	if _, err := s.Admit(text); err != nil {
		t.Errorf("a moment before it expires: %v", err)
	}
	clock.move(1)
	if _, err := s.Admit(text); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("when it expires: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	r := rig.Open(t, engines)
	here, clock := open(t, r)
	there, _ := open(t, r)
	k, text := create(t, here, Grant{Name: "x", Role: Viewer, Senders: []string{"shop"}})
	stop := rig.Loop(t, func(ctx context.Context) error { there.Run(ctx); return nil })
	defer stop()
	rig.Until(t, "the token is known elsewhere", func() bool { _, err := there.Admit(text); return err == nil })

	// Whoever is not in charge of all its senders can't even know of it.
	for _, by := range []Principal{{ID: "o", Role: Admin, Senders: []string{"other"}}, {}} {
		if _, err := here.Revoke(t.Context(), by, k.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("revoked by %+v: %v", by, err)
		}
	}
	for _, id := range []string{"", "root", "000000000000", "a.b", ">", "*"} {
		if _, err := here.Revoke(t.Context(), Root(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("token %q: %v", id, err)
		}
	}
	got, err := here.Revoke(t.Context(), Principal{ID: "o", Role: Admin, Senders: []string{"shop"}}, k.ID)
	rig.Must(t, err)
	if got.RevokedBy != "o" || !got.Revoked.Equal(clock.now()) {
		t.Errorf("%+v", got)
	}
	if _, err := here.Admit(text); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "was revoked at") {
		t.Errorf("here: %v", err)
	}
	rig.Until(t, "it is revoked elsewhere", func() bool { _, err := there.Admit(text); return errors.Is(err, ErrRefused) })

	clock.move(time.Minute)
	again, err := there.Revoke(t.Context(), Root(), k.ID)
	if err != nil || again.RevokedBy != "o" || !again.Revoked.Equal(got.Revoked) {
		t.Errorf("revoked again: %+v, %v", again, err)
	}
}

// TestBlind: nobody passes by what may be out of date, and that is no refusal.
func TestBlind(t *testing.T) {
	r := rig.Open(t, engines)
	first, _ := open(t, r)
	_, text := create(t, first, Grant{Name: "x", Role: Viewer})

	s, clock := open(t, r)
	if _, err := s.Admit(text); !errors.Is(err, ErrBlind) {
		t.Errorf("before the bucket was read: %v", err)
	}
	if _, err := s.Admit("nonsense"); !errors.Is(err, ErrRefused) {
		t.Errorf("what can be no token: %v", err)
	}
	rig.Must(t, s.refresh(t.Context()))
	rig.Must(t, r.Engines.JetStream.DeleteKeyValue(t.Context(), r.Names.Access()))
	if err := s.refresh(t.Context()); err == nil {
		t.Fatal("a bucket that is gone could be read")
	}
	clock.move(MaxAge)
	if _, err := s.Admit(text); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	clock.move(1)
	if _, err := s.Admit(text); !errors.Is(err, ErrBlind) {
		t.Errorf("past the limit: %v", err)
	}
	if _, err := s.List(t.Context(), Root()); err == nil {
		t.Error("a bucket that is gone could be listed")
	}

	// Another bucket in its place is read, though its counters look the same.
	again, _ := open(t, r)
	_, other := create(t, again, Grant{Name: "y", Role: Viewer})
	rig.Must(t, s.refresh(t.Context()))
	if _, err := s.Admit(other); err != nil {
		t.Errorf("a token of the new bucket: %v", err)
	}
	if _, err := s.Admit(text); !errors.Is(err, ErrRefused) {
		t.Errorf("a token of the old bucket: %v", err)
	}
}

// TestEmptied: tokens that somebody purged behind our back are gone, and an
// entry that is no token admits nobody and keeps nobody else out.
func TestEmptied(t *testing.T) {
	r := rig.Open(t, engines)
	s, _ := open(t, r)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	spoilt, lost := create(t, s, Grant{Name: "x", Role: Viewer})
	_, text := create(t, s, Grant{Name: "y", Role: Viewer})
	_, err := s.kv.Put(t.Context(), spoilt.ID, []byte("{}"))
	rig.Must(t, err)
	rig.Must(t, s.refresh(t.Context()))
	if _, err := s.Admit(lost); !errors.Is(err, ErrRefused) {
		t.Errorf("a spoilt entry: %v", err)
	}
	if _, err := s.Admit(text); err != nil {
		t.Errorf("beside a spoilt entry: %v", err)
	}
	if n := strings.Count(log.String(), "a token can't be read; it admits nobody"); n != 1 {
		t.Errorf("%d lines: %s", n, &log)
	}
	rig.Must(t, s.kv.Delete(t.Context(), spoilt.ID))
	stream, err := r.Engines.JetStream.Stream(t.Context(), r.Names.AccessStream())
	rig.Must(t, err)
	rig.Must(t, s.refresh(t.Context()))
	rig.Must(t, stream.Purge(t.Context()))
	rig.Must(t, s.refresh(t.Context()))
	if _, err := s.Admit(text); !errors.Is(err, ErrRefused) {
		t.Errorf("after a purge: %v", err)
	}
}

// TestRunSaysWhenBlind: one line when it begins, one when it ends.
func TestRunSaysWhenBlind(t *testing.T) {
	r := rig.Open(t, engines)
	s, _ := open(t, r)
	lines := make(chan string, 10)
	s.log = slog.New(slog.NewTextHandler(says(lines), nil))
	rig.Must(t, r.Engines.JetStream.DeleteKeyValue(t.Context(), r.Names.Access()))
	defer rig.Loop(t, func(ctx context.Context) error { s.Run(ctx); return nil })()
	if line := <-lines; !strings.Contains(line, "level=WARN") || !strings.Contains(line, "the API's tokens can't be read; they are refused until they can") {
		t.Error(line)
	}
	open(t, r)
	if line := <-lines; !strings.Contains(line, "level=INFO") || !strings.Contains(line, "the API's tokens can be read again") {
		t.Error(line)
	}
}

// says hands on every line that is written.
type says chan string

func (s says) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func TestListAndGrants(t *testing.T) {
	s, clock := open(t, rig.Open(t, engines))
	ids := map[string]string{}
	for _, g := range []Grant{
		{Name: "all", Role: Viewer}, {Name: "shop", Role: Admin, Senders: []string{"shop"}}, {Name: "both", Role: Viewer, Senders: []string{"shop", "bakery"}},
	} {
		k, _ := create(t, s, g)
		ids[k.ID] = g.Name
		clock.move(time.Second)
	}
	for by, want := range map[*Principal]string{
		{Role: Admin}: "all shop both", {Role: Admin, Senders: []string{"shop"}}: "shop",
		{Role: Admin, Senders: []string{"bakery", "shop"}}: "shop both", {}: "",
	} {
		got, err := s.List(t.Context(), *by)
		rig.Must(t, err)
		var names []string
		for _, k := range got {
			names = append(names, ids[k.ID])
		}
		if strings.Join(names, " ") != want {
			t.Errorf("%+v lists %q, want %q", *by, names, want)
		}
	}
	for want, c := range map[string]struct {
		by Principal
		g  Grant
	}{
		"role admin is more than this token's own, operator":                                        {Principal{Role: Operator}, Grant{Name: "x", Role: Admin}},
		"senders: this token is for shop alone, so name those that the new one is for":              {Principal{Role: Admin, Senders: []string{"shop"}}, Grant{Name: "x", Role: Viewer}},
		"senders: this token is for shop alone, and so is what it creates":                          {Principal{Role: Admin, Senders: []string{"shop"}}, Grant{Name: "x", Role: Viewer, Senders: []string{"shop", "bakery"}}},
		"expires: this token ends at 2999-01-01T00:00:00Z, and what it creates must not outlive it": {Principal{Role: Admin, Expires: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}, Grant{Name: "x", Role: Viewer}},
		"name: say in 1 to 100 bytes, in one line, what or whom the token is for":                   {Root(), Grant{Role: Viewer}},
	} {
		_, text, err := s.Create(t.Context(), c.by, c.g)
		if _, ok := errors.AsType[*Refusal](err); !ok || err.Error() != want || text != "" {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if got, err := s.List(t.Context(), Root()); err != nil || len(got) != 3 {
		t.Errorf("what was refused was stored: %d, %v", len(got), err)
	}
}

// A field of a newer version may restrict its bearer; who can't read it lets
// nobody in.
func TestTokenOfANewerVersion(t *testing.T) {
	r := rig.Open(t, engines)
	s, _ := open(t, r)
	k, text := create(t, s, Grant{Name: "crm", Role: Admin})
	if _, err := s.Admit(text); err != nil {
		t.Fatal(err)
	}
	e, err := s.kv.Get(t.Context(), k.ID)
	rig.Must(t, err)
	_, err = s.kv.Put(t.Context(), k.ID, bytes.Replace(e.Value(), []byte("{"), []byte(`{"networks":["10.0.0.0/8"],`), 1))
	rig.Must(t, err)
	rig.Must(t, s.refresh(t.Context()))
	if p, err := s.Admit(text); !errors.Is(err, ErrRefused) {
		t.Errorf("admitted as %+v (%v)", p, err)
	}
	if _, err := s.Revoke(t.Context(), Root(), k.ID); err == nil {
		t.Error("revoked, and the field is lost")
	}
}
