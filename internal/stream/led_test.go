package stream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// withoutJetStream is a server on which a test answers for JetStream.
func withoutJetStream(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A cluster that elects says so, or lets a replica answer, or nothing at all:
// the stream is asked for until a leader answers.
func TestOpenWaitsForALeader(t *testing.T) {
	const config = `"config":{"name":"L","subjects":["L.>"],"retention":"limits","discard":"new","max_msgs":-1,"max_bytes":-1,"max_msgs_per_subject":-1,"storage":"file","num_replicas":3,"deny_delete":true,"deny_purge":true,"allow_atomic":true},"created":"2026-11-22T10:00:00Z","state":{}`
	answers := []string{
		`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`,
		"", // none
		`{` + config + `,"cluster":{"name":"c","leader":""}}`,
		`{` + config + `,"cluster":{"name":"c","leader":"n1"}}`,
	}
	for _, create := range []bool{true, false} {
		nc := withoutJetStream(t)
		var asked atomic.Int64
		_, err := nc.Subscribe("$JS.API.STREAM.INFO.L", func(m *nats.Msg) {
			if text := answers[min(int(asked.Add(1)), len(answers))-1]; text != "" {
				_ = m.Respond([]byte(text))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Provider{JS: js, Create: create, Replicas: 3}.Open(t.Context(), strict("L"))
		if err != nil || s.CachedInfo().Cluster.Leader != "n1" || asked.Load() != int64(len(answers)) {
			t.Errorf("create %t: %v after %d questions", create, err, asked.Load())
		}
	}
}

// Whoever stops waiting is let go at once.
func TestOpenWithoutLeaderEndsWithItsContext(t *testing.T) {
	nc := withoutJetStream(t)
	asked := make(chan struct{}, 100)
	if _, err := nc.Subscribe("$JS.API.STREAM.INFO.L", func(*nats.Msg) { asked <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	began := time.Now()
	if _, err := (Provider{JS: js, Create: true}).Open(ctx, strict("L")); !errors.Is(err, context.Canceled) || time.Since(began) > electionLimit/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestElecting(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, errNoLeader: true, context.DeadlineExceeded: true, context.Canceled: false, jetstream.ErrStreamNotFound: false,
		&jetstream.APIError{ErrorCode: unavailable}: true, &jetstream.APIError{ErrorCode: unavailable + 1}: false,
	} {
		if electing(err) != want {
			t.Errorf("electing(%v) = %t", err, !want)
		}
	}
}
