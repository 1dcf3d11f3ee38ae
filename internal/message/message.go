// Package message holds the rules of the service: what a message is, how long
// it lives, who can read it, and how it looks at rest.
//
// A message's [ID] is all that it takes to read it, and nothing else does. The key
// under which a [Store] keeps the message and the key that seals it are both
// derived from the id's 16 random bytes. So a store, its backups and its traffic
// hold neither ids nor texts. Nothing here knows HTTP, Redis or files.
package message

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of this package and of every [Store], compared with errors.Is.
var (
	// ErrNotFound: no such message, or it has expired. Whether an id was
	// malformed, unknown or expired is deliberately not told apart.
	ErrNotFound = errors.New("message: not found")
	// ErrExists: the key is taken.
	ErrExists = errors.New("message: key exists")
	// ErrFull: the store works but has no room for another message.
	ErrFull = errors.New("message: store is full")
	// ErrUnavailable: the store did not answer, or not in time; whether a
	// message exists, or a write took effect, is unknown.
	ErrUnavailable = errors.New("message: store is unavailable")
	// ErrTampered: what the store returned is not what was sealed under this
	// id: damaged, moved from another key, forged, or of a newer format.
	ErrTampered = errors.New("message: envelope does not open")
)

// A Store keeps sealed messages. It is safe for concurrent use. Its errors are
// the package's own, wrapped or bare; no other package's sentinel crosses it.
type Store interface {
	// Put stores value under key, to vanish ttl from now (whole seconds, at
	// least one), in one atomic step. When it returns nil the value is as
	// durable as the store can make it. It fails with ErrExists where the key
	// is taken, ErrFull or ErrUnavailable; after ErrUnavailable the value may
	// be stored all the same. The caller does not touch value afterwards.
	Put(ctx context.Context, key Key, value []byte, ttl time.Duration) error
	// Get returns the value stored under key; the caller owns it. It fails
	// with ErrNotFound where there is none or its time is over, or with
	// ErrUnavailable.
	Get(ctx context.Context, key Key) ([]byte, error)
}

// A Message is a text and its lifetime.
type Message struct {
	Text    []byte    // non-empty UTF-8
	Created time.Time // to the millisecond
	Expires time.Time // to the millisecond; from this moment on it is gone
}

// A Box creates and reads messages in a [Store].
type Box struct {
	store Store
}

// NewBox returns a Box that keeps its messages in store.
func NewBox(store Store) *Box { return &Box{store} }

// Create seals text, stores it for ttl (whole seconds, at least one) counted
// from now, and returns its id and the moment it expires. The text is not
// judged here beyond what sealing needs: its rules are the boundary's. Errors
// are ErrFull or ErrUnavailable; after either, no id exists that reads it.
func (b *Box) Create(ctx context.Context, text []byte, ttl time.Duration, now time.Time) (ID, time.Time, error) {
	id := NewID()
	keys := id.derive()
	created := now.Truncate(time.Millisecond)
	expires := created.Add(ttl)
	sealed := keys.seal(Message{Text: text, Created: created, Expires: expires})
	err := b.store.Put(ctx, keys.store, sealed, ttl)
	if errors.Is(err, ErrExists) {
		// Two random ids are never the same. A back end has repeated this write after
		// an answer was lost, and cannot say whether the first one took place.
		err = fmt.Errorf("%w: the key was taken", ErrUnavailable)
	}
	if err != nil {
		return ID{}, time.Time{}, err
	}
	return id, expires, nil
}

// Read returns the message whose id is written in s, as of now. Errors are
// ErrNotFound, ErrUnavailable, or ErrTampered with the first characters of the
// store key, which is for the log: to a client a tampered message is not there.
func (b *Box) Read(ctx context.Context, s string, now time.Time) (Message, error) {
	id, err := ParseID(s)
	if err != nil {
		return Message{}, ErrNotFound
	}
	keys := id.derive()
	sealed, err := b.store.Get(ctx, keys.store)
	if err != nil {
		return Message{}, err
	}
	m, err := keys.open(sealed)
	if err != nil {
		return Message{}, fmt.Errorf("store key %s…: %w", keys.store.Prefix(), err)
	}
	// The sealed expiry decides, not the store's clock: write access to the store
	// must not be enough to prolong a message.
	if !now.Before(m.Expires) {
		return Message{}, ErrNotFound
	}
	return m, nil
}
