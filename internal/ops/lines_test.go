package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"messaging_api/internal/ops"
)

// record is one record with these attributes, written through a handler.
func record(t testing.TB, handler func(io.Writer) slog.Handler, attrs ...slog.Attr) string {
	t.Helper()
	var out bytes.Buffer
	at := time.Date(2026, 11, 24, 7, 5, 4, 60_999_999, time.FixedZone("", 3600))
	r := slog.NewRecord(at, slog.LevelWarn, "request", 0)
	r.AddAttrs(attrs...)
	if err := handler(&out).Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func lines(client ops.ClientForm) func(io.Writer) slog.Handler {
	return func(w io.Writer) slog.Handler { return ops.NewLines(w, slog.LevelInfo, client) }
}

func console(client ops.ClientForm) func(io.Writer) slog.Handler {
	return func(w io.Writer) slog.Handler { return ops.NewConsole(w, slog.LevelInfo, client) }
}

func TestLine(t *testing.T) {
	for _, tc := range []struct {
		name  string
		attrs []slog.Attr
		want  string
	}{
		{"nothing", nil, ``},
		{"a request", []slog.Attr{
			slog.String("route", "GET /msg/{id}"), slog.Int("status", 200), slog.Uint64("bytes", 12),
			slog.Duration("duration", 1234567*time.Nanosecond), slog.Bool("resumed", true),
		}, `,"route":"GET /msg/{id}","status":200,"bytes":12,"duration":0.001235,"resumed":true`},
		{"durations", []slog.Attr{slog.Duration("a", 0), slog.Duration("b", -90*time.Second), slog.Duration("c", 999), slog.Duration("d", 20*time.Microsecond)},
			`,"a":0,"b":-90,"c":0.000001,"d":0.00002`},
		{"a time", []slog.Attr{slog.Time("expires", time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", -3600)))}, `,"expires":"2026-01-01T01:00:00.000Z"`},
		{"an error", []slog.Attr{slog.Any("error", fmt.Errorf("no %w", errors.New("luck")))}, `,"error":"no luck"`},
		{"anything", []slog.Attr{slog.Any("a", []string{"ż<"}), slog.Any("b", nil)}, `,"a":["\u017c<"],"b":null`},
		{"hostile text", []slog.Attr{slog.String("x", "a\"b\\c\n\x1b[2J\u202e\u009b\x7f\xff👋ż<>&")},
			`,"x":"a\"b\\c\n\u001b[2J\u202e\u009b\u007f\ufffd\ud83d\udc4b\u017c<>&"`},
		{"a hostile name", []slog.Attr{slog.String("a\"\n", "")}, `,"a\"\n":""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := record(t, lines(ops.ClientPrefix), tc.attrs...)
			want := `{"time":"2026-11-24T06:05:04.060Z","level":"WARN","msg":"request"` + tc.want + "}\n"
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("the line is not JSON")
			}
		})
	}
}

// An address is shown in the chosen form.
func TestLinesShowClientsAsChosen(t *testing.T) {
	for _, tc := range []struct {
		address, prefix, whole string
	}{
		{"192.0.2.7", "192.0.2.0/24", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.0/24", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"},
		{"fe80::1%eth0", "fe80::/48", "fe80::1"},
	} {
		addr := netip.MustParseAddr(tc.address)
		for form, want := range map[ops.ClientForm]string{ops.ClientPrefix: tc.prefix, ops.ClientWhole: tc.whole, ops.ClientNone: ""} {
			json, text := "", ""
			if want != "" {
				json, text = `,"client":"`+want+`"`, " client="+want
			}
			if got := record(t, lines(form), slog.Any("client", addr), slog.Int("n", 1)); !strings.HasSuffix(got, `"request"`+json+`,"n":1}`+"\n") {
				t.Errorf("%v in form %s: got %s, want %s", addr, form, got, json)
			}
			if got := record(t, console(form), slog.Any("client", addr), slog.Int("n", 1)); !strings.HasSuffix(got, "msg=request"+text+" n=1\n") {
				t.Errorf("%v in form %s on the console: got %s, want %s", addr, form, got, text)
			}
		}
	}
	if got := record(t, lines(ops.ClientPrefix), slog.Any("client", netip.Addr{})); strings.Contains(got, "client") {
		t.Errorf("no address: got %s", got)
	}
}

func TestLinesCutUserAgents(t *testing.T) {
	long := strings.Repeat("Mozilla ", 2000)
	for _, handler := range []func(io.Writer) slog.Handler{lines(ops.ClientPrefix), console(ops.ClientPrefix)} {
		got := record(t, handler, slog.String("user_agent", long), slog.String("detail", long))
		if n := strings.Count(got, "Mozilla "); n != 2000+15 {
			t.Errorf("the line has the word %d times, want 15 times in the user agent and 2000 in what is ours", n)
		}
	}
}

func TestConsoleLine(t *testing.T) {
	got := record(t, console(ops.ClientPrefix), slog.String("msg", "kept"), slog.String("level", "kept too"), slog.String("x", "a\x1b[2J\u202e ż"))
	if want := "time=07:05:04.060 level=WARN msg=request msg=kept level=\"kept too\" x=\"a\\x1b[2J\\u202e ż\"\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }()
	for out, want := range map[io.Writer]bool{w: false, new(bytes.Buffer): false, master: true} {
		if got := ops.Terminal(out); got != want {
			t.Errorf("Terminal(%T): got %v, want %v", out, got, want)
		}
	}
}

// Each line is printable ASCII, and is JSON with the same text.
func FuzzLine(f *testing.F) {
	f.Add("key", "value")
	f.Add("\"\\\n\x00", "\x1b]0;x\x07\u2028👋\xed\xa0\x80\xff")
	f.Fuzz(func(t *testing.T, key, value string) {
		got := record(t, lines(ops.ClientPrefix), slog.String("x"+key, value), slog.Any("y", []string{value}))
		for i, c := range []byte(got) {
			if (c < ' ' || c > '~') && (c != '\n' || i != len(got)-1) {
				t.Fatalf("%q has byte %#x", got, c)
			}
		}
		var back map[string]any
		if err := json.Unmarshal([]byte(got), &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if want := toUTF8(value); back["x"+toUTF8(key)] != want {
			t.Errorf("%q reads %q, want %q", got, back["x"+toUTF8(key)], want)
		}
	})
}

// toUTF8 replaces each byte that is not UTF-8, as encoding/json does.
func toUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// BenchmarkLine is a line for a request, with all its attributes.
func BenchmarkLine(b *testing.B) {
	log := slog.New(ops.NewLines(io.Discard, slog.LevelInfo, ops.ClientPrefix))
	client := netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(ctx, slog.LevelInfo, "request",
			slog.String("request_id", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
			slog.Any("client", client),
			slog.String("method", "GET"),
			slog.String("route", "GET /msg/{id}"),
			slog.String("protocol", "HTTP/2.0"),
			slog.String("tls", "1.3"),
			slog.Bool("resumed", false),
			slog.Int("status", 200),
			slog.Int64("bytes", 321),
			slog.Duration("duration", 1234567*time.Nanosecond),
			slog.String("limit", ""),
			slog.String("user_agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"))
	}
}
