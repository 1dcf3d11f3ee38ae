package tlscert

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// disk is a cache that can break, hang, and be slow to write. It is an error to
// use it without a deadline.
type disk struct {
	t       *testing.T
	mu      sync.Mutex // guards the rest
	values  map[string][]byte
	err     error
	hung    bool
	writing chan chan struct{} // not nil: each Put sends what it waits for
}

func newDisk(t *testing.T) *disk { return &disk{t: t, values: make(map[string][]byte)} }

func (d *disk) set(err error, hung bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.hung = err, hung
}

func (d *disk) wait(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		d.t.Error("the cache is used without a deadline")
	}
	d.mu.Lock()
	err, hung := d.err, d.hung
	d.mu.Unlock()
	if hung {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (d *disk) Get(ctx context.Context, key string) ([]byte, error) {
	if err := d.wait(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if data, ok := d.values[key]; ok {
		return data, nil
	}
	return nil, autocert.ErrCacheMiss
}

func (d *disk) Put(ctx context.Context, key string, data []byte) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	if d.writing != nil {
		proceed := make(chan struct{})
		d.writing <- proceed
		<-proceed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.values[key] = data
	return nil
}

func (d *disk) Delete(ctx context.Context, key string) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.values, key)
	return nil
}

var errDisk = errors.New("input/output error")

func TestFallbackCacheOutlivesItsDirectory(t *testing.T) {
	for name, breaks := range map[string]func(*disk){
		"broken": func(d *disk) { d.set(errDisk, false) },
		"hung":   func(d *disk) { d.set(nil, true) },
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk(t)
			cache := newFallbackCache(d)
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

// The directory is preferred while it works, since replicas share it, but not
// over what could not be written to it.
func TestFallbackCachePrefersTheNewest(t *testing.T) {
	d := newDisk(t)
	cache := newFallbackCache(d)
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
	d.set(errDisk, false)
	put("2")
	d.set(nil, false)
	expect("2")
	if err := cache.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if _, err := cache.load(t.Context(), "key"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Errorf("after Delete: got %v, want a miss", err)
	}
	if err := cache.problem(); err != nil {
		t.Errorf("nothing is left to save: got %v", err)
	}
}

// A newer value arrives while an older one is being written: the newer one is
// written last, is served meanwhile, and none is lost where that write fails.
func TestFallbackCacheKeepsAValueThatArrivesDuringAWrite(t *testing.T) {
	for name, fails := range map[string]bool{"the second write succeeds": false, "the second write fails": true} {
		t.Run(name, func(t *testing.T) { // no bubble: who waits for a mutex is not idle there
			d := newDisk(t)
			d.writing = make(chan chan struct{})
			cache := newFallbackCache(d)
			var puts sync.WaitGroup
			put := func(s string) {
				puts.Go(func() {
					if err := cache.Put(t.Context(), "key", []byte(s)); err != nil {
						t.Error(err)
					}
				})
			}
			put("older")
			first := <-d.writing
			put("newer")
			for got := ""; got != "newer"; runtime.Gosched() { // it is served during the first write
				data, err := cache.load(t.Context(), "key")
				if err != nil {
					t.Fatal(err)
				}
				got = string(data)
			}
			if fails {
				d.set(errDisk, false)
				close(first)
			} else {
				close(first)
				close(<-d.writing)
			}
			puts.Wait()
			if got, err := cache.load(t.Context(), "key"); err != nil || string(got) != "newer" {
				t.Errorf("afterwards: got %q, %v, want the newer value", got, err)
			}
			if got := cache.problem(); (got != nil) != fails {
				t.Errorf("the problem is %v", got)
			}
			if !fails {
				return
			}
			d.set(nil, false)
			puts.Go(func() { cache.save(t.Context()) })
			close(<-d.writing)
			puts.Wait()
			if got := string(d.values["key"]); got != "newer" {
				t.Errorf("the directory has %q, want the newer value", got)
			}
		})
	}
}

// autocert gets the account's key and answers to challenges, and no certificate.
// Strangers ask for challenges, so an error is a miss, which shows nothing of the
// machine. The account's key is there although the disk is broken.
func TestFallbackCacheGet(t *testing.T) {
	d := newDisk(t)
	cache := newFallbackCache(d)
	get := func(when string, found map[string]bool) {
		t.Helper()
		for key, want := range found {
			if data, err := cache.Get(t.Context(), key); (err == nil) != want || want != (string(data) == "1") || err != nil && (!errors.Is(err, autocert.ErrCacheMiss) || errors.Is(err, errDisk)) {
				t.Errorf("%s, %s: got %q, %v, want it found: %v, or a miss", key, when, data, err, want)
			}
		}
	}
	get("empty", map[string]bool{"x+http-01": false, "a.example+token": false, "a.example": false, accountName: false})
	for _, key := range []string{"x+http-01", "a.example+token", "a.example", accountName} {
		d.values[key] = []byte("1")
	}
	get("full", map[string]bool{"x+http-01": true, "a.example+token": true, "a.example": false, accountName: true})
	d.set(errDisk, false)
	get("broken", map[string]bool{"x+http-01": false, "a.example+token": false, "a.example": false, accountName: true})
}

func TestFallbackCacheSavesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newDisk(t)
		d.set(errDisk, false)
		cache := newFallbackCache(d)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			cache.keepSaved(ctx, slog.New(slog.NewTextHandler(&log, nil)))
			close(done)
		}()
		if err := cache.Put(ctx, "key", []byte("1")); err != nil {
			t.Error(err)
		}
		<-time.After(5 * time.Minute)
		if err := cache.problem(); !errors.Is(err, errDisk) {
			t.Errorf("problem: got %v, want %v", err, errDisk)
		}
		d.set(nil, false)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if got := string(d.values["key"]); got != "1" || cache.problem() != nil {
			t.Errorf("the directory has %q and the problem is %v, want 1 and none", got, cache.problem())
		}
		cancel()
		<-done
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "only in memory") || !strings.Contains(got, "written again") {
			t.Errorf("the log: got %s, want one line for the fault and one for its end", got)
		}
	})
}
