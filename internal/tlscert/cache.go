package tlscert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// A fallbackCache is an autocert.Cache in a directory that may fail or hang. Each
// call is short. What cannot be written is kept in memory and written later, so
// that no certificate that counts against the CA's limits is lost.
type fallbackCache struct {
	dir autocert.Cache
	log *slog.Logger

	mu      sync.Mutex // guards the rest
	unsaved map[string][]byte
	err     error // why something could not be written when that was last tried
}

// cacheTimeout bounds every use of the directory, which may be on a network.
const cacheTimeout = 2 * time.Second

// accountName is autocert's own name for the account's key.
const accountName = "acme_account+key"

// load returns the value of key: what is unsaved, or what is in the directory,
// where another replica may have put it.
func (c *fallbackCache) load(ctx context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	data, ok := c.unsaved[key]
	c.mu.Unlock()
	if ok {
		return data, nil
	}
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	data, err := c.dir.Get(ctx, key)
	if err != nil && !errors.Is(err, autocert.ErrCacheMiss) {
		err = fmt.Errorf("read the cache: %w", err)
	}
	return data, err
}

// Get is for autocert. It finds the account's key and answers to challenges, and no
// certificate, because autocert is asked only when a new one is wanted. autocert
// shows strangers the error of a challenge, so each is a miss.
func (c *fallbackCache) Get(ctx context.Context, key string) ([]byte, error) {
	if !strings.Contains(key, "+") {
		return nil, autocert.ErrCacheMiss
	}
	data, err := c.load(ctx, key)
	if err != nil && key != accountName {
		err = autocert.ErrCacheMiss
	}
	return data, err
}

// Put never fails: Run writes later what cannot be written now.
func (c *fallbackCache) Put(ctx context.Context, key string, data []byte) error {
	c.mu.Lock()
	c.unsaved[key] = data
	c.mu.Unlock()
	c.save(ctx)
	return nil
}

// save writes what is unsaved, and logs when that begins to fail and when it works
// again. Only the goroutine of Run calls it and Put, so that an older value never
// overwrites a newer one.
func (c *fallbackCache) save(ctx context.Context) {
	c.mu.Lock()
	unsaved, before := maps.Clone(c.unsaved), c.err
	c.mu.Unlock()
	var failed error
	for key, data := range unsaved {
		ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
		err := c.dir.Put(ctx, key, data)
		cancel()
		if err != nil {
			failed = fmt.Errorf("write the cache: %w", err)
			continue
		}
		c.mu.Lock()
		delete(c.unsaved, key)
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.err = failed
	c.mu.Unlock()
	switch {
	case failed != nil && before == nil:
		c.log.Warn("the ACME cache cannot be written: what a restart needs is only in memory", "reason", failed)
	case failed == nil && before != nil:
		c.log.Info("the ACME cache has again what a restart needs")
	}
}

// Delete removes key.
func (c *fallbackCache) Delete(ctx context.Context, key string) error {
	c.mu.Lock()
	delete(c.unsaved, key)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	return c.dir.Delete(ctx, key)
}

// failure returns why something that a restart needs is only in memory.
func (c *fallbackCache) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
