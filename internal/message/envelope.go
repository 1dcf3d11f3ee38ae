package message

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// An envelope is what a store holds:
//
//	version (1 byte, 1) | nonce (12) | AES-256-GCM ciphertext | tag (16)
//
// with the version byte and the store key as associated data, so that an
// envelope neither opens under another key nor passes for another version.
// The plaintext is a sequence of fields in ascending order of their tags:
//
//	tag (1 byte) | length (uvarint) | value
//
// A reader refuses a field that it does not know: a later field may be a
// condition ("once", "only with this proof"), and an old program must not
// serve a message whose conditions it cannot judge.
const version1 = 1

// Field tags of version 1. Text is last and has a high tag, to leave the room
// between for conditions that a later program has to know before it reads on.
const (
	fieldCreated = 1   // Unix milliseconds, 8 bytes, big endian
	fieldExpires = 2   // the same
	fieldText    = 128 // UTF-8
)

const headerSize = 1 // the version byte, in front of what GCM returns

// aead returns the cipher of these keys. A fresh random nonce for each sealing
// costs 12 bytes and keeps a message that is sealed again one day safe.
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

// associated is the data that the tag covers besides the ciphertext.
func (k *keys) associated(version byte) [1 + len(Key{})]byte {
	var data [1 + len(Key{})]byte
	data[0] = version
	copy(data[1:], k.store[:])
	return data
}

// seal returns m as an envelope.
func (k *keys) seal(m Message) []byte {
	const fields = 2*(1+1+8) + 1 + binary.MaxVarintLen64
	gcm := k.aead()
	plain := make([]byte, 0, fields+len(m.Text))
	plain = appendTime(plain, fieldCreated, m.Created)
	plain = appendTime(plain, fieldExpires, m.Expires)
	plain = append(plain, fieldText)
	plain = binary.AppendUvarint(plain, uint64(len(m.Text)))
	plain = append(plain, m.Text...)

	sealed := make([]byte, headerSize, headerSize+len(plain)+gcm.Overhead())
	sealed[0] = version1
	data := k.associated(version1)
	return gcm.Seal(sealed, nil, plain, data[:]) //nolint:gosec // nil: the cipher makes the nonce itself
}

// open returns the message in an envelope, which it uses up: the returned text
// lies in its memory. Every error wraps ErrTampered and holds none of the
// content.
func (k *keys) open(sealed []byte) (Message, error) {
	if len(sealed) < headerSize {
		return Message{}, fmt.Errorf("%w: it is empty", ErrTampered)
	}
	if sealed[0] != version1 {
		return Message{}, fmt.Errorf("%w: its version is %d, this program reads %d", ErrTampered, sealed[0], version1)
	}
	data := k.associated(version1)
	box := sealed[headerSize:]
	plain, err := k.aead().Open(box[:0], nil, box, data[:])
	if err != nil {
		return Message{}, fmt.Errorf("%w: authentication failed", ErrTampered)
	}
	m, err := parseFields(plain)
	if err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	return m, nil
}

func appendTime(b []byte, tag byte, t time.Time) []byte {
	b = append(b, tag, 8)
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

// parseFields reads the plaintext of a version 1 envelope. Only the program
// itself, or another version of it, can have sealed what gets here.
func parseFields(plain []byte) (Message, error) {
	var m Message
	last := 0
	for len(plain) > 0 {
		tag := plain[0]
		size, n := binary.Uvarint(plain[1:])
		if n <= 0 || size > math.MaxInt || uint64(len(plain)-1-n) < size { //nolint:gosec // both are lengths
			return Message{}, fmt.Errorf("field %d is cut short", tag)
		}
		if int(tag) <= last {
			return Message{}, fmt.Errorf("field %d is out of order", tag)
		}
		last = int(tag)
		value := plain[1+n : 1+n+int(size)]
		plain = plain[1+n+int(size):]
		if err := m.set(tag, value); err != nil {
			return Message{}, err
		}
	}
	if m.Created.IsZero() || m.Expires.IsZero() || m.Text == nil {
		return Message{}, fmt.Errorf("a field is missing")
	}
	return m, nil
}

// set stores one field's value in m.
func (m *Message) set(tag byte, value []byte) error {
	switch tag {
	case fieldCreated, fieldExpires:
		if len(value) != 8 {
			return fmt.Errorf("field %d has %d bytes, want 8", tag, len(value))
		}
		t := time.UnixMilli(int64(binary.BigEndian.Uint64(value))).UTC() //nolint:gosec // the inverse of appendTime
		if tag == fieldCreated {
			m.Created = t
		} else {
			m.Expires = t
		}
	case fieldText:
		m.Text = value
	default:
		return fmt.Errorf("field %d is not known to this program", tag)
	}
	return nil
}
