package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/cable"
)

// cluster is NATS servers that keep streams together. Every way between two of
// them, and from clients to each, is a cable.
type cluster struct {
	servers []*engine
	clients []*cable.Cable   // to each server
	routes  [][]*cable.Cable // from one server to another; nil: to itself
	url     string           // names all, by their cables
	direct  string           // the same past the cables
}

// natsCluster runs n servers. Their streams are in directories of dir that
// have their names, n0 and on.
func natsCluster(t *testing.T, dir string, n int) *cluster {
	t.Helper()
	c := &cluster{}
	var listen, names, real, through []string
	for i := range n {
		addr := freeAddr(t)
		c.clients = append(c.clients, cable.Lay(t, addr))
		listen, names = append(listen, freeAddr(t)), append(names, fmt.Sprintf("n%d", i))
		real, through = append(real, addr), append(through, c.clients[i].Addr())
	}
	nowhere := freeAddr(t) // where servers say that they are, so that nobody finds a way past the cables
	for i, name := range names {
		ways, urls := make([]*cable.Cable, n), []string{}
		for j := range n {
			if j != i {
				ways[j] = cable.Lay(t, listen[j])
				urls = append(urls, "nats://"+ways[j].Addr())
			}
		}
		c.routes = append(c.routes, ways)
		conf := fmt.Sprintf("listen: %q\nserver_name: %s\nclient_advertise: %q\n"+streams+
			"cluster { name: three, listen: %q, advertise: %q, routes: [%s] }\n",
			real[i], name, through[i], filepath.Join(dir, name), listen[i], nowhere, strings.Join(urls, ", "))
		c.servers = append(c.servers, run(t, name, real[i], built.path(t, "nats-server"), "-c", write(t, filepath.Join(dir, name+".conf"), conf)))
	}
	c.url, c.direct = "nats://"+strings.Join(through, ",nats://"), "nats://"+strings.Join(real, ",nats://")
	return c
}

// cut parts some servers from the others.
func (c *cluster) cut(some ...int) {
	for i, ways := range c.routes {
		for j, w := range ways {
			if slices.Contains(some, i) != slices.Contains(some, j) {
				w.Cut()
			}
		}
	}
}

// hide parts some servers from all clients.
func (c *cluster) hide(some ...int) {
	for _, i := range some {
		c.clients[i].Cut()
	}
}

// mend joins what was cut.
func (c *cluster) mend() {
	for _, ways := range append(c.routes[:len(c.routes):len(c.routes)], c.clients) {
		for _, w := range ways {
			if w != nil {
				w.Mend()
			}
		}
	}
}

// squeeze starts a server again with next to no room for its streams, or with
// as much as before.
func (c *cluster) squeeze(t *testing.T, i int, tight bool) {
	t.Helper()
	const free, full = "sync_interval: always }", "sync_interval: always, max_file_store: 100KB }"
	e := c.servers[i]
	conf, err := os.ReadFile(e.args[1])
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(conf), full, free)
	if tight {
		text = strings.ReplaceAll(text, free, full)
	}
	e.end(t, syscall.SIGKILL)
	write(t, e.args[1], text)
	e.start()
}

// number returns which server has a name.
func (c *cluster) number(name string) int {
	return slices.IndexFunc(c.servers, func(e *engine) bool { return e.name == name })
}

// replicas waits until every stream is kept by so many servers, none of them
// behind, and returns who leads the ledger.
func replicas(l *layout, js jetstream.JetStream, want int) (leader string) {
	l.t.Helper()
	var last string
	l.until(fmt.Sprintf("%d servers keep every stream", want), func() bool {
		list, n := js.ListStreams(l.t.Context()), 0
		last = ""
		for i := range list.Info() {
			if n++; i.Config.Replicas != want {
				l.t.Fatalf("%s has %d replicas, want %d", i.Config.Name, i.Config.Replicas, want)
			}
			if i.Cluster == nil || i.Cluster.Leader == "" || len(i.Cluster.Replicas) != want-1 {
				last = i.Config.Name + " has no leader"
				continue
			}
			for _, r := range i.Cluster.Replicas {
				if r.Offline || !r.Current {
					last = fmt.Sprintf("%s of %s is behind", r.Name, i.Config.Name)
				}
			}
			if strings.HasPrefix(i.Config.Name, "LEDGER_") {
				leader = i.Cluster.Leader
			}
		}
		return list.Err() == nil && n > 5 && last == ""
	})
	return leader
}
