package tlscert

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// disk is a cache that can break and hang. It is an error to use it without a
// deadline.
type disk struct {
	t      *testing.T
	mu     sync.Mutex // guards the rest
	values map[string][]byte
	err    error
	hung   bool
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

func TestTierOutlivesItsDirectory(t *testing.T) {
	for name, breaks := range map[string]func(*disk){
		"broken": func(d *disk) { d.set(errDisk, false) },
		"hung":   func(d *disk) { d.set(nil, true) },
		"wiped":  func(d *disk) { d.values = make(map[string][]byte) },
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk(t)
			d.values["old"] = []byte("1")
			tier := newTier(d, func(string, []byte) {})
			if _, err := tier.Get(t.Context(), "old"); err != nil {
				t.Fatal(err)
			}
			breaks(d)
			begin := time.Now()
			if got, err := tier.Get(t.Context(), "old"); err != nil || string(got) != "1" {
				t.Errorf("%s: Get of what was read before: got %q, %v", name, got, err)
			}
			if err := tier.Put(t.Context(), "new", []byte("2")); err != nil {
				t.Errorf("%s: Put: %v", name, err)
			}
			if got, err := tier.Get(t.Context(), "new"); err != nil || string(got) != "2" {
				t.Errorf("%s: Get of what was put: got %q, %v", name, got, err)
			}
			if took := time.Since(begin); took > 3*cacheTimeout {
				t.Errorf("%s: three calls took %v, want at most %v", name, took, 3*cacheTimeout)
			}
		})
	}
}

// The directory is preferred while it works, since replicas share it, but not
// over what could not be written to it.
func TestTierPrefersTheNewest(t *testing.T) {
	d := newDisk(t)
	tier := newTier(d, func(string, []byte) {})
	put := func(s string) {
		t.Helper()
		if err := tier.Put(t.Context(), "key", []byte(s)); err != nil {
			t.Error(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		if got, err := tier.Get(t.Context(), "key"); err != nil || string(got) != want {
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
	if err := tier.Delete(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	if _, err := tier.Get(t.Context(), "key"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Errorf("after Delete: got %v, want a miss", err)
	}
	if err := tier.trouble(); err != nil {
		t.Errorf("nothing is left to save: got %v", err)
	}
}

// What is asked for by strangers is a miss, and shows nothing of the machine.
func TestTierHidesErrorsFromChallenges(t *testing.T) {
	d := newDisk(t)
	d.set(errDisk, false)
	tier := newTier(d, func(string, []byte) {})
	for key, miss := range map[string]bool{"x+http-01": true, "a.example+token": true, "a.example": false, "acme_account+key": false} {
		_, err := tier.Get(t.Context(), key)
		if errors.Is(err, autocert.ErrCacheMiss) != miss || errors.Is(err, errDisk) == miss {
			t.Errorf("%s: got %v, want a miss: %v", key, err, miss)
		}
	}
}

func TestTierSavesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newDisk(t)
		d.set(errDisk, false)
		tier := newTier(d, func(string, []byte) {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			tier.keepSaved(ctx, slog.New(slog.NewTextHandler(&log, nil)))
			close(done)
		}()
		if err := tier.Put(ctx, "key", []byte("1")); err != nil {
			t.Error(err)
		}
		<-time.After(5 * look)
		if err := tier.trouble(); !errors.Is(err, errDisk) {
			t.Errorf("trouble: got %v, want %v", err, errDisk)
		}
		d.set(nil, false)
		<-time.After(2 * look)
		synctest.Wait()
		if got := string(d.values["key"]); got != "1" || tier.trouble() != nil {
			t.Errorf("the directory has %q and the trouble is %v, want 1 and none", got, tier.trouble())
		}
		cancel()
		<-done
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "only in memory") || !strings.Contains(got, "saved again") {
			t.Errorf("the log: got %s, want one line for the fault and one for its end", got)
		}
	})
}

// All that passes is told, whichever way it goes.
func TestTierTellsWhatPasses(t *testing.T) {
	var told []string
	d := newDisk(t)
	d.values["read"] = []byte("1")
	tier := newTier(d, func(key string, data []byte) { told = append(told, key+"="+string(data)) })
	_, _ = tier.Get(t.Context(), "read")
	_, _ = tier.Get(t.Context(), "none")
	_ = tier.Put(t.Context(), "written", []byte("2"))
	if got := strings.Join(told, " "); got != "read=1 written=2" {
		t.Errorf("told %q, want read=1 written=2", got)
	}
}
