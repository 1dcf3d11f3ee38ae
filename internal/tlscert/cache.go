package tlscert

import (
	"bytes"
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
	dir     autocert.Cache
	writing sync.Mutex // held while dir is changed: an older value never overwrites a newer one

	mu      sync.Mutex // guards the rest
	account []byte     // the account's key, once it was read or made; renewals need it
	unsaved map[string][]byte
	err     error // why something is unsaved
}

// cacheTimeout bounds every use of the directory, which may be on a network.
const cacheTimeout = 2 * time.Second

func newFallbackCache(dir autocert.Cache) *fallbackCache {
	return &fallbackCache{dir: dir, unsaved: make(map[string][]byte)}
}

// load returns the value of key: what is unsaved, or what is in the directory,
// where another replica may have put it.
func (c *fallbackCache) load(ctx context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	data, ok := c.unsaved[key]
	if key == accountName && c.account != nil {
		data, ok = c.account, true
	}
	c.mu.Unlock()
	if ok {
		return data, nil
	}
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	data, err := c.dir.Get(ctx, key)
	switch {
	case errors.Is(err, autocert.ErrCacheMiss):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("read the cache: %w", err)
	}
	c.keepAccount(key, data)
	return data, nil
}

func (c *fallbackCache) keepAccount(key string, data []byte) {
	if key == accountName {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.account = data
	}
}

// accountName is autocert's own name for the account's key.
const accountName = "acme_account+key"

// Get is for autocert, which finds the account's key and answers to challenges: it
// is asked for a certificate when a new one is wanted. autocert shows strangers the
// error of a challenge, so each is a miss.
func (c *fallbackCache) Get(ctx context.Context, key string) ([]byte, error) {
	if key == accountName {
		return c.load(ctx, key)
	}
	if strings.HasSuffix(key, "+http-01") || strings.HasSuffix(key, "+token") {
		if data, err := c.load(ctx, key); err == nil {
			return data, nil
		}
	}
	return nil, autocert.ErrCacheMiss
}

// Put never fails: see keepSaved.
func (c *fallbackCache) Put(ctx context.Context, key string, data []byte) error {
	c.mu.Lock()
	c.unsaved[key] = data
	c.mu.Unlock()
	c.keepAccount(key, data)
	c.save(ctx)
	return nil
}

// save writes what is unsaved.
func (c *fallbackCache) save(ctx context.Context) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	pending := maps.Clone(c.unsaved)
	c.mu.Unlock()
	for key, data := range pending {
		c.saveOne(ctx, key, data)
	}
}

func (c *fallbackCache) saveOne(ctx context.Context, key string, data []byte) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	err := c.dir.Put(ctx, key, data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.err = fmt.Errorf("write the cache: %w", err)
	} else if bytes.Equal(c.unsaved[key], data) { // otherwise a newer value waits in Put
		c.forget(key)
	}
}

// forget is called with mu held.
func (c *fallbackCache) forget(key string) {
	delete(c.unsaved, key)
	if len(c.unsaved) == 0 {
		c.err = nil
	}
}

// Delete removes key.
func (c *fallbackCache) Delete(ctx context.Context, key string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	c.forget(key)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	return c.dir.Delete(ctx, key)
}

// problem returns why something that a restart needs is only in memory.
func (c *fallbackCache) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// keepSaved writes what could not be written before, once a minute until ctx is
// done, and logs when writing begins to fail and when it works again.
func (c *fallbackCache) keepSaved(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		c.save(ctx)
		err := c.problem()
		if err != nil && !failing {
			log.Warn("the ACME cache cannot be written: what a restart needs is only in memory", "reason", err)
		}
		if err == nil && failing {
			log.Info("the ACME cache is written again")
		}
		failing = err != nil
	}
}
