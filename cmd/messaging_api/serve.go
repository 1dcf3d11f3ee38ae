package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"messaging_api/internal/limit"
	"messaging_api/internal/logfile"
	"messaging_api/internal/message"
	"messaging_api/internal/ops"
	"messaging_api/internal/page"
	"messaging_api/internal/store"
	"messaging_api/internal/tlscert"
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
	stopJobs := s.startJobs(ctx, hangups)
	err = s.run(ctx, o)
	stopJobs()
	opened.log.Info("stopped", "event", "stop")
	return errors.Join(err, opened.close())
}

// resources are what the service opens before it serves. close closes them.
type resources struct {
	log       *slog.Logger
	logs      []*logfile.Queue
	source    certificateSource // nil: TLS is off
	tokens    *tokenFile        // nil: there is none
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
	if r.source, err = o.certificates(time.Now(), r.log.With("event", "certificate")); err != nil {
		return nil, err
	}
	if acme, ok := r.source.(*tlscert.ACME); ok {
		if err := acme.Prepare(); err != nil {
			return nil, startError(err)
		}
	}
	if r.tokens, err = o.openTokens(r.log); err != nil {
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

// close closes the store, then the log, which others use until then.
func (r *resources) close() (err error) {
	if r.messages != nil {
		err = r.messages.Close()
	}
	for _, queue := range r.logs {
		err = errors.Join(err, queue.Close())
	}
	return err
}

// servers are the service after it is wired.
type servers struct {
	*resources

	floods     *floodLog
	table      *limit.Table
	budgets    budgets
	load       *web.InFlight
	admitted   []*limit.Listener // nil: a listener that is off
	monitor    *storeMonitor
	ready      *ops.Readiness
	public     *public
	plain      *server // nil: it is off
	operations *server
}

// wire puts the service together in the order of a request's journey: admission of the
// connection, TLS, count and log of the request, check of its host and origin, route,
// budgets, messages, store.
func (o *options) wire(r *resources) *servers {
	metrics := newMetrics()
	s := &servers{resources: r, floods: newFloodLog(r.log, metrics), table: limit.NewTable(o.Rates, o.LimitClients)}
	lines := web.Log{Logger: r.log, Sender: r.resolver.Sender, Suppress: s.floods.suppress}
	errorLog := log.New(s.floods, "", 0)
	for _, inner := range []net.Listener{r.listeners.https, r.listeners.http} {
		var l *limit.Listener
		if inner != nil {
			l = limit.NewListener(inner, r.resolver, s.table, o.Conns, o.ConnsPerClient)
			l.Observer = s.floods
		}
		s.admitted = append(s.admitted, l)
	}
	s.load = web.NewInFlight(o.InFlight, inFlightWait, int64(o.MaxBytes),
		func(sender netip.Addr) web.Client { return web.Client(r.resolver.Of(sender)) })
	s.budgets = s.table
	if redis, ok := r.messages.(*store.Redis); ok && o.LimitScope == "shared" {
		s.budgets = limit.NewShared(redis.Client(), s.table, r.log) // and the table, while Redis does not answer
	}
	counted := countedStore{r.messages, metrics, &outageLog{log: r.log, explain: o.explainStore}}
	messages := message.NewBox(counted)
	creators := web.Creators{From: o.CreateFrom}
	if r.tokens != nil {
		creators.Tokens = r.tokens
	}

	handler := web.Serve(lines, metrics, s.load,
		web.Hosts(o.Host,
			web.Origin(o.PublicURL,
				web.Routes(messages, o.limits(),
					limiter{s.budgets, metrics.Missed, !o.Rates[limit.TokenCreate].Off()}, creators, o.page()))))
	s.public = newPublic(s.admitted[0], o.tlsConfig(r.source, s.floods), handler, lines, errorLog, metrics)
	s.plain = o.newPlain(s.admitted[1], r.source, lines, errorLog, metrics, s.load)

	s.monitor = &storeMonitor{countedStore: counted, log: r.log}
	s.ready = ops.NewReadiness(ops.Check{Name: "store", Run: s.monitor.check}, certificateCheck(r.source), s.public.check())
	metrics.Watch(s.state)
	name, _, _ := net.SplitHostPort(o.ListenOps) // probes may use it
	s.operations = newOpsServer(r.listeners.ops, ops.NewHandler(name, s.ready, metrics,
		&backupHandler{messages: r.messages, log: r.log}, takeDown(messages, metrics, r.log)), errorLog)
	return s
}

// run serves until ctx ends or a server fails, and then drains.
func (s *servers) run(ctx context.Context, o *options) error {
	serving, ended := errgroup.WithContext(ctx)
	serving.Go(s.public.serve)
	if s.plain != nil {
		serving.Go(s.plain.serve)
	}
	serving.Go(s.operations.serve)
	version, _ := build()
	kind, _, _ := strings.Cut(o.Store, ":") // file, redis or rediss
	s.log.Info("serving", "event", "start", "version", version, "address", address(s.listeners.https),
		"http_address", address(s.listeners.http), "ops_address", address(s.listeners.ops), "tls", o.TLS, "store", kind)
	<-ended.Done()
	err := s.drain(context.WithoutCancel(ctx), o.Drain)
	return errors.Join(err, serving.Wait())
}

// drain lets requests finish for at most this time, and then closes the servers, which
// takes well under a second.
func (s *servers) drain(ctx context.Context, atMost time.Duration) error {
	s.log.Info("draining", "event", "drain", "at_most", atMost.String())
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if requests, connections := s.public.drain(ctx); requests > 0 || connections > 0 {
		s.log.Warn("the time to drain is over: open connections are closed", "event", "drain",
			"requests", requests, "connections", connections)
	}
	err := s.operations.Close()
	if s.plain != nil {
		err = errors.Join(err, s.plain.Close())
	}
	return err
}

// startJobs starts the work beside the requests. It goes on until stop is called.
func (s *servers) startJobs(ctx context.Context, hangups <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until everything is drained
	jobs := []func(context.Context){
		s.floods.run,
		s.checkReadiness,
		func(ctx context.Context) { logUnforwarded(ctx, s.resolver, s.log) },
		func(ctx context.Context) { s.followHangups(ctx, hangups) },
	}
	if s.source != nil {
		jobs = append(jobs, s.source.Run)
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

// readyEvery is how often readiness is checked without a probe.
const readyEvery = 15 * time.Second

// checkReadiness logs an outage of the store, and the risks that Redis reports, without a
// request or a probe.
func (s *servers) checkReadiness(ctx context.Context) {
	for ctx.Err() == nil {
		_ = s.monitor.ping(ctx) // has more time than a check, so that its error has the cause
		s.ready.Report(ctx)
		pause(ctx, readyEvery)
	}
}

// followHangups reloads the certificates and the tokens at each SIGHUP. If the log was
// renamed, the line written here already goes to a new file.
func (s *servers) followHangups(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			s.log.Info("reloading", "event", "reload")
			if s.source != nil {
				s.source.Reload()
			}
			if s.tokens != nil {
				s.tokens.reload()
			}
		case <-ctx.Done():
			return
		}
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

// eventTakenDown names a takedown in the log and in the metrics.
const eventTakenDown = "taken_down"

// takeDown removes messages for the operator. The log says that one was removed,
// but not which.
func takeDown(messages *message.Box, metrics *ops.Metrics, log *slog.Logger) ops.Remove {
	return func(ctx context.Context, id string) (bool, error) {
		err := messages.TakeDown(ctx, id, time.Now())
		if errors.Is(err, message.ErrNotFound) {
			return false, nil
		}
		if err == nil {
			metrics.Message(eventTakenDown)
			log.InfoContext(ctx, "a message was taken down", "event", eventTakenDown)
		}
		return true, err
	}
}
