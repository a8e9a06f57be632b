package contact

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// read returns what a file gives, row by row, in words.
func read(t *testing.T, r io.Reader) (us []Update, said []string, end error) {
	t.Helper()
	rows, err := NewRows(r, "bakery", noon)
	if err != nil {
		t.Fatal(err)
	}
	for {
		u, err := rows.Next()
		bad, isBad := errors.AsType[*BadRow](err)
		switch {
		case errors.Is(err, io.EOF):
			return us, said, nil
		case isBad:
			said = append(said, bad.Error())
		case errors.Is(err, ErrOther):
			said = append(said, "other")
		case err != nil:
			return us, said, err
		default:
			us = append(us, u)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	names := make([]string, MaxColumns+1)
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	names[0] = "id"
	for _, c := range []struct{ file, want string }{
		{"id\n", ""},
		{"id", ""},
		{"\xef\xbb\xbfid\n", ""},
		{"\xef\xbb\xbf\"id\"\r\n", ""},
		{"\n\nid\n", ""},
		{" ID , Name \n", ""},
		{"", "line 1: the file is empty: want a header row with a column id"},
		{"\xef\xbb\xbf", "line 1: the file is empty: want a header row with a column id"},
		{"name\n", `line 1: no column "id": want a header row such as id,name,last_inbound,labels,timezone`},
		{"id,id\n", `line 1: column "id" stands twice`},
		{"id, ID\n", `line 1: column "id" stands twice`},
		{"id,city,city\n", `line 1: column "city" stands twice`},
		{"id,city,City\n", ""}, // attributes are told apart by case
		{"id,optedout\n", `line 1: column "optedout" would be an attribute: did you mean opted_out?`},
		{"id,Last Inbound\n", `line 1: column "Last Inbound" would be an attribute: did you mean last_inbound?`},
		{"id,opted\n", ""},
		{"id,,x\n", "line 1: column 2 has no name"},
		{"id, \n", "line 1: column 2 has no name"},
		{"id,gr\xf6\xdfe\n", "line 1: the name of column 2 is not UTF-8: save the file as UTF-8"},
		{"\xff\xfei\x00d\x00\n\x00", "line 1: the name of column 1 is not UTF-8: save the file as UTF-8"},
		{"id,\"x\n", `line 1: header row: parse error on line 1, column 7: extraneous or missing " in quoted-field`},
		{"id,x\"y\n", `line 1: header row: parse error on line 1, column 5: bare " in non-quoted-field`},
		{strings.Join(names[:MaxColumns], ",") + "\n", ""},
		{strings.Join(names, ",") + "\n", "line 1: 257 columns, at most 256"},
		{"id," + strings.Repeat("x,", 400_000) + "\n", "line 1: 400002 columns, at most 256"},
		{"id," + strings.Repeat("x", MaxRow-4) + "\n", ""},
		{"id," + strings.Repeat("x", MaxRow-3) + "\n", "line 1: header row is longer than 65536 bytes"},
		{"id," + strings.Repeat("x", 50) + "," + strings.Repeat("x", 50), `line 1: column "` + strings.Repeat("x", 40) + `…" stands twice`},
	} {
		_, err := NewRows(strings.NewReader(c.file), "bakery", noon)
		if got := errText(err); got != c.want {
			t.Errorf("%.60q: %s\nwant %s", c.file, got, c.want)
		}
	}
	if _, err := NewRows(iotest.ErrReader(io.ErrClosedPipe), "bakery", noon); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader that fails gave %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRow(t *testing.T) {
	t.Parallel()
	const header = "\xef\xbb\xbfid,sender,Name,last_inbound,opened_by,opted_out,labels,timezone,City,Size\r\n"
	file := header +
		"1,bakery, Anna ,2026-11-22T11:00:00+01:00,postback,marketing,\"vip; regular;;vip \",Europe/Oslo,\"Os\"\"lo\r\nNorth\",\r\n" +
		"\r\n" +
		"2,,,,,,,,,\n" +
		"3,other,,,,,,,,\n" +
		"4,,,2026-11-22T12:05:00Z,,all,,,,"
	us, said, err := read(t, iotest.OneByteReader(strings.NewReader(file)))
	want := []Update{
		{
			Address: "1", LastInbound: noon.Add(-2 * time.Hour), OpenedBy: "postback", OptOut: &OptOut{Scope: Marketing, At: noon, Source: "import"}, Standing: true,
			Profile: &Profile{At: noon, Name: "Anna", Timezone: "Europe/Oslo", Labels: []string{"regular", "vip"}, Attributes: map[string]string{"City": "Os\"lo\nNorth"}},
		},
		{Address: "2", Profile: &Profile{At: noon}},
		{Address: "4", LastInbound: noon.Add(5 * time.Minute), OptOut: &OptOut{Scope: All, At: noon, Source: "import"}, Standing: true, Profile: &Profile{At: noon}},
	}
	if err != nil || !reflect.DeepEqual(us, want) || !reflect.DeepEqual(said, []string{"other"}) {
		t.Errorf("read %+v\nsaid %q, %v\nwant %+v", us, said, err, want)
	}
}

func TestBadRow(t *testing.T) {
	t.Parallel()
	const openers = "message, postback, referral, optin, reaction, ad_message"
	long := strings.Repeat("x", 50)
	short := long[:40] + "…"
	for _, c := range []struct{ row, want string }{
		{"1,,,,,\n", ""},
		{",,,,,\n", "line 2: id is empty"},
		{"  ,,,,,\n", "line 2: id is empty"},
		{"1,,,,\n", "line 2: 5 columns, the header has 6"},
		{"1,,,,,,\n", "line 2: 7 columns, the header has 6"},
		{"a b,,,,,\n", "line 2: id must be at most 256 bytes without spaces or slashes"},
		{"a/b,,,,,\n", "line 2: id must be at most 256 bytes without spaces or slashes"},
		{strings.Repeat("1", 256) + ",,,,,\n", ""},
		{strings.Repeat("1", 257) + ",,,,,\n", "line 2: id must be at most 256 bytes without spaces or slashes"},
		{"1,22.11.2026,,,,\n", `line 2: last_inbound "22.11.2026": want RFC 3339 such as 2026-11-22T10:00:00Z`},
		{"1,2026-11-22T10:00:00,,,,\n", `line 2: last_inbound "2026-11-22T10:00:00": want RFC 3339 such as 2026-11-22T10:00:00Z`},
		{"1," + long + ",,,,\n", `line 2: last_inbound "` + short + `": want RFC 3339 such as 2026-11-22T10:00:00Z`},
		{"1,2026-11-22T12:05:00Z,,,,\n", ""},
		{"1,2026-11-22T12:05:00.000000001Z,,,,\n", `line 2: last_inbound "2026-11-22T12:05:00.000000001Z" lies in the future`},
		{"1,,ad_message,,,\n", ""},
		{"1,,Message,,,\n", `line 2: opened_by "Message": want one of ` + openers},
		{"1,," + long + ",,,\n", `line 2: opened_by "` + short + `": want one of ` + openers},
		{"1,,,yes,,\n", `line 2: opted_out "yes": want nothing, all or marketing`},
		{"1,,,,Mars/Base,\n", `line 2: timezone "Mars/Base" is not an IANA time zone such as Europe/Oslo`},
		{"1,,,,Local,\n", `line 2: timezone "Local" is not an IANA time zone such as Europe/Oslo`},
		{"1,,,,../etc/passwd,\n", `line 2: timezone "../etc/passwd" is not an IANA time zone such as Europe/Oslo`},
		{"1,,,," + long + long + ",\n", `line 2: timezone "` + short + `" is not an IANA time zone such as Europe/Oslo`},
		{"1,,,,,gr\xf6\xdfe\n", "line 2: column city is not UTF-8"},
		{"1,,,,,Os\"lo\n", `line 2: bare " in non-quoted-field`},
		{"1,,,,,\"Os\"lo\n", `line 2: extraneous or missing " in quoted-field`},
		{"1,,,,," + strings.Repeat("x", MaxRow-7) + "\n", ""},
		{"1,,,,," + strings.Repeat("x", MaxRow-6) + "\n", "line 2: row is longer than 65536 bytes"},
		{"1,,,,,\"" + strings.Repeat("x\n", MaxRow/2) + "\"\n", "line 2: row is longer than 65536 bytes"},
	} {
		us, said, err := read(t, strings.NewReader("id,last_inbound,opened_by,opted_out,timezone,city\n"+c.row+"9,,,,,\n"))
		if err != nil || strings.Join(said, "\n") != c.want {
			t.Errorf("%.60q: %q, %v\nwant %q", c.row, said, err, c.want)
		}
		// Whatever a row is like, the next one is read.
		if len(us) == 0 || us[len(us)-1].Address != "9" || (c.want == "") != (len(us) == 2) {
			t.Errorf("%.60q: %d rows went in", c.row, len(us))
		}
	}
}

// TestBadRowSaysItsLine asserts the line where lines and rows differ.
func TestBadRowSaysItsLine(t *testing.T) {
	t.Parallel()
	_, said, err := read(t, strings.NewReader("id,x\n1,\"a\nb\n\"\n\n,bad\n\"2\",\"open\n3,\n"))
	want := []string{"line 6: id is empty", `line 7: extraneous or missing " in quoted-field`}
	if err != nil || !reflect.DeepEqual(said, want) {
		t.Errorf("said %q, %v; want %q", said, err, want)
	}
}

// TestOpenQuote asserts that a quote left open ends the file before it is all
// in memory, and that nothing of what it swallowed is taken for a row. The
// second file makes the piece up to the cut a row that can't be parsed.
func TestOpenQuote(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"open quote":         "id,x\n1,a\n2,\"b\n" + strings.Repeat("3,c\n", 1<<20),
		"one line":           "id,x\n1,a\n2," + strings.Repeat("4,", 1<<20) + "\n3,c\n",
		"one line, a quote ": "id,x\n1,a\n2,b\"" + strings.Repeat("4", 4<<20) + "\n3,c\n",
	} {
		rest := strings.NewReader(file)
		us, _, err := read(t, rest)
		if len(us) != 1 || us[0].Address != "1" {
			t.Errorf("%s: %d rows went in", name, len(us))
		}
		if want := "after line 2: a row is longer than 1114112 bytes: is a quote left open?"; errText(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if read := len(file) - rest.Len(); read > maxTaken+128<<10 {
			t.Errorf("%s: %d bytes were read", name, read)
		}
	}
}

func TestReaderFails(t *testing.T) {
	t.Parallel()
	r := io.MultiReader(strings.NewReader("id,x\n1,a\n2,b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	us, said, err := read(t, r)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(us) != 1 || said != nil {
		t.Errorf("read %d rows, said %q, %v; want the half row left out", len(us), said, err)
	}
}

// repeated is a file of any length that is never in memory.
type repeated struct {
	times int
	block string
	rest  string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.times == 0 {
			return 0, io.EOF
		}
		r.times, r.rest = r.times-1, r.block
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestConstantMemory reads a million rows and asserts that the heap stays
// where it was.
func TestConstantMemory(t *testing.T) {
	const total = 1_000_000
	file := &repeated{times: total / 1000, block: strings.Repeat("4711,regular,Oslo\n", 1000)}
	rows, err := NewRows(io.MultiReader(strings.NewReader("id,labels,city\n"), file), "bakery", noon)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, n := heap(), 0
	for ; ; n++ {
		if _, err := rows.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; n != total || grown > 1<<20 {
		t.Errorf("%d rows, the heap grew by %d bytes", n, grown)
	}
	runtime.KeepAlive(rows)
}

// TestZonesRemembered asserts the bound of the one thing that grows.
func TestZonesRemembered(t *testing.T) {
	t.Parallel()
	file := strings.Builder{}
	file.WriteString("id,timezone\n")
	for i := range maxZones + 100 {
		fmt.Fprintf(&file, "%d,Mars/%d\n", i, i)
	}
	rows, err := NewRows(strings.NewReader(file.String()), "bakery", noon)
	if err != nil {
		t.Fatal(err)
	}
	rows.zoneExists(strings.Repeat("x", maxZone+1))
	if len(rows.zones) != 0 {
		t.Error("a zone longer than any is remembered")
	}
	bad := 0
	for {
		_, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if _, ok := errors.AsType[*BadRow](err); ok {
			bad++
		}
	}
	if bad != maxZones+100 || len(rows.zones) != maxZones {
		t.Errorf("%d bad rows, %d zones remembered; want %d and %d", bad, len(rows.zones), maxZones+100, maxZones)
	}
}

func FuzzRows(f *testing.F) {
	for _, s := range []string{
		"id\n1\n", "\xef\xbb\xbfid,name\r\n1,\"a\r\nb\"\r\n", "id,labels\n1,a;b;;a\n", "id,last_inbound,timezone\n1,2026-11-22T10:00:00Z,Europe/Oslo\n",
		"id,x\n1,\"open\n2,3\n", "id,sender\n1,other\n,\n", "id,\xff\n", "id,x\n1,\xff\n", "id,opted_out\n1,all\n2,no\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		rows, err := NewRows(bytes.NewReader(file), "bakery", noon)
		if err != nil {
			oneLine(t, err)
			return
		}
		for line := 1; ; {
			u, err := rows.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if bad, ok := errors.AsType[*BadRow](err); ok {
				oneLine(t, err)
				if bad.Line <= line {
					t.Fatalf("%v, after a row of line %d", err, line)
				}
				line = bad.Line
				continue
			}
			if err != nil && !errors.Is(err, ErrOther) {
				t.Fatalf("a file of %d bytes ends with %v", len(file), err)
			}
			if err == nil && (u.Address == "" || len(u.Address) > maxID || !utf8.ValidString(u.Address) || u.Profile == nil || u.LastInbound.After(noon.Add(24*time.Hour))) {
				t.Fatalf("took in %+v", u)
			}
		}
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if s := err.Error(); strings.ContainsAny(s, "\r\n") || len(s) > 400 || !utf8.ValidString(s) {
		t.Errorf("an error of %d bytes: %q", len(s), s)
	}
}

func TestRowsWithConsent(t *testing.T) {
	t.Parallel()
	us, said, err := read(t, strings.NewReader("id,SMS_Consent\n+14155550101,true\n+14155550102,false\n+14155550103,\n+14155550104,yes\n"))
	if err != nil || len(us) != 3 || !us[0].SMSConsent || us[1].SMSConsent || us[2].SMSConsent {
		t.Fatalf("%+v, %v", us, err)
	}
	if len(said) != 1 || said[0] != `line 5: sms_consent "yes": want nothing, true or false` {
		t.Errorf("said %q", said)
	}
}
