package deploy

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/carillon-dev/carillon/internal/config"
)

// unknownSettings holds variables and flags against the binaries' own table,
// reads them with the binaries' own parser, and wants ports and paths in them
// to be the pod's.
func unknownSettings(l *layout) []string {
	return l.each(func(p *pod) (found []string) {
		role, ours := roles()[p.name]
		if !ours {
			return nil
		}
		for _, e := range p.main().Env {
			found = append(found, p.unknownSetting(e.Name, e.Value, role)...)
		}
		if len(p.main().Command)+len(p.main().Args) > 0 {
			found = append(found, "has a command or arguments: where the binary is differs between images; use variables")
		}
		c, err := p.configuration()
		if err != nil {
			return append(found, err.Error())
		}
		if c.NATSSync != "always" {
			found = append(found, "is not told that the servers sync always, as nats/common.conf has them do")
		}
		if role == config.Scheduler {
			found = append(found, p.misplaced("api", c.Listen)...)
		}
		return append(append(found, p.misplaced("health", c.Health)...), l.noServer(string(c.NATSURL))...)
	})
}

// unknownSetting looks at one variable.
func (p *pod) unknownSetting(name, value string, role config.Role) []string {
	if name == "GOMEMLIMIT" {
		return nil
	}
	settings := config.Settings()
	i := slices.IndexFunc(settings, func(s config.Setting) bool { return s.Env == name || s.Secret() && s.Env+"_FILE" == name })
	switch {
	case i < 0:
		return []string{name + " is no setting of the binaries"}
	case settings[i].Of&role == 0:
		return []string{fmt.Sprintf("%s is a setting that this process does not read (%s do)", name, settings[i].Of)}
	case settings[i].Secret() && settings[i].Env == name && strings.Contains(value, "@"):
		return []string{name + " holds a password: mount a file and use " + name + "_FILE"}
	case !strings.HasPrefix(value, "/") || name == "CARILLON_DATA":
		return nil
	}
	if v, _ := p.at(value); v == nil {
		return []string{fmt.Sprintf("%s names %s, which no volume holds", name, value)}
	}
	return nil
}

// configuration is what the pod's binary makes of its variables. What stands
// in Secrets is made up.
func (p *pod) configuration() (config.Config, error) {
	secret, err := os.CreateTemp("", "secret-*")
	if err != nil {
		return config.Config{}, err
	}
	defer os.Remove(secret.Name())
	if _, err := secret.WriteString("redis://made-up"); err != nil {
		return config.Config{}, err
	}
	if err := secret.Close(); err != nil {
		return config.Config{}, err
	}
	return config.Load(roles()[p.name], config.Given{Getenv: func(name string) string {
		for _, e := range p.main().Env {
			if e.Name == name && strings.HasSuffix(name, "_FILE") && name != "CARILLON_KEY_FILE" {
				return secret.Name()
			}
			if e.Name == name {
				return e.Value
			}
		}
		return ""
	}})
}

// misplaced tells whether a process listens elsewhere than the container's
// port of that name says.
func (p *pod) misplaced(name, address string) (found []string) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return []string{fmt.Sprintf("listens for %s on %q: %v", name, address, err)}
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		found = append(found, name+" listens on "+host+", where nobody outside the pod reaches it")
	}
	for _, c := range p.main().Ports {
		if c.Name == name {
			if strconv.Itoa(int(c.ContainerPort)) != number {
				found = append(found, fmt.Sprintf("listens for %s on port %s, and says %d", name, number, c.ContainerPort))
			}
			return found
		}
	}
	return append(found, "has no port "+name)
}

// noServer tells which of some URLs lead to no service, or past TLS.
func (l *layout) noServer(urls string) (found []string) {
	for one := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(one)
		if err != nil {
			return []string{err.Error()}
		}
		if u.Scheme != "tls" && u.Scheme != "rediss" {
			found = append(found, one+" is not encrypted")
		}
		if l.servicePort(u.Hostname(), u.Port()) == "" {
			found = append(found, fmt.Sprintf("%s is no port of a service", u.Host))
		}
	}
	return found
}

// quantity is a resource as a number; 0 where nothing is said.
func quantity(list corev1.ResourceList, kind string) float64 {
	q := list[corev1.ResourceName(kind)]
	return q.AsApproximateFloat64()
}

// memory wants requests and limits of everything, and Go's own limit, where
// Go runs, below the container's: at it the kernel kills.
func memory(l *layout) []string {
	return l.each(func(p *pod) (found []string) {
		r := p.main().Resources
		for _, kind := range []string{"cpu", "memory", "ephemeral-storage"} {
			if req, lim := quantity(r.Requests, kind), quantity(r.Limits, kind); req <= 0 || lim < req {
				found = append(found, fmt.Sprintf("requests %v of %s and may use %v", req, kind, lim))
			}
		}
		soft, limit, set := p.goLimit(), quantity(r.Limits, "memory"), p.is(named("scheduler", "worker", "nats"))
		if set && !(soft >= limit*0.85 && soft <= limit*0.92) { // and not NaN
			found = append(found, fmt.Sprintf("GOMEMLIMIT is %.0f: want about nine tenths of the limit, %.0f", soft, limit))
		}
		return found
	})
}

// goLimit is GOMEMLIMIT in bytes, NaN where it is none.
func (p *pod) goLimit() float64 {
	for _, e := range p.main().Env {
		if m := regexp.MustCompile(`^([0-9]+)(Ki|Mi|Gi)B$`).FindStringSubmatch(e.Value); e.Name == "GOMEMLIMIT" && m != nil {
			q := resource.MustParse(m[1] + m[2])
			return q.AsApproximateFloat64()
		}
	}
	return math.NaN()
}
