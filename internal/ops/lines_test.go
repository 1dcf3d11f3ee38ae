package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
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

type unencodable struct{ Secret chan int }

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
		{"durations", []slog.Attr{
			slog.Duration("a", 0), slog.Duration("b", -90*time.Second), slog.Duration("c", math.MinInt64), slog.Duration("d", 999),
		}, `,"a":0.000000,"b":-90.000000,"c":-9223372036.854776,"d":0.000001`},
		{"a time", []slog.Attr{slog.Time("expires", time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", -3600)))}, `,"expires":"2026-01-01T01:00:00.000Z"`},
		{"floats", []slog.Attr{slog.Float64("a", 1.5), slog.Float64("b", math.NaN()), slog.Float64("c", math.Inf(-1)), slog.Float64("d", 1e300)},
			`,"a":1.5,"b":"float64 does not encode","c":"float64 does not encode","d":1e+300`},
		{"an error", []slog.Attr{slog.Any("error", fmt.Errorf("no %w", errors.New("luck")))}, `,"error":"no luck"`},
		{"anything", []slog.Attr{slog.Any("a", []string{"ż<"}), slog.Any("b", nil)}, `,"a":["\u017c\u003c"],"b":null`},
		{"what JSON has not", []slog.Attr{slog.Any("a", unencodable{})}, `,"a":"ops_test.unencodable does not encode"`},
		{"groups", []slog.Attr{slog.Group("tls", slog.String("version", "1.3"), slog.Group("empty"), slog.Group("", slog.Int("n", 1)))},
			`,"tls.version":"1.3","tls.n":1`},
		{"hostile text", []slog.Attr{slog.String("x", "a\"b\\c\n\x1b[2J\u202e\u009b\x7f\xff👋ż<>&")},
			`,"x":"a\"b\\c\u000a\u001b[2J\u202e\u009b\u007f\ufffd\ud83d\udc4b\u017c<>&"`},
		{"a hostile name", []slog.Attr{slog.String("a\"\n", "")}, `,"a\"\u000a":""`},
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

func TestLinesOfDerivedHandlers(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(ops.NewLines(&out, slog.LevelInfo, ops.ClientPrefix)).With("a", 1).WithGroup("g").With("b", 2)
	one, two := log.WithGroup("h"), log.WithGroup("i") // from one slice of groups
	one.Info("", "c", 3)
	two.Info("", "d", 4)
	two.WithGroup("j").Info("")
	two.WithGroup("").With().Debug("not shown", "e", 5)
	var got []string
	for line := range strings.Lines(out.String()) {
		_, attrs, _ := strings.Cut(line, `"msg":"",`)
		got = append(got, attrs)
	}
	want := []string{`"a":1,"g.b":2,"g.h.c":3}` + "\n", `"a":1,"g.b":2,"g.i.d":4}` + "\n", `"a":1,"g.b":2}` + "\n"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// The address shows in the form that was chosen, whatever it is wrapped in.
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
		for _, v := range []any{addr, netip.AddrPortFrom(addr, 4711), net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 4711))} {
			for form, want := range map[ops.ClientForm]string{ops.ClientPrefix: tc.prefix, ops.ClientWhole: tc.whole, ops.ClientNone: ""} {
				json, text := "", ""
				if want != "" {
					json, text = `,"client":"`+want+`"`, " client="+want
				}
				if got := record(t, lines(form), slog.Any("client", v), slog.Int("n", 1)); !strings.HasSuffix(got, `"request"`+json+`,"n":1}`+"\n") {
					t.Errorf("%T %v in form %s: got %s, want %s", v, v, form, got, json)
				}
				if got := record(t, console(form), slog.Any("client", v), slog.Int("n", 1)); !strings.HasSuffix(got, "msg=request"+text+" n=1\n") {
					t.Errorf("%T %v in form %s on the console: got %s, want %s", v, v, form, got, text)
				}
			}
		}
	}
	for _, v := range []any{netip.Addr{}, netip.MustParsePrefix("192.0.2.7/32")} {
		if got := record(t, lines(ops.ClientPrefix), slog.Any("client", v)); strings.Contains(got, "192.0.2.7") {
			t.Errorf("%T %v: got %s", v, v, got)
		}
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

// What is escaped is longer than what came, and is cut as it is shown.
func TestLinesCutEscapedUserAgents(t *testing.T) {
	for agent, want := range map[string]string{
		strings.Repeat("\xff", 200):            strings.Repeat(`\ufffd`, 20),
		strings.Repeat("\"", 200):              strings.Repeat(`\"`, 60),
		"x" + strings.Repeat("ż", 60):          "x" + strings.Repeat(`\u017c`, 19),
		strings.Repeat("a", 119) + "\\b":       strings.Repeat("a", 119),
		strings.Repeat("a", 120) + "b":         strings.Repeat("a", 120),
		strings.Repeat("a", 100) + "\x1b[2Jbc": strings.Repeat("a", 100) + `\u001b[2Jbc`,
	} {
		got := record(t, lines(ops.ClientPrefix), slog.String("user_agent", agent))
		if !strings.Contains(got, `"user_agent":"`+want+`"`) {
			t.Errorf("%.20q…: got %s, want %s", agent, got, want)
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

// The standard library's own test of what a handler must do.
func TestHandlersAreHandlers(t *testing.T) {
	t.Run("lines", func(t *testing.T) {
		var out bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			out.Reset()
			return ops.NewLines(&out, slog.LevelInfo, ops.ClientPrefix)
		}, func(t *testing.T) map[string]any {
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			return nested(got)
		})
	})
	t.Run("console", func(t *testing.T) {
		var out bytes.Buffer
		slogtest.Run(t, func(*testing.T) slog.Handler {
			out.Reset()
			return ops.NewConsole(&out, slog.LevelInfo, ops.ClientPrefix)
		}, func(*testing.T) map[string]any {
			got := make(map[string]any)
			for field := range strings.FieldsSeq(out.String()) {
				name, value, _ := strings.Cut(field, "=")
				got[name] = value
			}
			return nested(got)
		})
	})
}

// nested makes groups, whose names are prefixes g.h., maps in maps.
func nested(flat map[string]any) map[string]any {
	got := make(map[string]any)
	for path, value := range flat {
		at := got
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			if at[name] == nil {
				at[name] = make(map[string]any)
			}
			at = at[name].(map[string]any)
		}
		at[names[len(names)-1]] = value
	}
	return got
}

func TestLinesAreWholeFromManyWriters(t *testing.T) {
	for name, handler := range map[string]func(io.Writer) slog.Handler{"lines": lines(ops.ClientNone), "console": console(ops.ClientNone)} {
		var out bytes.Buffer // which is not safe for concurrent use
		log := slog.New(handler(&out))
		var all sync.WaitGroup
		for w := range 10 {
			derived := log.With("writer", w)
			all.Go(func() {
				for range 100 {
					derived.Info("word", "text", strings.Repeat("x", 100*w))
				}
			})
		}
		all.Wait()
		for line := range strings.Lines(out.String()) {
			if n := strings.Count(line, "word"); n != 1 || strings.Count(line, "x")%100 > 1 {
				t.Fatalf("%s: a line is not whole: %q", name, line)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 1000 {
			t.Errorf("%s: got %d lines, want 1000", name, n)
		}
	}
}

// Whatever is logged is one line of printable ASCII, and JSON that says the same.
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

// A line for a request, as many attributes as it has; the client's address is one
// allocation and the record's slice of attributes the other.
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
