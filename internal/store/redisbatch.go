package store

import (
	"context"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// redisSenders is how many batches of one kind are under way at once to one
	// server: one that waits for a slow connection must not hold up all others. More
	// make the batches smaller, which costs both sides more.
	redisSenders = 2
	// batchBytes bounds the commands that share a round trip. A command counts as the
	// bytes that it sends, and commandCost.
	batchBytes  = 1 << 20
	commandCost = 16 << 10
)

// A batcher sends concurrent commands to Redis in pipelines. Commands that come
// while batches are under way share the next one. So a busy service makes a
// fraction of the system calls, on both sides, and an idle one does not wait. Each
// server has its own queue: one that hangs does not hold up the others.
type batcher struct {
	send   func(ctx context.Context, server *redis.Client, batch []*command)
	ctx    context.Context // ends the batches under way
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu     sync.Mutex // guards queues and what they hold
	queues map[*redis.Client]*commandQueue
}

// A commandQueue holds the commands that wait for one server.
type commandQueue struct {
	waiting []*command
	senders int
}

// A command is on its way to Redis. After done its result is in Cmder.
type command struct {
	redis.Cmder
	ctx  context.Context // of the caller: a command is not sent after its end
	size int             // bytes
	done chan error      // gets the outcome, once
}

func newBatcher(send func(context.Context, *redis.Client, []*command)) *batcher {
	b := &batcher{send: send, queues: make(map[*redis.Client]*commandQueue)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// close ends the batches under way; their commands fail.
func (b *batcher) close() {
	b.mu.Lock()
	b.cancel()
	b.mu.Unlock()
	b.loops.Wait()
}

// do sends cmd, which has about size bytes, to a server and waits for its outcome.
// After an error of ctx, cmd must not be read.
func (b *batcher) do(ctx context.Context, server *redis.Client, cmd redis.Cmder, size int) error {
	c := &command{Cmder: cmd, ctx: ctx, size: size, done: make(chan error, 1)}
	if err := b.enqueue(server, c); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *batcher) enqueue(server *redis.Client, c *command) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return redis.ErrClosed
	}
	q := b.queues[server]
	if q == nil {
		q = new(commandQueue)
		b.queues[server] = q
	}
	q.waiting = append(q.waiting, c)
	if q.senders < redisSenders {
		q.senders++
		b.loops.Go(func() { b.sendAll(server, q) })
	}
	return nil
}

// sendAll sends batches to a server until none of its commands waits.
func (b *batcher) sendAll(server *redis.Client, q *commandQueue) {
	for batch := b.next(server, q); batch != nil; batch = b.next(server, q) {
		ctx, cancel := withTimeout(b.ctx)
		b.send(ctx, server, batch)
		cancel()
	}
}

// next takes a batch from a queue, or ends one of its senders.
func (b *batcher) next(server *redis.Client, q *commandQueue) (batch []*command) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for cost := 0; len(q.waiting) > 0 && cost < batchBytes; q.waiting = q.waiting[1:] {
		if c := q.waiting[0]; c.ctx.Err() == nil {
			batch = append(batch, c)
			cost += c.size + commandCost
		}
	}
	if batch == nil {
		q.senders--
		if q.senders == 0 {
			delete(b.queues, server)
		}
	}
	return batch
}

// exec sends the commands of a batch and then last, unless that is nil, in one
// round trip. Its error is one of the whole batch. Otherwise each command has its
// own outcome.
func exec(ctx context.Context, conn *redis.Conn, batch []*command, last redis.Cmder) error {
	pipeline := conn.Pipeline()
	for _, c := range batch {
		_ = pipeline.Process(ctx, c.Cmder) // only queues it
	}
	if last != nil {
		_ = pipeline.Process(ctx, last)
	}
	cmds, err := pipeline.Exec(ctx)
	if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		err = nil // each command says itself how it went
	}
	// If go-redis gets no connection, for example because of a wrong password, it
	// leaves the commands without a value and without an error.
	return err
}
