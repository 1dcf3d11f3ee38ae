package link_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"messaging_api/internal/link"
)

const (
	id     = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	secret = "AAECAwQFBgcICQoLDA0ODw"
)

// People paste links in many ways, and every one of them is the same link.
func TestParse(t *testing.T) {
	const whole = "https://msg.example/msg/" + id + "#1" + secret
	for _, text := range []string{
		whole, " " + whole + "\n", "<" + whole + ">", "(" + whole + ").", `"` + whole + `",`, whole + "!?",
		"HTTPS://MSG.Example/msg/" + strings.ToUpper(id) + "#1" + secret,
		"https://msg.example:443/msg/" + id + "#1" + secret,
	} {
		l, err := link.Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if got := l.Reveal(); got != whole {
			t.Errorf("Parse(%q) is %s, want %s", text, got, whole)
		}
	}
}

func TestParseParts(t *testing.T) {
	for text, want := range map[string]struct {
		service, address string
		encrypted        bool
		passphrase       bool
	}{
		"https://a.example/msg/" + id:                          {"https://a.example/", "https://a.example/msg/" + id, false, false},
		"https://a.example/msg/" + id + "/":                    {"https://a.example/", "https://a.example/msg/" + id, false, false},
		"https://a.example:8443/x/y/msg/" + id + "#2" + secret: {"https://a.example:8443/x/y/", "https://a.example:8443/x/y/msg/" + id, true, true},
		"https://[::1]:8443/msg/" + id + "#1" + secret:         {"https://[::1]:8443/", "https://[::1]:8443/msg/" + id, true, false},
		"https://[::1]:443/msg/" + id + "#1" + secret:          {"https://[::1]/", "https://[::1]/msg/" + id, true, false},
	} {
		l, err := link.Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if l.Service != want.service || l.Address() != want.address || l.ID != id || (l.Key != nil) != want.encrypted || l.Key != nil && l.Key.Passphrase != want.passphrase {
			t.Errorf("Parse(%q) = %+v, want %+v", text, l, want)
		}
	}
}

// What was cut or altered is told before anything is asked of the service, and
// the error shows nothing of the key.
func TestParseRefuses(t *testing.T) {
	base := "https://a.example/msg/" + id
	for _, text := range []string{
		"", "x", "https://", "/msg/" + id, "http://a.example/msg/" + id, "ftp://a.example/msg/" + id,
		"https://a.example/", "https://a.example/msg/", "https://a.example/msg/" + id[:35], "https://a.example/msg/" + id + "/x",
		"https://a.example/msg/{" + id + "}x", "https://me:pw@a.example/msg/" + id, base + "?x=y",
		"https://a.example/msg/6ba7b810-9dad-11d1-80b4-00c04fd430c8",
		base + "#1", base + "#3" + secret, base + "#" + secret, base + "#1" + secret[:21], base + "#1" + secret + "A",
		base + "#1" + secret[:21] + "x", // a spare bit is set
		base + "#1" + secret[:21] + "=", base + "#1" + secret[:10] + "\n" + secret[10:], base + "#1" + secret[:21] + "+", base + "#1" + secret + "#",
	} {
		l, err := link.Parse(text)
		if err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, l)
		} else if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("Parse(%q): the error shows the key: %v", text, err)
		}
	}
}

// The derivation is part of every link that was ever handed out. The vectors
// were made by another program; the page reads the same file.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Fragment   string `json:"fragment"`
		Passphrase string `json:"passphrase"`
		Identity   string `json:"identity"`
		Proof      string `json:"proof"`
		ProofHash  string `json:"proof_hash"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) < 10 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		l, err := link.Parse("https://a.example/msg/" + id + "#" + v.Fragment)
		if err != nil {
			t.Errorf("%s: %v", v.Fragment, err)
			continue
		}
		if l.Key.Passphrase != (v.Passphrase != "") {
			t.Errorf("%s: passphrase %v", v.Fragment, l.Key.Passphrase)
		}
		got, err := link.Derive(l.Key.Secret, v.Passphrase)
		if want := (link.Keys{Identity: v.Identity, Proof: v.Proof, ProofHash: v.ProofHash}); err != nil || got != want {
			t.Errorf("Derive(%s, %q) = %+v, %v, want %+v", v.Fragment, v.Passphrase, got, err, want)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	keys, err := link.Derive(link.NewSecret(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 65535, 65536, 65537, 190000} {
		text := strings.Repeat("x", size)
		file, err := link.Seal([]byte(text), keys.Identity)
		if err != nil || !link.Sealed(file) {
			t.Fatalf("Seal of %d bytes: %v", size, err)
		}
		if got, err := link.Open(file, keys.Identity); err != nil || string(got) != text {
			t.Errorf("Open of %d bytes: %d bytes, %v", size, len(got), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	keys, err := link.Derive(link.NewSecret(), "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := link.Derive(link.NewSecret(), "")
	if err != nil {
		t.Fatal(err)
	}
	file, err := link.Seal([]byte("hello"), keys.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ file, identity string }{
		"another key":   {file, other.Identity},
		"no identity":   {file, "x"},
		"cut":           {file[:len(file)/2], keys.Identity},
		"altered":       {strings.Replace(file, file[100:101], "!", 1), keys.Identity},
		"not age":       {"hello", keys.Identity},
		"empty":         {"", keys.Identity},
		"text behind":   {file + "x", keys.Identity},
		"text in front": {"x" + file, keys.Identity},
	} {
		if text, err := link.Open(tc.file, tc.identity); !errors.Is(err, link.ErrSealed) {
			t.Errorf("%s: Open = %q, %v, want ErrSealed", name, text, err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	for passphrase, ok := range map[string]bool{"x": true, " ": true, "": false, "a\xffb": false} {
		if err := link.CheckPassphrase(passphrase); (err == nil) != ok {
			t.Errorf("CheckPassphrase(%q): %v", passphrase, err)
		}
	}
	if _, err := link.Derive(link.Secret{}, "a\xffb"); err == nil {
		t.Error("Derive takes a passphrase that is not UTF-8")
	}
}

// A secret that is printed by mistake must not show itself.
func TestSecretHidesFromPrinting(t *testing.T) {
	l, err := link.Parse("https://a.example/msg/" + id + "#1" + secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%s", "%x", "%d", "%q"} {
		if shown := fmt.Sprintf(verb, *l.Key); strings.Contains(shown, "010203") || strings.Contains(shown, "1 2 3") {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("https://a.example/msg/" + id + "#1" + secret)
	f.Add("<https://a.example:8443/p/msg/" + id + "#2" + secret + ">.")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := link.Parse(text)
		if err != nil {
			return
		}
		again, err := link.Parse(l.Reveal())
		if err != nil || again.Reveal() != l.Reveal() {
			t.Errorf("Parse(%q).Reveal() = %q, which Parse takes for %q, %v", text, l.Reveal(), again.Reveal(), err)
		}
	})
}
