package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/carillon-dev/carillon/internal/authority"
)

// keys makes a pair and returns its public half and its seed.
func keys(t *testing.T, create func() (nkeys.KeyPair, error)) (kp nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = kp.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if seed, err = kp.Seed(); err != nil {
		t.Fatal(err)
	}
	return kp, public, seed
}

// operated runs a server with an operator, as a managed one has, and returns
// the credentials of one user.
func operated(t *testing.T) (*server.Server, []byte) {
	t.Helper()
	operator, operatorID, _ := keys(t, nkeys.CreateOperator)
	encode := func(c jwt.Claims, by nkeys.KeyPair) string {
		text, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	accounts := &server.MemAccResolver{}
	account := func() (nkeys.KeyPair, string) {
		kp, id, _ := keys(t, nkeys.CreateAccount)
		c := jwt.NewAccountClaims(id)
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		if err := accounts.Store(id, encode(c, operator)); err != nil {
			t.Fatal(err)
		}
		return kp, id
	}
	shop, _ := account()
	_, systemID, _ := keys(t, nkeys.CreateAccount)
	if err := accounts.Store(systemID, encode(jwt.NewAccountClaims(systemID), operator)); err != nil {
		t.Fatal(err)
	}
	claims := jwt.NewOperatorClaims(operatorID)
	if _, err := jwt.DecodeOperatorClaims(encode(claims, operator)); err != nil {
		t.Fatal(err)
	}
	s := natsServer(t, func(o *server.Options) {
		o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{claims}, accounts, systemID
	})
	_, userID, seed := keys(t, nkeys.CreateUser)
	creds, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(userID), shop), seed)
	if err != nil {
		t.Fatal(err)
	}
	return s, creds
}

// Every way to say who connects, with what is right and with what is not.
func TestNATSUsers(t *testing.T) {
	t.Parallel()
	redis := "unix://" + strings.TrimPrefix(start(t, Config{Data: t.TempDir()}).Redis.where, "unix:")
	dir := t.TempDir()
	withOperator, creds := operated(t)
	_, _, otherSeed := keys(t, nkeys.CreateUser)
	_, nkey, seed := keys(t, nkeys.CreateUser)
	withNKey := natsServer(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: nkey}} })
	withToken := natsServer(t, func(o *server.Options) { o.Authorization = "t0ken" })
	withUser := natsServer(t, func(o *server.Options) { o.Username, o.Password = "u", "s3cret" })
	for name, c := range map[string]Config{
		"credentials": {NATSURL: withOperator.ClientURL(), NATSCredentials: writeFile(t, dir, "right.creds", 0o600, creds)},
		"for a group": {NATSURL: withOperator.ClientURL(), NATSCredentials: writeFile(t, dir, "group.creds", 0o440, creds)},
		"nkey":        {NATSURL: withNKey.ClientURL(), NATSNKey: writeFile(t, dir, "right.nk", 0o600, seed)},
		"token":       {NATSURL: "nats://t0ken@" + withToken.Addr().String()},
		"password":    {NATSURL: "nats://u:s3cret@" + withUser.Addr().String()},
		"a cluster's": {NATSURL: "nats://u:s3cret@" + closedPort(t) + ",nats://u:s3cret@" + withUser.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			c.RedisURL = redis
			start(t, c)
		})
	}
	for name, c := range map[string]struct {
		Config
		want string
	}{
		"other nkey":  {Config{NATSURL: withNKey.ClientURL(), NATSNKey: writeFile(t, dir, "other.nk", 0o600, otherSeed)}, "credentials refused"},
		"no nkey":     {Config{NATSURL: withNKey.ClientURL()}, "CARILLON_NATS_NKEY"},
		"other token": {Config{NATSURL: "nats://s3cret@" + withToken.Addr().String()}, "credentials refused"},
	} {
		t.Run(name, func(t *testing.T) {
			c.RedisURL = redis
			refused(t, t.Context(), c.Config, c.want)
		})
	}
}

