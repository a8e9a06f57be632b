package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/pkg/client"
)

// wokenAfter is how long after the first event all runs are due, in the same
// second: long enough for each of them to have begun.
func wokenAfter(runs int) time.Duration { return 30*time.Second + time.Duration(runs)*time.Millisecond }

// countEvery is how often runs are counted: counting reads each of them.
const countEvery = time.Second

// runsWaiting has a mass update of a CRM begin runs that all wait for the same
// second, and says what one that waits takes, and how fast they are woken.
func (b *bench) runsWaiting(ctx context.Context) (err error) {
	if b.runs == 0 {
		return nil
	}
	in, err := b.start(ctx, "waiting")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.dev.Stop()) }()
	const doc = `kind: Sender
id: shop
channel: messenger
account: "999"
credential: env:NONE
---
kind: Flow
id: due
type: automation
sender: shop
contact: event.data.psid
trigger: {events: [order.placed]}
steps: [{wait: {date: {field: event.data.at}}}]
`
	if _, err := in.api.Apply(ctx, "due.yaml", strings.NewReader(doc)); err != nil {
		return err
	}
	if _, err := in.api.ImportContacts(ctx, "shop", contacts(b.runs, time.Now()), false, func(client.ImportEvent) {}); err != nil {
		return err
	}
	runtime.GC()
	heap := live()
	keys, err := keys(ctx, b.sub("waiting"))
	if err != nil {
		return err
	}
	began := time.Now()
	due := began.Add(wokenAfter(b.runs)).Truncate(time.Second)
	if err := in.place(ctx, b.runs, due); err != nil {
		return err
	}
	told := time.Since(began)
	if err := in.counted(ctx, "waiting", b.runs); err != nil {
		return err
	}
	b.add(fmt.Sprintf("%d runs begun by events", b.runs), perSecond(b.runs, time.Since(began)), "events taken at "+perSecond(b.runs, told), "", "")
	if err := b.eachWaiting(ctx, heap, keys); err != nil {
		return err
	}
	if time.Now().After(due) {
		return errors.New("runs were due before all had begun: give it fewer")
	}
	if err := in.counted(ctx, "done", b.runs); err != nil {
		return err
	}
	b.add(fmt.Sprintf("%d timers of one second", b.runs), perSecond(b.runs, time.Since(due)), "", "", "")
	return nil
}

func perSecond(n int, took time.Duration) string {
	return fmt.Sprintf("%.0f/s", float64(n)/took.Seconds())
}

// place has as many contacts place an order each, due at a moment.
func (in *instance) place(ctx context.Context, n int, due time.Time) error {
	const most = 500 // events of one call
	for from := 0; from < n; from += most {
		var events []map[string]any
		for i := from; i < min(n, from+most); i++ {
			events = append(events, map[string]any{
				"specversion": "1.0", "id": fmt.Sprint(i), "source": "https://shop.example", "type": "order.placed",
				"data": map[string]any{"psid": address(i), "at": due.UTC().Format(time.RFC3339)},
			})
		}
		body, err := json.Marshal(events)
		if err != nil {
			return err
		}
		if _, err := in.api.SendEvents(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// counted waits until so many runs are in a state.
func (in *instance) counted(ctx context.Context, state string, want int) error {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		f, err := in.api.Flow(ctx, "due", 0)
		if err != nil {
			return err
		}
		n := 0
		for _, c := range f.Runs {
			if c.State == state {
				n += c.Count
			}
		}
		if n == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// eachWaiting says what one waiting run takes: on disk, of this process' heap
// with the servers in it, and of Redis.
func (b *bench) eachWaiting(ctx context.Context, heap uint64, before int64) error {
	dir := b.sub("waiting")
	after, err := keys(ctx, dir)
	if err != nil {
		return err
	}
	disk := 0.0
	for _, name := range []string{"RUNS", "TIMERS"} {
		n, err := size(filepath.Join(dir, "nats"), name)
		if err != nil {
			return err
		}
		disk += float64(n)
	}
	runtime.GC()
	grown := float64(int64(live()) - int64(heap))
	verdict := "ok"
	if after != before {
		verdict = "missed"
	}
	b.add("  one of them that waits", fmt.Sprintf("%.0f bytes in NATS' files", disk/float64(b.runs)),
		fmt.Sprintf("%.0f bytes of heap, NATS' index and the timers of the next minutes included; Redis %+d keys", grown/float64(b.runs), after-before), verdict, "no key in Redis")
	return nil
}

// keys counts what Redis holds.
func keys(ctx context.Context, dir string) (int64, error) {
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(dir, "redis.sock")})
	n, err := rdb.DBSize(ctx).Result()
	return n, errors.Join(err, rdb.Close())
}

// size is how many bytes the files of a stream take.
func size(dir, name string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/streams/"+name+"/msgs/") {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // it was compacted meanwhile
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
