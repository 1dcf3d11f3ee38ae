package tlscert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// tier is an autocert.Cache of a directory that does without it in need. autocert
// holds locks over its calls, throws a renewed certificate away when it cannot
// be stored, and so orders it again and again, up to the CA's limits. Here each
// call is short, what cannot be written is kept and written later, and what
// cannot be read is taken from memory.
type tier struct {
	dir    autocert.Cache
	passed func(key string, data []byte) // told of all that passes

	mu      sync.Mutex // guards the rest
	values  map[string][]byte
	unsaved map[string]bool // newer in values than in dir
	err     error           // why something is unsaved
}

// cacheTimeout bounds every use of the directory, which may lie on a network.
const cacheTimeout = 2 * time.Second

func newTier(dir autocert.Cache, passed func(string, []byte)) *tier {
	return &tier{dir: dir, passed: passed, values: make(map[string][]byte), unsaved: make(map[string]bool)}
}

// Get prefers the directory, where another replica may have put a newer one.
func (t *tier) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	data, err := t.dir.Get(ctx, key)
	t.mu.Lock()
	if held, ok := t.values[key]; ok && (err != nil || t.unsaved[key]) {
		data, err = held, nil
	}
	if err == nil {
		t.values[key] = data
	}
	t.mu.Unlock()
	if err == nil {
		t.passed(key, data)
		return data, nil
	}
	// autocert shows the error to whoever asks for a challenge.
	if errors.Is(err, autocert.ErrCacheMiss) || isChallenge(key) {
		return nil, autocert.ErrCacheMiss
	}
	return nil, fmt.Errorf("read the cache: %w", err)
}

// isChallenge reports whether key is one of those that autocert keeps answers to
// challenges under.
func isChallenge(key string) bool {
	return strings.HasSuffix(key, "+http-01") || strings.HasSuffix(key, "+token")
}

// Put never fails: see keepSaved.
func (t *tier) Put(ctx context.Context, key string, data []byte) error {
	t.mu.Lock()
	t.values[key] = data
	t.unsaved[key] = true
	t.mu.Unlock()
	t.passed(key, data)
	t.save(ctx, key, data)
	return nil
}

func (t *tier) save(ctx context.Context, key string, data []byte) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	err := t.dir.Put(ctx, key, data)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.err = fmt.Errorf("write the cache: %w", err)
		return
	}
	delete(t.unsaved, key)
	if len(t.unsaved) == 0 {
		t.err = nil
	}
}

// Delete forgets key.
func (t *tier) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	t.mu.Lock()
	delete(t.values, key)
	delete(t.unsaved, key)
	if len(t.unsaved) == 0 {
		t.err = nil
	}
	t.mu.Unlock()
	return t.dir.Delete(ctx, key)
}

// trouble returns why something that a restart needs is only in memory.
func (t *tier) trouble() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// keepSaved writes what could not be written before, once a minute until ctx is
// done, and reports when that begins to fail and when it works again.
func (t *tier) keepSaved(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for key, data := range t.pending() {
			t.save(ctx, key, data)
		}
		err := t.trouble()
		if err != nil && !failing {
			log.Warn("what a restart needs is only in memory", "reason", err)
		}
		if err == nil && failing {
			log.Info("what a restart needs is saved again")
		}
		failing = err != nil
	}
}

// pending returns what is unsaved.
func (t *tier) pending() map[string][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	pending := make(map[string][]byte, len(t.unsaved))
	for key := range t.unsaved {
		pending[key] = t.values[key]
	}
	return pending
}

// cacheDir makes sure that dir can be written to, and warns where others than
// the service can look into it: it holds private keys.
func cacheDir(dir string, log *slog.Logger) (autocert.DirCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		log.Warn("the ACME cache directory is open to others", "directory", dir, "mode", mode.String())
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return "", err
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return "", err
	}
	return autocert.DirCache(filepath.Clean(dir)), nil
}
