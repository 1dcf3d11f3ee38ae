package store

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/message"
)

const (
	// readers is how many batches of reads are under way at once: one that waits
	// for a slow connection must not hold up all others.
	readers = 4
	// readBatch is how many reads share a round trip, at most.
	readBatch = 64
)

// A reading is the way of concurrent GETs to Redis: those that come while a
// batch is under way share the next round trip, so that a busy service makes a
// fraction of the system calls, on both sides, and an idle one waits for nobody.
type reading struct {
	client redis.UniversalClient
	gets   chan *get
	ctx    context.Context // ends the batches under way
	cancel context.CancelFunc
	loops  sync.WaitGroup
}

// A get is one read on its way to a reader.
type get struct {
	key  string
	done chan *redis.StringCmd // gets the answer, once
}

func newReading(client redis.UniversalClient) *reading {
	r := &reading{client: client, gets: make(chan *get)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range readers {
		r.loops.Go(r.loop)
	}
	return r
}

// close ends the readers; reads under way fail.
func (r *reading) close() {
	r.cancel()
	r.loops.Wait()
}

// get returns what is stored under key, or go-redis's error.
func (r *reading) get(ctx context.Context, key string) ([]byte, error) {
	g := &get{key: key, done: make(chan *redis.StringCmd, 1)}
	select {
	case r.gets <- g:
	case <-r.ctx.Done():
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case answer := <-g.done:
		return answer.Bytes()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *reading) loop() {
	for {
		select {
		case first := <-r.gets:
			r.fetch(gather(first, r.gets, readBatch))
		case <-r.ctx.Done():
			return
		}
	}
}

// fetch answers a batch in one round trip. Each command has its own outcome.
func (r *reading) fetch(batch []*get) {
	ctx, cancel := withTimeout(r.ctx)
	defer cancel()
	pipeline := r.client.Pipeline()
	answers := make([]*redis.StringCmd, len(batch))
	for i, g := range batch {
		answers[i] = pipeline.Get(ctx, g.key)
	}
	_, _ = pipeline.Exec(ctx) // the first error of them all; each answer has its own
	for i, g := range batch {
		g.done <- answers[i]
	}
}

var errClosed = errors.New("the store is closed")

// Get implements [message.Store].
func (r *Redis) Get(ctx context.Context, key message.Key) ([]byte, error) {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	value, err := r.reading.get(ctx, keyPrefix+key.Hex())
	switch {
	case errors.Is(err, redis.Nil):
		return nil, message.ErrNotFound
	case err != nil:
		return nil, unavailable(err)
	}
	return value, nil
}
