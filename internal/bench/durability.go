package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/stream"
)

// choice is one way to keep a record.
type choice struct {
	what    string
	servers int
	sync    bool
}

// durability holds each choice of how records are kept against the one that an
// installation in one process makes: one server, every write synced, sets of 500.
func (b *bench) durability(ctx context.Context) error {
	var usual float64
	for _, c := range []choice{
		{"one server, synced", 1, true}, {"one server, synced by and by", 1, false},
		{"three servers in one box, synced", 3, true}, {"three in one box, synced by and by", 3, false},
	} {
		for _, set := range []int{500, 50, 1} {
			rate, err := b.keep(ctx, c, set)
			if err != nil {
				return fmt.Errorf("%s: %w", c.what, err)
			}
			if usual == 0 {
				usual = rate
			}
			b.add(fmt.Sprintf("%s, sets of %d", c.what, set), fmt.Sprintf("%.0f records/s", rate), fmt.Sprintf("one server, synced, sets of 500 %.0f/s", usual), fmt.Sprintf("%.3f", rate/usual), "")
		}
	}
	return nil
}

// keep writes records for a while, one set behind the other, and returns how
// many a second.
func (b *bench) keep(ctx context.Context, c choice, set int) (rate float64, err error) {
	nc, stop, err := b.servers(c, set)
	if err != nil {
		return 0, err
	}
	defer stop()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(30 * time.Second); ; { // a cluster elects its leaders first
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "D", Subjects: []string{"d.>"}, Storage: jetstream.FileStorage, Replicas: c.servers, AllowAtomicPublish: true, MaxMsgsPerSubject: -1})
		if err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	n := 0
	data := bytes.Repeat([]byte("x"), 400)
	began := time.Now()
	for time.Since(began) < 3*time.Second {
		ms := make([]*nats.Msg, set)
		for i := range ms {
			ms[i] = &nats.Msg{Subject: fmt.Sprintf("d.%d", n+i), Data: data, Header: nats.Header{}}
		}
		if _, err := stream.Batch(ctx, nc, ms); err != nil {
			return 0, err
		}
		n += set
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// servers starts those of a choice, and connects to one.
func (b *bench) servers(c choice, set int) (*nats.Conn, func(), error) {
	var all []*server.Server
	stop := func() {
		for _, s := range all {
			s.Shutdown()
		}
		for _, s := range all {
			s.WaitForShutdown()
		}
	}
	var routes []*url.URL
	for range c.servers {
		port, err := freePort()
		if err != nil {
			return nil, nil, err
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range c.servers {
		o := &server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, DisableJetStreamBanner: true,
			StoreDir: b.sub(fmt.Sprintf("durability-%d-%t-%d-%d", c.servers, c.sync, set, i)), SyncAlways: c.sync,
		}
		if c.servers > 1 {
			_, port, _ := net.SplitHostPort(routes[i].Host)
			o.Cluster = server.ClusterOpts{Name: "three", Host: "127.0.0.1"}
			if _, err := fmt.Sscan(port, &o.Cluster.Port); err != nil {
				return nil, nil, err
			}
			o.Routes = routes
		}
		s, err := server.NewServer(o)
		if err != nil {
			stop()
			return nil, nil, err
		}
		all = append(all, s)
		s.Start()
	}
	for _, s := range all {
		if !s.ReadyForConnections(20 * time.Second) {
			stop()
			return nil, nil, errors.New("a server does not start")
		}
	}
	nc, err := nats.Connect(all[0].ClientURL())
	if err != nil {
		stop()
		return nil, nil, err
	}
	return nc, func() { nc.Close(); stop() }, nil
}

// freePort returns a port where nobody listens.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return a.Port, nil
}
