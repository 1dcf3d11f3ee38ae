package message

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ClaimLife is how long a claim repeats its answer.
const ClaimLife = 10 * time.Minute

// maxSwaps is how often a change is tried against other changes of the same
// message. Each lost try means that another one took effect, and a limited
// message changes a few hundred times in its life at most.
const maxSwaps = 500

// A Token takes a message back. It is a credential of the sender.
type Token [16]byte

func newToken() (t Token) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// Reveal returns the text form, base64url without padding, for the sender and
// for nobody else.
func (t Token) Reveal() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// hash is what is kept of a token: the SHA-256 of its text form.
func (t Token) hash() Hash { return sha256.Sum256([]byte(t.Reveal())) }

// Format keeps a token that is printed by mistake from showing itself.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("message.Token(hidden)")) }

// An Opening is what a reader of a limited message shows.
type Opening struct {
	Proof []byte // nil: none
	// Claim is a random text of the reader's. While it is live, a repetition gets
	// the same answer and uses up nothing. Empty: the read is spent at once.
	Claim string
	// Malformed is what is wrong with the request, if anything is. Open fails with
	// it where there is something to open: what the message is comes first.
	Malformed error
}

// Open opens the limited message with the id that is written in s: it uses up a
// read and returns the text. Exactly as many openings succeed as the message has
// reads. Errors are those of Read, ErrPlain, ErrProof, ErrFull and o.Malformed.
// After ErrUnavailable the read may be used up; the same claim gets the text then.
func (b *Box) Open(ctx context.Context, s string, o Opening, now time.Time) (Message, error) {
	id, err := ParseID(s)
	if err != nil {
		return Message{}, ErrNotFound
	}
	keys := id.derive()
	for range maxSwaps {
		old, err := b.store.Get(ctx, keys.store)
		if err != nil {
			return Message{}, err
		}
		r, err := keys.openRecord(slices.Clone(old), now)
		if err != nil {
			return Message{}, err
		}
		place, fresh, err := r.open(o, now)
		if err != nil {
			return Message{}, err
		}
		record, life := old, KeepText // a repetition's opening may not be durable yet
		if fresh {
			record, life = keys.seal(r), r.textLife(now)
		}
		sealed, err := b.store.Swap(ctx, keys.store, old, record, life)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return Message{}, err
		}
		if sealed == nil && !fresh && r.left() == 0 {
			return Message{}, r.gone() // the store was a moment ahead of the claim's end
		}
		text, err := keys.openText(sealed)
		if err != nil {
			return Message{}, err
		}
		return r.answer(text, place, !fresh), nil
	}
	return Message{}, fmt.Errorf("%w: too many changes of one message at once", ErrUnavailable)
}

// Withdraw takes a message back for who has its owner token: the text is deleted
// at once, and taken is true. With a claim in the place of the token it ends that
// claim only. A second time changes nothing. Errors are those of Read, and
// ErrToken.
func (b *Box) Withdraw(ctx context.Context, s, token string, now time.Time) (taken bool, err error) {
	hash := sha256.Sum256([]byte(token))
	err = b.change(ctx, s, now, func(r *record) (bool, error) {
		if taken = r.owner != (Hash{}) && equal(r.owner, hash); taken {
			return r.withdraw(now)
		}
		i := slices.IndexFunc(r.claims, func(c claim) bool { return equal(c.hash, hash) })
		if i < 0 {
			return false, ErrToken
		}
		live := now.Before(r.claims[i].end)
		r.claims[i].end = r.created // stays over, even if the clock steps back
		return live, nil
	})
	return taken, err
}

// TakeDown removes a message for the operator, who need not read it. A second
// time changes nothing. Errors are those of Read.
func (b *Box) TakeDown(ctx context.Context, s string, now time.Time) error {
	return b.change(ctx, s, now, func(r *record) (bool, error) {
		if !r.takenDown.IsZero() {
			return false, nil
		}
		r.takenDown = now
		r.claims, r.text = nil, nil
		return true, nil
	})
}

