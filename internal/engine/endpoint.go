package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisTimeout bounds one read or write. A gate that waits longer has lost
// its slot many times over.
const redisTimeout = 2 * time.Second

// errRedisURL is all that is said of a URL that can't be read: any part of it
// may be the password.
var errRedisURL = errors.New("CARILLON_REDIS_URL can't be read; it should be redis://[user:password@]host:port/db, rediss://…, unix:///path/to/socket, or redis://sentinel:26379/db?master_name=NAME&addr=…")

// endpoint is where Redis is: one server, or the Sentinels that know it.
type endpoint struct {
	where    string // without credentials
	single   *redis.Options
	sentinel *redis.FailoverOptions // nil: single
}

// SentinelUser is what the user of a Sentinel's URL may do, as rules of its
// ACL: ask where the primary is, and hear when it moves.
const SentinelUser = "resetchannels &+switch-master &+replica-reconf-done -@all +auth +hello +ping +info +client|setname +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels"

// openRedis makes the clients for a URL; nothing connects yet.
func openRedis(rawURL string, certs certificates) (*Redis, error) {
	ep, err := parseEndpoint(rawURL)
	if err == nil {
		err = ep.encrypt(certs)
	}
	if err != nil {
		return nil, err
	}
	return newRedis(ep), nil
}

func (c Config) redisCertificates() certificates {
	return certificates{file{"CARILLON_REDIS_CA", c.RedisCA}, file{"CARILLON_REDIS_CERT", c.RedisCert}, file{"CARILLON_REDIS_KEY", c.RedisKey}}
}

// encrypt adds the files to an encrypted connection. To a plain one they
// can't be added: whoever names them believes it to be encrypted.
func (ep endpoint) encrypt(certs certificates) error {
	var base **tls.Config
	if ep.sentinel != nil {
		base = &ep.sentinel.TLSConfig
	} else {
		base = &ep.single.TLSConfig
	}
	switch {
	case *base == nil && certs.given():
		return fmt.Errorf("%s, %s or %s is set, but CARILLON_REDIS_URL is not encrypted; make it rediss://…", certs.ca.setting, certs.cert.setting, certs.key.setting)
	case *base == nil:
		return nil
	}
	// Behind Sentinel each server goes by its own name; the library would
	// look for the first Sentinel's in every certificate.
	if ep.sentinel != nil {
		(*base).ServerName = ""
	}
	config, err := certs.config(*base)
	if err == nil {
		*base = config
	}
	return err
}

// localRedis makes the clients for a child's socket.
func localRedis(socket string) *Redis {
	return newRedis(endpoint{where: "unix:" + socket, single: &redis.Options{Network: "unix", Addr: socket}})
}

func parseEndpoint(rawURL string) (endpoint, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return endpoint{}, errRedisURL
	}
	if u.Query().Has("master_name") {
		o, err := redis.ParseFailoverURL(rawURL)
		if err != nil {
			return endpoint{}, errRedisURL
		}
		return endpoint{where: "sentinel " + strings.Join(o.SentinelAddrs, ","), sentinel: o}, nil
	}
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return endpoint{}, errRedisURL
	}
	if o.Network == "unix" {
		return endpoint{where: "unix:" + o.Addr, single: o}, nil
	}
	return endpoint{where: u.Scheme + "://" + o.Addr, single: o}, nil
}

// client makes one client. Maintenance notifications are a managed service's
// and would only add a refused command to each connection.
func (ep endpoint) client(t tuning) redis.UniversalClient {
	if ep.sentinel != nil {
		o := *ep.sentinel
		o.MaxRetries, o.DialerRetries, o.OnConnect = t.retries, t.dials, t.onConnect
		o.ReadTimeout, o.WriteTimeout, o.DialTimeout = redisTimeout, redisTimeout, redisTimeout
		o.ContextTimeoutEnabled, o.PoolSize, o.ClientName = true, poolSize(), "carillon"
		return redis.NewFailoverClient(&o)
	}
	o := *ep.single
	o.MaxRetries, o.DialerRetries, o.OnConnect = t.retries, t.dials, t.onConnect
	o.ReadTimeout, o.WriteTimeout, o.DialTimeout = redisTimeout, redisTimeout, redisTimeout
	o.ContextTimeoutEnabled, o.PoolSize, o.ClientName = true, poolSize(), "carillon"
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&o)
}

// redisError says in one line what is wrong with the server and what to do.
func redisError(where string, err error) error {
	const check = "check CARILLON_REDIS_URL"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("redis at %s: connection refused; is it running? %s", where, check)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("redis at %s: no such socket; is it running? %s", where, check)
	case isTimeout(err):
		return fmt.Errorf("redis at %s: no answer in time; %s: %w", where, check, err)
	case redis.IsAuthError(err):
		return fmt.Errorf("redis at %s: credentials refused; check CARILLON_REDIS_URL: %w", where, cause(err))
	case redis.IsPermissionError(err):
		return fmt.Errorf("redis at %s: not allowed; compare the user with docs/permissions.md: %w", where, cause(err))
	case isTLS(err):
		return fmt.Errorf("redis at %s: %w; check CARILLON_REDIS_CA, CARILLON_REDIS_CERT and CARILLON_REDIS_KEY", where, cause(err))
	default:
		return fmt.Errorf("redis at %s: %w", where, cause(err))
	}
}
