package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/message"
	"messaging_api/internal/ops"
	"messaging_api/internal/page"
	"messaging_api/internal/store"
	"messaging_api/internal/web"
)

// serve opens what the service needs, wires it together, runs it until ctx ends or a
// server fails, and drains it.
func serve(ctx context.Context, o *options, hangups <-chan os.Signal, stdout, stderr io.Writer) error {
	paceCollector()
	opened, err := o.open(ctx, stdout)
	if err != nil {
		return err
	}
	terminal := ops.Terminal(stdout)
	o.announce(stderr, terminal, opened)
	o.logSettings(ctx, opened.log, terminal)
	s := o.wire(opened)
	stopBackground := opened.runBackground(ctx, hangups, s.background...)
	err = s.run(ctx)
	err = errors.Join(err, s.drain(context.WithoutCancel(ctx), o.Drain))
	stopBackground()
	opened.log.Info("stopped", "event", "stop")
	return errors.Join(err, opened.close())
}

// resources are what the service opens before it serves. close closes them.
type resources struct {
	log       *slog.Logger
	logs      logOutput
	source    certificateSource // nil: TLS is off
	messages  messageStore
	resolver  *limit.Resolver
	listeners listeners
}

// open opens everything, in an order in which bad configuration fails before
// anything listens.
func (o *options) open(ctx context.Context, stdout io.Writer) (_ *resources, err error) {
	r := new(resources)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.log, r.logs, err = o.openLog(stdout); err != nil {
		return nil, err
	}
	if r.source, err = o.openCertificates(time.Now(), r.log.With("event", "certificate")); err != nil {
		return nil, err
	}
	if r.resolver, err = limit.NewResolver(o.TrustedProxy, o.LimitIPv4Prefix, o.LimitIPv6Prefix); err != nil {
		return nil, usageError{err}
	}
	if r.messages, err = o.openStore(r.log); err != nil {
		return nil, err
	}
	if r.listeners, err = o.listen(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// close closes the store, then the log, which others use until then. The servers close the
// listeners.
func (r *resources) close() error {
	var err error
	if r.messages != nil {
		err = r.messages.Close()
	}
	return errors.Join(err, r.logs.Close())
}

// servers are the service after it is wired.
type servers struct {
	log        *slog.Logger
	start      []any // attributes of the line "serving"
	public     *public
	plain      *server // nil: it is off
	operations *server
	serving    sync.WaitGroup          // the three servers
	failed     chan error              // why one of them failed
	background []func(context.Context) // work beside the requests
}

// wire puts the service together in the order of a request's journey: admission of the
// connection, TLS, count and log of the request, check of its host and origin, route,
// budgets, messages, store.
func (o *options) wire(r *resources) *servers {
	metrics := newMetrics()
	observer := requestMetrics{metrics}
	floods := newFloodLog(r.log)
	lines, errorLog := requestLog(r.log, r.resolver, floods), serverErrorLog(floods)
	table := limit.NewTable(o.rates(), o.LimitClients)
	admit := func(inner net.Listener) *limit.Listener {
		if inner == nil {
			return nil
		}
		l := limit.NewListener(inner, r.resolver, table, o.Conns, o.ConnsPerClient)
		l.Observer = connMetrics{metrics, floods}
		return l
	}
	admitted := []*limit.Listener{admit(r.listeners.https), admit(r.listeners.http)}
	load := o.inFlight(r.resolver)
	limits := o.budgets(table, r.messages, r.log)
	counted := countedStore{r.messages, metrics, &outageLog{log: r.log, explain: o.explainStore}}
	messages := message.NewBox(counted)

	handler := web.Serve(lines, observer, load,
		web.Hosts(o.Host,
			web.Origin(o.PublicURL,
				web.Routes(messages, o.limits(),
					limiter{limits, metrics.Missed}, o.page()))))
	public := newPublic(admitted[0], o.tlsConfig(r.source, floods, r.resolver), handler, lines, errorLog, observer)
	plain := o.newPlain(admitted[1], r.source, lines, errorLog, observer, load)

	monitor := &storeMonitor{messages: r.messages, ping: counted.Ping, log: r.log}
	ready := ops.NewReadiness(monitor.check(), certificateCheck(r.source), public.check())
	metrics.Watch(stateReader{table, limits, load, admitted, r.source, ready, monitor, r.logs, r.resolver}.state)
	return &servers{
		log: r.log,
		start: []any{"event", "start", "version", version(), "address", address(r.listeners.https),
			"http_address", address(r.listeners.http), "ops_address", address(r.listeners.ops), "tls", o.TLS, "store", o.storeKind()},
		public: public,
		plain:  plain,
		operations: newOpsServer(r.listeners.ops, ops.NewHandler(o.opsName(), ready, metrics,
			&backupHandler{messages: r.messages, log: r.log}, takeDown(messages, metrics, r.log)), errorLog),
		failed:     make(chan error, 3),
		background: []func(context.Context){floods.run, monitor.run, func(ctx context.Context) { logUnforwarded(ctx, r.resolver, r.log) }},
	}
}

// run serves until ctx ends, or until a server fails: then it returns why.
func (s *servers) run(ctx context.Context) error {
	s.serve(s.public.serve)
	if s.plain != nil {
		s.serve(s.plain.serve)
	}
	s.serve(s.operations.serve)
	s.log.Info("serving", s.start...)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// serve runs one server. drain waits for it.
func (s *servers) serve(one func() error) {
	s.serving.Go(func() {
		if err := one(); err != nil {
			s.failed <- err
		}
	})
}

// drain lets requests finish for at most this time, and then closes the servers, which
// takes well under a second.
func (s *servers) drain(ctx context.Context, atMost time.Duration) error {
	s.log.Info("draining", "event", "drain", "at_most", atMost.String())
	bounded, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if requests, connections := s.public.drain(bounded); requests > 0 || connections > 0 {
		s.log.Warn("the time to drain is over: open connections are closed", "event", "drain",
			"requests", requests, "connections", connections)
	}
	err := s.operations.Close()
	if s.plain != nil {
		err = errors.Join(err, s.plain.Close())
	}
	s.serving.Wait()
	close(s.failed)
	for failure := range s.failed {
		err = errors.Join(err, failure)
	}
	return err
}

// address returns the address for the log, empty if the listener is off.
func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// runBackground keeps the certificates up to date, reloads them at each SIGHUP, and runs
// the other jobs, until stop is called.
func (r *resources) runBackground(ctx context.Context, hangups <-chan os.Signal, jobs ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until everything is drained
	jobs = append(jobs, func(ctx context.Context) { r.followHangups(ctx, hangups) })
	if r.source != nil {
		jobs = append(jobs, r.source.Run)
	}
	var work sync.WaitGroup
	for _, run := range jobs {
		work.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		work.Wait()
	}
}

// followHangups reloads the certificates at each SIGHUP. If the log was renamed, the line
// written here already goes to a new file.
func (r *resources) followHangups(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			r.log.Info("reloading", "event", "reload")
			if r.source != nil {
				r.source.Reload()
			}
		case <-ctx.Done():
			return
		}
	}
}

// rates are the budgets of one client.
func (o *options) rates() limit.Limits {
	return limit.Limits{
		limit.Create: o.LimitCreate, limit.Read: o.LimitRead, limit.Miss: o.LimitMiss,
		limit.Bytes: o.LimitBytes, limit.ReadBytes: o.LimitReadBytes, limit.Handshake: o.HandshakesPerClient,
	}
}

// page returns the page for browsers, nil if it is off.
func (o *options) page() *web.Page {
	if !o.Page {
		return nil
	}
	p := web.Page(page.New())
	return &p
}

// inFlight bounds the requests under way.
func (o *options) inFlight(resolver *limit.Resolver) *web.InFlight {
	return web.NewInFlight(o.InFlight, inFlightWait, int64(o.MaxBytes),
		func(sender netip.Addr) web.Client { return web.Client(resolver.Of(sender)) })
}

// budgets returns table, or shared budgets in Redis that fall back to table.
func (o *options) budgets(table *limit.Table, messages messageStore, log *slog.Logger) budgets {
	if r, ok := messages.(*store.Redis); ok && o.LimitScope == "shared" {
		return limit.NewShared(r.Client(), table, log)
	}
	return table
}
