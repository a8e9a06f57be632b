package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/carillon-dev/carillon/internal/access"
	"github.com/carillon-dev/carillon/internal/journal"
	"github.com/carillon-dev/carillon/pkg/client"
)

// logPath is where the audit log is read.
const logPath = "/v1/log"

// maxLog bounds the parameter limit: so many entries are held in memory,
// beside those that journal.MaxWaiting bounds.
const maxLog = 10_000

// log lists who did what. Who may see some senders alone sees what was done
// to these.
func (s *Server) log(a *answer, r *http.Request) error {
	f, limit, err := logFilter(r.URL.Query())
	if err != nil {
		return err
	}
	caller := access.Of(r.Context())
	return s.list(a, r, func(emit func(any) error) error {
		newest := &tail{most: limit, emit: emit}
		err := s.Journal.Each(r.Context(), f, func(e journal.Entry) error {
			if caller.Senders != nil && !caller.Sees(e.Sender) {
				return nil
			}
			return newest.add(wireEntry(e))
		})
		if err != nil {
			return err
		}
		return newest.end()
	})
}

func logFilter(q url.Values) (f journal.Filter, limit int, err error) {
	f = journal.Filter{Caller: q.Get("caller"), Sender: q.Get("sender"), Verb: q.Get("verb")}
	if f.Since, err = moment(q, "since"); err != nil {
		return f, 0, err
	}
	if f.Until, err = moment(q, "until"); err != nil {
		return f, 0, err
	}
	if v := q.Get("after"); v != "" {
		if f.After, err = strconv.ParseUint(v, 10, 64); err != nil || f.After == 0 {
			return f, 0, badRequest(fmt.Sprintf("after %q: want the seq of an entry", v))
		}
	}
	if limit, err = parseLimit(q.Get("limit")); err != nil || limit > maxLog {
		return f, 0, badRequest(fmt.Sprintf("limit %q: want a number from 1 to %d", q.Get("limit"), maxLog))
	}
	return f, limit, nil
}

// moment reads a parameter that is a time; absent is the zero time.
func moment(q url.Values, name string) (time.Time, error) {
	v := q.Get(name)
	if v == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, badRequest(fmt.Sprintf("%s %q: want RFC 3339 such as 2026-11-22T10:00:00Z", name, v))
	}
	return t, nil
}

// tail emits the last of what is added, in order: all where most is 0.
type tail struct {
	most int
	emit func(any) error
	last []client.LogEntry // a ring once it is full
	next int               // the oldest in it
}

func (t *tail) add(e client.LogEntry) error {
	switch {
	case t.most == 0:
		return t.emit(e)
	case len(t.last) < t.most:
		t.last = append(t.last, e)
	default:
		t.last[t.next] = e
		t.next = (t.next + 1) % t.most
	}
	return nil
}

func (t *tail) end() error {
	for i := range t.last {
		if err := t.emit(t.last[(t.next+i)%len(t.last)]); err != nil {
			return err
		}
	}
	return nil
}

func wireEntry(e journal.Entry) client.LogEntry {
	out := client.LogEntry{
		Seq: e.Seq, At: e.At, Caller: client.LogCaller(e.Caller), Via: e.Via, Verb: e.Verb, Object: e.Object, Sender: e.Sender,
		Details: e.Details, Trace: e.Trace, Network: e.Network,
	}
	if e.Result != nil {
		out.Status, out.Ended, out.Outcome = e.Result.Status, e.Result.At, e.Result.Details
	}
	return out
}
