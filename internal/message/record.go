package message

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// What a store holds, a record or the text of a limited message, is sealed as
//
//	version (1 byte, 1) | nonce (12) | AES-256-GCM ciphertext | tag (16)
//
// The version byte and the store key are associated data, and for a text its
// kind as well. So nothing opens under another key, as another kind, or as
// another version. A record's plaintext is a sequence of fields in ascending
// order of their tags:
//
//	tag (1 byte) | length (uvarint) | value
//
// A reader refuses a field that it does not know: it may be a condition, and a
// program must not serve a message whose conditions it cannot judge.
const version1 = 1

// Field tags of version 1. Times are Unix milliseconds, 8 bytes, big endian.
// Text is last and has a high tag: conditions stand in front of it.
const (
	fieldCreated   = 1
	fieldExpires   = 2
	fieldOwner     = 3   // SHA-256 of the owner token
	fieldReads     = 4   // how often it can be opened, 1 byte
	fieldProof     = 5   // SHA-256 of the proof
	fieldOpened    = 6   // times
	fieldClaims    = 7   // for each: SHA-256, place (1 byte), end
	fieldWithdrawn = 8   // when it was taken back
	fieldTakenDown = 9   // when it was taken down
	fieldText      = 128 // UTF-8, of a plain message
)

const (
	headerSize = 1 // the version byte, in front of what GCM returns
	timeSize   = 8
	claimSize  = len(Hash{}) + 1 + timeSize
)

// A record is what is known of one message.
type record struct {
	created, expires     time.Time
	owner                Hash  // zero: a message from before there were owner tokens
	reads                int   // 0: plain
	proof                *Hash // nil: none is needed
	opened               []time.Time
	claims               []claim
	withdrawn, takenDown time.Time // zero: it was not
	text                 []byte    // of a plain message
}

// aead returns the cipher of these keys. A fresh random nonce for each sealing
// costs 12 bytes and makes it safe to seal again.
func (k *keys) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.sealing[:])
	if err != nil {
		panic(err) // only a wrong key length
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only a wrong block size
	}
	return gcm
}

// The kinds of what is sealed.
const (
	kindRecord = "" // nothing, since it was the only kind at first
	kindText   = "text"
)

// associated is the data that the tag covers besides the ciphertext.
func (k *keys) associated(room *[1 + len(Key{}) + len(kindText)]byte, kind string) []byte {
	return append(append(append(room[:0], version1), k.store[:]...), kind...)
}

// encrypt seals plain.
func (k *keys) encrypt(plain []byte, kind string) []byte {
	gcm := k.aead()
	sealed := make([]byte, headerSize, headerSize+len(plain)+gcm.Overhead())
	sealed[0] = version1
	var room [1 + len(Key{}) + len(kindText)]byte
	return gcm.Seal(sealed, nil, plain, k.associated(&room, kind)) //nolint:gosec // nil: the cipher makes the nonce itself
}

// decrypt opens what encrypt sealed, and uses it up: the plaintext lies in its
// memory. Errors are ErrTampered and ErrNewer, and hold none of the content.
func (k *keys) decrypt(sealed []byte, kind string) ([]byte, error) {
	if len(sealed) < headerSize {
		return nil, fmt.Errorf("%w: it is empty", ErrTampered)
	}
	switch version := sealed[0]; {
	case version > version1:
		return nil, fmt.Errorf("%w: version %d", ErrNewer, version)
	case version < version1:
		return nil, fmt.Errorf("%w: version %d", ErrTampered, version)
	}
	box := sealed[headerSize:]
	var room [1 + len(Key{}) + len(kindText)]byte
	plain, err := k.aead().Open(box[:0], nil, box, k.associated(&room, kind))
	if err != nil {
		return nil, fmt.Errorf("%w: authentication failed", ErrTampered)
	}
	return plain, nil
}

// sealText returns the text of a limited message as it is stored.
func (k *keys) sealText(text []byte) []byte { return k.encrypt(text, kindText) }

// openText is the inverse of sealText. A text that is missing although its
// record promises it is ErrTampered, as any damage is.
func (k *keys) openText(sealed []byte) ([]byte, error) {
	text, err := k.decrypt(sealed, kindText)
	if err != nil {
		return nil, fmt.Errorf("store key %s…: %w", k.store.Prefix(), err)
	}
	return text, nil
}

// seal returns a record as it is stored.
func (k *keys) seal(r record) []byte {
	const most = 4*(2+timeSize) + 2*(2+len(Hash{})) + 3 + 3*(1+binary.MaxVarintLen64)
	plain := make([]byte, 0, most+len(r.opened)*timeSize+len(r.claims)*claimSize+len(r.text))
	plain = appendTime(plain, fieldCreated, r.created)
	plain = appendTime(plain, fieldExpires, r.expires)
	if r.owner != (Hash{}) {
		plain = appendHash(plain, fieldOwner, r.owner)
	}
	if r.reads > 0 {
		plain = append(plain, fieldReads, 1, byte(r.reads)) //nolint:gosec // at most MaxReads
	}
	if r.proof != nil {
		plain = appendHash(plain, fieldProof, *r.proof)
	}
	if len(r.opened) > 0 {
		plain = binary.AppendUvarint(append(plain, fieldOpened), uint64(len(r.opened)*timeSize))
		for _, t := range r.opened {
			plain = appendMillis(plain, t)
		}
	}
	if len(r.claims) > 0 {
		plain = binary.AppendUvarint(append(plain, fieldClaims), uint64(len(r.claims)*claimSize))
		for _, c := range r.claims {
			plain = append(append(plain, c.hash[:]...), byte(c.place)) //nolint:gosec // at most MaxReads
			plain = appendMillis(plain, c.end)
		}
	}
	plain = appendTime(plain, fieldWithdrawn, r.withdrawn)
	plain = appendTime(plain, fieldTakenDown, r.takenDown)
	if r.text != nil {
		plain = binary.AppendUvarint(append(plain, fieldText), uint64(len(r.text)))
		plain = append(plain, r.text...)
	}
	return k.encrypt(plain, kindRecord)
}

