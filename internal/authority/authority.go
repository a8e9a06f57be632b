// Package authority issues certificates for tests of who may connect to whom.
// It is imported by tests alone, and reads none that it did not issue.
//
// Its invariant: what one authority issued, no other vouches for.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates to servers and clients alike. See New.
type Authority struct {
	File string // its own certificate

	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// New returns an authority whose files are removed with the test.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{dir: t.TempDir(), cert: template("authority")}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	a.File, _ = a.sign(t, a.cert)
	return a
}

// Issue makes a certificate for 127.0.0.1 and for DNS names, good for both
// ends, and returns its file and that of its key, which its owner alone may
// read. The name is unique in its authority.
func (a *Authority) Issue(t testing.TB, name string, hosts ...string) (cert, key string) {
	t.Helper()
	c := template(name)
	c.IPAddresses, c.DNSNames, c.KeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, hosts, x509.KeyUsageDigitalSignature
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return a.sign(t, c)
}

// TLS returns how somebody with a new certificate speaks, at either end, with
// those who have one of the same authority, and with nobody else.
func (a *Authority) TLS(t testing.TB, name string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.Issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
}

// template is a certificate for the time of a test.
func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
}

// sign gives a certificate a key. The first one is the authority's own.
func (a *Authority) sign(t testing.TB, c *x509.Certificate) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	first := a.key == nil
	if first {
		a.key = k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if first {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	hidden, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, c.Subject.CommonName+".pem", "CERTIFICATE", der), a.write(t, c.Subject.CommonName+".key", "PRIVATE KEY", hidden)
}

func (a *Authority) write(t testing.TB, name, what string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
