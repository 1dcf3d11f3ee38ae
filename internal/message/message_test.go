package message_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"messaging_api/internal/message"
)

// memory is a Store that polices its caller: a key may be used once, a record
// is never the caller's own memory, a ttl is whole seconds. It forgets texts
// only, and those when it is told.
type memory struct {
	t       testing.TB
	mu      sync.Mutex // guards what follows
	records map[message.Key][]byte
	texts   map[message.Key][]byte
	lives   map[message.Key]message.TextLife // of texts that a Swap has limited
	err     error
}

func newMemory(t testing.TB) *memory {
	return &memory{
		t: t, records: make(map[message.Key][]byte), texts: make(map[message.Key][]byte),
		lives: make(map[message.Key]message.TextLife),
	}
}

func (s *memory) Put(_ context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if ttl < time.Second || ttl%time.Second != 0 {
		s.t.Errorf("Put with ttl %v, want whole seconds", ttl)
	}
	if _, taken := s.records[key]; taken {
		s.t.Errorf("Put under a key that is taken")
		return message.ErrExists
	}
	s.records[key] = bytes.Clone(record)
	if text != nil {
		s.texts[key] = bytes.Clone(text)
	}
	return nil
}

func (s *memory) Get(_ context.Context, key message.Key) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	record, ok := s.records[key]
	if !ok {
		return nil, message.ErrNotFound
	}
	return bytes.Clone(record), nil
}

func (s *memory) Swap(_ context.Context, key message.Key, old, record []byte, life message.TextLife) (text []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if now, ok := s.records[key]; !ok || !bytes.Equal(now, old) {
		return nil, message.ErrConflict
	}
	s.records[key] = bytes.Clone(record)
	text = bytes.Clone(s.texts[key])
	switch life {
	case message.KeepText:
	case message.DropText:
		delete(s.texts, key)
	default:
		s.lives[key] = life
	}
	return text, nil
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123_456_789, time.UTC)

func TestBoxReadsWhatItCreated(t *testing.T) {
	for _, text := range []string{"x", "hello", "żółć 👋", "a\x00b\nc", strings.Repeat("long ", 50_000)} {
		box := message.NewBox(newMemory(t))
		created, err := box.Create(t.Context(), message.Draft{Text: []byte(text), TTL: time.Hour}, noon)
		if err != nil {
			t.Fatalf("Create(%.20q): %v", text, err)
		}
		if want := noon.Add(time.Hour).Truncate(time.Millisecond); !created.Expires.Equal(want) {
			t.Errorf("Create: expires %v, want %v", created.Expires, want)
		}
		m, err := box.Read(t.Context(), created.ID.Reveal(), noon)
		if err != nil {
			t.Fatalf("Read(%.20q): %v", text, err)
		}
		if string(m.Text) != text {
			t.Errorf("Read: got %.20q, want %.20q", m.Text, text)
		}
		if !m.Expires.Equal(created.Expires) || !m.Created.Equal(noon.Truncate(time.Millisecond)) {
			t.Errorf("Read: created %v expires %v, want %v and %v", m.Created, m.Expires, noon, created.Expires)
		}
		if _, err := box.Read(t.Context(), strings.ToUpper(created.ID.Reveal()), noon); err != nil {
			t.Errorf("Read in upper case: %v", err)
		}
	}
}

func TestBoxForgetsAtExpiry(t *testing.T) {
	box := message.NewBox(newMemory(t)) // a store that never forgets by itself
	created, err := box.Create(t.Context(), message.Draft{Text: []byte("x"), TTL: time.Second}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Read(t.Context(), created.ID.Reveal(), created.Expires.Add(-time.Nanosecond)); err != nil {
		t.Errorf("Read a moment before expiry: %v", err)
	}
	if _, err := box.Read(t.Context(), created.ID.Reveal(), created.Expires); !errors.Is(err, message.ErrNotFound) {
		t.Errorf("Read at expiry: got %v, want ErrNotFound", err)
	}
}

func TestBoxPassesTheStoresErrors(t *testing.T) {
	for from, want := range map[error]error{
		message.ErrFull:        message.ErrFull,
		message.ErrUnavailable: message.ErrUnavailable,
		message.ErrExists:      message.ErrUnavailable, // a write repeated by the back end
	} {
		store := newMemory(t)
		store.err = from
		box := message.NewBox(store)
		if c, err := box.Create(t.Context(), message.Draft{Text: []byte("x"), TTL: time.Hour}, noon); !errors.Is(err, want) || c != (message.Created{}) {
			t.Errorf("Create: got error %v, want %v and no id", err, want)
		}
		if _, err := box.Read(t.Context(), message.NewID().Reveal(), noon); !errors.Is(err, from) {
			t.Errorf("Read: got %v, want %v", err, from)
		}
	}
}

func TestBoxStoresNothingThatShowsTextOrID(t *testing.T) {
	store := newMemory(t)
	box := message.NewBox(store)
	text := []byte("attack at dawn, attack at dawn")
	created, err := box.Create(t.Context(), message.Draft{Text: text, TTL: time.Hour}, noon)
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(strings.ReplaceAll(created.ID.Reveal(), "-", ""))
	for key, value := range store.records {
		if bytes.Contains(value, text[:8]) || bytes.Contains([]byte(key.Hex()), raw[:8]) {
			t.Errorf("the store holds the text or the id: %x %x", key, value)
		}
	}
}

// Each byte of an envelope counts, and so does the key that it lies under.
func TestBoxRefusesTamperedEnvelopes(t *testing.T) {
	store := newMemory(t)
	box := message.NewBox(store)
	created, err := box.Create(t.Context(), message.Draft{Text: []byte("hi"), TTL: time.Hour}, noon)
	if err != nil {
		t.Fatal(err)
	}
	var key message.Key
	for key = range store.records {
	}
	good := store.records[key]
	read := func(envelope []byte) error {
		store.records[key] = envelope
		_, err := box.Read(t.Context(), created.ID.Reveal(), noon)
		return err
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if err := read(bad); !errors.Is(err, message.ErrTampered) && !(i == 0 && errors.Is(err, message.ErrNewer)) {
				t.Fatalf("byte %d bit %d flipped: got %v, want ErrTampered", i, bit, err)
			}
		}
		if err := read(good[:i]); !errors.Is(err, message.ErrTampered) {
			t.Fatalf("cut to %d bytes: got %v, want ErrTampered", i, err)
		}
	}
	if err := read(append(bytes.Clone(good), 0)); !errors.Is(err, message.ErrTampered) {
		t.Errorf("one byte longer: got %v, want ErrTampered", err)
	}
	other, err := box.Create(t.Context(), message.Draft{Text: []byte("other"), TTL: time.Hour}, noon)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range store.records {
		if k != key {
			err = read(v)
		}
	}
	if !errors.Is(err, message.ErrTampered) {
		t.Errorf("another message's envelope: got %v, want ErrTampered", err)
	}
	if strings.Contains(err.Error(), created.ID.Reveal()) || strings.Contains(err.Error(), other.ID.Reveal()) || strings.Contains(err.Error(), key.Hex()) {
		t.Errorf("the error shows an id or a whole key: %v", err)
	}
}
