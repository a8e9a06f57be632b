package access

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		have, need Role
		has        bool
	}{
		{Viewer, Viewer, true}, {Viewer, Operator, false}, {Viewer, Admin, false},
		{Operator, Viewer, true}, {Operator, Operator, true}, {Operator, Admin, false},
		{Admin, Viewer, true}, {Admin, Operator, true}, {Admin, Admin, true},
		{"", Viewer, false}, {"", "", false}, {"owner", Viewer, false}, {Admin, "owner", false}, {Admin, "", false},
	} {
		if got := c.have.Has(c.need); got != c.has {
			t.Errorf("%q has %q: %v", c.have, c.need, got)
		}
	}
	for _, r := range Roles() {
		if got, err := ParseRole(string(r)); got != r || err != nil {
			t.Errorf("%q: %q, %v", r, got, err)
		}
	}
	if _, err := ParseRole("Admin"); err == nil || err.Error() != `role "Admin": want viewer, operator or admin` {
		t.Error(err)
	}
}

func TestSees(t *testing.T) {
	shop := Principal{Role: Viewer, Senders: []string{"shop"}}
	if !Root().Sees("shop") || !Root().SeesAll(nil) {
		t.Error("root does not see everything")
	}
	if !shop.Sees("shop") || shop.Sees("sho") || shop.Sees("") || shop.SeesAll(nil) || shop.SeesAll([]string{"shop", "other"}) {
		t.Error("a scope is not its senders")
	}
	// Nobody is not root, though both have no list of senders.
	if nobody := Of(context.Background()); nobody.Sees("shop") || nobody.SeesAll(nil) || nobody.SeesAll([]string{"shop"}) {
		t.Error("nobody sees something")
	}
	if p := Of(With(context.Background(), shop)); p.Role != Viewer || !p.Sees("shop") {
		t.Errorf("the context lost %+v", p)
	}
}

// TestNobodyGrantsMore: whatever is asked for and granted, the new principal
// may do nothing, to nobody and at no time, that its creator may not.
func TestNobodyGrantsMore(t *testing.T) {
	all := []string{"a", "b", "c"}
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	senders := rapid.Custom(func(t *rapid.T) []string {
		if rapid.Bool().Draw(t, "all") {
			return nil
		}
		return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID).Draw(t, "senders")
	})
	expires := rapid.SampledFrom([]time.Time{{}, start.Add(-1), start, start.Add(1)})
	rapid.Check(t, func(t *rapid.T) {
		by := Principal{Role: rapid.SampledFrom(Roles()).Draw(t, "role"), Senders: senders.Draw(t, "by"), Expires: expires.Draw(t, "expires")}
		got := Principal{Role: rapid.SampledFrom(Roles()).Draw(t, "granted"), Senders: senders.Draw(t, "for"), Expires: expires.Draw(t, "until")}
		more := got.SeesAll(nil) && !by.SeesAll(nil) || !by.Expires.IsZero() && (got.Expires.IsZero() || got.Expires.After(by.Expires))
		for _, r := range Roles() {
			more = more || got.Role.Has(r) && !by.Role.Has(r)
		}
		for _, s := range append(all, "later") {
			more = more || got.Sees(s) && !by.Sees(s)
		}
		if err := by.Grants(got.Role, got.Senders, got.Expires); (err == nil) == more {
			t.Fatalf("%+v grants %+v: %v", by, got, err)
		}
	})
}
