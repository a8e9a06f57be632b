package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const (
	// watchEvery is how often the progress is asked for: a running tally
	// answers it, so that it costs next to nothing.
	watchEvery = 250 * time.Millisecond
	// watchLine is how long plain output stays silent at the most.
	watchLine = 5 * time.Second
	// watchPatience is how long a server may be away, as over a restart.
	watchPatience = 10 * time.Second
)

// watch shows the progress of broadcasts until all have ended.
func (s *session) watch(ctx context.Context, c *client.Client, ids ...string) error {
	w := &watcher{ask: c.Progress}
	switch {
	case s.json:
		w.view = &jsonWatch{enc: json.NewEncoder(s.out), last: map[string]client.Progress{}}
	case s.out.Screen():
		w.view = &screenWatch{t: s.out, live: console.NewLive(s.out)}
	default:
		w.view = &plainWatch{t: s.out, last: map[string]plainLine{}}
	}
	return w.run(ctx, ids)
}

// watcher asks for the progress of broadcasts again and again.
type watcher struct {
	ask  func(context.Context, string) (client.Progress, error)
	view watchView
	all  []progressView
}

// watchView shows where the broadcasts stand. The last time all are over.
type watchView interface {
	show(all []progressView) error
}

func (w *watcher) run(ctx context.Context, ids []string) error {
	for _, id := range ids {
		w.all = append(w.all, progressView{id: id, meter: &console.Meter{}})
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	answered := time.Time{}
	for {
		err := w.look(ctx)
		switch {
		case err == nil:
			answered = time.Now()
			if err := w.view.show(w.all); err != nil || w.over() {
				return err
			}
		case !away(err) || time.Since(answered) >= watchPatience:
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// away tells whether an error is of the way to the server, not an answer.
func away(err error) bool {
	_, answer := errors.AsType[*client.Problem](err)
	_, draft := errors.AsType[draftError](err)
	return !answer && !draft
}

// draftError is a broadcast that nobody launched: there is no end to wait for.
type draftError struct{ id string }

func (e draftError) Error() string {
	return fmt.Sprintf("broadcast %s is a draft: launch it with: carillon broadcast launch %s", e.id, e.id)
}

// look asks for the progress of all that have not ended.
func (w *watcher) look(ctx context.Context) error {
	for i := range w.all {
		v := &w.all[i]
		if settled(v.progress) {
			continue
		}
		p, err := w.ask(ctx, v.id)
		if err != nil {
			return err
		}
		if p.State == "draft" {
			return draftError{v.id}
		}
		v.progress = p
		v.meter.Add(time.Now(), v.ended())
	}
	return nil
}

func (w *watcher) over() bool {
	for _, v := range w.all {
		if !settled(v.progress) {
			return false
		}
	}
	return true
}

// screenWatch redraws a few lines in place; what has ended stays above them.
type screenWatch struct {
	t     *console.Terminal
	live  *console.Live
	ended map[string]bool
}

func (w *screenWatch) show(all []progressView) error {
	var lines []string
	for _, v := range all {
		if !settled(v.progress) {
			lines = append(lines, v.lines(w.t)...)
			continue
		}
		if err := w.end(v); err != nil {
			return err
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return w.live.Draw(lines...)
}

func (w *screenWatch) end(v progressView) error {
	if w.ended[v.id] {
		return nil
	}
	if w.ended == nil {
		w.ended = map[string]bool{}
	}
	w.ended[v.id] = true
	return errors.Join(w.live.Clear(), v.writeEnd(w.t))
}

// plainWatch writes a line at the start, for every change of state, at every
// 10 %, after every few seconds, and at the end.
type plainWatch struct {
	t    *console.Terminal
	last map[string]plainLine
}

type plainLine struct {
	at    time.Time
	state string
	tenth int
}

func (w *plainWatch) show(all []progressView) error {
	for _, v := range all {
		now, last := plainLine{at: time.Now(), state: v.progress.State}, w.last[v.id]
		if v.progress.Audience > 0 {
			now.tenth = 10 * v.ended() / v.progress.Audience
		}
		same := now.state == last.state && now.tenth == last.tenth
		if same && (client.Over(now.state) || now.at.Sub(last.at) < watchLine) {
			continue
		}
		w.last[v.id] = now
		if _, err := fmt.Fprintln(w.t, v.plain()); err != nil {
			return err
		}
	}
	return nil
}

// jsonWatch writes a document for every change.
type jsonWatch struct {
	enc  *json.Encoder
	last map[string]client.Progress
}

func (w *jsonWatch) show(all []progressView) error {
	for _, v := range all {
		p := v.progress
		p.At = time.Time{} // the moment alone is no change
		if last, ok := w.last[v.id]; ok && reflect.DeepEqual(p, last) {
			continue
		}
		w.last[v.id] = p
		if err := w.enc.Encode(v.progress); err != nil {
			return err
		}
	}
	return nil
}