// change applies f to the record of a message and stores it if f reports that
// it has changed.
func (b *Box) change(ctx context.Context, s string, now time.Time, f func(*record) (bool, error)) error {
	id, err := ParseID(s)
	if err != nil {
		return ErrNotFound
	}
	keys := id.derive()
	for range maxSwaps {
		old, err := b.store.Get(ctx, keys.store)
		if err != nil {
			return err
		}
		r, err := keys.openRecord(slices.Clone(old), now)
		if err != nil {
			return err
		}
		changed, err := f(&r)
		if err != nil {
			return err
		}
		record, life := old, KeepText // the change of before may not be durable yet
		if changed {
			record, life = keys.seal(r), r.textLife(now)
		}
		_, err = b.store.Swap(ctx, keys.store, old, record, life)
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w: too many changes of one message at once", ErrUnavailable)
}

// A claim is one opening that can be asked for again.
type claim struct {
	hash  Hash
	place int       // in the order of openings
	end   time.Time // from then on it is no longer live
}

func (r *record) limited() bool { return r.reads > 0 }

// left is how often a limited message can still be opened.
func (r *record) left() int { return max(r.reads-len(r.opened), 0) }

// over reports whether the message was taken back or down.
func (r *record) over() bool { return !r.withdrawn.IsZero() || !r.takenDown.IsZero() }

func (r *record) gone() error {
	return &GoneError{Opened: r.opened, Withdrawn: r.withdrawn, TakenDown: r.takenDown}
}

// live returns the claims that can still be repeated.
func (r *record) live(now time.Time) (live []claim) {
	for _, c := range r.claims {
		if now.Before(c.end) {
			live = append(live, c)
		}
	}
	return live
}

// claimOf returns the index of the live claim with this hash, or -1.
func (r *record) claimOf(hash Hash, now time.Time) int {
	return slices.IndexFunc(r.claims, func(c claim) bool { return equal(c.hash, hash) && now.Before(c.end) })
}

// open decides about an opening. It returns the opening's place in the order of
// openings, and whether it is a fresh one, which it has then added.
func (r *record) open(o Opening, now time.Time) (place int, fresh bool, err error) {
	if !r.limited() {
		return 0, false, ErrPlain
	}
	if r.over() {
		return 0, false, r.gone()
	}
	repeated := -1
	if o.Claim != "" {
		repeated = r.claimOf(sha256.Sum256([]byte(o.Claim)), now)
	}
	if repeated < 0 && r.left() == 0 {
		return 0, false, r.gone()
	}
	if o.Malformed != nil {
		return 0, false, o.Malformed
	}
	if r.proof != nil && !equal(*r.proof, sha256.Sum256(o.Proof)) {
		return 0, false, ErrProof
	}
	if repeated >= 0 {
		return r.claims[repeated].place, false, nil
	}
	place = len(r.opened)
	r.opened = append(r.opened, now.Truncate(time.Millisecond))
	r.claims = r.live(now)
	if o.Claim != "" {
		end := now.Add(ClaimLife)
		if r.expires.Before(end) {
			end = r.expires
		}
		r.claims = append(r.claims, claim{sha256.Sum256([]byte(o.Claim)), place, end.Truncate(time.Millisecond)})
	}
	return place, true, nil
}

// withdraw takes the message back, unless there is nothing left to take back.
func (r *record) withdraw(now time.Time) (bool, error) {
	switch {
	case !r.withdrawn.IsZero():
		return false, nil
	case !r.takenDown.IsZero(), r.limited() && r.left() == 0 && len(r.live(now)) == 0:
		return false, r.gone()
	}
	r.withdrawn = now
	r.claims, r.text = nil, nil
	return true, nil
}

// textLife is how long the text of this record is still needed.
func (r *record) textLife(now time.Time) TextLife {
	if r.over() {
		return DropText
	}
	if r.left() > 0 {
		return KeepText
	}
	life := time.Duration(DropText)
	for _, c := range r.live(now) {
		life = max(life, c.end.Sub(now))
	}
	return TextLife(life)
}

// message is what a reader gets of a record without opening it.
func (r *record) message() Message {
	return Message{Text: r.text, Created: r.created, Expires: r.expires, Limited: r.limited(), Left: r.left(), Opened: r.opened}
}

// answer is what the opening at this place gets: the same at each repetition,
// whatever came after it.
func (r *record) answer(text []byte, place int, repeat bool) Message {
	return Message{
		Text: text, Created: r.created, Expires: r.expires, Limited: true,
		Left: r.reads - place - 1, Opened: r.opened[:place], Repeat: repeat,
	}
}

// equal compares in constant time.
func equal(a, b Hash) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }
