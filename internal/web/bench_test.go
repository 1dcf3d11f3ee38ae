package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/message"
	"messaging_api/internal/ops"
	"messaging_api/internal/web"
)

// A benchStore is a Store that costs nothing, so that the stack is what is measured:
// it keeps the first value, and lends it to one reader at a time.
type benchStore struct{ value, copied []byte }

func (s *benchStore) Put(_ context.Context, _ message.Key, value, _ []byte, _ time.Duration) error {
	if s.value == nil {
		s.value = value
	}
	return nil
}

func (*benchStore) Swap(context.Context, message.Key, []byte, []byte, message.TextLife) ([]byte, error) {
	return nil, message.ErrConflict
}

func (s *benchStore) Get(context.Context, message.Key) ([]byte, error) {
	s.copied = append(s.copied[:0], s.value...)
	return s.copied, nil
}

// A discard is a ResponseWriter without a connection.
type discard struct {
	header http.Header
	status int
}

func (w *discard) Header() http.Header            { return w.header }
func (w *discard) WriteHeader(status int)         { w.status = status }
func (*discard) SetReadDeadline(time.Time) error  { return nil }
func (*discard) SetWriteDeadline(time.Time) error { return nil }
func (w *discard) Write(p []byte) (int, error)    { return len(p), nil }

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

// noLimits is a Limiter that costs nothing, as the benchmark of the real one is its
// own package's.
type noLimits struct{}

func (noLimits) Read(web.Client, http.Header) *web.Denial                { return nil }
func (noLimits) Missed(web.Client, http.Header)                          {}
func (noLimits) Sent(web.Client, int, http.Header)                       {}
func (noLimits) Guess(web.Client, http.Header) *web.Denial               { return nil }
func (noLimits) Create(web.Client, string, int, http.Header) *web.Denial { return nil }
func (noLimits) Fits(web.Client, string, int, http.Header) *web.Denial   { return nil }
func (noLimits) Stored(web.Client, int, http.Header)                     {}

// senderOf costs what finding a client's address does.
func senderOf(remoteAddr string, _ http.Header) netip.Addr {
	peer, _ := netip.ParseAddrPort(remoteAddr)
	return peer.Addr()
}

func BenchmarkHandler(b *testing.B) {
	limits := web.Limits{MaxBytes: 256 << 10, TTL: 168 * time.Hour, TTLMax: 168 * time.Hour}
	store := new(benchStore)
	box := message.NewBox(store)
	log := slog.New(ops.NewLines(io.Discard, slog.LevelInfo, ops.ClientPrefix)) // what a line costs belongs to it
	handler := web.Serve(logTo(log), noObserver{}, largeInFlight(), web.Hosts([]string{"example.com"}, web.Origin("", web.Routes(box, limits, noLimits{}, web.Creators{}, testPage))))
	created, err := box.Create(b.Context(), message.Draft{Text: []byte(strings.Repeat("A text as people write it. ", 10)), TTL: time.Hour}, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	run := func(name, method, path, contentType, text string) {
		b.Run(name, func(b *testing.B) {
			u, err := url.ParseRequestURI(path)
			if err != nil {
				b.Fatal(err)
			}
			in := body{strings.NewReader(text)}
			r := (&http.Request{
				Method: method, URL: u, RequestURI: path, Host: "example.com", RemoteAddr: "[2001:db8::7]:4711",
				Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}},
				Body:   in, ContentLength: int64(len(text)),
			}).WithContext(b.Context())
			if contentType != "" {
				r.Header["Content-Type"] = []string{contentType}
			}
			w := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				in.Reset(text)
				handler.ServeHTTP(w, r)
				if w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
	text := strings.Repeat("A text as people write it. ", 10)
	run("create/json", "POST", "/", "application/json", `{"message":"`+text+`","ttl":3600}`)
	run("create/text", "POST", "/?ttl=3600", "text/plain", text)
	run("create/form", "POST", "/", "application/x-www-form-urlencoded", "message="+url.QueryEscape(text)+"&ttl=3600")
	run("read", "GET", "/msg/"+created.ID.Reveal(), "", "")
}
