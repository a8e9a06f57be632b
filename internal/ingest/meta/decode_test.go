package meta_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/ingest/meta"
)

// items returns every item of the golden bodies of one channel, as they stand
// there.
func items(t testing.TB, object string) (out []json.RawMessage) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var b struct {
			Object string `json:"object"`
			Entry  []struct {
				Messaging json.RawMessage `json:"messaging"`
			} `json:"entry"`
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".events.json") || json.Unmarshal(raw, &b) != nil && b.Object == "" || b.Object != object {
			continue
		}
		for _, e := range b.Entry {
			var some []json.RawMessage
			if json.Unmarshal(e.Messaging, &some) == nil {
				out = append(out, some...)
			}
		}
	}
	if len(out) < 9 {
		t.Fatalf("%d items of %s were found", len(out), object)
	}
	return out
}

// TestCompanyDoesNotMatter: an item is read as the same events, by the same
// ids, alone and among others, once and again, in any order and in any entry.
func TestCompanyDoesNotMatter(t *testing.T) {
	t.Parallel()
	all := append(items(t, "page"), items(t, "instagram")...)
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.SampledFrom(all), 1, 12).Draw(t, "items")
		cut := rapid.IntRange(0, len(some)).Draw(t, "entries")
		want := map[string]event.Type{}
		for _, it := range some {
			for _, e := range decode(t, entry(it)) {
				want[e.ID] = e.Type
			}
		}
		got := map[string]event.Type{}
		for _, e := range decode(t, entry(some[:cut]...), entry(some[cut:]...), entry(some...)) {
			got[e.ID] = e.Type
		}
		delete(got, emptyEntry(t)) // where the cut left nothing
		delete(want, emptyEntry(t))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("together %v\nalone %v", got, want)
		}
	})
}

// emptyEntry is the id of an entry without items.
func emptyEntry(t *rapid.T) string { return decode(t, entry())[0].ID }

func entry(items ...json.RawMessage) string {
	parts := make([]string, len(items))
	for i, it := range items {
		parts[i] = string(it)
	}
	return `{"id":"1234567890","messaging":[` + strings.Join(parts, ",") + `]}`
}

func decode(t *rapid.T, entries ...string) []event.Event {
	events, err := meta.Decode(shop(), []byte(`{"object":"page","entry":[`+strings.Join(entries, ",")+`]}`), now)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for _, body := range []string{``, ` `, `null`, `7`, `"object"`, `[]`, `{`, `{"object":"page","entry":[}`, "\xef\xbb\xbf{}", `{}{}`, `{"entry":` + deep + `}`} {
		events, err := meta.Decode(shop(), []byte(body), now)
		if _, ok := errors.AsType[*hook.Malformed](err); !ok || events != nil {
			t.Errorf("%.40q: %v, %v", body, events, err)
		}
	}
	for _, body := range []string{`{}`, ` {"object":"page"} `, `{"object":"page","entry":null}`, `{"object":7,"entry":[]}`} {
		if events, err := meta.Decode(shop(), []byte(body), now); err != nil || events != nil {
			t.Errorf("%s: %v, %v", body, events, err)
		}
	}
}

// TestTimes: in seconds or in milliseconds, as a number or as a text; both
// sides of the limit between them.
func TestTimes(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"1795348800": noon, "1795348800000": noon, `"1795348800"`: noon, `"1795348800000"`: noon, "1795348800.0": noon, "1.7953488e12": noon,
		"1795348800000000": noon, "1795348800000000000": noon,
		`"2026-11-22T12:00:00Z"`: noon, `"2026-11-22T13:00:00+01:00"`: noon, `"2026-11-22T12:00:00+0000"`: noon,
		"99999999999": time.Unix(99999999999, 0).UTC(), "100000000000": time.UnixMilli(100000000000).UTC(),
		"0": now, "-1": now, `""`: now, `"soon"`: now, "true": now, "{}": now, "null": now, `"0001-01-01T00:00:00+23:00"`: now, `"9999-12-31T23:59:59-23:00"`: now,
	} {
		body := fmt.Sprintf(`{"object":"page","entry":[{"id":"1","messaging":[{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":%s,"message":{"mid":"m"}}]}]}`, in)
		events, err := meta.Decode(shop(), []byte(body), now)
		if err != nil || len(events) != 1 || !events[0].Time.Equal(want) {
			t.Errorf("%s: %+v, %v, want %v", in, events, err, want)
		}
	}
}

