package engine

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Nothing is buffered while the server is away: what is published then has to
// fail now, not leave later. The connection comes back with the server.
func TestPublishFailsWhileDisconnected(t *testing.T) {
	t.Parallel()
	port, err := strconv.Atoi(closedPort(t)[len("127.0.0.1:"):])
	if err != nil {
		t.Fatal(err)
	}
	s := natsServer(t, func(o *server.Options) { o.Port = port })
	owner := start(t, Config{Data: t.TempDir()})
	var log syncBuffer
	e := start(t, Config{NATSURL: s.ClientURL(), RedisURL: "unix://" + strings.TrimPrefix(owner.Redis.where, "unix:"), Log: logInto(&log)})
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "the loss is noticed", func() bool { return !e.NATS.IsConnected() })
	if err := e.NATS.Publish("x", nil); err == nil {
		t.Error("Publish while disconnected = nil")
	}
	eventually(t, "the loss is logged", func() bool { return strings.Contains(log.String(), "connection lost") })

	natsServer(t, func(o *server.Options) { o.Port = port })
	eventually(t, "connected again by itself", func() bool { return e.NATS.IsConnected() && strings.Contains(log.String(), "connected again") })
	if _, err := e.JetStream.AccountInfo(t.Context()); err != nil {
		t.Errorf("JetStream after the reconnect: %v", err)
	}
}

// oldNATS says it is of some version, and otherwise only greets, and that
// nobody answers requests.
func oldNATS(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n", version)
				sid := ""
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					switch words := strings.Fields(lines.Text()); {
					case len(words) == 1 && words[0] == "PING":
						fmt.Fprint(conn, "PONG\r\n")
					case len(words) == 3 && words[0] == "SUB":
						sid = words[2]
					case len(words) == 4 && words[0] == "PUB":
						fmt.Fprintf(conn, "HMSG %s %s 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", words[2], sid)
					}
				}
			}()
		}
	}()
	return "nats://" + l.Addr().String()
}

func TestNATSVersions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version       string
		refused, warn bool
	}{
		{"2.11.99", true, false}, {"2.12.0", false, true}, {"2.15.1", false, true}, {"2.15.2", false, false},
	} {
		t.Run(tc.version, func(t *testing.T) {
			var log syncBuffer
			c := Config{NATSURL: oldNATS(t, tc.version), Log: logInto(&log), RedisURL: "redis://x"}
			_, err := Start(t.Context(), c)
			// The stand-in has no JetStream, so that it is refused either way.
			if err == nil || strings.Contains(err.Error(), "is version "+tc.version) != tc.refused {
				t.Errorf("Start: %v", err)
			}
			if got := strings.Contains(log.String(), "older than advised"); got != tc.warn {
				t.Errorf("warned: %v; log:\n%s", got, log.String())
			}
		})
	}
}

func TestRedactNATS(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nats://u:s3cret@a:1, tls://t0ken@b:2": "nats://a:1,tls://b:2",
		"u:s3cret@a:1":                         "nats://a:1",
		"nats://u:s3/cret@a:1":                 "(malformed URL)",
		"":                                     "nats://",
	} {
		if got := redactNATS(in); got != want {
			t.Errorf("redactNATS(%q) = %q, want %q", in, got, want)
		}
	}
}
