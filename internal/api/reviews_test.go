package api_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/pkg/client"
)

// Words that may have meant stop are listed with what was written until a
// person has said what they meant.
func TestReviews(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.withSender(t, "reviews")
	c, ctx := h.client(t), t.Context()
	when := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	for i, id := range []string{"71", "72", "73"} {
		_, err := h.facts.Merge(ctx, "reviews", []contact.Update{{Address: id, Review: contact.Review{At: when.Add(time.Duration(i)), ID: "m-" + id}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.desk.Take(ctx, []event.Event{{ // also of senders whose tests have the same account
		Source: "meta/x", ID: "m-71", Type: event.Message, Time: when, Channel: "messenger", Account: "17", Person: "71", MessageID: "m-71", Text: "please stop this",
	}})
	if err != nil {
		t.Fatal(err)
	}
	waiting := func() (out []string) {
		for v, err := range c.Reviews(ctx, "reviews") {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v.Contact+" "+v.Text)
		}
		slices.Sort(out)
		return out
	}
	if got := waiting(); !slices.Equal(got, []string{"71 please stop this", "72 ", "73 "}) {
		t.Errorf("waiting: %q", got)
	}
	must(c.DecideReview(ctx, "reviews", client.ReviewRequest{Contact: "71", Decision: client.ReviewOptOut}))(t)
	must(c.DecideReview(ctx, "reviews", client.ReviewRequest{Contact: "72", Decision: client.ReviewKeep}))(t)
	must(c.DecideReview(ctx, "reviews", client.ReviewRequest{Contact: "73", Decision: client.ReviewKeep, At: when}))(t) // of older words
	if got := waiting(); !slices.Equal(got, []string{"73 "}) {
		t.Errorf("waiting still: %q", got)
	}
	for id, want := range map[string]bool{"71": true, "72": false} {
		r, _, err := h.facts.Contact(ctx, "reviews", h.facts.Key("reviews", id))
		if err != nil || r.OptedOut(contact.All) != want {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	for want, r := range map[int]client.ReviewRequest{
		409: {Contact: "nobody", Decision: client.ReviewKeep}, 400: {Contact: "71", Decision: "maybe"},
	} {
		_, err := c.DecideReview(ctx, "reviews", r)
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != want {
			t.Errorf("%+v: %v, want %d", r, err, want)
		}
	}
}
