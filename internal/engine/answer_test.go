package engine

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestLeavesServerThatKeepsNothing: a server whose connections are fine and
// whose JetStream does not answer is left for another one, by itself.
func TestLeavesServerThatKeepsNothing(t *testing.T) {
	t.Parallel()
	both := map[string]*server.Server{}
	var urls []string
	for _, name := range []string{"a", "b"} {
		s := natsServer(t, func(o *server.Options) { o.ServerName = name })
		both[name], urls = s, append(urls, s.ClientURL())
	}
	owner := start(t, Config{Data: t.TempDir()})
	var log syncBuffer
	e := start(t, Config{NATSURL: strings.Join(urls, ","), RedisURL: "unix://" + strings.TrimPrefix(owner.Redis.where, "unix:"), Log: logInto(&log)})
	was := e.NATS.ConnectedServerName()
	if err := both[was].DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another server answers", func() bool {
		now := e.NATS.ConnectedServerName()
		return now != "" && now != was
	})
	if _, err := e.JetStream.AccountInfo(t.Context()); err != nil {
		t.Errorf("JetStream through the other server: %v", err)
	}
	if !strings.Contains(log.String(), "JetStream does not answer through this server; trying another") {
		t.Error("nobody is told")
	}
}
