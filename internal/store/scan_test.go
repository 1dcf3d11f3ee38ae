package store_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/store"
)

// Neither the data of a store nor its traffic holds an id or a text, in any form.
// They are not enough to read a message or to build a link.

func TestNothingReadableInRedis(t *testing.T) {
	server := startRedis(t, redisSetup{})
	m := startMonitor(t, server)
	written := writeMessages(t, server.open())

	told := m.output()
	if n := strings.Count(strings.ToLower(told), `"set" "msg:`); n < written.records() {
		t.Fatalf("MONITOR shows %d records, want %d", n, written.records())
	}
	written.absentFrom(t, "MONITOR's output", []byte(told))
	written.absentFrom(t, "the data", server.everything(written.records()))

	server.kill() // so that the log is whole
	log := files(t, filepath.Join(server.dir, "appendonlydir"))
	if n := bytes.Count(log, []byte("msg:")); n < len(written) {
		t.Fatalf("the append-only log shows %d messages, want %d", n, len(written))
	}
	written.absentFrom(t, "all that Redis has on disk", files(t, server.dir))
}

func TestNothingReadableInTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "messages.db")
	var written messages
	openThenClose(t, path, func(b *store.Bolt) { written = writeMessages(t, b) })
	if c := inside(t, path); c.messages != written.records() {
		t.Fatalf("the file has %d records, want %d", c.messages, written.records())
	}
	written.absentFrom(t, "the file", files(t, dir))
}

// messages are texts by their ids.
type messages map[message.ID]string

// records is how many records they are: two of three are limited, with a text
// beside their record.
func (written messages) records() int { return len(written) * 5 / 3 }

// writeMessages creates a few hundred messages in s, and reads them.
func writeMessages(t *testing.T, s message.Store) messages {
	t.Helper()
	box := message.NewBox(s)
	written := make(messages)
	for i := range 300 {
		text := fmt.Sprintf("The %dth secret is %x.%s", i, randomBytes(8), strings.Repeat(" And so on.", i%7))
		draft := message.Draft{Text: []byte(text), TTL: time.Hour, Reads: i % 3}
		c, err := box.Create(t.Context(), draft, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		read := func() (message.Message, error) { return box.Read(t.Context(), c.ID.Reveal(), time.Now()) }
		if draft.Reads > 0 {
			read = func() (message.Message, error) {
				return box.Open(t.Context(), c.ID.Reveal(), message.Opening{Claim: "a claim"}, time.Now())
			}
		}
		m, err := read()
		if err != nil || string(m.Text) != text {
			t.Fatalf("Read: got %q and %v, want %q", m.Text, err, text)
		}
		written[c.ID] = text
	}
	return written
}

// absentFrom fails the test if an id or a text is in content.
func (written messages) absentFrom(t *testing.T, where string, content []byte) {
	t.Helper()
	lower := bytes.ToLower(content)
	for id, text := range written {
		digits := strings.ReplaceAll(id.Reveal(), "-", "")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		for form, trace := range map[string]string{
			"an id":              id.Reveal(),
			"an id's digits":     digits,
			"an id's first half": digits[:16],
		} {
			if bytes.Contains(lower, []byte(trace)) {
				t.Errorf("%s: %s is in it", where, form)
			}
		}
		for form, trace := range map[string]string{
			"an id's bytes":           string(raw),
			"an id's bytes in base64": base64.RawStdEncoding.EncodeToString(raw),
			"an id's bytes in URLs":   base64.RawURLEncoding.EncodeToString(raw),
			"an id's bytes, quoted":   quoted(raw),
			"a text":                  text,
			"a text's beginning":      text[:24],
			"a text in base64":        base64.RawStdEncoding.EncodeToString([]byte(text))[:24],
			"a text in hexadecimal":   hex.EncodeToString([]byte(text))[:24],
		} {
			if bytes.Contains(content, []byte(trace)) {
				t.Errorf("%s: %s is in it", where, form)
			}
		}
	}
}

// quoted is how MONITOR shows bytes.
func quoted(raw []byte) string {
	var b strings.Builder
	for _, c := range raw {
		switch {
		case bytes.IndexByte([]byte("\"\\"), c) >= 0:
			b.WriteString(`\` + string(c))
		case bytes.IndexByte([]byte("\n\r\t\a\b"), c) >= 0:
			b.WriteString(strings.Trim(strconv.Quote(string(c)), `"`))
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

// everything returns all keys and values, of which there are n.
func (s *redisServer) everything(n int) []byte {
	s.t.Helper()
	var all bytes.Buffer
	found := 0
	for keys := s.admin.Scan(s.t.Context(), 0, "", 100).Iterator(); keys.Next(s.t.Context()); found++ {
		value, err := s.admin.Get(s.t.Context(), keys.Val()).Bytes()
		if err != nil {
			s.t.Fatal(err)
		}
		all.WriteString(keys.Val())
		all.WriteByte(0)
		all.Write(value)
		all.WriteByte(0)
	}
	if found != n {
		s.t.Fatalf("SCAN finds %d keys, want %d", found, n)
	}
	return all.Bytes()
}

// files returns the content of all files under a directory.
func files(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}
