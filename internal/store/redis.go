package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"messaging_api/internal/message"
)

// keyPrefix starts every key, so that an ACL can be cut to it and a shared
// Redis stays legible.
const keyPrefix = "msg:"

// RedisOptions are what a Redis URL should not or cannot hold.
type RedisOptions struct {
	Password    string           // replaces none in the URL; both are an error
	RootCAs     *x509.CertPool   // nil: the system's
	Certificate *tls.Certificate // for mutual TLS; nil: none
}

// A Redis is a [message.Store] in Redis: one server, a Sentinel's master, or a
// Cluster. Every operation is one command on one key.
type Redis struct {
	client  redis.UniversalClient
	reading *reading
}

// NewRedis returns a store at rawURL, as go-redis's parsers read it: redis:// or
// rediss:// is one server, with ?addr=… a Cluster, with ?master_name=… a
// Sentinel. It does not connect: a Redis that is down at start is a store that
// is unavailable for now. go-redis's own log goes to log. Errors name what is
// wrong with the URL but not its password. Close it.
func NewRedis(rawURL string, opts RedisOptions, log *slog.Logger) (*Redis, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // url.Error would quote the password
	}
	if u.Scheme != "rediss" && (opts.RootCAs != nil || opts.Certificate != nil) {
		return nil, errors.New("certificates need a rediss:// URL")
	}
	if _, set := u.User.Password(); set && opts.Password != "" {
		return nil, errors.New("a password both in the URL and in a file")
	}
	client, err := newClient(u, opts)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(redisLog{log}) // go-redis has one logger for the process
	return &Redis{client, newReading(client)}, nil
}

func newClient(u *url.URL, opts RedisOptions) (redis.UniversalClient, error) {
	query := u.Query()
	switch {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, err
		}
		tune{
			&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.MaxRetries, &o.DialerRetries,
			&o.ContextTimeoutEnabled, &o.DisableIdentity, &o.Protocol, nil, &o.Password, o.TLSConfig,
		}.apply(opts)
		return redis.NewFailoverClient(o), nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, err
		}
		tune{
			&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.MaxRetries, &o.DialerRetries,
			&o.ContextTimeoutEnabled, &o.DisableIdentity, &o.Protocol, &o.MaintNotificationsConfig, &o.Password, o.TLSConfig,
		}.apply(opts)
		o.DisableRoutingPolicies = true // they ask for COMMAND, which the ACL denies and GET and SET do not need
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, err
		}
		tune{
			&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout, &o.MaxRetries, &o.DialerRetries,
			&o.ContextTimeoutEnabled, &o.DisableIdentity, &o.Protocol, &o.MaintNotificationsConfig, &o.Password, o.TLSConfig,
		}.apply(opts)
		return redis.NewClient(o), nil
	}
}

// tune points at the fields that go-redis's three kinds of options have in
// common and this package sets. What the URL sets stays as it is.
type tune struct {
	dial, read, write, pool *time.Duration
	retries, dialRetries    *int
	contexts, noIdentity    *bool
	protocol                *int
	maintenance             **maintnotifications.Config
	password                *string
	tls                     *tls.Config
}

func (t tune) apply(opts RedisOptions) {
	for field, value := range map[*time.Duration]time.Duration{
		t.dial: time.Second, t.read: time.Second, t.write: time.Second, t.pool: 500 * time.Millisecond,
	} {
		if *field == 0 {
			*field = value
		}
	}
	// No retries: a write whose answer was lost is not repeated in the dark,
	// and a Redis that is down answers in a millisecond in place of seconds.
	if *t.retries == 0 {
		*t.retries = -1
	}
	*t.dialRetries = 1
	*t.contexts = true        // otherwise a context does not bound the socket's reads
	*t.noIdentity = true      // CLIENT SETINFO is a command that the ACL denies
	*t.protocol = 2           // 3 looks for pushed messages at each answer, and none ever come
	if t.maintenance != nil { // Sentinel's clients have them off by themselves
		*t.maintenance = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	if opts.Password != "" {
		*t.password = opts.Password
	}
	if t.tls != nil {
		t.tls.RootCAs = opts.RootCAs
		if opts.Certificate != nil {
			t.tls.Certificates = []tls.Certificate{*opts.Certificate}
		}
	}
}

// Put implements [message.Store] with one SET NX EX. It is as durable as Redis
// is configured to be before it answers (appendfsync always, as shipped).
func (r *Redis) Put(ctx context.Context, key message.Key, value []byte, ttl time.Duration) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	stored, err := r.client.SetNX(ctx, keyPrefix+key.Hex(), value, ttl).Result()
	switch {
	case redis.IsOOMError(err):
		return fmt.Errorf("%w: %s", message.ErrFull, err.Error())
	case err != nil:
		return unavailable(err)
	case !stored:
		return message.ErrExists
	}
	return nil
}

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if err := r.client.Ping(ctx).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// Close ends all connections.
func (r *Redis) Close() error {
	r.reading.close()
	return r.client.Close()
}

// redisLog takes go-redis's own log. It speaks of connections and topology,
// never of keys or values.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, fmt.Sprintf(format, v...), "event", "redis")
}
