package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
	"messaging_api/internal/store"
	"messaging_api/internal/tlscert"
	"messaging_api/internal/web"
)

// What a connection and a request may take, at most. No wait is without a bound.
const (
	handshakeTimeout  = 5 * time.Second
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10
)

// gcPercent lets the heap grow to five times what is alive, a few megabytes,
// before it is collected: at Go's default of 100 a busy service spends a tenth
// of its processor time on that. GOGC overrides it, and GOMEMLIMIT bounds it.
const gcPercent = 400

// serve is the service's life: everything is opened, in an order in which
// configuration fails before anything listens; it serves until ctx ends or a
// server fails; then it drains.
func serve(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := slog.New(slog.NewJSONHandler(stdout, &slog.HandlerOptions{Level: o.LogLevel}))
	source, err := o.certificates(time.Now(), log)
	if err != nil {
		return err
	}
	messages, err := o.openStore(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, messages.Close()) }()

	// A request's journey, from the outside in.
	handler := web.Serve(log,
		web.Hosts(o.Host,
			web.Routes(message.NewBox(messages), o.limits())))

	listener, err := listen(ctx, o.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	public := newPublic(listener, o.tlsConfig(source), handler, log)
	opsListener, err := listen(ctx, o.ListenOps)
	if err != nil {
		return errors.Join(fmt.Errorf("--listen-ops: %w", err), public.Close())
	}
	ready := ops.NewReadiness(storeCheck(messages), certificateCheck(source), public.check())
	operations := newOperations(ops.NewHandler(ready, nil), log)

	failed := make(chan error, 2)
	go func() { failed <- public.serve() }()
	go func() { failed <- operations.Serve(opsListener) }()
	if s, ok := source.(*tlscert.SelfSigned); ok {
		announce(stderr, o.Host, listener.Addr(), s)
	}
	log.Info("serving", "event", "start", "version", version(), "address", listener.Addr().String(),
		"ops_address", opsListener.Addr().String(), "tls", o.TLS, "store", o.storeKind())

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	log.Info("draining", "event", "drain", "at_most", o.Drain.String())
	stopped, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Drain)
	defer cancel()
	if !public.drain(stopped) {
		log.Warn("requests were still in flight when the drain's time was over", "event", "drain")
	}
	err = errors.Join(err, operations.Close(), ready.Close(stopped))
	log.Info("stopped", "event", "stop")
	return err
}

// A messageStore is what the service needs of a store besides its messages.
type messageStore interface {
	message.Store
	Ping(context.Context) error
	Close() error
}

// openStore opens what --store names.
func (o *options) openStore(log *slog.Logger) (messageStore, error) {
	if path, ok := o.filePath(); ok {
		return store.OpenBolt(path, log)
	}
	return o.redisStore(log)
}

// storeKind names the store without the secrets that its URL may hold.
func (o *options) storeKind() string {
	kind, _, _ := strings.Cut(o.Store, ":")
	return kind
}

// tlsConfig is nil where TLS ends elsewhere.
func (o *options) tlsConfig(source certificates) *tls.Config {
	if source == nil {
		return nil
	}
	return tlscert.Config(o.tlsMin(), source.GetCertificate)
}

// listen opens a TCP listener. Multipath TCP stays off: its sockets escape the
// rules of sandboxes that know TCP.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(ctx, "tcp", address)
}

// newOperations is the server of health checks.
func newOperations(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func storeCheck(s messageStore) ops.Check {
	return ops.Check{Name: "store", Run: func(ctx context.Context) (string, error) { return "", s.Ping(ctx) }}
}

// certificateCheck fails when a certificate that is served has expired.
func certificateCheck(source certificates) ops.Check {
	return ops.Check{Name: "certificate", Run: func(context.Context) (string, error) {
		if source == nil {
			return "TLS is off", nil
		}
		var details []string
		for _, info := range source.Certificates() {
			left := info.DaysLeft(time.Now())
			if left < 0 {
				return "", fmt.Errorf("%s has expired", info.Source)
			}
			details = append(details, fmt.Sprintf("%s: %d days left", info.Source, left))
		}
		return strings.Join(details, "; "), nil
	}}
}

// announce prints, for a person who tries the service out, what its certificate
// is and a command to paste. The pin makes curl sure of the certificate, which
// nothing else vouches for.
func announce(w io.Writer, hosts []string, address net.Addr, s *tlscert.SelfSigned) {
	_, port, _ := net.SplitHostPort(address.String())
	target := "https://localhost:" + port + "/"
	if len(hosts) > 0 {
		target = fmt.Sprintf("--connect-to ::localhost:%s https://%s/", port, net.JoinHostPort(hosts[0], port))
	}
	_, _ = fmt.Fprintf(w, `messaging_api: the certificate is self-signed, for development only; its SHA-256 is
  %s
Post a message:
  curl --insecure --pinnedpubkey '%s' --data-urlencode 'message=Hello!' %s
`, tlscert.Fingerprint(s.Leaf()), tlscert.Pin(s.Leaf()), target)
}
