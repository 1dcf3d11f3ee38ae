package tlscert_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// edits are what editors and concatenation do to PEM files of three blocks. Each
// either changes nothing, or is refused with the number and the line of a block.
var edits = []struct {
	name  string
	edit  func(blocks [][]byte) []byte
	fault string // empty: it changes nothing
}{
	{"as it was", func(b [][]byte) []byte { return bytes.Join(b, nil) }, ""},
	{"a BOM", func(b [][]byte) []byte { return append([]byte("\ufeff"), bytes.Join(b, nil)...) }, ""},
	{"no last newline", func(b [][]byte) []byte { return bytes.TrimSpace(bytes.Join(b, nil)) }, ""},
	{"glued", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.TrimSpace(b[1]), b[2]}, nil)
	}, ""},
	{"all glued", func(b [][]byte) []byte {
		return bytes.Join([][]byte{bytes.TrimSpace(b[0]), bytes.TrimSpace(b[1]), bytes.TrimSpace(b[2])}, nil)
	}, ""},
	{"CRLF", func(b [][]byte) []byte { return bytes.ReplaceAll(bytes.Join(b, nil), []byte("\n"), []byte("\r\n")) }, ""},
	{"comments", func(b [][]byte) []byte {
		return bytes.Join([][]byte{nil, b[0], b[1], b[2]}, []byte("subject=CN = x\n\n"))
	}, ""},
	{"indented", func(b [][]byte) []byte { return bytes.ReplaceAll(bytes.Join(b, nil), []byte("\n"), []byte("\n  ")) }, ""},
	{"no END", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.Replace(b[1], []byte("-----END CERTIFICATE-----"), nil, 1), b[2]}, nil)
	}, "block 2, line 11: has no END line"},
	{"truncated", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], b[1], b[2][:len(b[2])/2]}, nil)
	}, "block 3, line 21: has no END line"},
	{"a damaged BEGIN", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], b[1][2:], b[2]}, nil)
	}, "block 2, line 11: its BEGIN line is damaged"},
	{"a damaged letter", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.Replace(b[1], []byte("MII"), []byte("M?I"), 1), b[2]}, nil)
	}, "block 2, line 11: is not base64"},
	{"a damaged certificate", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.Replace(b[1], []byte("MII"), []byte("AII"), 1), b[2]}, nil)
	}, "block 2, line 11: x509: malformed"},
	{"a request", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.ReplaceAll(b[1], []byte("CERTIFICATE-"), []byte("CERTIFICATE REQUEST-")), b[2]}, nil)
	}, "block 2, line 11: is a CERTIFICATE REQUEST"},
	{"openssl's own form", func(b [][]byte) []byte {
		return bytes.Join([][]byte{b[0], bytes.ReplaceAll(b[1], []byte(" CERTIFICATE-"), []byte(" TRUSTED CERTIFICATE-")), b[2]}, nil)
	}, "block 2, line 11: is a TRUSTED CERTIFICATE"},
}

// chain returns a server's certificate of 10 lines, two others, and the server's
// key.
func chain(t *testing.T) (blocks [][]byte, key []byte) {
	t.Helper()
	ca := newAuthority(t)
	for len(blocks) < 3 {
		cert, its := ca.issue(ecdsaKey(t), names("a.example"))
		if bytes.Count(cert, []byte("\n")) != 10 || !bytes.Contains(cert, []byte("MII")) {
			continue // signatures differ in length
		}
		if blocks = append(blocks, cert); key == nil {
			key = its
		}
	}
	return blocks, key
}

// A certificate is served with its whole chain, in order, or refused.
func TestFilesServesWholeChains(t *testing.T) {
	blocks, key := chain(t)
	for _, tt := range edits {
		dir := t.TempDir()
		p := tlscert.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		write(t, p.Cert, tt.edit(blocks))
		write(t, p.Key, key)
		files, err := tlscert.NewFiles([]tlscert.Pair{p}, nil, time.Now(), discard)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), p.Cert) || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		cert, err := files.GetCertificate(hello("a.example"))
		must(t, err)
		if len(cert.Certificate) != len(blocks) {
			t.Errorf("%s: %d certificates are served, want %d", tt.name, len(cert.Certificate), len(blocks))
			continue
		}
		for i, block := range blocks {
			if want, _ := pem.Decode(block); !bytes.Equal(cert.Certificate[i], want.Bytes) {
				t.Errorf("%s: certificate %d is another one", tt.name, i+1)
			}
		}
	}
}

// Clients' certificates and keys are read the same way.
func TestReadPair(t *testing.T) {
	blocks, key := chain(t)
	dir := t.TempDir()
	p := tlscert.Pair{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	// The usual file of both, glued, and with the parameters that openssl writes.
	both := bytes.Join([][]byte{[]byte("\ufeff-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----"), bytes.TrimSpace(key), bytes.TrimSpace(blocks[0]), blocks[1]}, nil)
	write(t, p.Cert, both)
	write(t, p.Key, both)
	cert, err := tlscert.ReadPair(p)
	must(t, err)
	if len(cert.Certificate) != 2 {
		t.Errorf("got %d certificates, want 2", len(cert.Certificate))
	}
	for fault, data := range map[string][]byte{
		"block 1, line 1: has no END line":           key[:len(key)/2],
		"block 1, line 1: its BEGIN line is damaged": key[1:],
		"block 1, line 1: is not base64":             bytes.Replace(key, []byte("MI"), []byte("?I"), 1),
	} {
		write(t, p.Key, data)
		if _, err := tlscert.ReadPair(p); err == nil || !strings.Contains(err.Error(), p.Key) || !strings.Contains(err.Error(), fault) {
			t.Errorf("got %v, want %q", err, fault)
		}
	}
}

// The certificates of CAs are read the same way.
func TestReadPool(t *testing.T) {
	blocks, _ := chain(t)
	for _, tt := range edits {
		file := filepath.Join(t.TempDir(), "ca.pem")
		write(t, file, tt.edit(blocks))
		pool, err := tlscert.ReadPool(file)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := x509.NewCertPool()
		for _, block := range blocks {
			want.AppendCertsFromPEM(block)
		}
		if !pool.Equal(want) {
			t.Errorf("%s: not all certificates are in the pool", tt.name)
		}
	}
	if _, err := tlscert.ReadPool(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: got %v", err)
	}
}
