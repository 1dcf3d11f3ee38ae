package link_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"

	"messaging_api/internal/link"
)

// age's own test vectors hold for messages too, where they are armored and have one
// X25519 identity: what they expect to fail is damaged, and the rest opens.
func TestAgeVectors(t *testing.T) {
	names, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil {
		t.Fatal(err)
	}
	opened, refused := 0, 0
	for _, name := range names {
		file, err := fs.ReadFile(agetest.Vectors, name.Name())
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := bytes.Cut(file, []byte("\n\n"))
		fields := make(map[string][]string)
		for line := range strings.Lines(string(head)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			fields[key] = append(fields[key], value)
		}
		identity := fields["identity"]
		if fields["armored"] == nil || len(identity) != 1 || !strings.HasPrefix(identity[0], "AGE-SECRET-KEY-1") || fields["compressed"] != nil {
			continue
		}
		text, err := link.Open(string(body), identity[0])
		if fields["expect"][0] != "success" {
			if !errors.Is(err, link.ErrSealed) {
				t.Errorf("%s: Open = %d bytes, %v, want ErrSealed", name.Name(), len(text), err)
			}
			refused++
			continue
		}
		if sum := sha256.Sum256(text); err != nil || hex.EncodeToString(sum[:]) != fields["payload"][0] {
			t.Errorf("%s: Open = %d bytes, %v, want the payload", name.Name(), len(text), err)
		}
		opened++
	}
	if opened == 0 || refused == 0 {
		t.Errorf("%d vectors opened and %d were refused", opened, refused)
	}
}
