package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/pkg/client"
)

// api returns where the server is: by default where a local one listens.
func (s *session) api() string {
	if base := s.getenv("CARILLON_API"); base != "" {
		return strings.TrimRight(base, "/")
	}
	scheme := "http://"
	if s.getenv("CARILLON_TLS_CERT") != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(s.getenv("CARILLON_LISTEN"))
	if err != nil {
		return scheme + defaultListen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address, this one among them
	}
	return scheme + net.JoinHostPort(host, port)
}

// client returns a client of the server. Without a token there is one too:
// whether it is needed is for the server to say.
func (s *session) client() (*client.Client, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	ca := s.getenv("CARILLON_CA")
	if ca == "" {
		return client.New(s.api(), string(token)), nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("CARILLON_CA: %w", err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !conf.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CARILLON_CA: %s holds no certificate in PEM", ca)
	}
	return client.New(s.api(), string(token), client.WithTLS(conf)), nil
}

// token returns what to show to the server: of the environment, of a file that
// it names, or of the one that a local server left; "" where that is missing.
func (s *session) token() (secret.Text, error) {
	if v := s.getenv("CARILLON_TOKEN"); v != "" {
		return secret.Text(v), nil
	}
	path, named := s.getenv("CARILLON_TOKEN_FILE"), true
	if path == "" {
		path, named = s.tokenPath(), false
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	// The server refuses to work with such a file; who only reads one is told.
	if err := secret.Exposed(path); err != nil {
		fmt.Fprintf(s.err, "warning: %v\n", err)
	}
	return secret.Text(strings.TrimSpace(string(b))), nil
}

func (s *session) tokenPath() string {
	dir := s.getenv("CARILLON_DATA")
	if dir == "" {
		dir = defaultData
	}
	return filepath.Join(dir, tokenFile)
}
