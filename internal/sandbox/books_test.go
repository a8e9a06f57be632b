package sandbox

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a arena
		var kept []string
		var refs []ref
		for range rapid.IntRange(0, 50).Draw(t, "strings") {
			n := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(200_000, arenaChunk-1)).Draw(t, "length")
			s := strings.Repeat(string(rune('a'+len(kept)%26)), n)
			kept, refs = append(kept, s), append(refs, a.put(s))
		}
		for i, s := range kept {
			if got := string(a.get(refs[i])); got != s {
				t.Fatalf("string %d came back with %d bytes, want %d", i, len(got), len(s))
			}
		}
	})
}

// TestPeopleBook: the book finds whom a map would find.
func TestPeopleBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newPeople(&arena{})
		type key struct {
			account uint32
			id      string
		}
		want := map[key]uint32{}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			k := key{rapid.Uint32Range(0, 3).Draw(t, "account"), fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "id"))}
			known, held := want[k]
			if place, ok := b.find(k.account, k.id); ok != held || ok && place != known {
				t.Fatalf("find(%v) = %d, %v; want %d, %v", k, place, ok, known, held)
			}
			place, added := b.add(k.account, k.id)
			if added == held || held && place != known {
				t.Fatalf("add(%v) = %d, %v; held %v at %d", k, place, added, held, known)
			}
			want[k] = place
		}
		if int(b.n) != len(want) {
			t.Fatalf("%d people, want %d", b.n, len(want))
		}
	})
}

// TestIndex: keys whose hashes meet, in part or in whole, stay apart.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		var keys []int
		hash := func(key int) uint64 { return uint64(key%3)<<56 | uint64(key%5) }
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			key := rapid.IntRange(0, 60).Draw(t, "key")
			place, ok := x.find(hash(key), func(p uint32) bool { return keys[p] == key })
			want := slices.Index(keys, key)
			if ok != (want >= 0) || ok && int(place) != want {
				t.Fatalf("find(%d) = %d, %v; want %d", key, place, ok, want)
			}
			if !ok {
				x.add(hash(key), uint32(len(keys)))
				keys = append(keys, key)
			}
		}
	})
}

func TestDuplicates(t *testing.T) {
	b := newBench(t, Options{})
	for _, m := range []struct{ account, person, metadata string }{
		{"77", "1", "job-a"},
		{"77", "1", "job-a"}, // both
		{"77", "2", "job-a"}, // metadata only
		{"88", "1", "job-a"}, // metadata only
		{"77", "2", "job-a"}, // both
		{"77", "1", "job-b"},
		{"77", "1", ""},
		{"77", "1", ""}, // without metadata nothing is told apart
	} {
		b.send(m.account, textBody(m.person, "hi", m.metadata))
	}
	if got, want := b.Summary("").Duplicates, (Duplicates{Metadata: 4, Message: 2}); got != want {
		t.Errorf("duplicates %+v, want %+v", got, want)
	}
	if got, want := b.Summary("88").Duplicates, (Duplicates{Metadata: 1}); got != want {
		t.Errorf("duplicates of one account %+v, want %+v", got, want)
	}
}

func TestLoadPeople(t *testing.T) {
	long := strings.Repeat("9", 257)
	for _, c := range []struct {
		name, body  string
		loaded, bad int
		first       string
		codes       string // of people 1, 2, 3
	}{
		{"csv", "id,last_inbound,opened_by,opted_out\n1,2026-11-22T11:00:00Z,message,\n2,2026-11-22T11:00:00Z,,all\n3,,,\n", 3, 0, "", ",551/1545041,10/2018278"},
		{"other columns, other order, BOM, CRLF", "\xef\xbb\xbfname, ID ,opted_out,last_inbound\r\nx,1,,2026-11-22T11:00:00+00:00\r\n\"y\",2,marketing,2026-11-22T11:00:00Z\r\n", 2, 0, "", ",,100/2018001"},
		{"bad rows", "id,last_inbound,opened_by,opted_out\n,2026-11-22T11:00:00Z,,\n1,2026-11-22T11:00:00Z,,\n2,yesterday,,\n" + long + ",,,\n2,,read,\n2,,,maybe\n2,\"2026\"x,,\n3,2026-11-22T11:00:00Z,,\n", 2, 6, "line 2: ", ",100/2018001,"},
		{"short rows", "id,last_inbound,opened_by,opted_out\n1\n2,2026-11-22T11:00:00Z\n", 2, 0, "", "10/2018278,,100/2018001"},
		{"ndjson", `{"id":"1","last_inbound":"2026-11-22T11:00:00Z","opened_by":"postback","name":"x"}` + "\n\n" + `{"id":2,"last_inbound":"2026-11-22T11:00:00Z"}` + "\n{\n" + `{"id":"3","opted_out":"all"}`, 3, 1, "line 4: ", ",,551/1545041"},
		{"header only", "id\n", 0, 0, "", "100/2018001,100/2018001,100/2018001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{Strict: true})
			done, err := b.LoadPeople("77", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if done.Loaded != c.loaded || done.Bad != c.bad || !strings.HasPrefix(done.FirstBad, c.first) || (c.first == "") != (done.FirstBad == "") {
				t.Errorf("loaded %+v, want %d, %d bad, first %q", done, c.loaded, c.bad, c.first)
			}
			codes := b.text("77", "1").code(t) + "," + b.text("77", "2").code(t) + "," + b.text("77", "3").code(t)
			if codes != c.codes {
				t.Errorf("codes %s, want %s", codes, c.codes)
			}
		})
	}
}

