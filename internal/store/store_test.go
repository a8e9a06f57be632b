package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/store"
)

// written is a directory as a kill leaves it: copied from under a server that
// syncs always.
func written(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	e, err := engine.Start(t.Context(), engine.Config{Data: data, NATSOnly: true})
	must(t, err)
	t.Cleanup(func() { must(t, e.Stop()) })
	s, err := e.JetStream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1})
	must(t, err)
	for i := range 90 {
		m := &nats.Msg{Subject: fmt.Sprint("s.", i%70), Data: bytes.Repeat([]byte("x"), 100+i)}
		if i%3 == 0 {
			m.Header = nats.Header{"A": {"b"}}
		}
		_, err := e.JetStream.PublishMsg(t.Context(), m)
		must(t, err)
	}
	must(t, s.Purge(t.Context(), jetstream.WithPurgeSubject("s.7")))
	must(t, s.SecureDeleteMsg(t.Context(), 60))
	dir := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(data, "nats"))))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// changed is a copy of a directory with one file of the stream edited.
func changed(t *testing.T, dir, file string, edit func([]byte) []byte) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "changed")
	must(t, os.CopyFS(to, os.DirFS(dir)))
	path := filepath.Join(to, "jetstream", "$G", "streams", "S", file)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if b = edit(b); b == nil {
		must(t, os.Remove(path))
		return to
	}
	must(t, os.WriteFile(path, b, 0o600))
	return to
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 0x10
		return b
	}
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

func gone([]byte) []byte { return nil }

func TestWhatWasWrittenPasses(t *testing.T) {
	t.Parallel()
	r, err := store.Check(written(t))
	if err != nil || r.Streams != 1 || r.Records < 90 || len(r.Torn) != 0 || r.Last["S"] != 90 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := store.Check(filepath.Join(t.TempDir(), "nothing")); err != nil || r.Streams != 0 {
		t.Errorf("of nothing: %+v, %v", r, err)
	}
}

// TestWhereAStreamEnds: however records went, the files tell the sequence that
// the server goes on behind.
func TestWhereAStreamEnds(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	e, err := engine.Start(t.Context(), engine.Config{Data: data, NATSOnly: true})
	must(t, err)
	t.Cleanup(func() { must(t, e.Stop()) })
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		then   func(jetstream.Stream) error
	}{
		"as it is":               {then: func(jetstream.Stream) error { return nil }},
		"the newest deleted":     {then: func(s jetstream.Stream) error { return s.DeleteMsg(t.Context(), 50) }},
		"the newest overwritten": {then: func(s jetstream.Stream) error { return s.SecureDeleteMsg(t.Context(), 50) }},
		"all purged":             {then: func(s jetstream.Stream) error { return s.Purge(t.Context()) }},
		"all replaced":           {config: jetstream.StreamConfig{MaxMsgsPerSubject: 1}, then: func(jetstream.Stream) error { return nil }},
		"all over": {config: jetstream.StreamConfig{MaxAge: 100 * time.Millisecond}, then: func(s jetstream.Stream) error {
			for {
				if i, err := s.Info(t.Context()); err != nil || i.State.Msgs == 0 {
					return err
				}
			}
		}},
		"compressed": {config: jetstream.StreamConfig{Compression: jetstream.S2Compression}, then: func(s jetstream.Stream) error {
			for range 10 { // beyond the first block
				if _, err := e.JetStream.Publish(t.Context(), s.CachedInfo().Config.Subjects[0], bytes.Repeat([]byte("x"), 1<<20-100)); err != nil {
					return err
				}
			}
			for until := time.Now().Add(time.Minute); ; { // the server does it by and by
				b, err := os.ReadFile(filepath.Join(data, "nats", "jetstream", "$G", "streams", "compressed", "msgs", "1.blk"))
				if err != nil || bytes.HasPrefix(b, []byte("cmp")) || time.Now().After(until) {
					return err
				}
			}
		}},
	} {
		c.config.Name = strings.ReplaceAll(name, " ", "_")
		c.config.Subjects, c.config.Storage = []string{c.config.Name}, jetstream.FileStorage
		s, err := e.JetStream.CreateStream(t.Context(), c.config)
		must(t, err)
		for range 50 {
			_, err := e.JetStream.Publish(t.Context(), c.config.Name, []byte("x"))
			must(t, err)
		}
		must(t, c.then(s))
		i, err := s.Info(t.Context())
		must(t, err)
		r, err := store.Check(filepath.Join(data, "nats"))
		if err != nil || r.Last[c.config.Name] != i.State.LastSeq || i.State.LastSeq < 50 {
			t.Errorf("%s: the files end at %d, and the server at %d, %v", name, r.Last[c.config.Name], i.State.LastSeq, err)
		}
		if b, err := os.ReadFile(filepath.Join(data, "nats", "jetstream", "$G", "streams", c.config.Name, "msgs", "1.blk")); name == "compressed" && (err != nil || !bytes.HasPrefix(b, []byte("cmp"))) {
			t.Errorf("nothing is compressed: %v", err)
		}
	}
}

