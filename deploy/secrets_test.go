package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/redis/go-redis/v9"
)

// kubectl stands in for the real one: it keeps what a create command makes,
// each key in a file SECRET/KEY, and refuses anything else.
const kubectl = `#!/bin/sh
set -eu
[ "$1 $2 $3 $4 $5" = "-n carillon create secret generic" ]
dir=%s/$6
mkdir "$dir"
shift 6
for arg; do
	rest=${arg#--*=}
	key=${rest%%%%=*}
	value=${rest#*=}
	case $arg in
	--from-file=*) cp "$value" "$dir/$key" ;;
	--from-literal=*) printf %%s "$value" >"$dir/$key" ;;
	*) exit 1 ;;
	esac
done
`

// nk stands in for the tool of that name, with two keys made before.
const nk = `#!/bin/sh
set -eu
cd %s
case $1 in
-gen) if mkdir taken 2>/dev/null; then cat scheduler.seed; else cat worker.seed; fi ;;
-inkey) for role in scheduler worker; do if cmp -s "$OLDPWD/$2" $role.seed; then cat $role.public; fi; done ;;
esac
`

// made runs the commands of docs/operations.md and returns the Secrets that
// they make, by name and key.
func made(t *testing.T) map[string]map[string]string {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	m := regexp.MustCompile("(?s)```sh secrets\n(.*?)```").FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/operations.md has no block of commands that make the Secrets")
	}
	bin, out, work := t.TempDir(), t.TempDir(), t.TempDir()
	for _, role := range []string{"scheduler", "worker"} {
		kp, err := nkeys.CreateUser()
		must(t, err)
		seed, err := kp.Seed()
		must(t, err)
		public, err := kp.PublicKey()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(bin, role+".seed"), seed, 0o600))
		must(t, os.WriteFile(filepath.Join(bin, role+".public"), []byte(public), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(bin, "kubectl"), fmt.Appendf(nil, kubectl, out), 0o755))
	must(t, os.WriteFile(filepath.Join(bin, "nk"), fmt.Appendf(nil, nk, bin), 0o755))
	cmd := exec.Command("bash", "-eu", "-c", string(m[1]))
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return read(t, out)
}

func read(t *testing.T, dir string) map[string]map[string]string {
	t.Helper()
	secrets := map[string]map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	must(t, err)
	for _, path := range files {
		name := filepath.Base(filepath.Dir(path))
		if secrets[name] == nil {
			secrets[name] = map[string]string{}
		}
		b, err := os.ReadFile(path)
		must(t, err)
		secrets[name][filepath.Base(path)] = string(b)
	}
	return secrets
}

// Whoever follows the page has every key that the pods need, and they fit
// together.
func TestSecretsOfThePage(t *testing.T) {
	t.Parallel()
	secrets := made(t)
	for _, overlay := range overlays() {
		l := render(t, overlay)
		for _, name := range l.names() {
			for _, k := range l.pods[name].secrets() {
				if _, ok := secrets[k.name][k.key]; k.key != "" && !ok || secrets[k.name] == nil && k.name != "carillon-senders" {
					t.Errorf("%s, %s: nobody makes key %q of Secret %s", overlay, name, k.key, k.name)
				}
			}
		}
	}
	for secret, hosts := range map[string][]string{
		"nats-tls":         {"nats", "nats-0.nats-nodes"},
		"redis-tls":        {"redis", "redis-2.redis", "sentinel", "sentinel-1.sentinel"},
		"carillon-api-tls": {"scheduler", "scheduler.carillon.svc"},
	} {
		certified(t, secret, secrets[secret], secrets["nats-tls"]["ca.crt"], hosts)
	}
	for _, role := range []string{"scheduler", "worker"} {
		kp, err := nkeys.FromSeed([]byte(strings.TrimSpace(secrets["nats-"+role]["user.nk"])))
		must(t, err)
		if public, err := kp.PublicKey(); err != nil || public != secrets["nats-users"][role] {
			t.Errorf("%s signs in as %s, and NATS knows %s (%v)", role, public, secrets["nats-users"][role], err)
		}
		o, err := redis.ParseFailoverURL(secrets["redis-"+role]["url"])
		must(t, err)
		if p := secrets["redis-passwords"][role]; o.Username != role || o.SentinelUsername != role || o.Password != p || o.SentinelPassword != p || len(p) < 64 {
			t.Errorf("%s goes to Redis by a URL that does not fit its password", role)
		}
	}
	if b, err := hex.DecodeString(strings.TrimSpace(secrets["carillon-key"]["installation.key"])); err != nil || len(b) < 32 {
		t.Errorf("the installation's key has %d bytes: %v", len(b), err)
	}
}

// certified wants a certificate that its key fits, of the authority, good for
// some hosts.
func certified(t *testing.T, name string, secret map[string]string, ca string, hosts []string) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(secret["tls.crt"]), []byte(secret["tls.key"]))
	must(t, err)
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	for _, h := range hosts {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} { // routes are both
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: h, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
