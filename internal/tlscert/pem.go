package tlscert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// beginMarker matches the first line of a PEM block (RFC 7468), and what is left
// of a damaged one.
var beginMarker = regexp.MustCompile(`(-*)BEGIN ([A-Z0-9 ]*)(-*)`)

// decodePEM returns the blocks in data whose type contains kind. It differs from
// pem.Decode where files are edited by hand: a damaged block is an error that
// names it and its line, since pem.Decode skips it and what follows; and a block
// may begin on the line on which the last one ended.
func decodePEM(data []byte, kind string) (blocks []*pem.Block, lines []int, err error) {
	markers := beginMarker.FindAllSubmatchIndex(data, -1)
	for i, m := range markers {
		blockType := string(data[m[4]:m[5]])
		if !strings.Contains(blockType, kind) {
			continue
		}
		text := data[m[7]:]
		if i+1 < len(markers) {
			text = data[m[7]:markers[i+1][3]]
		}
		line := 1 + bytes.Count(data[:m[0]], []byte("\n"))
		body, _, ended := bytes.Cut(text, []byte("-----END "+blockType+"-----"))
		whole := fmt.Appendf(nil, "-----BEGIN %s-----\n%s\n-----END %[1]s-----\n", blockType, bytes.TrimSpace(body))
		block, _ := pem.Decode(whole)
		switch at := fmt.Sprintf("block %d, line %d", len(blocks)+1, line); {
		case m[3]-m[2] < 5 || m[7]-m[6] < 5:
			return nil, nil, fmt.Errorf("%s: its BEGIN line is damaged", at)
		case !ended:
			return nil, nil, fmt.Errorf("%s: has no END line", at)
		case block == nil:
			return nil, nil, fmt.Errorf("%s: is not base64", at)
		}
		blocks, lines = append(blocks, block), append(lines, line)
	}
	return blocks, lines, nil
}

// parseCertificates returns all certificates in a PEM file, in order.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	blocks, lines, err := decodePEM(data, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for i, block := range blocks {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d, line %d: is a %s, not a CERTIFICATE", i+1, lines[i], block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d, line %d: %w", i+1, lines[i], err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no certificate in PEM form")
	}
	return certs, nil
}

// parseKey returns the private key's block in a PEM file. It does not read the
// key itself.
func parseKey(data []byte) (*pem.Block, error) {
	blocks, _, err := decodePEM(data, "PRIVATE KEY")
	switch {
	case err != nil:
		return nil, err
	case len(blocks) == 0:
		return nil, errors.New("holds no private key in PEM form")
	case blocks[0].Type == "ENCRYPTED PRIVATE KEY" || blocks[0].Headers["DEK-Info"] != "":
		return nil, errors.New("is encrypted; the service cannot ask for the passphrase")
	}
	return blocks[0], nil
}

// ReadPool reads the certificates of CAs from a PEM file. If one of them
// cannot be read, the error names the file.
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