// TestNoByteCanChange flips every byte of a few records, one at a time. The sum
// of a record is not over where its subject ends: where no headers follow, a
// shorter one is not seen, since what it lost begins the data then.
func TestNoByteCanChange(t *testing.T) {
	t.Parallel()
	dir := written(t)
	path := filepath.Join(dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk")
	b, err := os.ReadFile(path)
	must(t, err)
	blind, few := map[int]bool{}, 0
	for range 6 { // every third with headers
		long := binary.LittleEndian.Uint32(b[few:])
		blind[few+20] = long>>31 == 0
		few += int(long &^ (1 << 31))
	}
	b = b[:few]
	for at := range b {
		for _, bit := range []byte{0x01, 0x41, 0x80} {
			b[at] ^= bit
			must(t, os.WriteFile(path, b, 0o600))
			r, err := store.Check(dir)
			if err == nil && len(r.Torn) == 0 && !blind[at] {
				t.Errorf("byte %d with %#x: %+v", at, bit, r)
			}
			b[at] ^= bit
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	dir := written(t)
	if _, err := store.Check(changed(t, dir, "../notes.txt", func([]byte) []byte { return []byte("mine") })); err != nil {
		t.Errorf("somebody's file beside the streams: %v", err)
	}
	const block = "msgs/1.blk"
	for name, c := range map[string]struct {
		file string
		edit func([]byte) []byte
		want string // "": a last write that was cut off
	}{
		"a byte of a record":        {block, flip(40), "a record is not the one that was written"},
		"a byte of the last record": {block, flip(-20), "a record is not the one that was written"},
		"a length":                  {block, flip(1), "a record"},
		"the last write cut off":    {block, cut(5), ""},
		"but for its head":          {block, func(b []byte) []byte { return append(b, 1, 2, 3) }, ""},
		"zeros at the end":          {block, func(b []byte) []byte { return append(b, make([]byte, 4096)...) }, ""},
		"zeros, then something":     {block, func(b []byte) []byte { return append(append(b, make([]byte, 4096)...), 1) }, "a record has no length"},
		"something at the end":      {block, func(b []byte) []byte { return append(b, bytes.Repeat([]byte{9}, 64)...) }, "impossible length"},
		"settings":                  {"meta.inf", flip(30), "a stream's settings are not those that were written"},
		"their sum":                 {"meta.sum", flip(3), "a stream's settings are not those that were written"},
		"no settings":               {"meta.inf", gone, "are gone"},
		"no sum":                    {"meta.sum", gone, "are gone"},
	} {
		r, err := store.Check(changed(t, dir, c.file, c.edit))
		if c.want == "" {
			if err != nil || len(r.Torn) != 1 {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		var d *store.Damage
		if !errors.As(err, &d) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(filepath.Base(d.File), strings.TrimSuffix(filepath.Base(c.file), ".sum")[:1]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
