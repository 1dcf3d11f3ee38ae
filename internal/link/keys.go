package link

import (
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Keys are what a secret and a passphrase yield.
type Keys struct {
	Identity  string // an age identity, AGE-SECRET-KEY-1…, which decrypts the message
	Proof     string // what an opener shows to the service, base64url
	ProofHash string // what the service keeps of it: its SHA-256, base64url
}

// rounds of PBKDF2: a guess of a passphrase costs about a fifth of a second.
const rounds = 600_000

const keySize = 32

// NewSecret returns a fresh random secret.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// CheckPassphrase tells what keeps a passphrase from being used: it must be
// valid UTF-8 and not empty. It is not trimmed.
func CheckPassphrase(passphrase string) error {
	switch {
	case passphrase == "":
		return errors.New("the passphrase is empty")
	case !utf8.ValidString(passphrase):
		return errors.New("the passphrase is not UTF-8")
	}
	return nil
}

// Derive returns the keys of a secret. An empty passphrase is none.
func Derive(s Secret, passphrase string) (Keys, error) {
	material := s[:]
	if passphrase != "" {
		if err := CheckPassphrase(passphrase); err != nil {
			return Keys{}, err
		}
		stretched, err := pbkdf2.Key(sha256.New, norm.NFKC.String(passphrase), expand(s[:], "messaging_api/1 salt"), rounds, keySize)
		if err != nil {
			return Keys{}, err
		}
		material = append(material, stretched...)
	}
	proof := expand(material, "messaging_api/1 proof")
	hash := sha256.Sum256(proof)
	return Keys{
		Identity:  encodeIdentity(expand(material, "messaging_api/1 identity")),
		Proof:     base64.RawURLEncoding.EncodeToString(proof),
		ProofHash: base64.RawURLEncoding.EncodeToString(hash[:]),
	}, nil
}

// expand is HKDF-SHA256 with an empty salt (RFC 5869), to 32 bytes.
func expand(material []byte, info string) []byte {
	key, err := hkdf.Key(sha256.New, material, nil, info, keySize)
	if err != nil {
		panic(err) // only a length over 255 hashes, or a FIPS-only build
	}
	return key
}
