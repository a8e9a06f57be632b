package deploy

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/subject"
)

// natsStage are the NATS servers of an overlay, running.
type natsStage struct {
	*stage
	ca      authority
	nodes   []*node
	servers []*server.Server
	users   map[string]nkeys.KeyPair
}

func startNATS(t *testing.T, overlay string) *natsStage {
	t.Helper()
	s := &natsStage{stage: newStage(t, render(t, overlay)), ca: newAuthority(t), users: map[string]nkeys.KeyPair{}}
	n := int(*s.layout.pods["nats"].replicas)
	for i := range n {
		s.address(fmt.Sprintf("nats-%d.nats-nodes", i))
	}
	s.secrets["nats-users"] = map[string]string{}
	for _, role := range []string{"scheduler", "worker"} {
		kp, err := nkeys.CreateUser()
		must(t, err)
		public, err := kp.PublicKey()
		must(t, err)
		s.users[role], s.secrets["nats-users"][role] = kp, public
	}
	s.secrets["nats-tls"] = s.ca.issue(t, certificateNames(t, "nats"), s.hosts)
	for i := range n {
		s.nodes = append(s.nodes, s.place(t, "nats", i))
		s.servers = append(s.servers, s.start(t, s.nodes[i]))
	}
	for _, one := range s.servers {
		if !one.ReadyForConnections(time.Minute) {
			t.Fatal("a server is not ready after a minute")
		}
	}
	return s
}

// start runs the server by the files and variables of its pod. Only where it
// listens is changed: on its own address instead of all.
func (s *natsStage) start(t *testing.T, n *node) *server.Server {
	t.Helper()
	for _, e := range n.env {
		name, v, _ := strings.Cut(e, "=")
		t.Setenv(name, v)
	}
	args := n.pod.main().Command
	o, err := server.ProcessConfigFile(n.text.Replace(args[len(args)-1]))
	must(t, err)
	if o.ServerName != n.name {
		t.Errorf("%s calls itself %q", n.name, o.ServerName)
	}
	if o.Host != server.DEFAULT_HOST && o.Host != "" {
		t.Errorf("%s listens for clients on %s alone", n.name, o.Host)
	}
	s.fits(t, n, o)
	o.Host, o.HTTPHost, o.NoSigs, o.NoLog = n.ip, n.ip, true, true
	if o.Cluster.Port != 0 {
		o.Cluster.Host = n.ip
	}
	one, err := server.NewServer(o)
	must(t, err)
	one.Start()
	t.Cleanup(func() { one.Shutdown(); one.WaitForShutdown() })
	return one
}

// fits holds the configuration against the pod: grace, volume, probes' port.
func (s *natsStage) fits(t *testing.T, n *node, o *server.Options) {
	t.Helper()
	if _, port, _ := net.SplitHostPort(n.at(t, "monitor")); port != fmt.Sprint(o.HTTPPort) {
		t.Errorf("the probes ask port %s, and health is served on %d", port, o.HTTPPort)
	}
	grace := time.Duration(*n.pod.template.Spec.TerminationGracePeriodSeconds) * time.Second
	if o.LameDuckDuration+o.LameDuckGracePeriod+10*time.Second > grace {
		t.Errorf("a server that hands over for %v after %v is killed after %v", o.LameDuckDuration, o.LameDuckGracePeriod, grace)
	}
	volume := n.pod.claims[0].Spec.Resources.Requests["storage"]
	if o.JetStreamMaxStore <= 0 || o.JetStreamMaxStore > volume.Value()*95/100 {
		t.Errorf("streams may take %d of a volume of %v", o.JetStreamMaxStore, volume.String())
	}
	if o.JetStreamMaxStore < resource.NewQuantity(volume.Value()/2, resource.BinarySI).Value() {
		t.Errorf("streams may take no more than %d of a volume of %v", o.JetStreamMaxStore, volume.String())
	}
	if !o.SyncAlways {
		t.Error("the store does not sync always")
	}
	if o.PidFile == "" || !strings.Contains(strings.Join(n.pod.main().Lifecycle.PreStop.Exec.Command, " "), strings.TrimPrefix(o.PidFile, n.dir)) {
		t.Errorf("the hook before the stop does not name the server's pid file, %s", o.PidFile)
	}
}

// connect signs in as a role, by the name that the service has.
func (s *natsStage) connect(addr, inbox string, kp nkeys.KeyPair) (*nats.Conn, error) {
	public, err := kp.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Connect("tls://"+addr, nats.Nkey(public, kp.Sign), nats.CustomInboxPrefix(inbox), nats.Secure(&tls.Config{RootCAs: s.ca.pool(), ServerName: "nats", MinVersion: tls.VersionTLS12}))
}

// NATS runs by the files that its pods mount: it keeps streams, syncs always,
// and lets in the two users and nobody else.
func TestNATSByItsManifests(t *testing.T) {
	for _, overlay := range overlays() {
		t.Run(overlay, func(t *testing.T) {
			s := startNATS(t, overlay)
			for i, n := range s.nodes {
				c := s.servers[i].JetStreamConfig()
				if c == nil || !c.SyncAlways {
					t.Fatalf("%s: streams are kept with %+v, want syncing always", n.name, c)
				}
				stranger, err := nkeys.CreateUser()
				must(t, err)
				if _, err := s.connect(n.at(t, "client"), "_INBOX", stranger); err == nil {
					t.Errorf("%s lets a stranger in", n.name)
				}
				if _, err := nats.Connect("nats://"+n.at(t, "client"), nats.RootCAs()); err == nil {
					t.Errorf("%s lets in without a name", n.name)
				}
			}
			s.keeps(t, len(s.nodes))
		})
	}
}

// keeps has a stream written with as many replicas as there are servers, and
// read by the other user from another server.
func (s *natsStage) keeps(t *testing.T, replicas int) {
	t.Helper()
	write := s.stream(t, s.nodes[0], "scheduler")
	until(t, "the servers have a leader", func() bool {
		_, err := write.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"facts.>"}, Replicas: replicas, AllowAtomicPublish: true})
		return err == nil
	})
	_, err := write.Publish(t.Context(), "facts.a", []byte("x"))
	must(t, err)
	read := s.stream(t, s.nodes[replicas-1], "worker")
	st, err := read.Stream(t.Context(), "S")
	must(t, err)
	if _, err := read.CreateStream(t.Context(), jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}}); err == nil {
		t.Error("a worker may make streams")
	}
	if m, err := st.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "x" {
		t.Errorf("read %v, %v", m, err)
	}
	if replicas == 1 {
		return
	}
	until(t, "every server has the stream", func() bool {
		info, err := st.Info(t.Context())
		return err == nil && info.Cluster != nil && len(info.Cluster.Replicas) == replicas-1
	})
}

func (s *natsStage) stream(t *testing.T, n *node, as string) jetstream.JetStream {
	t.Helper()
	nc, err := s.connect(n.at(t, "client"), role.Role(as).Inbox(subject.Names{}), s.users[as])
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	return js
}
