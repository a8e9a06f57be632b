package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// LogEntry is one thing that somebody did, or was not allowed to do.
type LogEntry struct {
	Seq     uint64            `json:"seq"` // its place in the log
	At      time.Time         `json:"at"`
	Caller  LogCaller         `json:"caller"`
	Via     string            `json:"via,omitempty"` // the API's route
	Verb    string            `json:"verb"`
	Object  string            `json:"object,omitempty"` // id of what it was done to; of a contact the keyed hash
	Sender  string            `json:"sender,omitempty"` // whose it is; empty: nobody's, or several senders'
	Details map[string]string `json:"details,omitempty"`
	Trace   string            `json:"trace,omitempty"`
	Network string            `json:"network,omitempty"` // where the caller was
	Status  int               `json:"status,omitempty"`  // of the answer; 0: no result was recorded, so that it may or may not have been done
	Ended   time.Time         `json:"ended,omitzero"`    // when the result was recorded
	Outcome map[string]string `json:"outcome,omitempty"` // what else is known of the result
}

// LogCaller is who did something.
type LogCaller struct {
	ID   string `json:"id"` // of the token, or root
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

// LogFilter picks entries of the log. Zero fields pick all.
type LogFilter struct {
	After  uint64    // only those behind this place in the log
	Since  time.Time // included
	Until  time.Time // excluded
	Caller string    // id or name
	Sender string
	Verb   string
	Limit  int // only the newest so many, up to 10,000
}

func (f LogFilter) query() url.Values {
	q := url.Values{}
	set := func(name, v string) {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.After > 0 {
		set("after", strconv.FormatUint(f.After, 10))
	}
	if f.Limit != 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	set("since", stamp(f.Since))
	set("until", stamp(f.Until))
	set("caller", f.Caller)
	set("sender", f.Sender)
	set("verb", f.Verb)
	return q
}

// Log lists who did what, the newest last. It takes the role admin.
func (c *Client) Log(ctx context.Context, f LogFilter) iter.Seq2[LogEntry, error] {
	return list[LogEntry](ctx, c, get("/v1/log", f.query()))
}
