package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

// keyPrefix starts every key, so that an ACL can be cut to it and a shared
// Redis stays legible.
const keyPrefix = "msg:"

// A Redis is a [message.Store] in Redis: one server, a Sentinel's master, or a
// Cluster. Every operation is one command on one key.
type Redis struct {
	client redis.UniversalClient
	reads  *batchReader
}

// NewRedis returns a store at rawURL, as go-redis's parsers read it: redis:// or
// rediss:// is one server, with ?addr=… a Cluster, with ?master_name=… a
// Sentinel. It does not connect: a Redis that is down at start is a store that
// is unavailable for now. go-redis's own log goes to log, for all stores of the
// process to that of the last. Errors name what is wrong with the URL but hold
// nothing that could be a password. Close it.
func NewRedis(rawURL string, opts RedisOptions, log *slog.Logger) (*Redis, error) {
	client, err := newClient(rawURL, opts)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(redisLog{log})
	return &Redis{client, newBatchReader(client)}, nil
}

// Put implements [message.Store] with one SET NX EX. It is as durable as Redis
// is configured to be before it answers (appendfsync always, as shipped).
func (r *Redis) Put(ctx context.Context, key message.Key, value []byte, ttl time.Duration) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	stored, err := r.client.SetNX(ctx, keyPrefix+key.Hex(), value, ttl).Result()
	switch {
	case err != nil:
		return redisError(ctx, err)
	case !stored:
		return message.ErrExists
	}
	return nil
}

// Get implements [message.Store].
func (r *Redis) Get(ctx context.Context, key message.Key) ([]byte, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	value, err := r.reads.get(ctx, keyPrefix+key.Hex())
	if err != nil {
		return nil, redisError(ctx, err)
	}
	return value, nil
}

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if err := r.client.Ping(ctx).Err(); err != nil {
		return redisError(ctx, err)
	}
	return nil
}

// Client returns the connections to Redis, for what the service keeps there
// besides messages. They are closed with the store.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// A Pool is the state of a store's connections.
type Pool struct {
	Open, Idle int
	Timeouts   uint64 // how often none was free in time, since the start
}

// Pool returns the state of the connections to Redis, to all of its nodes.
func (r *Redis) Pool() Pool {
	st := r.client.PoolStats()
	return Pool{Open: int(st.TotalConns), Idle: int(st.IdleConns), Timeouts: uint64(st.Timeouts)}
}

// Close ends all connections. Whatever is called afterwards is ErrUnavailable.
func (r *Redis) Close() error {
	r.reads.close()
	if err := r.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// redisError returns what a failed command means to the contract.
func redisError(ctx context.Context, err error) error {
	// Redis quotes a command that it does not know with its arguments, which
	// are a key and a value.
	text, _, _ := strings.Cut(err.Error(), ", with args")
	switch {
	case errors.Is(err, redis.Nil):
		return message.ErrNotFound
	case redis.IsOOMError(err):
		return fmt.Errorf("%w: %s", message.ErrFull, text)
	case ctx.Err() != nil:
		return unavailable(context.Cause(ctx))
	default:
		return unavailable(errors.New(text))
	}
}

// redisLog takes go-redis's own log. It speaks of connections and topology,
// never of keys or values.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.WarnContext(ctx, fmt.Sprintf(format, v...), "event", "redis")
}
