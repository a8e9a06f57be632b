package meta

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestReadUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, app, page, business string
		want                      usage
	}{
		{name: "none"},
		{name: "app", app: `{"call_count":28,"total_time":25,"total_cputime":26}`, want: usage{app: 28}},
		{name: "page", app: `{"call_count":28}`, page: `{"call_count":1,"total_time":95,"total_cputime":3}`, want: usage{app: 28, percent: 95}},
		{name: "business", business: `{"1":[{"type":"messenger","call_count":100,"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":19}]}`,
			want: usage{percent: 100, regain: 19 * time.Minute}},
		{name: "two businesses", business: `{"1":[{"estimated_time_to_regain_access":19},{"estimated_time_to_regain_access":3}],"2":[{"call_count":7,"estimated_time_to_regain_access":20}]}`,
			want: usage{percent: 7, regain: 20 * time.Minute}},
		{name: "beyond the range", app: `{"call_count":101}`, business: `{"1":[{"estimated_time_to_regain_access":1441}]}`, want: usage{app: 100, regain: 24 * time.Hour}},
		{name: "at its end", app: `{"call_count":99}`, business: `{"1":[{"estimated_time_to_regain_access":1440}]}`, want: usage{app: 99, regain: 24 * time.Hour}},
		{name: "fraction", app: `{"call_count" : 99.2 }`, want: usage{app: 100}},
		{name: "overflow", app: `{"call_count":99999999999999999999999999}`, want: usage{app: 100}},
		{name: "negative", app: `{"call_count":-5,"total_time":3}`, want: usage{app: 3}},
		{name: "no number", app: `{"call_count":"50","total_time":null}`},
		{name: "another key", app: `{"call_counter":50,"x":"call_count"}`},
		{name: "escaped quote", app: `{"a\"call_count":50}`},
		{name: "cut", app: `{"call_count":50,"total_ti`, want: usage{app: 50}},
		{name: "cut after a backslash", app: `{"call_count":50,"a\`, want: usage{app: 50}},
	} {
		h := http.Header{}
		for name, value := range map[string]string{"X-App-Usage": c.app, "X-Page-Usage": c.page, "X-Business-Use-Case-Usage": c.business} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if got := readUsage(h); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestUsageReadsWhatJSONReads(t *testing.T) {
	t.Parallel()
	type object struct {
		Type   string `json:"type"`
		Calls  int    `json:"call_count"`
		Time   int    `json:"total_time"`
		Regain int    `json:"estimated_time_to_regain_access"`
	}
	rapid.Check(t, func(t *rapid.T) {
		var want usage
		header := map[string][]object{}
		for _, o := range rapid.SliceOfN(rapid.Custom(func(t *rapid.T) object {
			return object{rapid.StringN(0, 8, 32).Draw(t, "type"), rapid.IntRange(0, 100).Draw(t, "calls"), rapid.IntRange(0, 100).Draw(t, "time"), rapid.IntRange(0, 1440).Draw(t, "regain")}
		}), 0, 32).Draw(t, "objects") {
			header[o.Type] = append(header[o.Type], o)
			want.percent = max(want.percent, o.Calls, o.Time)
			want.regain = max(want.regain, time.Duration(o.Regain)*time.Minute)
		}
		b, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		var got usage
		if got.read(string(b)); got != want {
			t.Fatalf("%s: %+v, want %+v", b, got, want)
		}
	})
}

func TestUsageIsBounded(t *testing.T) {
	t.Parallel()
	const number = `"call_count":50`
	for _, c := range []struct{ pad, want int }{{maxUsage - len(number), 50}, {maxUsage - len(number) + 1, 5}, {maxUsage - len(number) + 2, 0}} {
		var u usage
		if u.read(strings.Repeat(" ", c.pad) + number); u.percent != c.want {
			t.Errorf("after %d bytes: %d, want %d", c.pad, u.percent, c.want)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add(`{"call_count":28,"total_time":25,"total_cputime":25}`)
	f.Add(`{"1":[{"type":"messenger","call_count":100,"estimated_time_to_regain_access":19}]}`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, s string) {
		var u usage
		u.read(s)
		if u.percent < 0 || u.percent > 100 || u.regain < 0 || u.regain > maxRegain {
			t.Errorf("%q: %+v", s, u)
		}
	})
}
