package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Versions of an external server. Atomic batches with expectations came with
// 2.12; before 2.15.2 a block compacted inline was not synced although syncing
// always was on (nats-server's change of 2026-08-17).
var (
	natsMinimum = version{2, 12, 0}
	natsAdvised = version{2, 15, 2}
)

// natsDialTimeout bounds one attempt at one server, so that a dead one in the
// list doesn't use up the time of the next.
const natsDialTimeout = 5 * time.Second

// connectNATS connects once, within ctx; where names the server without
// credentials. A lost connection later is retried forever, and nothing is
// buffered meanwhile: a publish fails at once rather than leave much later.
func connectNATS(ctx context.Context, c Config, where string, opts []nats.Option) (*nats.Conn, error) {
	opts = append(opts,
		nats.Name("carillon"),
		nats.Timeout(min(c.StartTimeout, natsDialTimeout)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 250*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(10*time.Second), nats.MaxPingsOutstanding(2),
		nats.NoCallbacksAfterClientClose(),
	)
	opts = append(opts, natsEvents(c.Log, where)...)
	type result struct {
		nc  *nats.Conn
		err error
	}
	// The client's connect knows no context, only its own timeout.
	connected := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(c.NATSURL, opts...)
		connected <- result{nc, err}
	}()
	select {
	case r := <-connected:
		return r.nc, natsError(where, r.err)
	case <-ctx.Done():
		go func() {
			if r := <-connected; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, natsError(where, ctx.Err())
	}
}

func natsEvents(log *slog.Logger, where string) []nats.Option {
	log = log.With("engine", "nats", "server", where)
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Warn("connection lost", "error", err)
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("connected again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("asynchronous error", "error", err)
		}),
	}
}

// ackTimeout is how long an asynchronous publish awaits its answer.
const ackTimeout = 3 * time.Second

// openJetStream checks that the server can keep what this program writes.
func openJetStream(ctx context.Context, nc *nats.Conn, where string, log *slog.Logger) (jetstream.JetStream, error) {
	v, err := parseVersion(nc.ConnectedServerVersion())
	if err != nil {
		return nil, natsError(where, err)
	}
	if v.before(natsMinimum) {
		return nil, fmt.Errorf("nats at %s is version %v; %v or later is needed, %v advised", where, v, natsMinimum, natsAdvised)
	}
	if v.before(natsAdvised) {
		log.Warn("nats is older than advised: sync_interval always is not honoured after compaction", "server", where, "version", v.String(), "advised", natsAdvised.String())
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(ackTimeout)) // else an answer that got lost is awaited for ever
	if err != nil {
		return nil, natsError(where, err)
	}
	if err := available(ctx, js); err != nil {
		return nil, natsError(where, err)
	}
	return js, nil
}

// A cluster whose servers have just started answers, if at all, that JetStream
// is not available yet.
const (
	availableTry  = 2 * time.Second
	availableWait = 100 * time.Millisecond
)

// available waits until JetStream answers, within ctx.
func available(ctx context.Context, js jetstream.JetStream) error {
	for {
		one, cancel := context.WithTimeout(ctx, availableTry)
		_, err := js.AccountInfo(one)
		cancel()
		if !isUnavailable(err) && !isTimeout(err) || !wait(ctx, availableWait) {
			return err
		}
	}
}

func isUnavailable(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == jetstream.ErrorCode(server.JSClusterNotAvailErr)
}

// natsError says in one line what is wrong with the server and what to do.
func natsError(where string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("nats at %s: no server answers; is it running? check CARILLON_NATS_URL: %w", where, err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("nats at %s: credentials refused; check CARILLON_NATS_URL, CARILLON_NATS_CREDENTIALS and CARILLON_NATS_NKEY: %w", where, err)
	case isUnavailable(err):
		return fmt.Errorf("nats at %s: the servers have elected no leader; do most of the cluster run and reach each other? %w", where, err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nats at %s: JetStream is not enabled; start the server with -js, or enable it for the account: %w", where, err)
	case isTLS(err), errors.Is(err, nats.ErrTLS):
		return fmt.Errorf("nats at %s: %w; check CARILLON_NATS_CA, CARILLON_NATS_CERT and CARILLON_NATS_KEY", where, cause(err))
	case isTimeout(err):
		return fmt.Errorf("nats at %s: no answer in time; check CARILLON_NATS_URL and the network: %w", where, err)
	default:
		return fmt.Errorf("nats at %s: %w", where, cause(err))
	}
}

// redactNATS names the servers of a URL list by host and port alone.
func redactNATS(urls string) string {
	var hosts []string
	for _, one := range strings.Split(urls, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil {
			// Its parts can't be told apart, so any may be the password.
			return "(malformed URL)"
		}
		hosts = append(hosts, u.Scheme+"://"+u.Host)
	}
	return strings.Join(hosts, ",")
}
