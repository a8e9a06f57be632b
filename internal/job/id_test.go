package job

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const idText = "202611.0.bakery.AAAAAAAAAAAAAAAAAAAAAA.spring-menu~1"

func drawKey(t *rapid.T) Key {
	return Key(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
}

func drawSource(t *rapid.T) Source {
	return Source{
		Month:  rapid.StringMatching(`[0-9]{4}(0[1-9]|1[0-2])`).Draw(t, "month"),
		Part:   rapid.IntRange(0, 999).Draw(t, "part"),
		Sender: rapid.StringMatching(`[a-z0-9~-]{1,100}`).Draw(t, "sender"),
		Name:   rapid.StringMatching(`[a-z0-9~-]{1,100}`).Draw(t, "source"),
	}
}

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := drawSource(t).Job(drawKey(t))
		got, err := ParseID(id.String())
		if err != nil || got != id {
			t.Fatalf("ParseID(%q) = %+v, %v; want %+v", id, got, err, id)
		}
	})
}

func TestParseID(t *testing.T) {
	t.Parallel()
	if id, err := ParseID(idText); err != nil || id != (Source{"202611", 0, "bakery", "spring-menu~1"}).Job(Key{}) {
		t.Fatalf("ParseID(%q) = %+v, %v", idText, id, err)
	}
	replace := func(part int, by string) string {
		p := strings.Split(idText, ".")
		p[part] = by
		return strings.Join(p, ".")
	}
	for _, c := range []struct {
		id string
		ok bool
	}{
		{replace(0, "202601"), true}, {replace(0, "202612"), true}, {replace(0, "202600"), false}, {replace(0, "202613"), false},
		{replace(0, "20261"), false}, {replace(0, "2026111"), false}, {replace(0, "2026x1"), false}, {replace(0, "20261"+"\u0661"), false},
		{replace(1, "999"), true}, {replace(1, "1000"), false}, {replace(1, "-1"), false}, {replace(1, "01"), false}, {replace(1, "+1"), false}, {replace(1, ""), false},
		{replace(2, ""), false}, {replace(2, "Bakery"), false}, {replace(2, "*"), false}, {replace(2, ">"), false},
		{replace(2, strings.Repeat("a", 100)), true}, {replace(2, strings.Repeat("a", 101)), false},
		{replace(4, strings.Repeat("a", 100)), true}, {replace(4, strings.Repeat("a", 101)), false}, {replace(4, "a b"), false}, {replace(4, "ø"), false}, {replace(4, "a\n"), false},
		{replace(3, strings.Repeat("A", 21)), false}, {replace(3, strings.Repeat("A", 23)), false}, {replace(3, ""), false},
		{replace(3, strings.Repeat("A", 21)+"B"), false}, // bits set that no byte has
		{replace(3, strings.Repeat("A", 21)+"+"), false},
		{replace(3, strings.Repeat("A", 22)+"\n"), false}, {replace(3, strings.Repeat("A", 11)+"\r\n"+strings.Repeat("A", 11)), false},
		{"", false}, {"....", false}, {idText + ".x", false}, {"x." + idText, false}, {strings.TrimSuffix(idText, ".spring-menu~1"), false},
	} {
		id, err := ParseID(c.id)
		if (err == nil) != c.ok {
			t.Errorf("ParseID(%q): %v, want it taken: %t", c.id, err, c.ok)
		}
		if err != nil && (id != ID{} || !strings.HasPrefix(err.Error(), "job id ") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("ParseID(%q) = %+v, %q", c.id, id, err)
		}
	}
}

func TestKeyInJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := drawKey(t)
		b, err := json.Marshal(k)
		var got Key
		if err != nil || len(b) != 24 || json.Unmarshal(b, &got) != nil || got != k {
			t.Fatalf("%x in JSON is %s (%v), read as %x", k, b, err, got)
		}
	})
	kept := Key{1}
	if err := json.Unmarshal([]byte(`"short"`), &kept); err == nil || kept != (Key{1}) {
		t.Errorf("a short key was read as %x: %v", kept, err)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{idText, "", "....", "202613.0.a.AAAAAAAAAAAAAAAAAAAAAA.b", "202611.01.a.AAAAAAAAAAAAAAAAAAAAAA.b", "202611.0.a.AAAAAAAAAAAAAAAAAAAAAA\n.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && id.String() != s {
			t.Errorf("ParseID(%q).String() = %q", s, id)
		}
	})
}

func TestWhole(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"menu~1": "menu~1", "menu": "menu", "shipped~abc~1-2-1-0": "shipped", "a~b~c~d": "a~b~c~d"} {
		s := Source{Month: "202611", Part: 1, Sender: "bakery", Name: name}
		if got := s.Whole(); got.Name != want || got.Month != s.Month || got.Part != s.Part || got.Sender != s.Sender {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
}
