package tlscert

import "crypto/tls"

// Config returns the service's TLS profile: Mozilla's intermediate one, which is
// TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption only.
// minVersion is tls.VersionTLS12 or tls.VersionTLS13. The caller may add to the
// result but sets no Certificates: see the package comment.
func Config(minVersion uint16, getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     minVersion,
		GetCertificate: getCertificate,
		// Go's default list still has the CBC suites of TLS 1.2, which no current
		// client needs. The order here means nothing: Go prefers what the hardware
		// does well. TLS 1.3's suites cannot be configured, and all are good.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// CurvePreferences stay nil: the default prefers the post-quantum
		// X25519MLKEM768, and a list would exclude its successors.
		NextProtos: []string{"h2", "http/1.1"},
	}
}
