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
	// waitTime is how long replicas have for a write. It lies under go-redis's read
	// timeout and under opTimeout.
	waitTime = 750 * time.Millisecond
	// holdTime is how long writes are refused at once after one that too few replicas
	// had in time. Then one of them tries again.
	holdTime = 500 * time.Millisecond
	// maxLag is how many seconds ago a replica that counts has last been heard of, at
	// most. A server that stood still for longer may have been replaced.
	maxLag = 2
	// redialEvery is how often connections are given up because one of them may lead
	// to a server that is no longer the master.
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

// roleError returns an error unless the server says that it is a master, or does not
// say: what stands between may not know ROLE, and an older ACL does not allow it.
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
// replicas as have to confirm each write. A master that stood still while one of
// them was promoted answers once more before it knows that they have left: so it is
// asked in a round trip of its own.
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

// tooFew returns an error where fewer replicas have a write, or are there, than have to.
func (r *Redis) tooFew(replicas int) error {
	if replicas < r.replicas {
		return errTooFew
	}
	return nil
}

var errTooFew = errors.New("the master has fewer replicas than --redis-replicas")

// onlineReplicas counts the replicas that the master has heard of lately.
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

// sendWrites sends a batch of writes. Where replicas have to confirm them, WAIT does
// so for all that its connection has written: too few fail the whole batch, because
// what a write was compared with may not be confirmed either.
func (r *Redis) sendWrites(ctx context.Context, server *redis.Client, batch []*command) {
	conn := server.Conn()
	defer func() { _ = conn.Close() }()
	var failed error
	if r.replicas == 0 {
		failed = exec(ctx, conn, batch, nil)
	} else {
		patience := waitTime
		if t := server.Options().ReadTimeout; t > 0 {
			patience = max(min(patience, t*3/4), time.Millisecond) // 0 would be for ever
		}
		wait := redis.NewIntCmd(ctx, "wait", r.replicas, patience.Milliseconds())
		failed = cmp.Or(exec(ctx, conn, batch, wait), wait.Err(), r.tooFew(int(wait.Val())))
		r.held.note(server, errors.Is(failed, errTooFew))
	}
	r.redialAfter(failed)
	for _, c := range batch {
		r.redialAfter(c.Err())
		c.done <- cmp.Or(c.Err(), failed) // why Redis refused a write says more than WAIT
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

// refuses reports whether a write is refused now. One that is not is the only one
// until its outcome is known, or another holdTime has passed.
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

// redial gives up all connections of now, unless that was done a moment ago.
func (d *dialTime) redial() {
	now, last := d.now(), d.after.Load()
	if now-last >= int64(redialEvery) || last == 0 {
		d.after.CompareAndSwap(last, now)
	}
}

// redialAfter gives up all connections if err may mean that the master is another
// server by now. An address that moves leads there then, and a Sentinel is asked again.
func (r *Redis) redialAfter(err error) {
	if err != nil && !errors.Is(err, redis.Nil) && !redis.IsOOMError(err) && !redis.IsPermissionError(err) {
		r.dialed.redial()
	}
}
