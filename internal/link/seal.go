package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Seal encrypts a text to an armored age file that the identity opens.
func Seal(text []byte, identity string) (string, error) {
	owner, err := age.ParseX25519Identity(identity)
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	var file strings.Builder
	armored := armor.NewWriter(&file)
	sealed, err := age.Encrypt(armored, owner.Recipient())
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	if _, err := sealed.Write(text); err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	if err := errors.Join(sealed.Close(), armored.Close()); err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	return file.String(), nil
}

// ErrSealed says that a message does not open: the key is another one, or the
// message is damaged.
var ErrSealed = errors.New("the message cannot be decrypted: the key does not fit, or the message is damaged")

// Open decrypts what [Seal] returned. Every error wraps [ErrSealed].
func Open(file, identity string) ([]byte, error) {
	owner, err := age.ParseX25519Identity(identity)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrSealed, err)
	}
	text, err := age.Decrypt(armor.NewReader(strings.NewReader(file)), owner)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrSealed, err)
	}
	var plain bytes.Buffer
	if _, err := io.Copy(&plain, text); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrSealed, err)
	}
	return plain.Bytes(), nil
}

// Sealed reports whether a message is an armored age file.
func Sealed(message string) bool { return strings.HasPrefix(message, armor.Header) }
