package meta

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/wire"
)

func TestReadLabels(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		names  []string
		after  string
		fault  channel.Fault
	}{
		"none": {200, `{"data":[]}`, nil, "", channel.Fault{}},
		"last": {200, `{"data":[{"id":"1","page_label_name":"VIP"}],"paging":{"cursors":{"before":"a","after":"b"}}}`, []string{"VIP"}, "", channel.Fault{}},
		"more": {200, `{"data":[{"id":"1","page_label_name":"VIP"}],"paging":{"cursors":{"after":"b"},"next":"https://x/?access_token=T"}}`, []string{"VIP"}, "b", channel.Fault{}},
		"terms": {400, `{"error":{"message":"The Page 1234567890 must accept: https://www.facebook.com/1234567890/terms?access_token=T.","code":2,"error_subcode":"2018344"}}`, nil, "",
			channel.Fault{Status: 400, Code: 2, Subcode: 2018344, Detail: "The Page [number] must accept: https://www.facebook.com/[number]/terms?access_token=T.", Link: "https://www.facebook.com/1234567890/terms"}},
		"link for people": {400, `{"error":{"message":"No.","error_user_msg":"See (https://fb.example/a).","code":10}}`, nil, "",
			channel.Fault{Status: 400, Code: 10, Detail: "No. See (https://fb.example/a).", Link: "https://fb.example/a"}},
		"names the person":   {400, `{"error":{"message":"77 is at https://fb.example/77","code":100}}`, nil, "", channel.Fault{Status: 400, Code: 100, Detail: "[number] is at https://fb.example/[number]"}},
		"error in a success": {200, `{"data":[],"error":{"message":"x","code":1}}`, nil, "", channel.Fault{Status: 200, Code: 1, Detail: "x"}},
		"no list":            {200, `{}`, nil, "", channel.Fault{Status: 200, Detail: "the answer, with status 200, is no list of labels"}},
		"no JSON":            {502, `<html>`, nil, "", channel.Fault{Status: 502, Detail: "the answer, with status 502, is no list of labels"}},
		"list in a failure":  {500, `{"data":[]}`, nil, "", channel.Fault{Status: 500, Detail: "the answer, with status 500, is no list of labels"}},
		"nameless":           {200, `{"data":[{"id":"1"}]}`, nil, "", channel.Fault{Status: 200, Detail: "the answer has a label without a name"}},
		"no cursor":          {200, `{"data":[],"paging":{"next":"x"}}`, nil, "", channel.Fault{Status: 200, Detail: "the answer has more pages and no cursor to them"}},
	} {
		got, fault := readLabels(c.status, []byte(c.body), "77")
		if fault == nil {
			fault = &channel.Fault{}
		}
		if !slices.Equal(got.Names, c.names) || got.After != c.after || *fault != c.fault {
			t.Errorf("%s: %+v, %+v", name, got, *fault)
		}
	}
}

// TestLabelsOnTheWire: whose they are and the page stand in the address, the
// token in a header alone, and the usage is read.
func TestLabelsOnTheWire(t *testing.T) {
	t.Parallel()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		if r.ContentLength != 0 || r.Header.Get("Content-Type") != "" {
			t.Errorf("a body of %d bytes, %q", r.ContentLength, r.Header.Get("Content-Type"))
		}
		w.Header().Set("X-App-Usage", `{"call_count":81}`)
		_, _ = w.Write([]byte(`{"data":[]}`))
	}))
	defer srv.Close()
	for _, base := range []string{srv.URL, srv.URL + "/v30.0"} {
		c, err := New(Options{BaseURL: base})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, a := range []channel.Account{{ID: "5", Token: "T"}, {ID: "5", Token: "T", AppSecret: "S"}} {
			if got, err := c.Labels(t.Context(), a, "", ""); err != nil || got.Usage != 81 {
				t.Errorf("%+v, %v", got, err)
			}
		}
		if _, err := c.Labels(t.Context(), channel.Account{ID: "5", Token: "T"}, "77", "a=&b"); err != nil {
			t.Error(err)
		}
		if _, err := c.Labels(t.Context(), channel.Account{ID: "5", Token: "T"}, "77/..", ""); err == nil {
			t.Error("an id that is a path was asked for")
		}
		if _, err := c.Labels(t.Context(), channel.Account{ID: "5"}, "", ""); err == nil {
			t.Error("a call without a token was made")
		}
	}
	const proof = "&appsecret_proof="
	if len(asked) != 6 || asked[0] != "GET /v25.0/5/custom_labels?fields=page_label_name&limit=100 Bearer T" || !strings.Contains(asked[1], proof) ||
		asked[2] != "GET /v25.0/77/custom_labels?after=a%3D%26b&fields=page_label_name&limit=100 Bearer T" || !strings.HasPrefix(asked[3], "GET /v30.0/5/custom_labels?") {
		t.Errorf("%q", asked)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(200, `{"data":[{"page_label_name":"VIP"}],"paging":{"cursors":{"after":"b"},"next":"n"}}`)
	f.Add(400, `{"error":{"message":"at https://x.example/1?access_token=T","code":2,"error_subcode":2018344}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		got, fault := readLabels(status, []byte(body), "77889900")
		switch {
		case fault == nil && (status/100 != 2 || slices.Contains(got.Names, "") || len(got.After) > maxCursor):
			t.Errorf("%d %+v", status, got)
		case fault == nil:
		case got.Names != nil || len(fault.Detail) > wire.MaxDetail || len(fault.Link) > maxLink || !utf8.ValidString(fault.Detail+fault.Link):
			t.Errorf("%+v %+v", got, fault)
		case strings.Contains(fault.Detail+fault.Link, "77889900"):
			t.Errorf("the person is named: %+v", fault)
		case fault.Link != "" && (!strings.HasPrefix(fault.Link, "https://") || strings.ContainsAny(fault.Link, " ?\"<>\n")):
			t.Errorf("link %q", fault.Link)
		}
	})
}
