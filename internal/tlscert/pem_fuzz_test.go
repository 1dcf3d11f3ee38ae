package tlscert

import (
	"bytes"
	"encoding/pem"
	"testing"
	"time"
)

// Each occurrence of BEGIN CERTIFICATE is a certificate, or the file is refused.
func FuzzParseCertificates(f *testing.F) {
	cert := certificate(f, time.Now(), time.Now().Add(time.Hour))
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	f.Add(block)
	f.Add(bytes.Repeat(bytes.TrimSpace(block), 2))
	f.Add(append([]byte("\ufeffBEGIN CERTIFICATE"), block...))
	f.Add(bytes.ReplaceAll(block, []byte("CERTIFICATE"), []byte("TRUSTED CERTIFICATE")))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := parseCertificates(data)
		if want := bytes.Count(data, []byte("BEGIN CERTIFICATE")); err == nil && (len(certs) != want || want == 0) {
			t.Errorf("%q: got %d certificates, want %d", data, len(certs), want)
		}
	})
}
