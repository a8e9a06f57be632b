package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stage plays a layout on this machine: every pod gets a loopback address of
// its own, on which it listens on its own ports, and the files that it would
// find mounted.
type stage struct {
	layout  *layout
	root    string
	hosts   map[string]string            // names of the cluster's DNS to addresses
	secrets map[string]map[string]string // by name and key
}

// node is one pod on the stage.
type node struct {
	pod  *pod
	name string
	ip   string
	env  []string
	dir  string // what is mounted at PATH lies in dir/PATH
	text *strings.Replacer
}

func newStage(t *testing.T, l *layout) *stage {
	return &stage{layout: l, root: t.TempDir(), hosts: map[string]string{}, secrets: map[string]map[string]string{}}
}

// address gives a name of the cluster's DNS a loopback address, which depends
// on the process so that two runs of the tests don't meet.
func (s *stage) address(host string) string {
	if s.hosts[host] == "" {
		pid := os.Getpid()
		s.hosts[host] = fmt.Sprintf("127.%d.%d.%d", 64+len(s.layout.overlay), 1+pid%250, 1+(pid/250%8)*30+len(s.hosts))
	}
	return s.hosts[host]
}

// place makes one pod of a StatefulSet, with its files.
func (s *stage) place(t *testing.T, of string, ordinal int) *node {
	t.Helper()
	p := s.layout.pods[of]
	n := &node{pod: p, name: fmt.Sprintf("%s-%d", of, ordinal)}
	n.ip, n.dir = s.address(n.name+"."+p.service), filepath.Join(s.root, n.name)
	pairs := []string{"bind * -::*", "bind " + n.ip}
	for host, ip := range s.hosts {
		if strings.Contains(host, ".") { // else it is a word, which texts use otherwise too
			pairs = append(pairs, host, ip)
		}
	}
	for _, m := range p.main().VolumeMounts {
		pairs = append(pairs, m.MountPath, n.dir+m.MountPath)
	}
	n.text = strings.NewReplacer(pairs...)
	for _, m := range p.main().VolumeMounts {
		s.fill(t, n, m.Name, n.dir+m.MountPath)
	}
	for _, e := range p.main().Env {
		v := strings.ReplaceAll(e.Value, "$(POD_NAME)", n.name)
		switch from := e.ValueFrom; {
		case from != nil && from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
			v = n.name
		case from != nil && from.SecretKeyRef != nil:
			v = s.secrets[from.SecretKeyRef.Name][from.SecretKeyRef.Key]
		}
		if ip, ok := s.hosts[v]; ok {
			v = ip
		}
		n.env = append(n.env, e.Name+"="+v)
	}
	return n
}

// fill writes what a volume would hold into a directory.
func (s *stage) fill(t *testing.T, n *node, volume, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	v, _ := n.pod.volume(volume)
	if v == nil {
		return
	}
	files := map[string]string{}
	switch {
	case v.ConfigMap != nil:
		for name, text := range s.layout.configs[v.ConfigMap.Name].Data {
			files[name] = n.text.Replace(text)
		}
	case v.Secret != nil && v.Secret.Items == nil:
		files = s.secrets[v.Secret.SecretName]
	case v.Secret != nil:
		for _, i := range v.Secret.Items {
			files[i.Path] = s.secrets[v.Secret.SecretName][i.Key]
		}
	}
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// at is where a pod listens on a port of that name.
func (n *node) at(t *testing.T, name string) string {
	t.Helper()
	for _, p := range n.pod.main().Ports {
		if p.Name == name {
			return net.JoinHostPort(n.ip, fmt.Sprint(p.ContainerPort))
		}
	}
	t.Fatalf("%s has no port %s", n.name, name)
	return ""
}

// authority signs the certificates of a stage.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{cert, key}
}

// issue makes the Secret of a server: with the names that docs/operations.md
// tells to put into its certificate, and the addresses on the stage.
func (a authority) issue(t *testing.T, names []string, hosts map[string]string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, ip := range hosts {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return map[string]string{"ca.crt": block("CERTIFICATE", a.cert.Raw), "tls.crt": block("CERTIFICATE", der), "tls.key": block("PRIVATE KEY", private)}
}

func block(kind string, der []byte) string {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // a buffer takes everything
	return b.String()
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// certificateNames are those that docs/operations.md tells to put into a
// server's certificate.
func certificateNames(t *testing.T, of string) (names []string) {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	m := regexp.MustCompile(`(?m)^certificate ` + of + ` '(DNS:[^']+)'$`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("docs/operations.md does not say which names the certificate of %s has", of)
	}
	for one := range strings.SplitSeq(string(m[1]), ",") {
		names = append(names, strings.TrimPrefix(one, "DNS:"))
	}
	return names
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for what nothing announces.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(90 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 90 s: %s", what)
		}
	}
}
