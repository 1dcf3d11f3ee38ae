package store

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// waitTime is how long replicas have for a write. It is less than go-redis's read
	// timeout and less than opTimeout.
	waitTime = 750 * time.Millisecond
	// holdTime is how long writes are refused at once after too few replicas confirmed
	// one in time. Then one write tries again.
	holdTime = 500 * time.Millisecond
	// maxLag is the number of seconds of silence after which a replica no longer counts. A
	// server that was paused for longer may have been replaced.
	maxLag = 2
	// redialEvery is how often, at most, all connections are dropped because one of them
	// may lead to a server that is no longer the master.
	redialEvery = time.Second
)

// sendReads sends a batch of reads. Only a master is believed: ROLE comes last, so
// that it tells what the server was when it had answered.
func (r *Redis) sendReads(ctx context.Context, server *redis.Client, batch []*command) {
	conn := server.Conn()
	defer func() { _ = conn.Close() }()
	role := redis.NewSliceCmd(ctx, "role")
	failed := cmp.Or(exec(ctx, conn, batch, role), roleError(role))
	r.redialAfter(failed)
	var absent []*command
	for _, c := range batch {
		err := c.Err()
		if err == nil || errors.Is(err, redis.Nil) {
			err = cmp.Or(failed, err)
		}
		if r.replicas > 0 && errors.Is(err, redis.Nil) {
			absent = append(absent, c)
			continue
		}
		r.redialAfter(err)
		c.done <- err
	}
	if len(absent) == 0 {
		return
	}
	failed = r.quorumError(ctx, conn)
	r.redialAfter(failed)
	for _, c := range absent {
		c.done <- cmp.Or(failed, c.Err())
	}
}

// roleError returns an error if the server says that it is not a master. A server that
// does not say passes: a proxy may not know ROLE, and an older ACL does not allow it.
func roleError(role *redis.SliceCmd) error {
	var refused redis.Error
	switch err := role.Err(); {
	case errors.As(err, &refused):
		return nil
	case err != nil:
		return err
	case len(role.Val()) > 0 && role.Val()[0] != "master":
		return errNotMaster
	}
	return nil
}

var errNotMaster = errors.New("the server is a replica, not the master")

// quorumError returns an error unless the server at conn is a master with as many
// replicas as have to confirm each write. It needs a separate round trip: a master
// that was paused while a replica was promoted answers once before it learns that
// its replicas have left.
func (r *Redis) quorumError(ctx context.Context, conn *redis.Conn) error {
	text, err := conn.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	fields := infoFields(text)
	if fields["role"] != "master" {
		return errNotMaster
	}
	return r.tooFew(onlineReplicas(fields))
}

// tooFew returns an error if fewer replicas than required have a write, or are connected.
func (r *Redis) tooFew(replicas int) error {
	if replicas < r.replicas {
		return errTooFew
	}
	return nil
}

var errTooFew = errors.New("the master has fewer replicas than --redis-replicas")

// onlineReplicas counts the replicas that the master has heard from within maxLag.
func onlineReplicas(fields map[string]string) (n int) {
	for i := 0; ; i++ {
		replica, ok := fields["slave"+strconv.Itoa(i)]
		if !ok {
			return n
		}
		_, lag, _ := strings.Cut(replica, "lag=")
		if seconds, err := strconv.Atoi(lag); err == nil && seconds <= maxLag && strings.Contains(replica, "state=online") {
			n++
		}
	}
}

// sendWrites sends a batch of writes. If replicas have to confirm them, WAIT covers all
// writes of its connection. If too few replicas confirm, the whole batch fails, because
// the state that a write was compared with may be unconfirmed too.
func (r *Redis) sendWrites(ctx context.Context, server *redis.Client, batch []*command) {
	conn := server.Conn()
	defer func() { _ = conn.Close() }()
	var failed error
	if r.replicas == 0 {
		failed = exec(ctx, conn, batch, nil)
	} else {
		timeout := waitTime
		if t := server.Options().ReadTimeout; t > 0 {
			timeout = max(min(timeout, t*3/4), time.Millisecond) // 0 would be for ever
		}
		wait := redis.NewIntCmd(ctx, "wait", r.replicas, timeout.Milliseconds())
		failed = cmp.Or(exec(ctx, conn, batch, wait), wait.Err(), r.tooFew(int(wait.Val())))
		r.held.note(server, errors.Is(failed, errTooFew))
	}
	r.redialAfter(failed)
	for _, c := range batch {
		r.redialAfter(c.Err())
		c.done <- cmp.Or(c.Err(), failed) // the reason why Redis refused a write says more than WAIT
	}
}

// A writeHold refuses writes to servers that have too few replicas, so that each
// does not have to wait for them.
type writeHold struct {
	mu    sync.Mutex                  // guards until
	until map[*redis.Client]time.Time // when the next write is tried
}

// note records whether a server had too few replicas for a write.
func (h *writeHold) note(server *redis.Client, short bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !short {
		delete(h.until, server)
		return
	}
	h.until[server] = time.Now().Add(holdTime)
}

// refuses reports whether a write is refused now. While a server is held, one write is
// let through. The others are refused until its outcome is known or another holdTime
// has passed.
func (h *writeHold) refuses(server *redis.Client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	until, held := h.until[server]
	now := time.Now()
	if held && !now.Before(until) {
		h.until[server] = now.Add(holdTime)
		return false
	}
	return held
}

// A dialTime tells which connections may lead to a server that is no longer the
// master: those that were dialed before it.
type dialTime struct {
	start time.Time    // of the store
	after atomic.Int64 // nanoseconds since start
}

// now returns the time for a connection that is dialed now.
func (d *dialTime) now() int64 { return int64(time.Since(d.start)) }

// redial drops all connections that exist now. It reports false, and drops none, if it
// did so less than redialEvery ago.
func (d *dialTime) redial() bool {
	now, last := d.now(), d.after.Load()
	return (now-last >= int64(redialEvery) || last == 0) && d.after.CompareAndSwap(last, now)
}

// redialAfter drops all connections if err may mean that another server is the master
// now. New connections go to the current target of the address, or of the Sentinels. A
// Cluster is asked for its slots, because a server that is gone answers no MOVED.
func (r *Redis) redialAfter(err error) {
	if err == nil || errors.Is(err, redis.Nil) || redis.IsOOMError(err) || redis.IsPermissionError(err) || !r.dialed.redial() {
		return
	}
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		cluster.ReloadState(context.Background()) // does not wait for the answer
	}
}
