package store

import (
	"context"
	"crypto/sha1" //nolint:gosec // see Swap
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

// keyPrefix starts every key, so that an ACL can name it and people can read
// the keys of a shared Redis.
const keyPrefix = "msg:"

// A Redis is a [message.Store] in Redis: one server, a Sentinel's master, or a
// Cluster. Every operation is one command or one script. What is kept of one
// message lies in one slot of a Cluster.
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

// recordKey names a message's record.
func recordKey(key message.Key) string { return keyPrefix + key.Hex() }

// textKey names the text beside a record. What stands in braces is all that a
// Cluster looks at to find the slot: it is the record's name.
func textKey(key message.Key) string { return keyPrefix + "{" + recordKey(key) + "}" }

// Put implements [message.Store]. It is as durable as Redis is configured to be
// before it answers (appendfsync always, as shipped).
func (r *Redis) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	var stored bool
	var err error
	if text == nil {
		stored, err = r.client.SetNX(ctx, recordKey(key), record, ttl).Result()
	} else {
		stored, err = putBoth.Run(ctx, r.client, []string{recordKey(key), textKey(key)}, record, text, ttl.Milliseconds()).Bool()
	}
	switch {
	case err != nil:
		return redisError(ctx, err)
	case !stored:
		return message.ErrExists
	}
	return nil
}

// putBoth stores a record and its text, unless the record's key is taken.
var putBoth = redis.NewScript(`
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
`)

// GetText implements [message.Store].
func (r *Redis) GetText(ctx context.Context, key message.Key) (record, text []byte, err error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	values, err := r.client.MGet(ctx, recordKey(key), textKey(key)).Result()
	if err != nil {
		return nil, nil, redisError(ctx, err)
	}
	found, ok := values[0].(string)
	if !ok {
		return nil, nil, message.ErrNotFound
	}
	if beside, ok := values[1].(string); ok {
		text = []byte(beside)
	}
	return []byte(found), text, nil
}

// Swap implements [message.Store].
func (r *Redis) Swap(ctx context.Context, key message.Key, old, record []byte, text message.TextLife) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	sum := sha1.Sum(old) //nolint:gosec // Lua in Redis has no other; what is compared was sealed by us
	life := time.Duration(text).Milliseconds()
	if text == message.KeepText {
		life = -1
	}
	outcome, err := swap.Run(ctx, r.client, []string{recordKey(key), textKey(key)}, hex.EncodeToString(sum[:]), record, life).Int()
	switch {
	case err != nil:
		return redisError(ctx, err)
	case outcome == swapAbsent:
		return message.ErrNotFound
	case outcome == swapConflict:
		return message.ErrConflict
	}
	return nil
}

// What the swap script returns.
const (
	swapAbsent   = 0
	swapConflict = 1
)

// swap replaces a record if it is the one with this SHA-1, and keeps the time at
// which it vanishes. The text stays (-1), goes (0), or vanishes after so many
// milliseconds. It is allowed where Redis is full: a record that is opened or
// taken back frees more than it takes.
var swap = redis.NewScript(`#!lua flags=allow-oom
local record = redis.call('GET', KEYS[1])
if not record then
  return 0
end
if redis.sha1hex(record) ~= ARGV[1] then
  return 1
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
local life = tonumber(ARGV[3])
if life == 0 then
  redis.call('DEL', KEYS[2])
elseif life > 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 2
`)

// Get implements [message.Store].
func (r *Redis) Get(ctx context.Context, key message.Key) ([]byte, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	value, err := r.reads.get(ctx, recordKey(key))
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

// Close ends all connections. Any later call is ErrUnavailable.
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