// TestBounds: nothing that the platform would not send makes an event that
// can't be kept.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 300_000)
	var mids []string
	for i := range 1201 {
		mids = append(mids, fmt.Sprintf("%q", fmt.Sprint("mid.", i)))
	}
	body := fmt.Sprintf(`{"object":"page","entry":[{"id":"1","messaging":[
		{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":1,"message":{"mid":"m","text":%q,"quick_reply":{"payload":%q}}},
		{"sender":{"id":%q},"recipient":{"id":"1"},"timestamp":1,"message":{"mid":%q}},
		{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":1,"unknown":%q},
		{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":1,"delivery":{"mids":[%s]}}]}]}`, long, long, long, long, long, strings.Join(mids, ","))
	events, err := meta.Decode(shop(), []byte(body), now)
	if err != nil || len(events) != 6 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		b, err := e.Encode()
		if err != nil || len(b) > 64<<10 || !utf8.Valid(b) || strings.Contains(string(b), "\ufffd") {
			t.Errorf("event %d: %d bytes, %v", i, len(b), err)
		}
	}
	if e := events[1]; e.Person != "" || e.MessageID != "" || e.ID == "" {
		t.Errorf("an id that is too long was cut to another's: %.60s %.60s", e.Person, e.MessageID)
	}
	if e := events[2]; string(e.Data) != fmt.Sprintf(`{"left_out_bytes":%d}`, len(long)+len(`{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":1,"unknown":""}`)) {
		t.Errorf("%.80s", e.Data)
	}
	var all int
	for _, e := range events[3:] {
		all += len(e.MessageIDs)
	}
	if all != 1201 {
		t.Errorf("%d of 1201 messages are named", all)
	}
}

// TestThreadWithoutAnAppID: where the hook does not say which app is ours, the
// call does, by what it is: each goes to the app that it is about.
func TestThreadWithoutAnAppID(t *testing.T) {
	t.Parallel()
	h := shop()
	h.AppID = ""
	body := `{"object":"page","entry":[{"id":"1","messaging":[
		{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":1,"pass_thread_control":{"new_owner_app_id":"5"}},
		{"sender":{"id":"2"},"recipient":{"id":"1"},"timestamp":2,"take_thread_control":{"new_owner_app_id":"5"}},
		{"sender":{"id":"1"},"recipient":{"id":"2"},"timestamp":3,"message":{"mid":"m","is_echo":true,"app_id":""}}]}]}`
	events, err := meta.Decode(h, []byte(body), now)
	if err != nil || len(events) != 3 || events[0].Type != event.ThreadBack || events[1].Type != event.ThreadTaken || events[2].Ours {
		t.Errorf("%+v, %v", events, err)
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".events.json") {
			f.Add(b)
		}
	}
	f.Add([]byte(`{"object":"page","entry":{"id":1e400,"time":"9e99","messaging":{"message":{"mid":null},"read":[]},"standby":[[]],"changes":"x","field":"feed","value":{"from":7}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := meta.Decode(shop(), body, now)
		if _, ok := errors.AsType[*hook.Malformed](err); err != nil && !ok {
			t.Fatal(err)
		}
		again, _ := meta.Decode(shop(), body, now.Add(time.Hour))
		if len(again) != len(events) {
			t.Fatalf("%d events, and then %d", len(events), len(again))
		}
		for i, e := range events {
			if e.Source != "meta/shop" || e.ID == "" || e.Type == "" || e.Time.IsZero() || e.Channel == "" || e.ID != again[i].ID {
				t.Fatalf("%+v, and then %+v", e, again[i])
			}
			b, err := e.Encode()
			if err != nil {
				t.Fatalf("%+v can't be kept: %v", e, err)
			}
			if kept, err := event.Decode(b); err != nil || kept.Person != e.Person || kept.ID != e.ID {
				t.Fatalf("%+v is kept as %s: %+v, %v", e, b, kept, err)
			}
		}
	})
}
