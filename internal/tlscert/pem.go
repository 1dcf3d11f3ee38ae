package tlscert

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A Pair names the two files of one certificate.
type Pair struct {
	Cert string // PEM, the server's own certificate first, then the intermediates
	Key  string // PEM, not encrypted
}

// ReadPair reads a certificate with its whole chain. Its errors name the file and
// the reason, and never show what is in it. The same fault has the same text each
// time, so that a log can leave out repetitions.
func ReadPair(p Pair) (*tls.Certificate, error) {
	data, err := os.ReadFile(p.Cert)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	chain, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", p.Cert, err)
	}
	if data, err = os.ReadFile(p.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", p.Key, err)
	}
	var certs bytes.Buffer
	for _, cert := range chain {
		_ = pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a buffer takes everything
	}
	cert, err := tls.X509KeyPair(certs.Bytes(), pem.EncodeToMemory(key))
	if err != nil {
		return nil, fmt.Errorf("certificate %s: does not match the key in %s (the server's own certificate has to come first): %w", p.Cert, p.Key, err)
	}
	return &cert, nil
}

// ReadPool reads the certificates of CAs from a PEM file. If one of them cannot
// be read, the error names the file.
func ReadPool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// parseCertificates returns all certificates in a PEM file, in order.
func parseCertificates(data []byte) (certs []*x509.Certificate, err error) {
	err = decodePEM(data, "CERTIFICATE", func(block *pem.Block) error {
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("is a %s, not a CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		certs = append(certs, cert)
		return err
	})
	if err == nil && len(certs) == 0 {
		err = errors.New("holds no certificate in PEM form")
	}
	return certs, err
}

// parseKey returns the block of the first private key in a PEM file.
func parseKey(data []byte) (key *pem.Block, err error) {
	err = decodePEM(data, "PRIVATE KEY", func(block *pem.Block) error {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errors.New("is encrypted; the service cannot ask for the passphrase")
		}
		key = cmp.Or(key, block)
		return nil
	})
	if err == nil && key == nil {
		err = errors.New("holds no private key in PEM form")
	}
	return key, err
}

// beginMarker matches the first line of a PEM block (RFC 7468), and what is left
// of a damaged one.
var beginMarker = regexp.MustCompile(`(-*)BEGIN ([A-Z0-9 ]*)(-*)`)

// decodePEM passes to use the blocks in data whose type contains kind. pem.Decode
// alone skips a damaged block and what follows, and a block that begins on the line
// on which the last one ends, as in files that were edited by hand. Errors name
// the block and its line.
func decodePEM(data []byte, kind string, use func(*pem.Block) error) error {
	markers := beginMarker.FindAllSubmatchIndex(data, -1)
	n := 0
	for i, m := range markers {
		blockType := string(data[m[4]:m[5]])
		if !strings.Contains(blockType, kind) {
			continue
		}
		text := data[m[7]:]
		if i+1 < len(markers) {
			text = data[m[7]:markers[i+1][3]]
		}
		body, _, ended := bytes.Cut(text, []byte("-----END "+blockType+"-----"))
		whole := fmt.Appendf(nil, "-----BEGIN %s-----\n%s\n-----END %[1]s-----\n", blockType, bytes.TrimSpace(body))
		block, _ := pem.Decode(whole)
		var err error
		switch {
		case m[3]-m[2] < 5 || m[7]-m[6] < 5:
			err = errors.New("its BEGIN line is damaged")
		case !ended:
			err = errors.New("has no END line")
		case block == nil:
			err = errors.New("is not base64")
		default:
			err = use(block)
		}
		if n++; err != nil {
			return fmt.Errorf("block %d, line %d: %w", n, 1+bytes.Count(data[:m[0]], []byte("\n")), err)
		}
	}
	return nil
}
