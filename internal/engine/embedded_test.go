package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream that can't go on in a new file is frozen by the server until its
// next start. That comes by itself, as soon as files can be written, and takes
// nothing that was acknowledged.
func TestFrozenServerIsStartedAgain(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	var log syncBuffer
	e := start(t, Config{Data: data, Log: logInto(&log)})
	s, err := e.JetStream.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage, MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	// Its files are small, since its bound is: the second one can't be made,
	// and neither can the file by which it is tried whether one can.
	next, try := filepath.Join(data, "nats", "jetstream", "$G", "streams", "S", "msgs", "2.blk"), filepath.Join(data, ".room")
	for _, dir := range []string{next, filepath.Join(try, "taken")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	acked := uint64(0)
	publish := func() error {
		ack, err := e.JetStream.Publish(t.Context(), "s", bytes.Repeat([]byte("x"), 1000))
		if err == nil {
			acked = ack.Sequence
		}
		return err
	}
	for i := 0; publish() == nil; i++ {
		if i == 90 {
			t.Fatal("the stream was not frozen")
		}
	}
	first := e.embedded.now()
	eventually(t, "it says why it does not begin again", func() bool {
		return e.Writes() != nil && strings.Contains(e.Writes().Error(), "is a directory") && strings.Contains(log.String(), "can't be started again yet")
	})
	if e.embedded.now() != first {
		t.Error("it was started again although no file could be written")
	}
	if _, err := s.GetMsg(t.Context(), acked); err != nil {
		t.Errorf("nothing can be read meanwhile: %v", err)
	}

	for _, dir := range []string{next, try} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	before := acked
	eventually(t, "it takes writes again", func() bool { return publish() == nil })
	if acked != before+1 {
		t.Errorf("after it stands record %d, want %d", acked, before+1)
	}
	if m, err := s.GetMsg(t.Context(), before); err != nil || len(m.Data) != 1000 {
		t.Errorf("what was acknowledged: %v, %v", m, err)
	}
	eventually(t, "it says so", func() bool { return e.Writes() == nil && strings.Contains(log.String(), "writes again") })
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
}

// Whoever stops it while it waits for room does not wait.
func TestFrozenServerStops(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	e := start(t, Config{Data: data})
	if err := os.MkdirAll(filepath.Join(data, ".room", "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	e.embedded.lines.Errorf("JetStream stream '%s' critical write error: %v", "S", os.ErrPermission)
	eventually(t, "it waits", func() bool { return e.Writes() != nil })
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
}
