package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/carillon-dev/carillon/internal/secret"
)

// certificateEvery is how often handshakes look whether the files of the
// certificate changed.
const certificateEvery = 2 * time.Second

// certificate is a certificate and its key in files, read anew when they
// change, so that renewing it takes no restart. While what is there can't be
// used, the one before serves on.
type certificate struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu      sync.Mutex
	looked  time.Time
	of      [2]stamp // of the files that current was read from
	current *tls.Certificate
	said    string // what was wrong at the last look; "": nothing
}

// stamp tells one content of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log, now: time.Now}
	c.looked = c.now()
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("the API's certificate: %w", err)
	}
	return c, nil
}

// get is for tls.Config.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= certificateEvery {
		c.looked = now
		c.look(hello.Context())
	}
	return c.current, nil
}

// look reads what changed, and says once what is wrong with it.
func (c *certificate) look(ctx context.Context) {
	err := c.read()
	switch {
	case err == nil:
		c.said = ""
	case err.Error() != c.said:
		c.said = err.Error()
		c.log.WarnContext(ctx, "the API's new certificate can't be used; the one before serves on", "error", err)
	}
}

// read takes in the files where they changed since they were last used.
func (c *certificate) read() error {
	var of [2]stamp
	for i, path := range []string{c.cert, c.key} {
		f, err := os.Stat(path)
		if err != nil {
			return err
		}
		of[i] = stamp{f.ModTime(), f.Size()}
	}
	if of == c.of {
		return nil
	}
	cert, err := os.ReadFile(c.cert)
	if err != nil {
		return err
	}
	key, err := secret.ReadFile(c.key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	c.of, c.current = of, &pair
	return nil
}
