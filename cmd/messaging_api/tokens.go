package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
)

// The bounds of --create-token-file.
const (
	maxTokens     = 1000
	maxTokensSize = 64 << 10
	maxTokenSize  = 256 // of one token
	noToken       = "none"
)

var (
	tokenNamePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	tokenPattern     = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`) // b64token of RFC 6750, section 2.1
)

// A tokenFile implements [web.Tokens] with a file that has a line NAME:TOKEN for each.
type tokenFile struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[tokenSet]
}

// A tokenSet is what a file held when it was read.
type tokenSet struct {
	// key is random and comes before each token in its hash. So nobody can choose a token
	// by its hash, and the time of a look-up in names says nothing about the tokens.
	key     [sha256.Size]byte
	names   map[[sha256.Size]byte]string
	created map[string]*atomic.Uint64 // messages by the name of their token, and noToken
}

// openTokens reads --create-token-file. It returns nil if there is none.
func (o *options) openTokens(log *slog.Logger) (*tokenFile, error) {
	if o.CreateTokenFile == "" {
		return nil, nil
	}
	f := &tokenFile{path: o.CreateTokenFile, log: log}
	if err := f.read(); err != nil {
		return nil, startError(fmt.Errorf("--create-token-file: %w", err))
	}
	return f, nil
}

// Name implements [web.Tokens].
func (f *tokenFile) Name(token string) (name string, known bool) {
	if len(token) > maxTokenSize {
		return "", false
	}
	set := f.current.Load()
	name, known = set.names[set.hash(token)]
	return name, known
}

func (s *tokenSet) hash(token string) [sha256.Size]byte {
	var room [sha256.Size + maxTokenSize]byte
	return sha256.Sum256(append(append(room[:0], s.key[:]...), token...))
}

// Created implements [web.Tokens].
func (f *tokenFile) Created(name string) {
	if name == "" {
		name = noToken
	}
	if count := f.current.Load().created[name]; count != nil { // nil: the token is no longer in the file
		count.Add(1)
	}
}

// counts returns how many messages were created with each token of the file.
func (f *tokenFile) counts() map[string]uint64 {
	counts := make(map[string]uint64)
	for name, count := range f.current.Load().created {
		counts[name] = count.Load()
	}
	return counts
}

// reload reads the file again. If it is not valid, the tokens stay as they are.
func (f *tokenFile) reload() {
	if err := f.read(); err != nil {
		f.log.Warn("the file of the tokens cannot be read: those of before stay valid", "event", "tokens", "error", err)
		return
	}
	f.log.Info("the tokens were read again", "event", "tokens", "count", len(f.current.Load().names))
}

func (f *tokenFile) read() error {
	file, err := os.Open(f.path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTokensSize+1))
	if err != nil {
		return err
	}
	set, err := parseTokens(text)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if before := f.current.Load(); before != nil {
		for name := range set.created {
			if count := before.created[name]; count != nil {
				set.created[name] = count
			}
		}
	}
	f.current.Store(set)
	if info.Mode()&fs.ModePerm&0o004 != 0 {
		f.log.Warn("everybody on this machine can read the tokens: chmod o-r", "event", "tokens", "file", f.path)
	}
	return nil
}

// parseTokens reads the lines of a file. Empty ones and those that begin with # are
// skipped. No error quotes a line, which may hold a token.
func parseTokens(text []byte) (*tokenSet, error) {
	if len(text) > maxTokensSize {
		return nil, fmt.Errorf("is larger than %d bytes", maxTokensSize)
	}
	set := &tokenSet{
		names:   make(map[[sha256.Size]byte]string),
		created: map[string]*atomic.Uint64{noToken: new(atomic.Uint64)},
	}
	_, _ = rand.Read(set.key[:]) // never fails
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) { // editors on Windows write the mark
		number++
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := set.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if len(set.names) == 0 {
		return nil, errors.New("holds no token: each line is NAME:TOKEN")
	}
	return set, nil
}

// add adds the token of a line.
func (s *tokenSet) add(line string) error {
	name, token, found := strings.Cut(line, ":")
	hash := s.hash(token)
	switch {
	case !found:
		return errors.New("must be NAME:TOKEN")
	case !tokenNamePattern.MatchString(name) || name == noToken:
		return errors.New("the name must be 1 to 64 characters of A-Z a-z 0-9 . _ - and not " + noToken)
	case len(token) < 16 || len(token) > maxTokenSize || !tokenPattern.MatchString(token):
		return fmt.Errorf("the token must be 16 to %d characters of A-Z a-z 0-9 - . _ ~ + /, then any =", maxTokenSize)
	case s.created[name] != nil:
		return errors.New("the name is that of an earlier line")
	case s.names[hash] != "":
		return errors.New("the token is that of an earlier line")
	case len(s.names) == maxTokens:
		return fmt.Errorf("there are more than %d tokens", maxTokens)
	}
	s.names[hash], s.created[name] = name, new(atomic.Uint64)
	return nil
}