// A file that is of no use ends the start with one line that names the
// setting and the file, and nothing of what is in it.
func TestNATSFiles(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), authority.New(t)
	_, _, seed := keys(t, nkeys.CreateUser)
	_, _, account := keys(t, nkeys.CreateAccount)
	cert, key := ca.Issue(t, "client")
	_, otherKey := ca.Issue(t, "other")
	open := writeFile(t, dir, "open.key", 0o644, []byte("s3cret"))
	junk := writeFile(t, dir, "junk", 0o600, []byte("-----BEGIN s3cret-----\ns3cret\n"))
	for name, c := range map[string]struct {
		Config
		wants []string
	}{
		"missing creds":       {Config{NATSCredentials: "/nonexistent/a"}, []string{"CARILLON_NATS_CREDENTIALS: /nonexistent/a: no such file"}},
		"open creds":          {Config{NATSCredentials: open}, []string{"CARILLON_NATS_CREDENTIALS: " + open + " holds a secret and is open to others", "0644", "chmod"}},
		"junk creds":          {Config{NATSCredentials: junk}, []string{"CARILLON_NATS_CREDENTIALS: " + junk, "JWT"}},
		"creds with a seed":   {Config{NATSCredentials: writeFile(t, dir, "seed", 0o600, seed)}, []string{"JWT"}},
		"a directory":         {Config{NATSCredentials: func() string { d := t.TempDir(); return d }()}, []string{"CARILLON_NATS_CREDENTIALS: "}},
		"both":                {Config{NATSCredentials: junk, NATSNKey: junk}, []string{"want one"}},
		"missing nkey":        {Config{NATSNKey: "/nonexistent/a"}, []string{"CARILLON_NATS_NKEY: /nonexistent/a: no such file"}},
		"open nkey":           {Config{NATSNKey: writeFile(t, dir, "open.nk", 0o604, seed)}, []string{"CARILLON_NATS_NKEY", "open to others", "0604"}},
		"nkey a group writes": {Config{NATSNKey: writeFile(t, dir, "group.nk", 0o660, seed)}, []string{"CARILLON_NATS_NKEY", "open to others", "0660"}},
		"junk nkey":           {Config{NATSNKey: junk}, []string{"CARILLON_NATS_NKEY: " + junk, "seed"}},
		"an account's":        {Config{NATSNKey: writeFile(t, dir, "account.nk", 0o600, account)}, []string{"CARILLON_NATS_NKEY", "user's seed"}},
		"missing ca":          {Config{NATSCA: "/nonexistent/a"}, []string{"CARILLON_NATS_CA: /nonexistent/a: no such file"}},
		"junk ca":             {Config{NATSCA: junk}, []string{"CARILLON_NATS_CA: " + junk, "no certificate"}},
		"cert alone":          {Config{NATSCert: cert}, []string{"CARILLON_NATS_CERT and CARILLON_NATS_KEY go together"}},
		"key alone":           {Config{NATSKey: key}, []string{"CARILLON_NATS_CERT and CARILLON_NATS_KEY go together"}},
		"missing key":         {Config{NATSCert: cert, NATSKey: "/nonexistent/a"}, []string{"CARILLON_NATS_KEY: /nonexistent/a: no such file"}},
		"open key":            {Config{NATSCert: cert, NATSKey: open}, []string{"CARILLON_NATS_KEY: " + open, "open to others"}},
		"another's key":       {Config{NATSCert: cert, NATSKey: otherKey}, []string{"CARILLON_NATS_CERT: " + cert, "no use with " + otherKey}},
		"junk cert":           {Config{NATSCert: junk, NATSKey: key}, []string{"CARILLON_NATS_CERT: " + junk}},
	} {
		t.Run(name, func(t *testing.T) {
			c.NATSURL, c.RedisURL = "nats://u:s3cret@127.0.0.1:1", "redis://x"
			refused(t, t.Context(), c.Config, c.wants...)
		})
	}
}

func TestNATSEncrypted(t *testing.T) {
	t.Parallel()
	redis := "unix://" + strings.TrimPrefix(start(t, Config{Data: t.TempDir()}).Redis.where, "unix:")
	ours, others := authority.New(t), authority.New(t)
	s := natsServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSConfig, o.TLSTimeout = true, true, ours.TLS(t, "server"), 10
	})
	url := "tls://" + s.Addr().String()
	cert, key := ours.Issue(t, "client")
	strange, strangeKey := others.Issue(t, "client")
	e := start(t, Config{NATSURL: url, NATSCA: ours.File, NATSCert: cert, NATSKey: key, RedisURL: redis})
	if !e.NATS.TLSRequired() {
		t.Error("the connection is not encrypted")
	}
	start(t, Config{NATSURL: "nats://" + s.Addr().String(), NATSCA: ours.File, NATSCert: cert, NATSKey: key, RedisURL: redis})
	for name, c := range map[string]Config{
		"no authority":        {NATSCert: cert, NATSKey: key},
		"another authority":   {NATSCert: cert, NATSKey: key, NATSCA: others.File},
		"no certificate":      {NATSCA: ours.File},
		"another certificate": {NATSCA: ours.File, NATSCert: strange, NATSKey: strangeKey},
	} {
		t.Run(name, func(t *testing.T) {
			c.NATSURL, c.RedisURL = url, redis
			refused(t, t.Context(), c, "nats at "+url, "CARILLON_NATS_C")
		})
	}
}

// Only the operator can say that a server elsewhere syncs always.
func TestNATSSyncIsSaid(t *testing.T) {
	t.Parallel()
	redis := "unix://" + strings.TrimPrefix(start(t, Config{Data: t.TempDir()}).Redis.where, "unix:")
	always := natsServer(t, func(o *server.Options) { o.SyncAlways = true }).ClientURL()
	for _, c := range []struct {
		said string
		warn bool
	}{{"", true}, {"always", false}} {
		var log syncBuffer
		start(t, Config{NATSURL: always, RedisURL: redis, NATSSync: c.said, Log: logInto(&log)})
		if got := strings.Contains(log.String(), "nothing proves that nats syncs every write"); got != c.warn {
			t.Errorf("said %q: warned %t; log:\n%s", c.said, got, log.String())
		}
	}
	var log syncBuffer
	e := start(t, Config{Data: t.TempDir(), Log: logInto(&log)})
	if strings.Contains(log.String(), "nothing proves") || e.Clustered() {
		t.Errorf("an embedded server, clustered %t: %s", e.Clustered(), log.String())
	}
}

func writeFile(t *testing.T, dir, name string, mode os.FileMode, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}
