package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/limit"
	"messaging_api/internal/message"
	"messaging_api/internal/store"
	"messaging_api/internal/web"
)

// A panicking store runs a fault before it answers.
type panicking struct {
	messageStore
	faults chan func()
}

func (p panicking) fault() {
	select {
	case fault := <-p.faults:
		fault()
	default:
	}
}

// Put implements [message.Store].
func (p panicking) Put(ctx context.Context, key message.Key, record, text []byte, ttl time.Duration) error {
	p.fault()
	return p.messageStore.Put(ctx, key, record, text, ttl)
}

// Get implements [message.Store].
func (p panicking) Get(ctx context.Context, key message.Key) ([]byte, error) {
	p.fault()
	return p.messageStore.Get(ctx, key)
}

// The log of a panic says where it came from, and has no value that it came with. No
// request makes the program panic, so this service has a store and certificates that do.
func TestPanicsHoldNoSecrets(t *testing.T) {
	logs, stdout := t.TempDir(), new(lines)
	o, _, err := parse(append(noLimits(), "--log-level=debug", "--log-dir="+logs, "--host=msg.example"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, queues, err := o.openLog(stdout)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := store.OpenBolt(filepath.Join(t.TempDir(), "messages.db"), log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	faults := make(chan func(), 1)
	source, err := o.certificates(time.Now(), log)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resolver, metrics := newResolver(t), newMetrics()
	floods := newFloodLog(log, metrics)
	requests := web.Log{Logger: log, Sender: resolver.Sender, Suppress: floods.suppress}
	table := limit.NewTable(o.Rates, o.LimitClients)
	admitted := limit.NewListener(inner, resolver, table, o.Conns, o.ConnsPerClient)
	admitted.Observer = floods
	load := web.NewInFlight(o.InFlight, inFlightWait, int64(o.MaxBytes), func(a netip.Addr) web.Client { return web.Client(resolver.Of(a)) })
	handler := web.Serve(requests, metrics, load, web.Hosts(o.Host, web.Routes(
		message.NewBox(countedStore{panicking{kept, faults}, metrics, &outageLog{log: log, explain: o.explainStore}}), o.limits(),
		limiter{table, metrics.Missed, false}, web.Creators{}, o.page())))
	config := o.tlsConfig(source, floods)
	certificate := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if strings.HasSuffix(hello.ServerName, ".panic.example") {
			panic(fmt.Sprintf("no certificate for %s", hello.ServerName))
		}
		return certificate(hello)
	}
	public := newPublic(admitted, config, handler, requests, stdlog.New(floods, "", 0), metrics)
	served := make(chan error, 1)
	go func() { served <- public.serve() }()

	v := &visitor{service: &service{t: t, address: inner.Addr().String(), stdout: stdout}, host: "msg.example"}
	panics := 0
	for protocol := 1; protocol <= 2; protocol++ {
		c := client(protocol)
		path := v.create(c)
		for _, with := range []func(secret string){
			func(s string) { panic(s) },
			func(s string) { panic([]byte(s)) },
			func(s string) { panic(errors.New(s)) },
			func(s string) { panic(struct{ text string }{s}) },
			func(s string) { panic(fmt.Errorf("%s: %w", s, message.ErrUnavailable)) },
			func(s string) { panic(fmt.Errorf("%s: %w", s, outOfRange())) },
			func(s string) { _ = any(s).(fmt.Stringer) },
			func(s string) { _ = map[any]int{}[[]string{s}] },
			func(s string) { _ = s[len(s)+len(path):] },
		} {
			text := v.fresh()
			for _, secret := range []string{text, path, strings.TrimPrefix(path, "/msg/")} {
				for method, target := range map[string]string{"POST": "/?ttl=600", "GET": path} {
					faults <- func() { with(secret) }
					if status, _ := v.ask(c, method, target, "text/plain", text); status != http.StatusInternalServerError {
						t.Errorf("%s while the store panics: got %d, want 500", method, status)
					}
					panics++
				}
			}
		}
	}
	if conn, err := tls.Dial("tcp", v.address, &tls.Config{InsecureSkipVerify: true, ServerName: v.fresh() + ".panic.example"}); err == nil {
		_ = conn.Close()
		t.Error("a handshake that panics succeeds")
	}
	panics++
	v.create(client(1)) // it serves all the same
	v.expectEvent("panic", panics)
	public.drain(t.Context())
	if err := errors.Join(<-served, (&resources{logs: queues}).close()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"a value that is not shown", "slice bounds out of range", "is not fmt.Stringer", "unhashable type"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no line of a panic says %q", want)
		}
	}
	scrape := httptest.NewRecorder()
	metrics.ServeHTTP(scrape, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	v.written = append(v.written, [2]string{"/metrics", scrape.Body.String()}, [2]string{"stdout", stdout.String()})
	v.expectNoneIn(logs)
}

// outOfRange returns an error of Go's runtime.
func outOfRange() (err error) {
	defer func() { err, _ = recover().(error) }()
	var none []int
	_ = none[len(none)]
	return nil
}
