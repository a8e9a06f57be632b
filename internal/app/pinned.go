package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
)

// pinned is how a process trusts a server of its own: by the certificate that
// it was given for it, which need not be signed by anybody known here, nor be
// for the address by which it is called.
func pinned(certFile string) (*tls.Config, error) {
	b, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("the API's certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("the API's certificate: %s holds none in PEM", certFile)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the API's certificate: %s: %w", certFile, err)
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	conf.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		conf.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		conf.ServerName = leaf.IPAddresses[0].String()
	}
	return conf, nil
}