// appendTime appends a field, unless the time is zero.
func appendTime(b []byte, tag byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return appendMillis(append(b, tag, timeSize), t)
}

func appendMillis(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

func appendHash(b []byte, tag byte, h Hash) []byte {
	return append(append(b, tag, byte(len(h))), h[:]...)
}

// openRecord returns a sealed record, which it uses up, as of now. Errors are
// ErrNotFound, ErrTampered and ErrNewer, the last two with the first characters
// of the store key.
func (k *keys) openRecord(sealed []byte, now time.Time) (r record, err error) {
	plain, err := k.decrypt(sealed, kindRecord)
	if err == nil {
		err = r.parse(plain)
	}
	if err != nil {
		return record{}, fmt.Errorf("store key %s…: %w", k.store.Prefix(), err)
	}
	// The sealed expiry decides, not the store's clock: who can write to the
	// store must not be able to prolong a message.
	if !now.Before(r.expires) {
		return record{}, ErrNotFound
	}
	return r, nil
}

// parse reads the plaintext of a record. Only this program, or another version
// of it, can have sealed what gets here.
func (r *record) parse(plain []byte) error {
	last := 0
	for len(plain) > 0 {
		tag := plain[0]
		size, n := binary.Uvarint(plain[1:])
		if n <= 0 || size > math.MaxInt || uint64(len(plain)-1-n) < size { //nolint:gosec // both are lengths
			return fmt.Errorf("%w: field %d is cut short", ErrTampered, tag)
		}
		if int(tag) <= last {
			return fmt.Errorf("%w: field %d is out of order", ErrTampered, tag)
		}
		last = int(tag)
		value := plain[1+n : 1+n+int(size)]
		plain = plain[1+n+int(size):]
		if err := r.set(tag, value); err != nil {
			return fmt.Errorf("field %d: %w", tag, err)
		}
	}
	if r.created.IsZero() || r.expires.IsZero() || (r.text == nil) != (r.limited() || r.over()) {
		return fmt.Errorf("%w: a field is missing", ErrTampered)
	}
	for _, c := range r.claims {
		if c.place >= len(r.opened) {
			return fmt.Errorf("%w: a claim without its opening", ErrTampered)
		}
	}
	return nil
}

// errSize says that a field has not the size that its kind has.
var errSize = fmt.Errorf("%w: wrong size", ErrTampered)

// set stores one field's value in r.
func (r *record) set(tag byte, value []byte) (err error) {
	switch tag {
	case fieldCreated:
		r.created, err = timeOf(value)
	case fieldExpires:
		r.expires, err = timeOf(value)
	case fieldOwner:
		r.owner, err = hashOf(value)
	case fieldReads:
		if len(value) != 1 || value[0] == 0 || value[0] > MaxReads {
			return errSize
		}
		r.reads = int(value[0])
	case fieldProof:
		r.proof = new(Hash)
		*r.proof, err = hashOf(value)
	case fieldOpened:
		r.opened, err = timesOf(value)
	case fieldClaims:
		r.claims, err = claimsOf(value)
	case fieldWithdrawn:
		r.withdrawn, err = timeOf(value)
	case fieldTakenDown:
		r.takenDown, err = timeOf(value)
	case fieldText:
		r.text = value
	default:
		return ErrNewer
	}
	return err
}

func timeOf(value []byte) (time.Time, error) {
	if len(value) != timeSize {
		return time.Time{}, errSize
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(value))).UTC(), nil //nolint:gosec // the inverse of appendMillis
}

func timesOf(value []byte) (times []time.Time, err error) {
	if len(value) == 0 || len(value)%timeSize != 0 || len(value) > MaxReads*timeSize {
		return nil, errSize
	}
	for ; len(value) > 0; value = value[timeSize:] {
		t, err := timeOf(value[:timeSize])
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}

func hashOf(value []byte) (Hash, error) {
	if len(value) != len(Hash{}) {
		return Hash{}, errSize
	}
	return Hash(value), nil
}

func claimsOf(value []byte) (claims []claim, err error) {
	if len(value) == 0 || len(value)%claimSize != 0 || len(value) > MaxReads*claimSize {
		return nil, errSize
	}
	for ; len(value) > 0; value = value[claimSize:] {
		end, err := timeOf(value[claimSize-timeSize : claimSize])
		if err != nil {
			return nil, err
		}
		claims = append(claims, claim{Hash(value), int(value[len(Hash{})]), end})
	}
	return claims, nil
}
