package access

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// What keeps a token out. Others are failures of the store.
var (
	// ErrRefused says that it is no token, or none of ours.
	ErrRefused = errors.New("no valid token")
	// ErrNotFound says that there is no token of an id.
	ErrNotFound = errors.New("not found")
	// ErrBlind says that the process does not know which tokens are good.
	ErrBlind = errors.New("the tokens can't be read at the moment, so that a revoked one would not be known; it goes on by itself")
)

// MaxAge bounds how old what the process knows of the tokens may be. It is
// what a change of the bucket's leader takes, a few times over.
const MaxAge = 10 * time.Second

const (
	// beat is how often the bucket is asked whether it changed: one small
	// request.
	beat = time.Second
	// askTimeout leaves room for another try within MaxAge.
	askTimeout = 4 * time.Second
)

// Store keeps the tokens, and knows them.
type Store struct {
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	stream string
	log    *slog.Logger
	now    func() time.Time

	reading sync.Mutex            // one reader of the bucket at a time
	known   atomic.Pointer[known] // nil: nothing was read yet
}

// known is what the bucket held at a moment.
type known struct {
	at     time.Time // when it was asked
	of     state
	tokens map[string]Token // by id; never written to
}

// state tells one content of the bucket from any other.
type state struct {
	created           time.Time // of the bucket: another one counts anew
	last, first, many uint64
}

// Config returns the settings of the bucket of tokens.
func Config(names subject.Names) jetstream.StreamConfig {
	return stream.Bucket(names.Access(), "tokens of the API, hashed", 1)
}

// Open opens the bucket of tokens.
func Open(ctx context.Context, p stream.Provider, names subject.Names, log *slog.Logger) (*Store, error) {
	kv, err := p.KeyValue(ctx, Config(names))
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return &Store{js: p.JS, kv: kv, stream: names.AccessStream(), log: log, now: time.Now}, nil
}

