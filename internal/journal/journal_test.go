package journal_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// open returns a new log, and the name of its stream.
func open(t *testing.T) (*journal.Journal, subject.Names) {
	t.Helper()
	names := rig.Open(t, engines).Names
	j, err := journal.Open(t.Context(), engines.NATS, stream.Provider{JS: engines.JetStream, Create: true}, names)
	rig.Must(t, err)
	return j, names
}

func begin(t *testing.T, j *journal.Journal, caller, verb, sender string) *journal.Begun {
	t.Helper()
	b, err := j.Begin(t.Context(), journal.Entry{Caller: journal.Caller{ID: "id-" + caller, Name: caller, Role: "operator"}, Verb: verb, Sender: sender, Object: "o"})
	rig.Must(t, err)
	return b
}

func end(t *testing.T, b *journal.Begun, status int) {
	t.Helper()
	rig.Must(t, b.End(t.Context(), journal.Result{Status: status}))
}

func list(t *testing.T, j *journal.Journal, f journal.Filter) (out []journal.Entry) {
	t.Helper()
	rig.Must(t, j.Each(t.Context(), f, func(e journal.Entry) error { out = append(out, e); return nil }))
	return out
}

// shown is an entry in short: caller verb sender status, "-" without one.
func shown(es []journal.Entry) (out []string) {
	for _, e := range es {
		status := "-"
		if e.Result != nil {
			status = fmt.Sprint(e.Result.Status)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", e.Caller.Name, e.Verb, e.Sender, status))
	}
	return out
}

func TestEntryComesBackWhole(t *testing.T) {
	j, _ := open(t)
	want := journal.Entry{
		Seq: 1, Caller: journal.Caller{ID: "t1", Name: "ann", Role: "admin"}, Via: "POST /v1/dead/redrive", Verb: "redrive", Object: "o", Sender: "bakery",
		Details: map[string]string{"filter": "reason=opted_out"}, Trace: "4bf9", Network: "203.0.113.0/24",
		Result: &journal.Result{Status: 200, Details: map[string]string{"done": "3"}},
	}
	b, err := j.Begin(t.Context(), want)
	rig.Must(t, err)
	rig.Must(t, b.End(t.Context(), *want.Result))
	got := list(t, j, journal.Filter{})
	if d := cmp.Diff([]journal.Entry{want}, got, cmpopts.IgnoreFields(journal.Entry{}, "At"), cmpopts.IgnoreFields(journal.Result{}, "At")); d != "" {
		t.Fatal(d)
	}
	if got[0].At.IsZero() || got[0].Result.At.Before(got[0].At) {
		t.Errorf("begun at %s, ended at %s", got[0].At, got[0].Result.At)
	}
}

// TestWriteAhead: an entry is there before its result is, and results find
// their entries however they come in.
func TestWriteAhead(t *testing.T) {
	j, _ := open(t)
	first := begin(t, j, "ann", "launch", "bakery")
	if d := cmp.Diff([]string{"ann launch bakery -"}, shown(list(t, j, journal.Filter{}))); d != "" {
		t.Fatal(d)
	}
	begin(t, j, "bob", "pause", "") // whose process was killed
	third := begin(t, j, "cyd", "cancel", "shop")
	rig.Must(t, j.Refused(t.Context(), journal.Entry{Caller: journal.Caller{Name: "vic"}, Verb: "launch", Sender: "shop"}, journal.Result{Status: 403}))
	end(t, third, 409)
	end(t, first, 200)
	want := []string{"ann launch bakery 200", "bob pause  -", "cyd cancel shop 409", "vic launch shop 403"}
	if d := cmp.Diff(want, shown(list(t, j, journal.Filter{}))); d != "" {
		t.Error(d)
	}
}

func TestFilters(t *testing.T) {
	j, _ := open(t)
	end(t, begin(t, j, "ann", "launch", "bakery"), 200)
	end(t, begin(t, j, "bob", "launch", "shop"), 202)
	slow := begin(t, j, "ann", "pause", "shop")
	end(t, begin(t, j, "ann", "import", ""), 200)
	end(t, slow, 200)
	all := list(t, j, journal.Filter{})
	second, third := all[1], all[2]
	for name, c := range map[string]struct {
		f    journal.Filter
		want []int // of all
	}{
		"all":                      {journal.Filter{}, []int{0, 1, 2, 3}},
		"caller by name":           {journal.Filter{Caller: "ann"}, []int{0, 2, 3}},
		"caller by id":             {journal.Filter{Caller: "id-bob"}, []int{1}},
		"nobody":                   {journal.Filter{Caller: "an"}, nil},
		"sender":                   {journal.Filter{Sender: "shop"}, []int{1, 2}},
		"verb":                     {journal.Filter{Verb: "launch"}, []int{0, 1}},
		"two of them":              {journal.Filter{Verb: "launch", Sender: "shop"}, []int{1}},
		"after":                    {journal.Filter{After: second.Seq}, []int{2, 3}},
		"after the newest":         {journal.Filter{After: all[3].Seq}, nil},
		"since, included":          {journal.Filter{Since: third.At}, []int{2, 3}},
		"since, 1 ns later":        {journal.Filter{Since: third.At.Add(1)}, []int{3}},
		"until, excluded":          {journal.Filter{Until: third.At}, []int{0, 1}},
		"until, its result behind": {journal.Filter{Until: third.At.Add(1)}, []int{0, 1, 2}},
		"after and since":          {journal.Filter{After: 1, Since: third.At}, []int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []journal.Entry
			for _, i := range c.want {
				want = append(want, all[i])
			}
			if d := cmp.Diff(want, list(t, j, c.f)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReaderStopsWithTheFirstError(t *testing.T) {
	j, _ := open(t)
	begin(t, j, "ann", "launch", "bakery")
	begin(t, j, "bob", "launch", "bakery")
	enough, n := errors.New("enough"), 0
	if err := j.Each(t.Context(), journal.Filter{}, func(journal.Entry) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

// TestNothingIsTakenBack: neither a record nor all of them can be deleted,
// and opening it again keeps what is there.
func TestNothingIsTakenBack(t *testing.T) {
	j, names := open(t)
	end(t, begin(t, j, "ann", "launch", "bakery"), 200)
	s, err := engines.JetStream.Stream(t.Context(), names.JournalStream())
	rig.Must(t, err)
	if err := s.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("a record could be deleted")
	}
	if err := s.SecureDeleteMsg(t.Context(), 1); err == nil {
		t.Error("a record could be overwritten")
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("the log could be purged")
	}
	if c := s.CachedInfo().Config; c.MaxAge != 0 || c.MaxMsgs > 0 || c.MaxBytes > 0 || c.AllowDirect || c.Discard != jetstream.DiscardNew {
		t.Errorf("%+v", c)
	}
	again, err := journal.Open(t.Context(), engines.NATS, stream.Provider{JS: engines.JetStream, Create: true}, names)
	rig.Must(t, err)
	if d := cmp.Diff([]string{"ann launch bakery 200"}, shown(list(t, again, journal.Filter{}))); d != "" {
		t.Error(d)
	}
}

// TestNoLogNoEntry: an entry that can't be written is an error within the time
// of one round trip, since whoever gets it may not act.
func TestNoLogNoEntry(t *testing.T) {
	j, names := open(t)
	rig.Must(t, engines.JetStream.DeleteStream(t.Context(), names.JournalStream()))
	before := time.Now()
	if _, err := j.Begin(t.Context(), journal.Entry{Verb: "launch"}); err == nil {
		t.Error("there is no log, and no error either")
	}
	if took := time.Since(before); took > rig.Patience {
		t.Errorf("it took %s", took)
	}
}
