package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	must(t, err)
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
	if err != nil || r.Streams != 1 || r.Records < 90 || len(r.Torn) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := store.Check(filepath.Join(t.TempDir(), "nothing")); err != nil || r.Streams != 0 {
		t.Errorf("of nothing: %+v, %v", r, err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	dir := written(t)
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

func TestMarks(t *testing.T) {
	t.Parallel()
	was := store.Marks{"L": {Last: 10, Messages: 10, Adds: true}, "T": {Last: 5, Messages: 5}}
	for name, c := range map[string]struct {
		is   store.Marks
		want string
	}{
		"the same":        {was, ""},
		"more":            {store.Marks{"L": {Last: 11, Messages: 11}, "T": {Last: 5}, "N": {}}, ""},
		"one record less": {store.Marks{"L": {Last: 9, Messages: 9}, "T": {Last: 5}}, "stream L ends at record 9, and went on to 10"},
		"one in between":  {store.Marks{"L": {Last: 10, Messages: 9}, "T": {Last: 5}}, "stream L has 9 records, and had 10"},
		"a stream":        {store.Marks{"L": {Last: 10, Messages: 10}}, "stream T is gone: it had 5 records"},
	} {
		err := was.Behind(c.is)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "marks")
	if m, err := store.ReadMarks(path); m != nil || err != nil {
		t.Errorf("of nothing: %v, %v", m, err)
	}
	must(t, store.WriteMarks(path, was))
	if m, err := store.ReadMarks(path); err != nil || fmt.Sprint(m) != fmt.Sprint(was) {
		t.Errorf("%v, %v", m, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside it there are %v, %v", left, err)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	for _, bad := range [][]byte{nil, b[:len(b)/2], bytes.Replace(b, []byte("10"), []byte("11"), 1)} {
		must(t, os.WriteFile(path, bad, 0o600))
		if _, err := store.ReadMarks(path); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
