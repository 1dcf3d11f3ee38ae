package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"messaging_api/internal/tlscert"
)

// announce prints what a person at a terminal needs first: where the service listens, what
// is off, and a command to paste. Without a terminal it prints only the fingerprint and
// the pin of a self-signed certificate, with which curl can verify it.
func (o *options) announce(w io.Writer, terminal bool, r *resources) {
	listener := address(r.listeners.https)
	if terminal {
		where := listener
		if addr, err := netip.ParseAddrPort(listener); err == nil && addr.Addr().IsUnspecified() {
			where += ", on all interfaces: every machine that reaches this one can use it"
		}
		_, _ = fmt.Fprintf(w, "messaging_api listens on %s. Messages are kept in %s.\n", where, withoutSecrets(o.Store))
		if off := o.off(); len(off) > 0 {
			_, _ = fmt.Fprintf(w, "Off: %s.\n", strings.Join(off, ", "))
		}
	}
	_, port, _ := net.SplitHostPort(listener)
	s, ok := r.source.(*tlscert.SelfSigned)
	if !ok {
		if terminal && r.source != nil && len(o.Host) > 0 {
			root := "https://" + net.JoinHostPort(o.Host[0], port) + "/"
			_, _ = fmt.Fprintf(w, "Post a message:\n  curl --data-urlencode 'message=Hello!' %s\n  echo Hello! | msg send --server %s\n", root, root)
		}
		return
	}
	target := "https://localhost:" + port + "/"
	if len(o.Host) > 0 {
		target = fmt.Sprintf("--connect-to ::localhost:%s https://%s/", port, net.JoinHostPort(o.Host[0], port))
	}
	_, _ = fmt.Fprintf(w, `messaging_api: the certificate is self-signed, for development only; its SHA-256 is
  %s
Post a message:
  curl --insecure --pinnedpubkey '%s' --data-urlencode 'message=Hello!' %s
`, tlscert.Fingerprint(s.Leaf()), tlscert.Pin(s.Leaf()), target)
	if len(o.Host) == 0 { // msg, unlike curl, connects to no other name than the link's
		_, _ = fmt.Fprintf(w, "  echo Hello! | msg send --server %s --pin '%s'\n", target, tlscert.Pin(s.Leaf()))
	}
}

// off lists the features that are off and that a person may expect.
func (o *options) off() []string {
	var off []string
	if len(o.Host) == 0 {
		off = append(off, "--host (every name is served)")
	}
	if o.ListenHTTP == "" {
		off = append(off, "--listen-http (no redirects to https)")
	}
	if o.LogDir == "" {
		off = append(off, "--log-dir (the log is only here)")
	}
	return off
}
