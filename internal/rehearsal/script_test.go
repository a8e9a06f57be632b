package rehearsal

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/ingest/cloudevent"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func decode(b []byte) ([]event.Event, error) { return cloudevent.Decode(nil, b) }

func read(t *testing.T, text string) *Script {
	t.Helper()
	s, err := Read([]byte(text), time.Time{}, decode)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const three = `{"specversion":"1.0","id":"1","source":"crm","type":"a","time":"2026-11-22T10:00:00+01:00"}
{"event":"message","at":"2026-11-22T09:00:01Z","sender":"shop","contact":"7","text":"hi"}

{"outcome":"failed","step":"tell","after":"90s","times":2}
{"specversion":"1.0","id":"2","source":"crm","type":"b"}
`

func TestRead(t *testing.T) {
	t.Parallel()
	s := read(t, three)
	if len(s.Told) != 3 || len(s.Fates) != 1 || s.Repeated != 0 {
		t.Fatalf("%+v", s)
	}
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for i, want := range []struct {
		typ  event.Type
		line int
		at   time.Time
	}{{"a", 1, at}, {event.Message, 2, at.Add(time.Second)}, {"b", 5, at.Add(2 * time.Second)}} {
		if got := s.Told[i]; got.Type != want.typ || got.Line != want.line || !got.Time.Equal(want.at) || !got.Arrives.Equal(want.at) {
			t.Errorf("%d: %s on line %d at %v, arriving %v; want %+v", i, got.Type, got.Line, got.Time, got.Arrives, want)
		}
	}
	if m := s.Told[1]; m.Sender != "shop" || m.Person != "7" || m.Text != "hi" || m.ID == "" || m.Source != "rehearsal/shop" {
		t.Errorf("%+v", m)
	}
	if f := s.Fates[0]; f.Outcome != job.Failed || f.Reason != reason.PlatformRejected || f.Step != "tell" || time.Duration(f.After) != 90*time.Second || f.Times != 2 {
		t.Errorf("%+v", f)
	}
}

// The forms of a file say the same: lines, an array, objects over several
// lines, with and without a byte order mark.
func TestReadForms(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(three), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	var pretty strings.Builder
	for _, l := range lines {
		var v any
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(v, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		pretty.Write(b)
	}
	want := strip(read(t, three))
	for name, text := range map[string]string{
		"array": "[" + strings.Join(lines, ",\n") + "]", "mark": "\ufeff" + three, "one line": strings.Join(lines, " "), "pretty": pretty.String(),
		"arrays": "[" + lines[0] + "]\n[" + strings.Join(lines[1:], ",") + "]",
	} {
		if got := strip(read(t, text)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// strip is a script without its lines.
func strip(s *Script) string {
	var b strings.Builder
	for _, t := range s.Told {
		fmt.Fprintln(&b, t.Source, t.ID, t.Type, t.Time.Format(time.RFC3339Nano), t.Arrives.Format(time.RFC3339Nano), t.Text)
	}
	return b.String() + fmt.Sprintf("%+v", s.Fates)
}

// Lines in another order, and lines that stand there again, are the same
// script.
func TestReadOrder(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 40 {
		at := fmt.Sprintf("2026-11-22T09:00:%02dZ", i/4)
		if i%3 == 0 {
			lines = append(lines, fmt.Sprintf(`{"event":"message","at":%q,"sender":"shop","contact":"%d","text":"hi"}`, at, i%5))
			continue
		}
		lines = append(lines, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"crm","type":"a","time":%q}`, i, at))
	}
	first := read(t, strings.Join(lines, "\n"))
	want := strip(first)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // an order, no secret
	for range 20 {
		some := append(slices.Clone(lines), lines[r.IntN(len(lines))], lines[r.IntN(len(lines))])
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		if got := read(t, strings.Join(some, "\n")); strip(got) != want || got.Repeated != first.Repeated+2 {
			t.Fatalf("%d repeated:\n%s\nwant\n%s", got.Repeated, strip(got), want)
		}
	}
}

// What comes in late is taken in late, whenever it happened.
func TestReadLate(t *testing.T) {
	t.Parallel()
	s := read(t, `{"specversion":"1.0","id":"1","source":"crm","type":"late","time":"2026-11-22T09:00:00Z","recordedtime":"2026-11-22T12:00:00Z"}
{"specversion":"1.0","id":"2","source":"crm","type":"next","time":"2026-11-22T10:00:00Z"}
{"event":"message","at":"2026-11-22T08:00:00Z","arrives":"2026-11-22T11:00:00Z","sender":"shop","contact":"7"}`)
	var got []string
	for _, t := range s.Told {
		got = append(got, string(t.Type)+t.Arrives.Format(" 15:04"))
	}
	if want := []string{"next 10:00", "message 11:00", "late 12:00"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "no event"},
		{"[]", "no event"},
		{`{"outcome":"sent"}`, "no event"},
		{"[1]", "line 1: want a JSON object"},
		{"\n\n{", "line 3: what begins there is not JSON"},
		{three + "{}", "line 6: want a CloudEvent"},
		{`{"event":"message"}`, "want the id of a sender"},
		{`{"event":"message","sender":"a","contact":"b"}`, "line 1: the first event needs a time"},
		{`{"event":"wave","at":"2026-11-22T08:00:00Z","sender":"a","contact":"b"}`, `event "wave": want one of message, `},
		{`{"event":"message","at":"2026-11-22T08:00:00Z","sender":"a","contact":"b","txt":"x"}`, `unknown field "txt"`},
		{`{"event":"message","at":"2026-11-22T08:00:00Z","sender":"a","contact":"b","scope":"all"}`, "scope: only of"},
		{`{"event":"opt_out","at":"2026-11-22T08:00:00Z","sender":"a","contact":"b","scope":"some"}`, "want all or marketing"},
		{`{"outcome":"lost"}`, `outcome "lost": want sent, failed or unknown`},
		{`{"outcome":"failed","reason":"because"}`, `reason "because" is none`},
		{`{"outcome":"sent","reason":"expired"}`, "only of outcome failed"},
		{`{"outcome":"sent","after":"soon"}`, `after "soon"`},
		{`{"outcome":"sent","times":-1}`, "times -1"},
		{`{"specversion":"1.0","id":"","source":"crm","type":"a"}`, "want a CloudEvent"},
		{`{"specversion":"1.0","id":"1","source":"crm","type":"a","time":"2026-11-22T08:00:00Z","recordedtime":"noon"}`, "recordedtime"},
	} {
		_, err := Read([]byte(c.text), time.Time{}, decode)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{three, "[" + `{"outcome":"sent"}` + "]", `{"event":"opt_out","sender":"a","contact":"b"}`, "[[]]", "\ufeff{}", "{\"a\":1}]"} {
		f.Add([]byte(s))
	}
	from := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data, from, decode)
		if err != nil {
			return
		}
		for i, told := range s.Told {
			if told.Time.IsZero() || told.Arrives.Before(told.Time) || told.Line < 1 || i > 0 && told.Arrives.Before(s.Told[i-1].Arrives) {
				t.Errorf("%d: %+v", i, told)
			}
		}
	})
}
