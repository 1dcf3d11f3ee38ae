package tlscert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A Pair names the two files of one certificate.
type Pair struct {
	Cert string // PEM, the server's own certificate first, then the intermediates
	Key  string // PEM, not encrypted
}

// content is what the two files hold.
type content struct{ cert, key []byte }

func (c content) equal(other content) bool {
	return bytes.Equal(c.cert, other.cert) && bytes.Equal(c.key, other.key)
}

// read reads both files. Its errors name the file.
func (p Pair) read() (content, error) {
	cert, err := os.ReadFile(p.Cert)
	if err != nil {
		return content{}, fmt.Errorf("certificate: %w", err)
	}
	key, err := os.ReadFile(p.Key)
	if err != nil {
		return content{}, fmt.Errorf("key: %w", err)
	}
	return content{cert, key}, nil
}

// exposed reports whether the key's file is open to everybody. That a group may
// read it is how many machines share a key with their services.
func (p Pair) exposed() bool {
	info, err := os.Stat(p.Key)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

// parse returns the certificate that c holds, if it can be served at now. Its
// errors name the file that is to blame and never show what is in it. They say
// the same for as long as the same is wrong, so that a repetition is known as one.
func (p Pair) parse(c content, now time.Time) (*tls.Certificate, error) {
	if err := checkChain(c.cert); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", p.Cert, err)
	}
	if err := checkKey(c.key); err != nil {
		return nil, fmt.Errorf("key %s: %w", p.Key, err)
	}
	cert, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: not of the key in %s (the server's own certificate has to come first): %w", p.Cert, p.Key, err)
	}
	if err := checkLeaf(cert.Leaf, now); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", p.Cert, err)
	}
	return &cert, nil
}

// checkChain tells what is wrong with a PEM file of certificates by itself.
func checkChain(data []byte) error {
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found = true
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("holds no certificate in PEM form")
	}
	return nil
}

// checkKey tells what is wrong with a PEM file of a private key by itself, as
// far as that is seen without reading the key.
func checkKey(data []byte) error {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return errors.New("is encrypted; the service has nobody to ask for the passphrase")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
	}
	return errors.New("holds no private key in PEM form")
}

// checkLeaf tells why no client would accept the server's certificate at now.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0:
		// Clients no longer look at the common name.
		return errors.New("names no host (it has no subject alternative name)")
	}
	return nil
}
