// Package engine brings up the two engines everything else stands on, NATS
// JetStream (the truth) and Redis (what is hot), either inside this process
// or at the URLs it is given, and takes them down again in reverse order.
//
// It never creates a stream, writes a key or retries a command: what is kept
// in the engines is the business of the packages above.
//
// Its invariant: when Start returns an error, and when Stop returns nil,
// nothing that it started still runs, and no two processes have one data
// directory at the same time.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/carillon-dev/carillon/internal/store"
)

// The limits used where Config leaves them zero. Twenty seconds covers a cold
// cluster; ten fit well inside the thirty that Kubernetes grants by default.
const (
	defaultStartTimeout = 20 * time.Second
	defaultStopTimeout  = 10 * time.Second
)

// Config says where the engines are.
type Config struct {
	Data     string // data directory, created with mode 0700; not touched when both URLs are set
	NATSURL  string // nats://…, several joined by commas; "" embeds a server
	RedisURL string // redis://, rediss:// (Sentinel with ?master_name=) or unix://; "" starts a local child

	// Files. Secrets among them must not be open to everybody. They mean
	// nothing to an embedded server or a local child.
	NATSCredentials, NATSNKey    string // a user's JWT and seed, or its seed; one of them
	NATSCA, NATSCert, NATSKey    string // PEM; any makes the connection encrypted
	RedisCA, RedisCert, RedisKey string // PEM; for Sentinel too. They want rediss://

	NATSInbox string // begins the subjects of answers; "" is _INBOX, which every user of the account shares
	NATSSync  string // "always": the operator's word that every server syncs every write

	// For making a store out of a backup, beside the one that serves.
	Store    string // the embedded server's directory in Data; "" is nats
	Unsynced bool   // the embedded server begins with nothing, whatever is there, and syncs by and by
	NATSOnly bool   // no Redis is started or asked

	Log          *slog.Logger  // nil discards; takes the Redis library's own log too, which is one for the process
	StartTimeout time.Duration // for each engine to answer; 0 means 20 s
	StopTimeout  time.Duration // for all of Stop; 0 means 10 s
}

// Engines are the running engines. The fields are set by Start and stay valid
// until Stop; all are safe for concurrent use.
type Engines struct {
	NATS      *nats.Conn
	JetStream jetstream.JetStream
	Redis     *Redis
	Marks     *store.Marks // how far the embedded server's streams came; nil without one that syncs

	embedded *embeddedNATS // nil when NATS is elsewhere
	steps    []step        // what Stop undoes, in the order it was done
	stop     func() error
}

// step is one thing that Stop undoes. undo returns when it is undone or ctx
// has ended, whichever comes first.
type step struct {
	name string
	undo func(context.Context) error
}

// Start brings the engines up: the lock on the data directory, NATS, Redis.
// On an error everything that was started is stopped again, and the error is
// one line that says what failed, where, and what to do. Cancelling ctx ends
// the start, except that the recovery of the embedded streams is let finish:
// cut short, it would only have to be done again. Once Start has returned,
// ctx has no further effect.
func Start(ctx context.Context, c Config) (*Engines, error) {
	c = c.withDefaults()
	redis.SetLogger(redisLog{c.Log.With("engine", "redis")}) // the library has one for the whole process
	e := &Engines{}
	e.stop = sync.OnceValue(func() error { return e.unwind(c.StopTimeout) })
	for _, start := range []func(context.Context, Config) error{e.lock, e.startNATS, e.startRedis} {
		err := ctx.Err()
		if err == nil {
			err = start(ctx, c)
		}
		if err != nil {
			if stopErr := e.Stop(); stopErr != nil {
				c.Log.Warn("stopping after a failed start", "error", stopErr)
			}
			return nil, fmt.Errorf("start engines: %w", err)
		}
	}
	return e, nil
}

// Stop takes the engines down in reverse order, within Config.StopTimeout. It
// may be called from any goroutine and more than once; every call returns
// when the work is done, with the same error. What could not be ended in
// time is named in the error.
func (e *Engines) Stop() error { return e.stop() }

// SyncAlways reports whether the embedded NATS server syncs every write to
// disk before it acknowledges it, as the running server itself says. It is
// false when NATS is elsewhere: only that server's operator knows, since no
// answer that an ordinary account may have tells (decision 0008).
func (e *Engines) SyncAlways() bool {
	return e.embedded != nil && e.embedded.syncsAlways()
}

// Writes says why the embedded NATS server takes no writes just now, such as
// that its disk is full. It is nil when NATS is elsewhere: what a server of
// others refuses, only who writes hears of.
func (e *Engines) Writes() error {
	if e.embedded == nil {
		return nil
	}
	return e.embedded.writes()
}

