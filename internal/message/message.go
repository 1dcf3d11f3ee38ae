// Package message holds the rules of the service: what a message is, how long
// it lives, how often it can be opened, and how it looks at rest.
//
// A message can be found only with its [ID]. The key under which a [Store] keeps
// the message, and the key that seals it, both come from the id's 16 random bytes. So a store,
// its backups and its traffic hold neither ids nor texts. Nothing here knows HTTP, Redis or files.
package message

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// Errors of this package and of every [Store], compared with errors.Is.
var (
	// ErrNotFound: no such message, or it has expired. Malformed, unknown and
	// expired ids are deliberately not told apart.
	ErrNotFound = errors.New("message: not found")
	// ErrExists: the key is taken.
	ErrExists = errors.New("message: key exists")
	// ErrFull: the store works but has no room for another message.
	ErrFull = errors.New("message: store is full")
	// ErrUnavailable: the store did not answer, or not in time. Whether a
	// message exists, or a write took effect, is unknown.
	ErrUnavailable = errors.New("message: store is unavailable")
	// ErrConflict: the record is not the one that was to be replaced, or is gone.
	ErrConflict = errors.New("message: record has changed")
	// ErrTampered: what the store returned is not what was sealed under this
	// id. It is damaged, moved from another key, or forged.
	ErrTampered = errors.New("message: record does not open")
	// ErrNewer: a later version of this program wrote the record. It may hold
	// conditions that this version cannot judge.
	ErrNewer = errors.New("message: record has a newer format")
	// ErrPlain: the message can be read any number of times, so there is
	// nothing to open.
	ErrPlain = errors.New("message: not limited")
	// ErrProof: the proof that an opening needs is missing or wrong.
	ErrProof = errors.New("message: proof is wrong")
	// ErrToken: the token is neither the owner's nor a live claim.
	ErrToken = errors.New("message: token is wrong")
)

// A Store keeps sealed records. Under one key it keeps a record and, beside it,
// the text of a limited message. It is safe for concurrent use. Its errors are
// the package's own, wrapped or bare; no other package's sentinel crosses it.
type Store interface {
	// Put stores record under key, and text beside it unless that is nil, in one
	// atomic step. Both vanish ttl from now (whole seconds, at least one). When
	// it returns nil they are as durable as the store can make them. It fails
	// with ErrExists where the key is taken, ErrFull or ErrUnavailable; after
	// ErrUnavailable they may be stored all the same. The caller does not touch
	// record and text afterwards.
	Put(ctx context.Context, key Key, record, text []byte, ttl time.Duration) error
	// Get returns the record stored under key; the caller owns it. It fails
	// with ErrNotFound where there is none or its time is over, or with
	// ErrUnavailable.
	Get(ctx context.Context, key Key) ([]byte, error)
	// Swap replaces the record old by record, sets how long the text stays, and
	// returns the text that was beside old, nil if there was none. It is one atomic
	// step, as durable as a Put. After it, what Get returned for the same message
	// before is as durable too, even if record equals old. The time at which the
	// record vanishes stays the same. It fails with ErrConflict if the record is no
	// longer old or does not exist, with ErrUnavailable or with ErrFull. After
	// ErrUnavailable it may have taken effect.
	Swap(ctx context.Context, key Key, old, record []byte, life TextLife) (text []byte, err error)
}

// A TextLife says how long the text of a limited message stays: until the message
// expires ([KeepText]), not at all ([DropText]), or for at least this time.
type TextLife time.Duration

// The two ends of a [TextLife].
const (
	KeepText TextLife = -1
	DropText TextLife = 0
)

// A Draft is what a sender asks for.
type Draft struct {
	Text      []byte        // non-empty UTF-8
	TTL       time.Duration // whole seconds
	Reads     int           // how often it can be opened, 1 to [MaxReads]; 0: any number of times
	ProofHash *Hash         // SHA-256 of the proof that an opening needs; nil: none
}

// MaxReads is how often a limited message can be opened, at most.
const MaxReads = 100

// A Hash is a SHA-256: what is kept of proofs, claims and owner tokens.
type Hash [sha256.Size]byte

// Created is what a sender gets.
type Created struct {
	ID      ID
	Expires time.Time
	Owner   Token // takes the message back
}

// A Message is what a reader gets.
type Message struct {
	Text    []byte    // nil: a limited message that waits to be opened
	Created time.Time // to the millisecond
	Expires time.Time // to the millisecond; from this moment on it is gone
	Limited bool      // it can be opened a limited number of times
	Left    int       // how often a limited message can still be opened
	Opened  []time.Time
	Repeat  bool // the answer to this claim was given before
}

// A GoneError says that a message cannot be read any more, before its time is
// over: it was opened as often as it could be, taken back, or taken down.
type GoneError struct {
	Opened    []time.Time
	Withdrawn time.Time // the zero time: it was not taken back
	TakenDown time.Time // the zero time: it was not taken down
}

func (*GoneError) Error() string { return "message: gone" }

// A Box creates and reads messages in a [Store].
type Box struct {
	store Store
}

// NewBox returns a Box that keeps its messages in store.
func NewBox(store Store) *Box { return &Box{store} }

// Create seals a draft, stores it for its lifetime counted from now, and returns
// its id. The caller checks the text. Errors are ErrFull or ErrUnavailable; after
// either, nobody has an id that reads it.
func (b *Box) Create(ctx context.Context, d Draft, now time.Time) (Created, error) {
	id, token := NewID(), newToken()
	keys := id.derive()
	created := now.Truncate(time.Millisecond)
	r := record{created: created, expires: created.Add(d.TTL), owner: token.hash(), reads: d.Reads}
	var text []byte
	if d.Reads == 0 {
		r.text = d.Text
	} else {
		r.proof = d.ProofHash
		text = keys.sealText(d.Text)
	}
	err := b.store.Put(ctx, keys.store, keys.seal(r), text, d.TTL)
	if errors.Is(err, ErrExists) {
		// 122 random bits do not meet: a back end has repeated this very write
		// after an answer got lost, and cannot say which of the two took place.
		err = fmt.Errorf("%w: the key was taken", ErrUnavailable)
	}
	if err != nil {
		return Created{}, err
	}
	return Created{ID: id, Expires: r.expires, Owner: token}, nil
}

// Read returns the message with the id that is written in s, as of now; of a
// limited one its state, without the text. Errors are ErrNotFound,
// ErrUnavailable, ErrNewer, *GoneError, or ErrTampered with the first characters
// of the store key, which is for the log: to a client a tampered message is not
// there.
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
	r, err := keys.openRecord(sealed, now)
	if err != nil {
		return Message{}, err
	}
	if r.over() || r.limited() && r.left() == 0 {
		return Message{}, r.gone()
	}
	return r.message(), nil
}
