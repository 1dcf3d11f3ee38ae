// Package link has the links of encrypted messages: the secret in a link's
// fragment, the keys that come from it, and the age files that they open. The
// page does the same in TypeScript (internal/page/src); both are held to
// testdata/vectors.json. docs/DESIGN.md, "End-to-end encryption", says why.
package link

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

// secretSize is the size of a link's secret, in bytes.
const secretSize = 16

// A Secret is what a link adds to the address of a message. Who has it, and the
// passphrase where one was set, can decrypt the message. It is never sent to
// the service.
type Secret [secretSize]byte

// A Link is the address of a message, with the key to it where it is encrypted.
type Link struct {
	// Service is the API's root: scheme, host and the path before /msg/, which
	// ends in "/".
	Service string
	ID      string // the canonical form of a version 4 UUID
	Key     *Key   // nil: the message is not encrypted
}

// A Key is what stands in a link's fragment.
type Key struct {
	Secret     Secret
	Passphrase bool // a passphrase is needed as well
}

// The digit before the secret says whether a passphrase is needed.
const (
	withoutPassphrase = '1'
	withPassphrase    = '2'
)

const messagePath = "/msg/"

// glued are the characters that chat programs put behind a link. They are
// ignored there; the service and the page do the same.
const glued = ".,)>]}\"';:!?/ \t\r\n"

// ErrFragment says that the part of a link behind # is cut or altered.
var ErrFragment = errors.New("the part behind # is cut or altered; ask the sender for the whole link")

// Parse reads a link as people paste it: in angle brackets, with punctuation
// behind it, with upper case in the host. It judges all of the link before
// anything is asked of the service, and its errors never quote the fragment.
func Parse(text string) (Link, error) {
	text = strings.TrimLeft(text, "<\"'( \t\r\n")
	text = strings.TrimRight(text, glued)
	address, fragment, _ := strings.Cut(text, "#")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return Link{}, errors.New("not a link: it has to look like https://HOST/msg/ID#KEY")
	}
	if u.Scheme != "https" {
		return Link{}, fmt.Errorf("the link begins with %q, not with https", u.Scheme)
	}
	at := strings.LastIndex(u.Path, messagePath)
	if at < 0 {
		return Link{}, errors.New("the link has no /msg/ in its path")
	}
	id, err := parseID(strings.TrimRight(u.Path[at+len(messagePath):], glued))
	if err != nil {
		return Link{}, err
	}
	key, err := parseKey(fragment)
	if err != nil {
		return Link{}, err
	}
	root := url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: u.Path[:at+1]}
	if h, p, err := net.SplitHostPort(root.Host); err == nil && p == "443" {
		root.Host = h
		if strings.Contains(h, ":") {
			root.Host = "[" + h + "]"
		}
	}
	return Link{Service: root.String(), ID: id, Key: key}, nil
}

// parseID returns the canonical form of a message's id.
func parseID(name string) (string, error) {
	id, err := uuid.Parse(name)
	if len(name) != 36 || err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		return "", errors.New("the link is cut or altered: what follows /msg/ is not the id of a message")
	}
	return id.String(), nil
}

// parseKey reads a fragment: a digit and a secret in strict base64url.
func parseKey(fragment string) (*Key, error) {
	if fragment == "" {
		return nil, nil
	}
	if fragment[0] != withoutPassphrase && fragment[0] != withPassphrase {
		return nil, ErrFragment
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(fragment[1:])
	if err != nil || len(secret) != secretSize || strings.ContainsAny(fragment, "\r\n") {
		return nil, ErrFragment
	}
	return &Key{Secret: Secret(secret), Passphrase: fragment[0] == withPassphrase}, nil
}

// Address returns the URL of the message, without its key: what the service
// may see.
func (l Link) Address() string { return strings.TrimSuffix(l.Service, "/") + messagePath + l.ID }

// Reveal returns the whole link. It is a credential: it goes to the person who
// sends it on and nowhere else.
func (l Link) Reveal() string {
	if l.Key == nil {
		return l.Address()
	}
	digit := byte(withoutPassphrase)
	if l.Key.Passphrase {
		digit = withPassphrase
	}
	return l.Address() + "#" + string(digit) + base64.RawURLEncoding.EncodeToString(l.Key.Secret[:])
}

// Format keeps a secret that is printed by mistake from showing itself.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("link.Secret(hidden)")) }
