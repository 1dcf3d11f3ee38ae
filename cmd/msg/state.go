package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// claimLife is how long a claim is kept. The service repeats an answer for 10
// minutes after the opening, which may come late; an older claim does no harm.
const claimLife = 24 * time.Hour

// A stateDir keeps owner tokens and claims, each in a file (0600) that is named by
// a hash of the message's id: the directory shows no link. Empty: there is none.
type stateDir string

// file names the file of one kind for a message.
func (s stateDir) file(kind, id string) string {
	sum := sha256.Sum256([]byte("messaging_api/1 state " + id))
	return filepath.Join(string(s), kind+"-"+hex.EncodeToString(sum[:16]))
}

// write makes a file that holds a secret until its end. It is whole and on disk
// before it has its name, which give gives it.
func (s stateDir) write(name, secret string, end time.Time, give func(from, to string) error) error {
	if s == "" {
		return errors.New("there is nowhere to keep state: set HOME or XDG_STATE_HOME")
	}
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return err
	}
	s.forget(time.Now())
	f, err := os.CreateTemp(string(s), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // where it was renamed it is gone already
	_, err = f.WriteString(end.UTC().Format(time.RFC3339) + " " + secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return give(f.Name(), name)
}

// read returns the secret in a file, and its end.
func (s stateDir) read(name string) (secret string, end time.Time, err error) {
	if s == "" {
		return "", time.Time{}, fs.ErrNotExist
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return "", time.Time{}, err
	}
	stamp, secret, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	end, err = time.Parse(time.RFC3339, stamp)
	if err != nil || secret == "" {
		return "", time.Time{}, fmt.Errorf("%s is damaged; remove it", name)
	}
	return secret, end, nil
}

// forget removes what is past its end.
func (s stateDir) forget(now time.Time) {
	names, _ := filepath.Glob(filepath.Join(string(s), "*-*")) // the pattern is well-formed
	for _, name := range names {
		if _, end, err := s.read(name); err == nil && now.After(end) {
			_ = os.Remove(name) // the next write tries again
		}
	}
}

// keepOwner keeps the token with which a message can be taken back until it
// expires.
func (s stateDir) keepOwner(id, token string, expires time.Time) error {
	if token == "" {
		return errors.New("the service gave no owner token")
	}
	return s.write(s.file("owner", id), token, expires, os.Rename)
}

// owner returns the token of a message that was sent from here.
func (s stateDir) owner(id string) (string, error) {
	token, _, err := s.read(s.file("owner", id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("the message was not sent from here, or its time is over: its owner token is not kept here")
	}
	return token, err
}

// claim returns the claim on a message that is kept, or "".
func (s stateDir) claim(id string) (string, error) {
	value, _, err := s.read(s.file("claim", id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return value, err
}

// newClaim makes a random claim and keeps it. Where another msg has made one for
// the same message at the same time, both use that one.
func (s stateDir) newClaim(id string) (string, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	value := base64.RawURLEncoding.EncodeToString(random[:])
	for {
		err := s.write(s.file("claim", id), value, time.Now().Add(claimLife), os.Link)
		if !errors.Is(err, fs.ErrExist) {
			return value, err
		}
		other, err := s.claim(id)
		if other != "" || err != nil {
			return other, err
		} // the other msg has ended its claim meanwhile
	}
}

func (s stateDir) endClaim(id string) error { return os.Remove(s.file("claim", id)) }
