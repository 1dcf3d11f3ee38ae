package store

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // see Swap
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

// keyPrefix starts every key, so that an ACL can name it and people can read
// the keys of a shared Redis.
const keyPrefix = "msg:"

// A Redis is a [message.Store] in Redis: one server, a Sentinel's master, or a
// Cluster. Every operation is one command or one script. All data of a
// message are in one slot of a Cluster.
type Redis struct {
	client        redis.UniversalClient
	sentinels     []*redis.SentinelClient
	replicas      int // how many have to confirm each write
	reads, writes *batcher
	held          writeHold
	dialed        *dialTime
	reload        sync.Mutex // held while a Cluster is asked where its slots are
	reloaded      time.Time  // when that was last done; guarded by reload
}

// NewRedis returns a store at rawURL, as go-redis's parsers read it: redis:// or
// rediss:// is one server, with ?addr=… a Cluster, with ?master_name=… a
// Sentinel. It does not connect: a Redis that is down at start is a store that
// is unavailable for now. go-redis's own log goes to log, for all stores of the
// process to that of the last. Errors name what is wrong with the URL but hold
// nothing that could be a password. Close it.
func NewRedis(rawURL string, opts RedisOptions, log *slog.Logger) (*Redis, error) {
	r := &Redis{
		replicas: opts.Replicas,
		held:     writeHold{until: make(map[*redis.Client]time.Time)},
		dialed:   &dialTime{start: time.Now()},
	}
	if err := r.setClient(rawURL, opts); err != nil {
		return nil, err
	}
	redis.SetLogger(redisLog{log})
	r.reads, r.writes = newBatcher(r.sendReads), newBatcher(r.sendWrites)
	return r, nil
}

// recordKey names a message's record.
func recordKey(key message.Key) string { return keyPrefix + key.Hex() }

// textKey names the text beside a record. A Cluster finds the slot by the part in braces
// only, which is the record's name.
func textKey(key message.Key) string { return keyPrefix + "{" + recordKey(key) + "}" }

// Put implements [message.Store]. It is as durable as Redis is configured to be
// before it answers (appendfsync always, as shipped), on the master and on the
// replicas that have to confirm it.
func (r *Redis) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	stored := redis.NewBoolCmd(ctx, "set", recordKey(key), record, "px", ttl.Milliseconds(), "nx")
	if text != nil {
		stored = redis.NewBoolCmd(ctx, "eval", putBoth, 2, recordKey(key), textKey(key), record, text, ttl.Milliseconds())
	}
	if err := r.do(ctx, r.writes, key, stored, len(record)+len(text)); err != nil {
		return redisError(ctx, err)
	}
	if !stored.Val() {
		return message.ErrExists
	}
	return nil
}

// putBoth stores a record and its text, unless the record's key is taken.
const putBoth = `
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[3]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
`

// Get implements [message.Store].
func (r *Redis) Get(ctx context.Context, key message.Key) ([]byte, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	record := redis.NewStringCmd(ctx, "get", recordKey(key))
	if err := r.do(ctx, r.reads, key, record, 0); err != nil {
		return nil, redisError(ctx, err)
	}
	return []byte(record.Val()), nil
}

// Swap implements [message.Store].
func (r *Redis) Swap(ctx context.Context, key message.Key, old, record []byte, life message.TextLife) (text []byte, err error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	sum := sha1.Sum(old) //nolint:gosec // Lua in Redis has no other; what is compared was sealed by us
	ms := time.Duration(life).Milliseconds()
	if life == message.KeepText {
		ms = -1
	}
	swapped := redis.NewSliceCmd(ctx, "eval", swap, 2, recordKey(key), textKey(key), hex.EncodeToString(sum[:]), record, ms)
	if err := r.do(ctx, r.writes, key, swapped, len(record)); err != nil {
		return nil, redisError(ctx, err)
	}
	if len(swapped.Val()) == 0 {
		return nil, message.ErrConflict
	}
	if found, ok := swapped.Val()[0].(string); ok {
		text = []byte(found)
	}
	return text, nil
}

// swap replaces a record if it is the one with this SHA-1, keeps the time at which
// it vanishes, and returns the text. The text stays (-1), goes (0), or vanishes
// after that many milliseconds. It is allowed when Redis is full: a record that is
// opened or taken back frees more than it takes.
const swap = `#!lua flags=allow-oom
local record = redis.call('GET', KEYS[1])
if not record or redis.sha1hex(record) ~= ARGV[1] then
  return {}
end
local text = redis.call('GET', KEYS[2])
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
local life = tonumber(ARGV[3])
if life == 0 then
  redis.call('DEL', KEYS[2])
elseif life > 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return {text}
`

// Ping reports whether Redis answers reads. Of a Cluster it asks one of the masters.
func (r *Redis) Ping(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	// Redis refuses PING when it refuses writes. A BoolCmd reads a missing value as
	// false, and so does not look like a miss, for which the replicas would be asked.
	key := randomKey()
	if err := r.do(ctx, r.reads, key, redis.NewBoolCmd(ctx, "get", recordKey(key)), 0); err != nil {
		return redisError(ctx, err)
	}
	return nil
}

// randomKey returns the key of no message.
func randomKey() (key message.Key) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// do sends a command to the master that has a message, and follows it if it has moved.
func (r *Redis) do(ctx context.Context, b *batcher, key message.Key, cmd redis.Cmder, size int) error {
	err := r.try(ctx, b, key, cmd, size)
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return err
	}
	if _, moved := redis.IsMovedError(err); moved {
		r.reloadSlots(ctx, cluster)
		cmd.SetErr(nil)
		err = r.try(ctx, b, key, cmd, size)
	}
	if _, moving := redis.IsAskError(err); moving && (b == r.reads || r.replicas == 0) {
		cmd.SetErr(nil)
		err = cluster.Process(ctx, cmd) // asks the node that the slot is moving to
	}
	return err
}

// try sends a command to the server that is known to have a message.
func (r *Redis) try(ctx context.Context, b *batcher, key message.Key, cmd redis.Cmder, size int) (err error) {
	server, ok := r.client.(*redis.Client)
	if !ok {
		if server, err = r.client.(*redis.ClusterClient).MasterForKey(ctx, recordKey(key)); err != nil {
			return err
		}
	}
	if b == r.writes && r.held.refuses(server) {
		return errTooFew
	}
	return b.do(ctx, server, cmd, size)
}

// reloadEvery is how long the answer of a Cluster about its slots counts as new for
// commands that were told that a slot has moved.
const reloadEvery = 100 * time.Millisecond

// reloadSlots asks a Cluster where its slots are.
func (r *Redis) reloadSlots(ctx context.Context, cluster *redis.ClusterClient) {
	r.reload.Lock()
	defer r.reload.Unlock()
	if time.Since(r.reloaded) < reloadEvery {
		return
	}
	// go-redis asks before it calls a function for each master.
	_ = cluster.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil })
	r.reloaded = time.Now()
}

// TryWrite reports whether Redis takes writes. Of a Cluster it tries one of the
// masters. What it writes vanishes at once.
func (r *Redis) TryWrite(ctx context.Context) error {
	return r.Put(ctx, randomKey(), nil, nil, time.Millisecond)
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
	r.writes.close()
	for _, s := range r.sentinels {
		_ = s.Close()
	}
	if err := r.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// redisError returns the error of the [message.Store] contract for a failed command.
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