// Run keeps what is known of the tokens fresh until ctx ends. The bucket is
// asked, rather than trusted to tell: a subscription that went quiet looks
// like a bucket in which nothing happens.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	failing := false
	for {
		err := s.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			s.log.WarnContext(ctx, "the API's tokens can't be read; they are refused until they can", "error", err)
		case err == nil && failing:
			s.log.InfoContext(ctx, "the API's tokens can be read again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh makes what is known as fresh as the moment of the call.
func (s *Store) refresh(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked := s.now()
	str, err := s.js.Stream(ctx, s.stream) // the stream's leader answers
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	i := str.CachedInfo()
	of := state{i.Created, i.State.LastSeq, i.State.FirstSeq, i.State.Msgs}
	if k := s.known.Load(); k != nil && k.of == of {
		s.known.Store(&known{asked, of, k.tokens})
		return nil
	}
	tokens, err := s.read(ctx, of)
	if err == nil {
		s.known.Store(&known{asked, of, tokens})
	}
	return err
}

// errBehind says that whoever was read from does not have it all yet.
var errBehind = errors.New("tokens: the replica that was read is behind its leader; it is read again")

// read returns all tokens. A replica may serve the reading, so that it counts
// only when it has come as far as the leader said.
func (s *Store) read(ctx context.Context, of state) (map[string]Token, error) {
	tokens := map[string]Token{}
	if of.many == 0 {
		return tokens, nil
	}
	seen := uint64(0)
	err := stream.Each(ctx, s.js, stream.Query{Stream: s.stream, Newest: true}, func(m stream.Message) error {
		seen = max(seen, m.Seq)
		id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		var t Token
		if len(m.Data) == 0 { // somebody deleted it by hand
			return nil
		}
		if !readable(m.Data, &t, id) {
			s.log.WarnContext(ctx, "a token can't be read; it admits nobody", "token", id, "sequence", m.Seq)
			return nil
		}
		tokens[id] = t
		return nil
	})
	if err == nil && seen < of.last {
		err = errBehind
	}
	return tokens, err
}

// readable reads a stored token, and tells whether it is the one of its key.
func readable(b []byte, t *Token, id string) bool { return decode(b, t) == nil && t.ID == id }

// decode reads a stored token and refuses a field of a newer version, which
// may restrict what its bearer can do.
func decode(b []byte, t *Token) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(t)
}

// Admit returns who shows a token. Its errors are ErrRefused, with the reason
// where the secret is right, and ErrBlind.
func (s *Store) Admit(shown string) (Principal, error) {
	given, ok := parseText(shown)
	if !ok {
		return Principal{}, ErrRefused
	}
	k, now := s.known.Load(), s.now()
	if k == nil || now.Sub(k.at) > MaxAge {
		return Principal{}, ErrBlind
	}
	t, ok := k.tokens[given.id]
	switch {
	case !ok || !given.opens(t):
		return Principal{}, ErrRefused
	case !t.Revoked.IsZero():
		return Principal{}, fmt.Errorf("%w: token %s was revoked at %s", ErrRefused, t.ID, t.Revoked.UTC().Format(time.RFC3339))
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return Principal{}, fmt.Errorf("%w: token %s expired at %s", ErrRefused, t.ID, t.Expires.UTC().Format(time.RFC3339))
	}
	return t.Principal(), nil
}

// A Refusal is a grant that can't be, or that is more than its creator has.
type Refusal struct{ error }

// Unwrap gives the error that says what was wrong.
func (r *Refusal) Unwrap() error { return r.error }

// Create makes a token that somebody asks for, and returns it with its text,
// which is nowhere else. It can be used as soon as a process has heard of it,
// which here is at once.
func (s *Store) Create(ctx context.Context, by Principal, g Grant) (Token, string, error) {
	now := s.now().UTC()
	if err := g.Check(now); err != nil {
		return Token{}, "", err
	}
	if err := by.Grants(g.Role, g.Senders, g.Expires); err != nil {
		return Token{}, "", &Refusal{err}
	}
	secret := newText()
	t := Token{
		ID: secret.id, Name: g.Name, Role: g.Role, Senders: slices.Sorted(slices.Values(g.Senders)), Created: now, CreatedBy: by.ID,
		Hash: secret.hash(),
	}
	if !g.Expires.IsZero() {
		t.Expires = g.Expires.UTC()
	}
	data, err := json.Marshal(t)
	if err != nil {
		return Token{}, "", fmt.Errorf("token %s: %w", t.ID, err)
	}
	if _, err := s.kv.Create(ctx, t.ID, data); err != nil {
		return Token{}, "", fmt.Errorf("token %s: %w", t.ID, err)
	}
	_ = s.refresh(ctx) // Run does it a moment later; an error would keep the text from who needs it
	return t, secret.reveal(), nil
}

// Revoke ends a token that somebody may know of: here at once, everywhere
// after a moment. One that was revoked before stays as it was.
func (s *Store) Revoke(ctx context.Context, by Principal, id string) (Token, error) {
	for {
		t, rev, err := s.get(ctx, id)
		if err == nil && !t.Visible(by) {
			err = fmt.Errorf("token %s: %w", id, ErrNotFound)
		}
		if err != nil {
			return Token{}, err
		}
		if !t.Revoked.IsZero() {
			return t, s.refresh(ctx)
		}
		t.Revoked, t.RevokedBy = s.now().UTC(), by.ID
		data, err := json.Marshal(t)
		if err == nil {
			_, err = s.kv.Update(ctx, id, data, rev)
		}
		if stream.Conflict(err) {
			continue // somebody else revoked it meanwhile
		}
		if err != nil {
			return Token{}, fmt.Errorf("token %s: %w", id, err)
		}
		return t, s.refresh(ctx)
	}
}

func (s *Store) get(ctx context.Context, id string) (Token, uint64, error) {
	var t Token
	if !ValidID(id) {
		return t, 0, fmt.Errorf("token %s: %w", id, ErrNotFound)
	}
	e, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return t, 0, fmt.Errorf("token %s: %w", id, err)
	}
	if err := decode(e.Value(), &t); err != nil {
		return t, 0, fmt.Errorf("token %s: %w", id, err)
	}
	return t, e.Revision(), nil
}

// List returns the tokens that somebody may know of, the oldest first.
func (s *Store) List(ctx context.Context, by Principal) ([]Token, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	var out []Token
	for _, t := range s.known.Load().tokens {
		if t.Visible(by) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Token) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}
