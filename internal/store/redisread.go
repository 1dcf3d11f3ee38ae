package store

import (
	"cmp"
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// redisReaders is how many batches of reads are under way at once: one that waits
	// for a slow connection must not hold up all others.
	redisReaders = 4
	// readBatch is how many reads share a round trip, at most.
	readBatch = 64
)

// A batchReader sends concurrent GETs to Redis. GETs that come while a batch is
// under way share the next round trip. So a busy service makes a fraction of the
// system calls, on both sides, and an idle one does not wait.
type batchReader struct {
	client redis.UniversalClient
	gets   chan *get
	ctx    context.Context // ends the batches under way
	cancel context.CancelFunc
	loops  sync.WaitGroup
}

// A get is one read on its way to a reader.
type get struct {
	key  string
	done chan outcome // gets the answer, once
}

// An outcome is what Redis said of one read.
type outcome struct {
	value string
	err   error
}

func newBatchReader(client redis.UniversalClient) *batchReader {
	r := &batchReader{client: client, gets: make(chan *get)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range redisReaders {
		r.loops.Go(r.loop)
	}
	return r
}

// close ends the readers; reads under way fail.
func (r *batchReader) close() {
	r.cancel()
	r.loops.Wait()
}

// get returns what is stored under key, or go-redis's error.
func (r *batchReader) get(ctx context.Context, key string) ([]byte, error) {
	g := &get{key: key, done: make(chan outcome, 1)}
	select {
	case r.gets <- g:
	case <-r.ctx.Done():
		return nil, redis.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case answer := <-g.done:
		return []byte(answer.value), answer.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *batchReader) loop() {
	for {
		select {
		case first := <-r.gets:
			r.fetch(gather(first, r.gets, readBatch, func(*get) int { return 1 }))
		case <-r.ctx.Done():
			return
		}
	}
}

// fetch answers a batch in one round trip. Each command has its own outcome.
func (r *batchReader) fetch(batch []*get) {
	ctx, cancel := withTimeout(r.ctx)
	defer cancel()
	pipeline := r.client.Pipeline()
	answers := make([]*redis.StringCmd, len(batch))
	for i, g := range batch {
		answers[i] = pipeline.Get(ctx, g.key)
	}
	_, failed := pipeline.Exec(ctx)
	for _, answer := range answers {
		if answer.Err() != nil {
			failed = nil // it was this command's; each says itself how it went
		}
	}
	for i, g := range batch {
		// Where no connection can be had, because of a wrong password say, go-redis
		// leaves the commands as they were: without a value, and without an error.
		g.done <- outcome{answers[i].Val(), cmp.Or(failed, answers[i].Err())}
	}
}
