package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/store"
)

// TestAcknowledgementsAreFound however what was read was cut into pieces, and
// nothing that only looks like one.
func TestAcknowledgementsAreFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		want := map[string]uint64{}
		for range rapid.IntRange(0, 20).Draw(t, "messages") {
			name, seq := rapid.SampledFrom([]string{"A", "LEDGER_202611_0"}).Draw(t, "stream"), rapid.Uint64Range(1, 1<<40).Draw(t, "seq")
			body := fmt.Sprintf("{\"stream\":%q,\"seq\":%d%s}", name, seq, rapid.SampledFrom([]string{"", `,"duplicate": true`, `,"batch":"b","count":3`}).Draw(t, "more"))
			to := "_INBOX.abc.d"
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0:
				fmt.Fprintf(&text, "HMSG %s 1 12 %d\r\nNATS/1.0\r\n\r\n%s\r\n", to, 12+len(body), body)
			case 1:
				fmt.Fprintf(&text, "MSG app.x 1 %s %d\r\n%s\r\n", to, len(body), body) // somebody's message
			case 2:
				text.WriteString("PING\r\n")
			case 3:
				body = "a letter\r\nMSG _INBOX.a 1 1\r\n" + body
				fmt.Fprintf(&text, "MSG %s 1 %d\r\n%s\r\n", to, len(body), body)
			case 4:
				body = fmt.Sprintf(`{"error":{"code":400},"stream":%q,"seq":0}`, name)
				fmt.Fprintf(&text, "MSG %s 1 %d\r\n%s\r\n", to, len(body), body)
			default:
				fmt.Fprintf(&text, "MSG %s 1 %d\r\n%s\r\n", to, len(body), body)
				want[name] = max(want[name], seq)
			}
		}
		got, a := map[string]uint64{}, acks{}
		for b := []byte(text.String()); len(b) > 0; {
			n := rapid.IntRange(1, min(len(b), 300)).Draw(t, "read")
			for name, seq := range a.in(b[:n]) {
				got[name] = max(got[name], seq)
			}
			b = b[n:]
		}
		if !maps.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	})
}

// BenchmarkAcknowledged is what one acknowledgement costs that comes alone: read
// along and noted.
func BenchmarkAcknowledged(b *testing.B) {
	m, err := store.OpenMarks(filepath.Join(b.TempDir(), "marks"))
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	var a acks
	for i := range b.N {
		for stream, last := range a.in(fmt.Appendf(nil, "MSG _INBOX.a.b 1 40\r\n{\"stream\":\"LEDGER_202611_0\",\"seq\":%07d}\r\n", i)) {
			m.Acked(stream, last)
		}
	}
}

func FuzzAcks(f *testing.F) {
	f.Add([]byte("MSG _INBOX.a.b 1 20\r\n{\"stream\":\"S\",\"seq\":1}\r\n"))
	f.Add([]byte("HMSG a 1 -5 -5\r\nMSG \r\nMSG 99999999999999999999\r\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, cut acks
		want, got := whole.in(b), map[string]uint64{}
		for i := range b {
			for name, seq := range cut.in(b[i : i+1]) {
				got[name] = max(got[name], seq)
			}
		}
		if !maps.Equal(want, got) {
			t.Errorf("at once %v, byte by byte %v", want, got)
		}
	})
}

// TestNothingAcknowledgedIsMissed: the end of a stream's file is cut off at the
// very moment at which its last record was acknowledged. The next start refuses
// before the server has touched anything.
func TestNothingAcknowledgedIsMissed(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	e := start(t, Config{Data: data, NATSOnly: true})
	js := e.JetStream
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	for name, publish := range map[string]func() error{
		"alone": func() error { _, err := js.Publish(t.Context(), "s.a", []byte("x")); return err },
		"asked": func() error { _, err := e.NATS.Request("s.a", []byte("x"), natsDialTimeout); return err },
		"unawaited": func() error {
			var last jetstream.PubAckFuture
			for range 100 {
				var err error
				if last, err = js.PublishAsync("s.a", []byte("x")); err != nil {
					return err
				}
			}
			select {
			case <-last.Ok():
				return nil
			case err := <-last.Err():
				return err
			}
		},
		"a batch": func() error {
			for i := 1; i <= 3; i++ {
				m := nats.NewMsg("s.a")
				m.Header.Set("Nats-Batch-Id", "b")
				m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(i))
				if i == 3 {
					m.Header.Set("Nats-Batch-Commit", "1")
					_, err := e.NATS.RequestMsg(m, natsDialTimeout)
					return err
				}
				if err := e.NATS.PublishMsg(m); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		if err := publish(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(copied, "nats", "jetstream", "$G", "streams", "S", "msgs", "1.blk")
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		last := lastRecord(b)
		for _, end := range []int{last, len(b) - 1} { // between two records, and within one
			if err := os.Truncate(at, int64(end)); err != nil {
				t.Fatal(err)
			}
			refused(t, t.Context(), Config{Data: copied, NATSOnly: true}, "stream S ends at record", "restore a backup")
			if i, err := os.Stat(at); err != nil || i.Size() != int64(end) {
				t.Errorf("%s: the file was changed: %v", name, err)
			}
			if err := os.WriteFile(at, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := Start(t.Context(), Config{Data: copied, NATSOnly: true}); err != nil {
			t.Errorf("%s: whole, and refused: %v", name, err)
		} else if err := again.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// lastRecord returns where the last record of a block begins.
func lastRecord(b []byte) (at int) {
	for next := 0; next < len(b); {
		at = next
		next += int(binary.LittleEndian.Uint32(b[at:]) &^ (1 << 31))
	}
	return at
}
