package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// labelPages follows every page from a path on, and returns the names.
func (b *bench) labelPages(path string) (names []string, pages int) {
	b.t.Helper()
	for path != "" {
		a := b.do(httptest.NewRequest(http.MethodGet, path, http.NoBody))
		var out struct {
			Data []struct {
				ID   string `json:"id"`
				Name string `json:"page_label_name"`
			} `json:"data"`
			Paging struct{ Next string } `json:"paging"`
		}
		if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != http.StatusOK {
			b.t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		for _, l := range out.Data {
			if l.ID == "" {
				b.t.Errorf("a label without an id: %s", a.body)
			}
			names = append(names, l.Name)
		}
		pages++
		path = ""
		if u, err := url.Parse(out.Paging.Next); err == nil && u.Path != "" {
			path = u.RequestURI()
		}
	}
	return names, pages
}

func TestLabels(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","token":"T77"}`)
	b.admin("POST", "labels", `{"account":"77","add":["new","vip"]}`)
	b.admin("POST", "labels", `{"account":"77","person":"1","add":["vip","regular","vip"]}`)
	b.admin("POST", "labels", `{"account":"77","person":"1","remove":["regular","nobody's"]}`)
	b.admin("POST", "labels", `{"account":"88","person":"2","add":["other"]}`)
	for path, want := range map[string]string{
		"/v25.0/77/custom_labels?fields=id,page_label_name&access_token=T77": "new vip regular",
		"/me/custom_labels?fields=page_label_name&access_token=T77":          "new vip regular",
		"/1/custom_labels?fields=page_label_name&access_token=T77":           "vip",
		"/2/custom_labels?fields=page_label_name&access_token=any":           "other",
	} {
		if got, _ := b.labelPages(path); strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if a := b.do(httptest.NewRequest(http.MethodGet, "/77/custom_labels?access_token=T77", http.NoBody)); strings.Contains(a.body, "vip") {
		t.Errorf("names nobody asked for: %s", a.body)
	}
}

func TestLabelPages(t *testing.T) {
	b := newBench(t, Options{})
	for i := range 60 {
		b.admin("POST", "labels", fmt.Sprintf(`{"account":"77","add":["l%02d"]}`, i))
	}
	for limit, pages := range map[string]int{"": 3, "&limit=7": 9, "&limit=60": 1, "&limit=1000": 1} {
		names, n := b.labelPages("/v25.0/77/custom_labels?fields=page_label_name&access_token=T" + limit)
		if len(names) != 60 || names[0] != "l00" || names[59] != "l59" || n != pages {
			t.Errorf("limit %q: %d labels on %d pages", limit, len(names), n)
		}
	}
}

func TestLabelsRefused(t *testing.T) {
	b := newBench(t, Options{})
	b.admin("POST", "accounts", `{"account":"77","token":"T77","no_contact_terms":true}`)
	b.admin("POST", "people?account=77", "id\n1\n")
	b.admin("POST", "accounts", `{"account":"88"}`)
	for path, want := range map[string]string{
		"/77/custom_labels?access_token=T77":            "2/2018344",
		"/1/custom_labels?access_token=T77":             "2/2018344",
		"/77/custom_labels?access_token=T78":            "190/463",
		"/77/custom_labels":                             "104",
		"/nobody/custom_labels?access_token=T77":        "100/33",
		"/me/custom_labels?access_token=T78":            "100/33",
		"/88/custom_labels?access_token=T&limit=0":      "100",
		"/88/custom_labels?access_token=T&after=a":      "100",
		"/88/custom_labels?access_token=T&after=LTE%3D": "100", // -1
		"/88/insights?access_token=T":                   "2500",
	} {
		if got := b.do(httptest.NewRequest(http.MethodGet, path, http.NoBody)).code(t); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, body := range []string{`{}`, `{"account":"77","add":[""]}`, `{"account":"77","person":"` + strings.Repeat("x", 300) + `"}`} {
		if a := b.do(httptest.NewRequest(http.MethodPost, "/_sandbox/labels", strings.NewReader(body))); a.status != http.StatusBadRequest {
			t.Errorf("%.60s: %d", body, a.status)
		}
	}
}
