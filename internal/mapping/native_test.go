package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
)

func TestNative(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data, want string }{
		{"least", `{"sender":"shop","contact":"7"}`, ""},
		{"all", `{"sender":"shop","contact":"7","at":"2026-11-22T11:00:00+01:00","labels":{"vip":true},"attributes":{"city":null},"opt_out":"all"}`, ""},
		{"no data", ``, "data: EOF"},
		{"another field", `{"sender":"shop","contact":"7","nam":"x"}`, `data: unknown field "nam"`},
		{"no sender", `{"contact":"7"}`, "data.sender"},
		{"no contact", `{"sender":"shop","contact":"a b"}`, "data.contact"},
		{"no zone", `{"sender":"shop","contact":"7","timezone":"x"}`, "data.timezone"},
	} {
		e, err := Native(event.Event{Source: "crm", ID: "1", Type: Changed, Time: noon(), Data: json.RawMessage(c.data)})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		if err == nil && (e.Sender != "shop" || e.Person != "7") {
			t.Errorf("%s: %+v", c.name, e)
		}
		if c.name == "all" && (!e.Time.Equal(noon().Add(-2*time.Hour)) || e.Change.OptOut != contact.All || e.Change.Source != "crm" || !e.Change.At.IsZero()) {
			t.Errorf("%s: %+v, %+v", c.name, e, e.Change)
		}
		if c.name == "least" && e.Change != nil {
			t.Errorf("%s: %+v", c.name, e.Change)
		}
	}
}
