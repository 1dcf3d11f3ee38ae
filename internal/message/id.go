package message

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// An ID names one message and is the only key to it: a version 4 UUID, 122
// bits from crypto/rand (RFC 9562, section 5.4). It is a credential: it belongs
// in the link and nowhere else, and printing one shows nothing.
type ID struct{ uuid uuid.UUID }

// NewID returns a fresh random ID.
func NewID() ID { return ID{uuid.New()} }

var errID = errors.New("message: not a version 4 UUID")

// ParseID reads an ID in the one form that links have: 36 characters, in
// either case (RFC 9562, section 4), of version 4 and the RFC's variant.
// The other forms that UUID libraries accept (URN, braces, no hyphens) are
// errors, so that one message has one link. The error never quotes the input.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, errID
	}
	u, err := uuid.Parse(s)
	if err != nil || u.Version() != 4 || u.Variant() != uuid.RFC4122 {
		return ID{}, errID
	}
	return ID{u}, nil
}

// Reveal returns the canonical text form. It is for the link only.
func (id ID) Reveal() string { return id.uuid.String() }

// Format hides an ID that is printed by mistake, with any verb.
func (ID) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "message.ID(hidden)") }

// A Key is the name under which a Store keeps a message. It is derived from the
// ID one way: it finds the sealed message, but opens it no more than it shows the ID.
type Key [16]byte

// Hex returns the whole key as 32 lower-case hexadecimal digits.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// Prefix returns the first eight digits of Hex: enough to tie log lines
// together, too little to find the record by.
func (k Key) Prefix() string { return hex.EncodeToString(k[:4]) }

// keys are the keys that are derived from one ID.
type keys struct {
	store   Key
	sealing [32]byte // AES-256
}

// derivation separates these keys from any other use of the same bytes. It
// changes only with the format of everything that is stored.
const derivation = "messaging_api 1: store key (16), AES-256-GCM key (32)"

// noSalt is HKDF's default salt, spelled out (RFC 5869, section 2.2): passing nil
// means the same and costs two more allocations.
var noSalt [sha256.Size]byte

// derive expands the id's 16 bytes with HKDF-SHA256 (RFC 5869) to 48 bytes: the
// first 16 are the store key, the next 32 the sealing key. One expansion is
// enough, since HKDF's output bytes are independent of each other.
func (id ID) derive() keys {
	okm, err := hkdf.Key(sha256.New, id.uuid[:], noSalt[:], derivation, len(Key{})+32)
	if err != nil {
		panic(err) // only a length over 255 hashes, or a FIPS-only build
	}
	return keys{Key(okm[:16]), [32]byte(okm[16:])}
}
