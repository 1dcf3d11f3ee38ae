package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"messaging_api/internal/limit"
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
	inFlightWait      = 200 * time.Millisecond // for a place among those in flight
)

// gcPercent lets the heap grow to nine times what is alive, a few megabytes,
// before it is collected: at Go's default of 100 a busy service spends a tenth
// of its processor time on that. GOGC overrides it, and GOMEMLIMIT bounds it.
const gcPercent = 800

// serve is the service's life: everything is opened, in an order in which
// configuration fails before anything listens; it serves until ctx ends or a
// server fails; then it drains.
func serve(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log, logs, err := o.openLog(stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }() // last: until then there is something to say
	source, err := o.certificates(time.Now(), log.With("event", "certificate"))
	if err != nil {
		return err
	}
	messages, err := o.openStore(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, messages.Close()) }()

	resolver, err := limit.NewResolver(o.TrustedProxy, o.LimitIPv4Prefix, o.LimitIPv6Prefix)
	if err != nil {
		return usageError{err}
	}
	table := limit.NewTable(o.rates(), o.LimitClients, time.Now())
	load := web.NewInFlight(o.InFlight, inFlightWait)
	ways, err := o.listen(ctx)
	if err != nil {
		return err
	}
	if o.TLS == "off" && !isLoopback(ways.https.Addr().String()) && len(o.TrustedProxy) == 0 {
		ways.close() // a passed socket, since --listen was looked at
		return usageError{errors.New("--tls off: the passed socket is not loopback; name the proxy that terminates TLS with --trusted-proxy")}
	}

	log.LogAttrs(ctx, slog.LevelInfo, "configuration", o.settings...)

	// A request's journey, from the outside in.
	metrics := newMetrics()
	observer := requestMetrics{metrics}
	digest := newDigest(log)
	lines, troubles := requestLog(log, resolver, digest), troubleLog(digest)
	kept := measured{messages, metrics, &storeWatch{log: log}}
	admit := func(inner net.Listener) *limit.Listener {
		if inner == nil {
			return nil
		}
		l := limit.NewListener(inner, resolver, table, o.Conns, o.ConnsPerClient)
		l.Observer = connMetrics{metrics, digest}
		return l
	}
	admitted := []*limit.Listener{admit(ways.https), admit(ways.http)}
	handler := web.Serve(lines, observer,
		web.Hosts(o.Host,
			web.Routes(message.NewBox(kept), o.limits(),
				limiter{resolver, o.budgets(table, messages, log), metrics.Missed}, load)))
	public := newPublic(admitted[0], o.tlsConfig(source, digest, resolver), handler, lines, troubles, observer)
	plain := o.newPlain(admitted[1], source, lines, troubles, observer)
	ready := ops.NewReadiness(storeCheck(kept), certificateCheck(source), public.check())
	space := &spaceWatch{messages: messages, log: log}
	watched{table, load, admitted, source, ready, space, logs}.watch(metrics)
	operations := newServer(ops.NewHandler(ready, metrics), troubles)

	background := runBackground(ctx, source, logs, log, digest.run, space.run)
	failed := make(chan error, 3)
	go func() { failed <- public.serve() }()
	if plain != nil {
		go func() { failed <- plain.serve() }()
	}
	go func() { failed <- operations.Serve(ways.ops) }()
	if s, ok := source.(fixed); ok {
		announce(stderr, o.Host, ways.https.Addr(), s.SelfSigned)
	}
	log.Info("serving", "event", "start", "version", version(), "address", address(ways.https),
		"http_address", address(ways.http), "ops_address", address(ways.ops), "tls", o.TLS, "store", o.storeKind())

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
	err = errors.Join(err, plain.Close(), operations.Close(), ready.Close(stopped))
	background.stop()
	log.Info("stopped", "event", "stop")
	return err
}

// address is for the log: empty for a listener that is off.
func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// background is the work that goes on beside serving requests.
type background struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// runBackground lets the certificates follow their source, certificates and log
// follow SIGHUP, and runs what else there is.
func runBackground(ctx context.Context, source certificateSource, logs logOutput, log *slog.Logger, others ...func(context.Context)) *background {
	b := new(background)
	ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx)) // until everything is drained
	if source != nil {
		b.work.Go(func() { source.Run(ctx) })
	}
	for _, run := range others {
		b.work.Go(func() { run(ctx) })
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	b.work.Go(func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				logs.Reopen()
				log.Info("reloading", "event", "reload")
				if source != nil {
					source.Reload()
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return b
}

func (b *background) stop() {
	b.cancel()
	b.work.Wait()
}

// rates are the budgets of one client.
func (o *options) rates() limit.Limits {
	return limit.Limits{
		Create: o.LimitCreate, Read: o.LimitRead, Miss: o.LimitMiss,
		Bytes: o.LimitBytes, Handshake: o.HandshakesPerClient,
	}
}

// budgets are kept in table, or in Redis with table for when it does not answer.
func (o *options) budgets(table *limit.Table, messages messageStore, log *slog.Logger) budgets {
	if r, ok := messages.(*store.Redis); ok && o.LimitScope == "shared" {
		return limit.NewShared(r.Client(), table, log)
	}
	return limit.NewLocal(table)
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
func (o *options) tlsConfig(source certificateSource, digest *digest, resolver *limit.Resolver) *tls.Config {
	if source == nil {
		return nil
	}
	config := tlscert.Config(o.tlsMin(), digest.watchNames(resolver, source.GetCertificate))
	if o.TLS == "acme" {
		config.NextProtos = append(config.NextProtos, tlscert.ACMEProtocol)
	}
	return config
}

// newServer is an http.Server in which no wait and no size is without a bound.
func newServer(handler http.Handler, troubles *log.Logger) *http.Server {
	return &http.Server{
		Handler:                      handler,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" goes through the handler like anything else
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     troubles,
	}
}

func storeCheck(s messageStore) ops.Check {
	return ops.Check{Name: "store", Run: func(ctx context.Context) (string, error) { return "", s.Ping(ctx) }}
}

// certificateCheck fails when a certificate that is served has expired, and
// where there is none at all. It tells what an operator has to know of each.
func certificateCheck(source certificateSource) ops.Check {
	return ops.Check{Name: "certificate", Run: func(context.Context) (string, error) {
		if source == nil {
			return "TLS is off", nil
		}
		var details []string
		served, expired := 0, false
		for _, info := range source.Certificates() {
			detail := fmt.Sprintf("%s: %d days left", info.Source, info.DaysLeft(time.Now()))
			switch {
			case info.NotAfter.IsZero():
				detail = info.Source + ": none yet"
			case time.Now().After(info.NotAfter):
				detail, expired = info.Source+": expired", true
			default:
				served++
			}
			if info.Err != nil {
				detail += " (" + info.Err.Error() + ")"
			}
			details = append(details, detail)
		}
		report := strings.Join(details, "; ")
		if expired || served == 0 {
			return "", errors.New(report)
		}
		return report, nil
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
