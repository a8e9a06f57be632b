package api

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/deadletter"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

func parseLimit(v string) (int, error) {
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, badRequest(fmt.Sprintf("limit %q: want a number from 1", v))
	}
	return n, nil
}

func queryFilter(q url.Values) (picked, error) {
	f := client.DeadFilter{Reason: reason.Code(q.Get("reason")), State: q.Get("state"), Sender: q.Get("sender"), Source: q.Get("source")}
	for _, t := range []struct {
		name string
		into *time.Time
	}{{"since", &f.Since}, {"until", &f.Until}} {
		v := q.Get(t.name)
		if v == "" {
			continue
		}
		var err error
		if *t.into, err = time.Parse(time.RFC3339, v); err != nil {
			return picked{}, badRequest(fmt.Sprintf("%s %q: want RFC 3339 such as 2026-11-22T10:00:00Z", t.name, v))
		}
	}
	if v := q.Get("likely_not_sent"); v != "" {
		var err error
		if f.LikelyNotSent, err = strconv.ParseBool(v); err != nil {
			return picked{}, badRequest(fmt.Sprintf("likely_not_sent %q: want true or false", v))
		}
	}
	return filter(f)
}

// picked says which dead letters are meant: of those that the filter picks all,
// or only they that are likely not sent.
type picked struct {
	deadletter.Filter
	likely bool
}

// filter checks a filter: one that can pick nothing is a mistake.
func filter(f client.DeadFilter) (picked, error) {
	var none picked
	if _, ok := reason.Lookup(f.Reason); f.Reason != "" && !ok {
		return none, badRequest(fmt.Sprintf("reason %q: no such reason; docs/reasons.md lists them", f.Reason))
	}
	if f.State != "" && !job.State(f.State).Dead() {
		return none, badRequest(fmt.Sprintf("state %q: want blocked, failed or unknown", f.State))
	}
	if f.Sender != "" && !sender.ValidID(f.Sender) {
		return none, badRequest(fmt.Sprintf("sender %q: want the id of a sender", f.Sender))
	}
	if f.Source != "" && !job.ValidToken(f.Source) {
		return none, badRequest(fmt.Sprintf("source %q: want the id of a broadcast or a flow, or a source as a letter names it", f.Source))
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return none, badRequest("until must be later than since")
	}
	if f.LikelyNotSent {
		if f.State != "" && f.State != string(job.Unknown) {
			return none, badRequest(fmt.Sprintf("state %q: only what is unknown can be likely not sent", f.State))
		}
		f.State = string(job.Unknown)
	}
	return picked{deadletter.Filter{Reason: f.Reason, State: job.State(f.State), Sender: f.Sender, Source: f.Source, Since: f.Since, Until: f.Until}, f.LikelyNotSent}, nil
}