// TestLoadAdds: what is loaded again never makes a person look less known.
func TestLoadAdds(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "people?account=77", "id,last_inbound,opted_out\n1,2026-11-22T11:00:00Z,\n2,2026-11-22T11:00:00Z,all\n")
	b.admin("POST", "people?account=77", "id,last_inbound,opted_out\n1,2020-01-01T00:00:00Z,\n2,2026-11-22T11:30:00Z,\n")
	if one, two := b.text("77", "1").code(t), b.text("77", "2").code(t); one != "" || two != "551/1545041" {
		t.Errorf("codes %q, %q", one, two)
	}
}

func TestLoadRefuses(t *testing.T) {
	b := newBench(t, Options{})
	for _, c := range []struct{ query, body, want string }{
		{"", "id\n1\n", "account must be"},
		{"account=me", "id\n1\n", "account must be"},
		{"account=77", "", "CSV header"},
		{"account=77", "name\n1\n", "no column id"},
		{"account=77", `{"id":"1"}` + "\n{" + strings.Repeat(" ", maxRow), "lines of up to"},
	} {
		a := b.do(httptest.NewRequest("POST", "/_sandbox/people?"+c.query, strings.NewReader(c.body)))
		if a.status != 400 || !strings.Contains(a.body, c.want) {
			t.Errorf("%q %.20q: %d %s", c.query, c.body, a.status, a.body)
		}
	}
	// Known, and told not to have written: without the row it would be new.
	if got := b.text("77", "1").code(t); got != "10/2018278" {
		t.Errorf("the row before the bad line: %q, want 10/2018278", got)
	}
}

func TestAdminRefuses(t *testing.T) {
	b := newBench(t, Options{})
	for _, c := range []struct{ path, body string }{
		{"accounts", `{}`}, {"accounts", `{"account":"a/b"}`}, {"accounts", `{"account":"77","channel":"fax"}`},
		{"accounts", `{"account":"77","rate_per_second":-1}`}, {"accounts", `{"account":"77","rate_per_second":1000001}`},
		{"accounts", `{"account":"77","ad_window_hours":169}`}, {"accounts", `{"account":"77","ad_window_hours":23}`},
		{"accounts", `{"account":"77","permissions":["fly"]}`}, {"accounts", `{"account":"77","tokens":"x"}`},
		{"inbound", `{"account":"77"}`}, {"inbound", `{"person":"1"}`}, {"inbound", `{"account":"77","person":"1","kind":"read"}`},
		{"optout", `{"account":"77","person":""}`}, {"block", `x`},
	} {
		a := b.do(httptest.NewRequest("POST", "/_sandbox/"+c.path, strings.NewReader(c.body)))
		if a.status != 400 || !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.status, a.body)
		}
	}
	for _, c := range []struct{ method, path string }{{"GET", "nothing"}, {"PUT", "faults"}, {"GET", "play"}} {
		if a := b.do(httptest.NewRequest(c.method, "/_sandbox/"+c.path, nil)); a.status != 404 && a.status != 405 {
			t.Errorf("%s %s: %d", c.method, c.path, a.status)
		}
	}
	if n := len(b.books.accounts); n != 0 {
		t.Errorf("%d accounts entered by refused orders", n)
	}
}

// TestMemory holds the books to the 250 bytes that a person and an accepted
// message of usual size may take together.
func TestMemory(t *testing.T) {
	const n = 100_000
	b := newBench(t, Options{RatePerSecond: n, CallsKept: 1}) // the list of calls is bounded by itself
	text := strings.Repeat("x", 60)
	before := heapBytes()
	for i := range n {
		b.process([]call{{at: noon.UnixNano(), account: "77", request: request{
			Recipient: recipient{ID: flexible(fmt.Sprintf("%017d", i))}, MessagingType: "RESPONSE", Token: "T",
			Message: &message{Text: text, Metadata: fmt.Sprintf("job-%028d", i)},
		}}}, false)
		b.clock.advance(time.Millisecond)
	}
	if got := b.Summary("").Accepted; got != n {
		t.Fatalf("%d accepted, want %d", got, n)
	}
	per := (heapBytes() - before) / n
	t.Logf("%d bytes per message", per)
	if per > 250 {
		t.Errorf("%d bytes per message and person, want at most 250", per)
	}
	runtime.KeepAlive(b)
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
