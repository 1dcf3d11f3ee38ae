package tlscert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A Pair names the two files of one certificate.
type Pair struct {
	Cert string // PEM, the server's own certificate first, then the intermediates
	Key  string // PEM, not encrypted
}

// ErrNotValidNow says that a certificate has expired or is not valid yet. A
// renewal, or a clock that is set, ends that without the operator.
var ErrNotValidNow = errors.New("not valid now")

// content is what the two files hold.
type content struct{ cert, key string }

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
	return content{string(cert), string(key)}, nil
}

// parse returns the certificate that c holds, with its whole chain. Its errors
// name the file and the reason and never show what is in it. The same fault has
// the same text each time, so that a log can leave out repetitions.
func (p Pair) parse(c content) (*tls.Certificate, error) {
	chain, err := parseCertificates([]byte(c.cert))
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", p.Cert, err)
	}
	key, err := parseKey([]byte(c.key))
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

// ReadPair reads the certificate that a client shows, with its chain. Its errors
// name the file.
func ReadPair(p Pair) (*tls.Certificate, error) {
	c, err := p.read()
	if err != nil {
		return nil, err
	}
	return p.parse(c)
}

// exposed reports whether everybody on the machine can read the key. A group
// that can is how many machines share a key with their services.
func (p Pair) exposed() bool {
	info, err := os.Stat(p.Key)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

// checkLeaf tells why no client would accept the server's certificate at now.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w: expired at %s", ErrNotValidNow, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: not valid before %s", ErrNotValidNow, leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0:
		// Clients no longer look at the common name.
		return errors.New("names no host (it has no subject alternative name)")
	}
	return nil
}

// warning tells why many clients would refuse cert although it can be served;
// it is empty where nothing is known. A chain has to lead to a root of this
// system, or to one in the file itself.
func warning(cert *tls.Certificate, now time.Time) string {
	leaf := cert.Leaf
	usages := leaf.ExtKeyUsage
	if len(usages)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(usages, x509.ExtKeyUsageServerAuth) && !slices.Contains(usages, x509.ExtKeyUsageAny) {
		return "it is not for servers: its extended key usage lacks serverAuth"
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	intermediates := x509.NewCertPool()
	for _, der := range cert.Certificate {
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			continue // parse has let it through
		}
		if issuer.CheckSignature(issuer.SignatureAlgorithm, issuer.RawTBSCertificate, issuer.Signature) == nil {
			roots.AddCert(issuer)
		}
		intermediates.AddCert(issuer)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) && unknown.Cert != nil {
		return fmt.Sprintf("its chain leads to no root: the issuer %q is neither in the file nor a root of this system", unknown.Cert.Issuer)
	}
	if err != nil {
		return "its chain leads to no root: " + err.Error()
	}
	return ""
}
