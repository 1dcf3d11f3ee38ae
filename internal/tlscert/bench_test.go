package tlscert_test

import (
	"crypto/tls"
	"testing"
	"time"

	"messaging_api/internal/tlscert"
)

// BenchmarkHandshake measures connections to a source of this package and to a bare
// listener with the same certificate, in turns, so that a slow machine slows both.
// of-bare is the ratio of their rates. One operation is a connection to each.
func BenchmarkHandshake(b *testing.B) {
	ca := newAuthority(b)
	pair := ca.pair(ecdsaKey(b), names("a.example"))
	other := ca.pair(rsaKey(b), names("a.example"))
	bare, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	must(b, err)
	// Two pairs, so that choosing between them is measured too.
	files, err := tlscert.NewFiles([]tlscert.Pair{pair, other}, []string{"a.example"}, time.Now(), discard)
	must(b, err)
	theirs := listen(b, &tls.Config{Certificates: []tls.Certificate{bare}})
	ours := listen(b, tlscert.Config(tls.VersionTLS12, files.GetCertificate))
	for name, cached := range map[string]bool{"full": false, "resumed": true} {
		b.Run(name, func(b *testing.B) {
			client := func() *tls.Config {
				c := &tls.Config{RootCAs: ca.pool(), ServerName: "a.example"}
				if cached {
					c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
				}
				return c
			}
			toOurs, toTheirs := client(), client()
			connect := func(address string, config *tls.Config, resumed bool) time.Duration {
				started := time.Now()
				state, err := dial(b.Context(), address, config)
				must(b, err)
				if state.DidResume != resumed {
					b.Fatalf("resumed: got %v, want %v", state.DidResume, resumed)
				}
				return time.Since(started)
			}
			connect(ours, toOurs, false)
			connect(theirs, toTheirs, false)
			var tookOurs, tookTheirs time.Duration
			for oursFirst := true; b.Loop(); oursFirst = !oursFirst {
				if oursFirst {
					tookOurs += connect(ours, toOurs, cached)
				}
				tookTheirs += connect(theirs, toTheirs, cached)
				if !oursFirst {
					tookOurs += connect(ours, toOurs, cached)
				}
			}
			b.ReportMetric(float64(tookTheirs)/float64(tookOurs), "of-bare")
			b.ReportMetric(float64(b.N)/tookOurs.Seconds(), "handshakes/s")
		})
	}
}
