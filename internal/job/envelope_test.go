package job

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func envelope(n int) Envelope {
	e := Envelope{Source: Source{"202611", 0, "bakery", "spring-menu~1"}}
	for i := range n {
		var k Key
		binary.BigEndian.PutUint64(k[:], uint64(i))
		e.Jobs = append(e.Jobs, Ref{Contact: k})
	}
	return e
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := Envelope{Source: drawSource(t)}
		first := uint64(0)
		if e.Source.Flow() != "" {
			first = 1
		}
		e.Jobs = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Ref {
			return Ref{Contact: drawKey(t), Seq: rapid.Uint64Min(first).Draw(t, "seq"), Attempt: rapid.IntRange(0, 1<<40).Draw(t, "attempt")}
		}), 1, MaxJobs, func(r Ref) Key { return r.Contact }).Draw(t, "jobs")
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeEnvelope(b); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("decoded %+v, %v; want %+v", got, err, e)
		}
	})
}

// TestEnvelopeWire holds the wire form itself: tasks outlive a deployment.
func TestEnvelopeWire(t *testing.T) {
	t.Parallel()
	e := envelope(2)
	e.Jobs[1].Seq, e.Jobs[1].Attempt = 4711, 2
	got, err := e.Encode()
	const want = `{"v":1,"month":"202611","part":0,"sender":"bakery","source":"spring-menu~1",` +
		`"jobs":[{"c":"AAAAAAAAAAAAAAAAAAAAAA"},{"c":"AAAAAAAAAAEAAAAAAAAAAA","s":4711,"a":2}]}`
	if err != nil || string(got) != want {
		t.Errorf("Encode() = %s, %v\nwant %s", got, err, want)
	}
}

// TestEnvelopeCheck asserts that both ways refuse the same.
func TestEnvelopeCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		e    Envelope
		edit func(*Envelope)
		want string // "": fine
	}{
		{"one job", envelope(1), nil, ""},
		{"most jobs", envelope(MaxJobs), nil, ""},
		{"no job", envelope(0), nil, "0 jobs, want 1 to 50"},
		{"too many jobs", envelope(MaxJobs + 1), nil, "51 jobs, want 1 to 50"},
		{"a contact twice", envelope(2), func(e *Envelope) { e.Jobs[1] = e.Jobs[0] }, "contact AAAAAAAAAAAAAAAAAAAAAA twice"},
		{"a step of a flow", envelope(1), func(e *Envelope) { e.Source.Name, e.Jobs[0].Seq = "order~run~1-2-1-0", 7 }, ""},
		{"a step that nobody planned", envelope(1), func(e *Envelope) { e.Source.Name = "order~run~1-2-1-0" }, "a job of a flow has a record before it is claimed"},
		{"attempts before the first", envelope(1), func(e *Envelope) { e.Jobs[0].Attempt = -1 }, "attempt -1"},
		{"month", envelope(1), func(e *Envelope) { e.Source.Month = "202613" }, "want month, part, sender and name"},
		{"last part", envelope(1), func(e *Envelope) { e.Source.Part = 999 }, ""},
		{"part", envelope(1), func(e *Envelope) { e.Source.Part = 1000 }, "want month, part, sender and name"},
		{"sender", envelope(1), func(e *Envelope) { e.Source.Sender = "a.b" }, "want month, part, sender and name"},
		{"source", envelope(1), func(e *Envelope) { e.Source.Name = "" }, "want month, part, sender and name"},
	} {
		if c.edit != nil {
			c.edit(&c.e)
		}
		_, encoded := c.e.Encode()
		_, decoded := DecodeEnvelope(byHand(c.e))
		for _, err := range []error{encoded, decoded} {
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
		if decoded != nil && !errors.Is(decoded, errEnvelope) {
			t.Errorf("%s: %v is no %v", c.name, decoded, errEnvelope)
		}
	}
}

// byHand encodes without a check.
func byHand(e Envelope) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"v":1,"month":%q,"part":%d,"sender":%q,"source":%q,"jobs":[`, e.Source.Month, e.Source.Part, e.Source.Sender, e.Source.Name)
	for i, j := range e.Jobs {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"c":%q,"s":%d,"a":%d}`, j.Contact, j.Seq, j.Attempt)
	}
	b.WriteString("]}")
	return b.Bytes()
}

func TestDecodeEnvelopeRefuses(t *testing.T) {
	t.Parallel()
	good := string(byHand(envelope(1)))
	for _, s := range []string{
		"", "null", "{}", "[]", good + good, good[:len(good)-1], strings.Replace(good, `"v":1`, `"v":2`, 1), strings.Replace(good, `"v":1,`, "", 1),
		strings.Replace(good, `"part":0`, `"part":0.5`, 1), strings.Replace(good, `"part":0`, `"part":"0"`, 1),
		strings.Replace(good, `"s":0`, `"s":-1`, 1), strings.Replace(good, "AAAA", "A.AA", 1),
	} {
		if e, err := DecodeEnvelope([]byte(s)); !errors.Is(err, errEnvelope) || e.Jobs != nil {
			t.Errorf("DecodeEnvelope(%q) = %+v, %v; want %v", s, e, err, errEnvelope)
		}
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add(byHand(envelope(1)))
	f.Add(byHand(envelope(MaxJobs)))
	f.Add(byHand(envelope(MaxJobs + 1)))
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		if e2, err := DecodeEnvelope(again); err != nil || !reflect.DeepEqual(e, e2) {
			t.Errorf("decoded %+v, then %+v, %v", e, e2, err)
		}
	})
}
