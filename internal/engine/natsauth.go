package engine

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// natsOptions returns what the files say of who connects and how. All are
// read now, so that a fault is said at the start, and again by the client at
// every connect, so that renewed ones need no restart.
func natsOptions(c Config) ([]nats.Option, error) {
	var opts []nats.Option
	creds, seed := file{"CARILLON_NATS_CREDENTIALS", c.NATSCredentials}, file{"CARILLON_NATS_NKEY", c.NATSNKey}
	switch {
	case creds.path != "" && seed.path != "":
		return nil, errors.New("CARILLON_NATS_CREDENTIALS and CARILLON_NATS_NKEY are both set: want one")
	case creds.path != "":
		if err := checkCredentials(creds); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(creds.path))
	case seed.path != "":
		if err := checkSeed(seed); err != nil {
			return nil, err
		}
		o, err := nats.NkeyOptionFromSeed(seed.path)
		if err != nil {
			return nil, seed.fault("no seed of a user")
		}
		opts = append(opts, o)
	}
	if c.NATSInbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.NATSInbox))
	}
	certs := c.natsCertificates()
	if err := certs.check(); err != nil {
		return nil, err
	}
	if certs.ca.path != "" {
		opts = append(opts, nats.RootCAs(certs.ca.path))
	}
	if certs.cert.path != "" {
		opts = append(opts, nats.ClientCert(certs.cert.path, certs.key.path))
	}
	return opts, nil
}

func (c Config) natsCertificates() certificates {
	return certificates{file{"CARILLON_NATS_CA", c.NATSCA}, file{"CARILLON_NATS_CERT", c.NATSCert}, file{"CARILLON_NATS_KEY", c.NATSKey}}
}

// checkCredentials reads a .creds file: a user's JWT and its seed, each
// between lines that say so. The libraries' errors may quote what they read,
// so that none of them is passed on.
func checkCredentials(f file) error {
	b, err := f.readSecret()
	if err != nil {
		return err
	}
	token, err := nkeys.ParseDecoratedJWT(b)
	if err != nil || strings.Count(token, ".") != 2 {
		return f.fault("no user's JWT in it; want the file that nsc or the operator made")
	}
	kp, err := nkeys.ParseDecoratedUserNKey(b)
	if err != nil {
		return f.fault("no user's seed (SU…) in it; want the file that nsc or the operator made")
	}
	kp.Wipe()
	return nil
}

func checkSeed(f file) error {
	b, err := f.readSecret()
	if err != nil {
		return err
	}
	kp, err := nkeys.ParseDecoratedUserNKey(b)
	if err != nil {
		return f.fault("no user's seed (SU…) in it")
	}
	kp.Wipe()
	return nil
}