// Clustered reports whether the NATS server is one of a cluster, which can
// keep a stream on several servers. It is the server's own word, given at
// every connect.
func (e *Engines) Clustered() bool { return e.NATS.ConnectedClusterName() != "" }

func (e *Engines) onStop(name string, undo func(context.Context) error) {
	e.steps = append(e.steps, step{name, undo})
}

func (e *Engines) unwind(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var failed []string
	for i := len(e.steps) - 1; i >= 0; i-- {
		if err := e.steps[i].undo(ctx); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", e.steps[i].name, err))
		}
	}
	if failed == nil {
		return nil
	}
	return errors.New("stop engines: " + strings.Join(failed, "; "))
}

// lock creates the data directory and takes it for this process. With both
// engines elsewhere there is nothing to guard, and a worker may run on a
// read-only file system.
func (e *Engines) lock(_ context.Context, c Config) error {
	if c.NATSURL != "" && (c.RedisURL != "" || c.NATSOnly) {
		return nil
	}
	l, err := lockDir(c.Data)
	if err != nil {
		return err
	}
	e.onStop("data directory", func(context.Context) error {
		// A server that is still writing keeps the directory to itself: the
		// system drops the lock when the process ends.
		if e.embedded != nil && !e.embedded.ended() {
			return fmt.Errorf("%s stays locked until this process ends", c.Data)
		}
		return l.release()
	})
	return nil
}

func (e *Engines) startNATS(ctx context.Context, c Config) error {
	var opts []nats.Option
	var err error
	where := redactNATS(c.NATSURL)
	if c.NATSURL == "" {
		if err := e.embed(c); err != nil {
			return err
		}
		opts, where = append(opts, nats.InProcessServer(e.embedded)), "embedded server"
	} else if opts, err = natsOptions(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	nc, err := connectNATS(ctx, c, where, opts)
	if err != nil {
		return err
	}
	e.NATS = nc
	e.onStop("nats connection", func(context.Context) error { nc.Close(); return nil })
	if e.JetStream, err = openJetStream(ctx, nc, where, c.Log); err != nil {
		return err
	}
	if c.NATSURL != "" {
		e.keepAnswered(c.Log)
	}
	if c.NATSURL != "" && c.NATSSync != "always" {
		c.Log.Warn("nothing proves that nats syncs every write; unless it does, a power failure takes back claims and messages go out twice", "server", where, "set", "sync_interval: always in the servers' jetstream block, then CARILLON_NATS_SYNC=always")
	}
	return nil
}

// embed starts a server in this process.
func (e *Engines) embed(c Config) error {
	dir := filepath.Join(c.Data, c.Store)
	if c.Unsynced {
		if err := os.RemoveAll(dir); err != nil { // by who holds the lock
			return fmt.Errorf("%s: %w", dir, cause(err))
		}
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	if !c.Unsynced { // what is unsynced is being made
		marks, err := store.OpenMarks(filepath.Join(c.Data, MarksFile))
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		e.Marks = marks
		e.onStop("marks", func(context.Context) error { return marks.Close() })
	}
	s, err := embedNATS(dir, e.Marks, c.StartTimeout, c.Log)
	if s != nil {
		e.embedded = s
		e.onStop("embedded nats", s.stop)
	}
	return err
}

func (e *Engines) startRedis(ctx context.Context, c Config) error {
	if c.NATSOnly {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.StartTimeout)
	defer cancel()
	if c.RedisURL == "" {
		return e.startLocalRedis(ctx, c)
	}
	r, err := openRedis(c.RedisURL, c.redisCertificates())
	if err != nil {
		return err
	}
	e.Redis = r
	e.onStop("redis connections", r.close)
	return r.check(ctx, c.Log)
}

// startLocalRedis starts the child before the clients: a client that dials
// nothing often enough stops trying for a second.
func (e *Engines) startLocalRedis(ctx context.Context, c Config) error {
	child, err := newChild(c.Data, c.StopTimeout/4, c.Log)
	if err != nil {
		return err
	}
	r := localRedis(child.socket)
	child.onRestart = r.notice
	e.onStop("redis-server", child.stop)
	if err := child.start(ctx); err != nil {
		return err
	}
	e.Redis = r
	e.onStop("redis connections", r.close)
	return r.check(ctx, c.Log)
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = defaultStartTimeout
	}
	if c.Store == "" {
		c.Store = "nats"
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStopTimeout
	}
	// The Redis child runs in the directory, so that a relative path would
	// mean another place to it.
	if abs, err := filepath.Abs(c.Data); err == nil && c.Data != "" {
		c.Data = abs
	}
	return c
}

// makeDir creates dir for this user alone.
func makeDir(dir string) error {
	if dir == "" {
		return errors.New("no data directory given; set CARILLON_DATA, or the URLs of both engines")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory %s: %w; set CARILLON_DATA to one that this user may write", dir, cause(err))
	}
	return nil
}
