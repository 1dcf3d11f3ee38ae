package tlscert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// disk is a cache that can fail and hang. It is an error to use it without a
// deadline.
type disk struct {
	t      *testing.T
	values map[string][]byte
	err    error
	hung   bool
}

func newDisk(t *testing.T) *disk { return &disk{t: t, values: make(map[string][]byte)} }

func (d *disk) cache(log io.Writer) *fallbackCache {
	return &fallbackCache{dir: d, log: slog.New(slog.NewTextHandler(log, nil)), unsaved: make(map[string][]byte)}
}

func (d *disk) wait(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		d.t.Error("the cache is used without a deadline")
	}
	if d.hung {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.err
}

func (d *disk) Get(ctx context.Context, key string) ([]byte, error) {
	if err := d.wait(ctx); err != nil {
		return nil, err
	}
	if data, ok := d.values[key]; ok {
		return data, nil
	}
	return nil, autocert.ErrCacheMiss
}

func (d *disk) Put(ctx context.Context, key string, data []byte) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	d.values[key] = data
	return nil
}

func (d *disk) Delete(ctx context.Context, key string) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	delete(d.values, key)
	return nil
}

var errDisk = errors.New("input/output error")

func TestFallbackCacheOutlivesItsDirectory(t *testing.T) {
	for name, breaks := range map[string]func(*disk){
		"broken": func(d *disk) { d.err = errDisk },
		"hung":   func(d *disk) { d.hung = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk(t)
			cache := d.cache(io.Discard)
			breaks(d)
			begin := time.Now()
			if err := cache.Put(t.Context(), "new", []byte("2")); err != nil {
				t.Errorf("%s: Put: %v", name, err)
			}
			if got, err := cache.load(t.Context(), "new"); err != nil || string(got) != "2" {
				t.Errorf("%s: load of what was put: got %q, %v", name, got, err)
			}
			if took := time.Since(begin); took > 2*cacheTimeout {
				t.Errorf("%s: two calls took %v, want at most %v", name, took, 2*cacheTimeout)
			}
			if _, err := cache.load(t.Context(), "old"); err == nil || errors.Is(err, autocert.ErrCacheMiss) {
				t.Errorf("%s: load of what may be there: got %v, want an error that is no miss", name, err)
			}
		})
	}
}

// A value in the directory is used, since replicas share it, unless a newer one could
// not be written.
func TestFallbackCachePrefersTheNewest(t *testing.T) {
	d := newDisk(t)
	cache := d.cache(io.Discard)
	put := func(s string) {
		t.Helper()
		if err := cache.Put(t.Context(), "key", []byte(s)); err != nil {
			t.Error(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got, err := cache.load(t.Context(), "key"); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	put("1")
	d.values["key"] = []byte("of another replica")
	expect("of another replica")
	d.err = errDisk
	put("2")
	d.err = nil
	expect("2")
	if err := cache.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if _, err := cache.load(t.Context(), "key"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Errorf("after Delete: got %v, want a miss", err)
	}
	cache.save(t.Context())
	if err := cache.failure(); err != nil {
		t.Errorf("nothing is left to save: got %v", err)
	}
}

// autocert gets the account's key and answers to challenges, and no certificate.
// Strangers ask for challenges, so an error is a miss, which shows nothing of the
// machine. An error about the account's key is none, or autocert would make
// another account.
func TestFallbackCacheGet(t *testing.T) {
	d := newDisk(t)
	cache := d.cache(io.Discard)
	challenges := []string{"x+http-01", "a.example+token"}
	keys := append(challenges, "a.example", accountName)
	for _, key := range keys {
		if _, err := cache.Get(t.Context(), key); !errors.Is(err, autocert.ErrCacheMiss) {
			t.Errorf("%s, while the cache is empty: got %v, want a miss", key, err)
		}
		d.values[key] = []byte("1")
	}
	for _, key := range keys {
		if data, err := cache.Get(t.Context(), key); (string(data) == "1" && err == nil) != (key != "a.example") {
			t.Errorf("%s, which is there: got %q, %v", key, data, err)
		}
	}
	d.err = errDisk
	for _, key := range challenges {
		if _, err := cache.Get(t.Context(), key); err != autocert.ErrCacheMiss { //nolint:errorlint // as autocert compares it
			t.Errorf("%s, while the disk is broken: got %v, want a miss", key, err)
		}
	}
	if _, err := cache.Get(t.Context(), accountName); !errors.Is(err, errDisk) {
		t.Errorf("%s, while the disk is broken: got %v, want %v", accountName, err, errDisk)
	}
}

func TestFallbackCacheSavesLater(t *testing.T) {
	var log bytes.Buffer
	d := newDisk(t)
	cache := d.cache(&log)
	d.err = errDisk
	if err := cache.Put(t.Context(), "key", []byte("1")); err != nil {
		t.Error(err)
	}
	for range 5 {
		cache.save(t.Context())
	}
	if err := cache.failure(); !errors.Is(err, errDisk) {
		t.Errorf("failure: got %v, want %v", err, errDisk)
	}
	d.err = nil
	for range 2 {
		cache.save(t.Context())
	}
	if got := string(d.values["key"]); got != "1" || cache.failure() != nil {
		t.Errorf("the directory has %q and the failure is %v, want 1 and none", got, cache.failure())
	}
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "only in memory") || !strings.Contains(got, "has again") {
		t.Errorf("the log: got %s, want one line for the fault and one for its end", got)
	}
}
