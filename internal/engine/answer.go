package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A server that is cut off from its cluster keeps its clients: it answers
// their pings and nothing else, and one that is off the network doesn't even
// close their connections, which the client's own pings take half a minute to
// find out. So somebody asks for what only a cluster with a leader can answer.
const (
	askEvery  = time.Second
	askWait   = 2 * time.Second
	leaveFrom = 5 * time.Second // without an answer: as long as a lease lasts
)

// KeepAnswered leaves a server through which JetStream has not answered for a
// while for another one, as long as the client knows of another, until ctx
// ends. What was asked for at that moment fails, and may have been done.
func KeepAnswered(ctx context.Context, js jetstream.JetStream, log *slog.Logger) {
	nc := js.Conn()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		one, cancel := context.WithTimeout(ctx, askWait)
		_, err := js.AccountInfo(one)
		cancel()
		if err == nil || !nc.IsConnected() { // the next server gets its time from when it is there
			last = time.Now()
		}
		if time.Since(last) < leaveFrom || len(nc.Servers()) < 2 {
			continue
		}
		log.WarnContext(ctx, "JetStream does not answer through this server; trying another", "engine", "nats", "server", nc.ConnectedServerName(), "error", err)
		if err := nc.ForceReconnect(); err != nil {
			return // closed for good
		}
		last = time.Now()
	}
}

// keepAnswered does so until Stop.
func (e *Engines) keepAnswered(log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); KeepAnswered(ctx, e.JetStream, log) }()
	e.onStop("nats watch", func(context.Context) error { cancel(); <-done; return nil })
}
