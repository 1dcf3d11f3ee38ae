package tlscert_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// Clients of each kind connect to the profile, with a certificate of each kind.
func TestConfigProfile(t *testing.T) {
	ca := newAuthority(t)
	for kind, key := range map[string]func(testing.TB) tlscert.Pair{
		"ECDSA": func(t testing.TB) tlscert.Pair { return ca.pair(ecdsaKey(t), names("a.example")) },
		"RSA":   func(t testing.TB) tlscert.Pair { return ca.pair(rsaKey(t), names("a.example")) },
	} {
		files, err := tlscert.NewFiles([]tlscert.Pair{key(t)}, nil, time.Now(), discard)
		must(t, err)
		for _, tt := range []struct {
			name   string
			server uint16
			client *tls.Config
			alert  string // empty: the handshake succeeds
		}{
			{"today's client", tls.VersionTLS12, &tls.Config{}, ""},
			{"TLS 1.3 at most 1.3", tls.VersionTLS13, &tls.Config{}, ""},
			{"TLS 1.2", tls.VersionTLS12, &tls.Config{MaxVersion: tls.VersionTLS12}, ""},
			{"TLS 1.2 where 1.3 is the least", tls.VersionTLS13, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
			{"TLS 1.1", tls.VersionTLS12, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version"},
			{"TLS 1.2 GCM 128", tls.VersionTLS12, only(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), ""},
			{"TLS 1.2 GCM 256", tls.VersionTLS12, only(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384), ""},
			{"TLS 1.2 ChaCha20", tls.VersionTLS12, only(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256), ""},
			{"TLS 1.2 ECDHE CBC", tls.VersionTLS12, only(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA), "handshake failure"},
			{"TLS 1.2 without forward secrecy", tls.VersionTLS12, only(tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384), "handshake failure"},
		} {
			client := tt.client.Clone()
			client.RootCAs, client.ServerName = ca.pool(), "a.example"
			_, err := handshake(t, client, tlscert.Config(tt.server, files.GetCertificate))
			if tt.alert == "" && err != nil {
				t.Errorf("%s, %s: got %v, want success", kind, tt.name, err)
			}
			if tt.alert != "" && (err == nil || !strings.Contains(err.Error(), tt.alert)) {
				t.Errorf("%s, %s: got %v, want the alert %s", kind, tt.name, err, tt.alert)
			}
		}
	}
}

// only is a TLS 1.2 client with these cipher suites.
func only(suites ...uint16) *tls.Config {
	return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suites}
}

func TestConfigNegotiates(t *testing.T) {
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	must(t, err)
	client := trusting(source)
	client.NextProtos = []string{"http/1.1", "h2"}
	state, err := handshake(t, client, tlscert.Config(tls.VersionTLS12, source.GetCertificate))
	must(t, err)
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != "h2" {
		t.Errorf("got %s, %v, %q, want TLS 1.3, X25519MLKEM768, h2", tls.VersionName(state.Version), state.CurveID, state.NegotiatedProtocol)
	}
	client.CurvePreferences = []tls.CurveID{tls.CurveP256}
	client.NextProtos = []string{"http/1.1"}
	state, err = handshake(t, client, tlscert.Config(tls.VersionTLS12, source.GetCertificate))
	must(t, err)
	if state.CurveID != tls.CurveP256 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("got %v, %q, want CurveP256, http/1.1", state.CurveID, state.NegotiatedProtocol)
	}
}
