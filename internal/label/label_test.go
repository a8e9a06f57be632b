package label_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/channel"
	"github.com/carillon-dev/carillon/internal/channel/meta"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/label"
	"github.com/carillon-dev/carillon/internal/plan"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/internal/sender"
)

var engines *engine.Engines //nolint:gochecknoglobals // one pair for the test binary

func TestMain(m *testing.M) { os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e })) }

const page = "1234567890"

// house is an installation beside a stand-in platform, over HTTP.
type house struct {
	*rig.Rooms
	t        *testing.T
	platform *httptest.Server
	store    *label.Store
	settings label.Settings
}

func open(t *testing.T, more string) *house {
	t.Helper()
	h := &house{Rooms: rig.Open(t, engines), t: t, platform: httptest.NewServer(sandbox.New(sandbox.Options{}))}
	t.Cleanup(h.platform.Close)
	client, err := meta.New(meta.Options{BaseURL: h.platform.URL})
	rig.Must(t, err)
	t.Cleanup(client.Close)
	h.store, err = label.Open(t.Context(), h.Streams, h.Names)
	rig.Must(t, err)
	h.settings = label.Settings{
		Defs: h.Defs, Facts: h.Facts, Store: h.store, Reader: client, Pace: time.Millisecond, Log: h.Log,
		Account: func(s *sender.Spec) (channel.Account, error) {
			return channel.Account{ID: s.Account, Token: "T", AppSecret: "S"}, nil
		},
	}
	h.Apply(t, "kind: Sender\nid: bakery\nchannel: messenger\naccount: \""+page+"\"\ncredential: env:T\n"+more)
	return h
}

// admin tells the platform of an account or its labels.
func (h *house) admin(what, body string) {
	h.t.Helper()
	r, err := http.Post(h.platform.URL+"/_sandbox/"+what, "application/json", strings.NewReader(body)) //nolint:noctx // a test's own server
	rig.Must(h.t, err)
	r.Body.Close()
	if r.StatusCode/100 != 2 {
		h.t.Fatalf("%s %s: %s", what, body, r.Status)
	}
}

func (h *house) tag(i int, add, remove string) {
	h.t.Helper()
	h.admin("labels", fmt.Sprintf(`{"account":%q,"person":%q,"add":[%s],"remove":[%s]}`, page, rig.Address(i), add, remove))
}

// lead pulls until the returned function is called.
func (h *house) lead() (stop func()) {
	return rig.Loop(h.t, func(ctx context.Context) error { label.New(h.settings).Run(ctx); return nil })
}

// pull orders a pull and waits for its end.
func (h *house) pull() label.Run {
	h.t.Helper()
	_, err := h.store.Order(h.t.Context(), "bakery", time.Now())
	rig.Must(h.t, err)
	var st label.State
	rig.Until(h.t, "the pull ends", func() bool {
		st, err = h.store.State(h.t.Context(), "bakery")
		return err == nil && !st.Waits() && !st.Run.Ended.IsZero()
	})
	return st.Run
}

func (h *house) labels(i int) []string {
	h.t.Helper()
	r, _, err := h.Facts.Contact(h.t.Context(), "bakery", h.Facts.Key("bakery", rig.Address(i)))
	rig.Must(h.t, err)
	return r.Labels
}

// TestLabelsArePulled: they come, go when they went on the Page, pick an
// audience, and nobody's own labels are touched.
func TestLabelsArePulled(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.admin("accounts", `{"account":"`+page+`","token":"T","app_secret":"S"}`)
	h.Contacts(t, "bakery", 3)
	_, err := h.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(0), Change: &contact.Change{At: time.Now().Add(-time.Hour), Labels: map[string]bool{"own": true, "fb:old": true}}}})
	rig.Must(t, err)
	h.tag(0, `"VIP","regular"`, "")
	h.tag(1, `"VIP"`, "")
	for i := range 120 { // a second page of labels
		h.admin("labels", fmt.Sprintf(`{"account":%q,"person":%q,"add":["n%03d"]}`, page, rig.Address(1), i))
	}
	h.tag(1, `"a;b"`, "")
	defer h.lead()()
	run := h.pull()
	if run.Error != nil || run.Labels != 123 || run.Unusable != 1 || run.Contacts != 3 || run.Read+run.Gone != 3 || run.Changed != 2 || run.Failed != 0 {
		t.Errorf("%+v", run)
	}
	if got, want := h.labels(0), []string{"fb:VIP", "fb:regular", "own"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := h.labels(1); len(got) != 121 || !slices.Contains(got, "fb:n119") {
		t.Errorf("%d labels: %q", len(got), got)
	}
	sel, err := plan.NewSelector(broadcast.Audience{Labels: []string{"fb:VIP"}})
	rig.Must(t, err)
	picked := 0
	_, err = h.Facts.Each(t.Context(), "bakery", func(_ job.Key, r contact.Record) error {
		if ok, err := sel.Match(r); ok || err != nil {
			picked++
			return err
		}
		return nil
	})
	if err != nil || picked != 2 {
		t.Errorf("%d picked, %v", picked, err)
	}
	head, err := h.Facts.Each(t.Context(), "bakery", func(job.Key, contact.Record) error { return nil })
	rig.Must(t, err)
	if run = h.pull(); run.Changed != 0 {
		t.Errorf("nothing was new: %+v", run)
	}
	if again, err := h.Facts.Each(t.Context(), "bakery", func(job.Key, contact.Record) error { return nil }); err != nil || again != head {
		t.Errorf("facts went from %d to %d, %v", head, again, err)
	}
	h.tag(0, "", `"VIP"`)
	if run = h.pull(); run.Changed != 1 {
		t.Errorf("%+v", run)
	}
	if got, want := h.labels(0), []string{"fb:regular", "own"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestContactTerms: the platform's words and its link are kept, labels stay,
// and the sender is not paused. By its document it is tried again.
func TestContactTerms(t *testing.T) {
	t.Parallel()
	h := open(t, "labels: {pull: 10m}\n")
	h.admin("accounts", `{"account":"`+page+`","token":"T","app_secret":"S","no_contact_terms":true}`)
	h.Contacts(t, "bakery", 1)
	_, err := h.Facts.Merge(t.Context(), "bakery", []contact.Update{{Address: rig.Address(0), Change: &contact.Change{At: time.Now(), Labels: map[string]bool{"fb:VIP": true}}}})
	rig.Must(t, err)
	defer h.lead()()
	var st label.State
	rig.Until(t, "it is tried by the document", func() bool {
		st, err = h.store.State(t.Context(), "bakery")
		return err == nil && !st.Run.Ended.IsZero()
	})
	e := st.Run.Error
	if e == nil || e.Code != 2 || e.Subcode != 2018344 || !strings.Contains(e.Detail, "contact terms") || e.Link != "https://www.facebook.com/"+page+"/contact_terms" {
		t.Errorf("%+v", e)
	}
	if got := h.labels(0); !slices.Equal(got, []string{"fb:VIP"}) {
		t.Errorf("%q", got)
	}
	if c, seq, err := h.Facts.Control(t.Context(), facts.SenderControl, "bakery"); err != nil || seq != 0 {
		t.Errorf("the sender was moved: %+v, %v", c, err)
	}
	h.admin("accounts", `{"account":"`+page+`","token":"T","app_secret":"S"}`)
	if run := h.pull(); run.Error != nil || run.Changed != 1 || h.labels(0) != nil {
		t.Errorf("the Page has no labels any more: %+v, %q", run, h.labels(0))
	}
}
