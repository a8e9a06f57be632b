package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/carillon-dev/carillon/internal/secret"
)

// file is a file that somebody named in the configuration.
type file struct{ setting, path string }

// fault says in one line what is wrong with the file.
func (f file) fault(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", f.setting, f.path, fmt.Errorf(format, args...))
}

// read returns what the file holds.
func (f file) read() ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if err != nil {
		return nil, f.fault("%w", cause(err))
	}
	return b, nil
}

// readSecret reads a file that others must not.
func (f file) readSecret() ([]byte, error) {
	b, err := secret.ReadFile(f.path)
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return nil, f.fault("%w", cause(err))
	}
	if err != nil { // it names the file
		return nil, fmt.Errorf("%s: %w", f.setting, err)
	}
	return b, nil
}

// certificates are the PEM files that one engine's encryption needs; empty
// paths are none. Certificate and key go together.
type certificates struct{ ca, cert, key file }

func (c certificates) given() bool { return c.ca.path != "" || c.cert.path != "" || c.key.path != "" }

// check reads all that is given, so that what is wrong with it is said at the
// start and by the file's name.
func (c certificates) check() error {
	if c.ca.path != "" {
		if _, err := c.roots(); err != nil {
			return err
		}
	}
	if c.cert.path == "" && c.key.path == "" {
		return nil
	}
	if c.cert.path == "" || c.key.path == "" {
		return fmt.Errorf("%s and %s go together: want both or none", c.cert.setting, c.key.setting)
	}
	_, err := c.pair()
	return err
}

func (c certificates) roots() (*x509.CertPool, error) {
	b, err := c.ca.read()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, c.ca.fault("no certificate in it; want PEM")
	}
	return pool, nil
}

func (c certificates) pair() (*tls.Certificate, error) {
	cert, err := c.cert.read()
	if err != nil {
		return nil, err
	}
	key, err := c.key.readSecret()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, c.cert.fault("no use with %s: %w", c.key.path, cause(err))
	}
	return &pair, nil
}

// config puts the files on top of what a URL said. The pair is read again at
// every handshake, so that a renewed one needs no restart; the authorities
// are not.
func (c certificates) config(base *tls.Config) (*tls.Config, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	out := base.Clone()
	if c.ca.path != "" {
		roots, err := c.roots()
		if err != nil {
			return nil, err
		}
		out.RootCAs = roots
	}
	if c.cert.path != "" {
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.pair() }
	}
	return out, nil
}
