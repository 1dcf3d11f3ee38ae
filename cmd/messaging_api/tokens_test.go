package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A file of tokens is read whole or refused. The error names the line and quotes none of it.
func TestParseTokens(t *testing.T) {
	long := strings.Repeat("x", maxTokenSize)
	var many strings.Builder
	for i := range maxTokens {
		fmt.Fprintf(&many, "name%d:0123456789abcdef%d\n", i, i)
	}
	for name, c := range map[string]struct {
		text  string
		count int
		wrong string // in the error
	}{
		"two":                  {"alice:0123456789abcdef\nbob:fedcba9876543210==\n", 2, ""},
		"no newline, Windows":  {"alice:0123456789abcdef\r\nbob:fedcba9876543210", 2, ""},
		"a byte order mark":    {"\ufeffalice:0123456789abcdef\r\n", 1, ""},
		"comments":             {"# who may create\n\n  alice:0123456789abcdef  \n", 1, ""},
		"the whole alphabet":   {"a.B_c-9:AZaz09-._~+/AZaz==\n", 1, ""},
		"the longest":          {strings.Repeat("n", 64) + ":" + long, 1, ""},
		"the most":             {many.String(), maxTokens, ""},
		"empty":                {"", 0, "holds no token"},
		"only comments":        {"# alice:0123456789abcdef\n", 0, "holds no token"},
		"no name":              {"\n0123456789abcdef\n", 0, "line 2: must be NAME:TOKEN"},
		"an empty name":        {":0123456789abcdef\n", 0, "line 1: the name"},
		"a name with a space":  {"a b:0123456789abcdef\n", 0, "line 1: the name"},
		"a long name":          {strings.Repeat("n", 65) + ":0123456789abcdef\n", 0, "line 1: the name"},
		"the name none":        {"none:0123456789abcdef\n", 0, "line 1: the name"},
		"a short token":        {"alice:0123456789abcde\n", 0, "line 1: the token must be 16 to 256"},
		"a long token":         {"alice:" + long + "x", 0, "line 1: the token"},
		"a token with a space": {"alice:0123456789abcdef 0\n", 0, "line 1: the token"},
		"a token with a colon": {"alice:0123456789abcdef:0\n", 0, "line 1: the token"},
		"= inside":             {"alice:0123456789=abcdef\n", 0, "line 1: the token"},
		"a name twice":         {"alice:0123456789abcdef\nbob:0123456789abcdex\nalice:0123456789abcdey", 0, "line 3: the name is that of an earlier line"},
		"a token twice":        {"alice:0123456789abcdef\nbob:0123456789abcdef\n", 0, "line 2: the token is that of an earlier line"},
		"too many":             {many.String() + "more:0123456789abcdef\n", 0, "line 1001: there are more than 1000"},
		"too large":            {strings.Repeat("#", maxTokensSize+1), 0, "is larger than 65536 bytes"},
		"binary":               {"alice:0123456789abcdef\x00\n", 0, "line 1: the token"},
	} {
		set, err := parseTokens([]byte(c.text))
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "0123456789a")):
			t.Errorf("%s: got the error %v, want %q and no token", name, err, c.wrong)
		case c.wrong == "" && (err != nil || len(set.names) != c.count):
			t.Errorf("%s: got %v, %v, want %d tokens", name, set, err, c.count)
		}
	}
}

// No file of tokens makes the parser panic, or lets in a token that cannot be sent.
func FuzzParseTokens(f *testing.F) {
	f.Add([]byte("alice:0123456789abcdef\n# x\nbob:fedcba9876543210=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := parseTokens(text)
		if (err == nil) != (set != nil && len(set.names) > 0) {
			t.Errorf("%q: got %v, %v", text, set, err)
		}
	})
}

// A look-up takes at most a microsecond, for any number of tokens.
func BenchmarkToken(b *testing.B) {
	for _, count := range []int{1, maxTokens} {
		var text bytes.Buffer
		for i := range count {
			fmt.Fprintf(&text, "name%d:0123456789abcdef%04d\n", i, i)
		}
		set, err := parseTokens(text.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		tokens := new(tokenFile)
		tokens.current.Store(set)
		for name, token := range map[string]string{
			"right": fmt.Sprintf("0123456789abcdef%04d", count-1),
			"wrong": "0123456789abcdefxxxx",
			"long":  strings.Repeat("x", 10<<10),
		} {
			b.Run(fmt.Sprintf("%s of %d", name, count), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, known := tokens.Name(token); known != (name == "right") {
						b.Fatal(known)
					}
				}
			})
		}
	}
}

const (
	aliceToken = "alice-token-0123456789"
	bobToken   = "bob-token-0123456789"
)

// tokensIn writes a file of tokens.
func tokensIn(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "tokens")
	writeFile(t, path, []byte(text))
	return path
}

// creation posts a text with a token, if that is not empty.
func (s *service) creation(c *http.Client, token string) answer {
	s.t.Helper()
	if token == "" {
		return s.must(c, http.MethodPost, "/", "x")
	}
	return s.must(c, http.MethodPost, "/", "x", "Authorization", "Bearer "+token)
}

// With tokens, a client that shows one creates. A missing token costs a creation and no
// read, a wrong one costs a miss. The log and the metrics have names of tokens and no tokens.
func TestTokens(t *testing.T) {
	file := tokensIn(t, "alice:"+aliceToken+"\nbob:"+bobToken+"\n")
	s := startLimited(t, "--create-token-file="+file, "--limit-create=1/h:3", "--limit-miss=1/h:4")
	created := s.creation(from("127.0.9.1", 2), aliceToken)
	if created.status != http.StatusOK {
		t.Fatalf("with a token: got %d %s", created.status, created.body)
	}
	link := created.header.Get("Location")
	path := link[strings.Index(link, "/msg/"):]

	office := from("127.0.9.2", 1)
	for range 3 {
		a := s.creation(office, "")
		if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != `Bearer realm="messaging_api"` {
			t.Errorf("without a token: got %d %v", a.status, a.header)
		}
	}
	tooMany(t, s.creation(office, ""), "create")
	if a := s.must(office, http.MethodGet, path, ""); a.status != http.StatusOK {
		t.Errorf("reading after creations without a token: got %d %s, want 200", a.status, a.body)
	}

	guesser := from("127.0.9.3", 1)
	for _, wrong := range []string{aliceToken + "x", aliceToken[1:], "alice token", strings.Repeat("x", 10<<10)} {
		a := s.creation(guesser, wrong)
		if a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("with the token %.20s: got %d %v", wrong, a.status, a.header)
		}
	}
	tooMany(t, s.creation(guesser, "wrong"), "miss")
	tooMany(t, s.creation(guesser, aliceToken), "miss") // so that the answer does not show that it is right
	tooMany(t, s.must(guesser, http.MethodGet, path, ""), "miss")

	series := s.scrape()
	for name, want := range map[string]float64{"alice": 1, "bob": 0, "none": 0} {
		if got, there := series[fmt.Sprintf(`token_creations_total{token=%q}`, name)]; !there || got != want {
			t.Errorf("creations with the token %s: got %v, want %v", name, got, want)
		}
	}
	if a := s.must(office, http.MethodGet, "/", ""); !strings.Contains(a.body, `"create_token":true`) {
		t.Errorf("the description: got %s", a.body)
	}
	s.stop()
	log := s.stdout.String() + s.stderr.String()
	if !strings.Contains(log, `"token":"alice"`) || !strings.Contains(log, `"event":"denied"`) {
		t.Errorf("the log names no token: %s", log)
	}
	for _, secret := range []string{aliceToken, bobToken, aliceToken[1:]} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds the token %s", secret)
		}
	}
}

// With addresses, a client at another one gets a 403, behind a proxy too, and loses
// creations only.
func TestCreateFrom(t *testing.T) {
	t.Parallel()
	s := startLimited(t, "--create-from=127.0.9.1,203.0.113.0/24", "--trusted-proxy=127.0.9.9", "--limit-create=1/h:2")
	proxy := from("127.0.9.9", 1)
	for name, c := range map[string]struct {
		client *http.Client
		fields []string
		status int
	}{
		"an address":                    {from("127.0.9.1", 1), nil, http.StatusOK},
		"a client of the proxy":         {proxy, []string{"X-Forwarded-For", "203.0.113.7"}, http.StatusOK},
		"a foreign client of the proxy": {proxy, []string{"X-Forwarded-For", "203.0.113.7, 198.51.100.7"}, http.StatusForbidden},
		"the proxy":                     {proxy, nil, http.StatusForbidden},
		"a foreign address":             {from("127.0.9.2", 2), []string{"X-Forwarded-For", "203.0.113.7"}, http.StatusForbidden},
	} {
		if a := s.must(c.client, http.MethodPost, "/", "x", c.fields...); a.status != c.status {
			t.Errorf("%s: got %d %s, want %d", name, a.status, a.body, c.status)
		}
	}
	foreign := from("127.0.9.2", 1)
	if a := s.creation(foreign, ""); a.status != http.StatusForbidden {
		t.Errorf("a foreign address, again: got %d", a.status)
	}
	tooMany(t, s.creation(foreign, ""), "create")
	if a := s.must(foreign, http.MethodGet, "/msg/x", ""); a.status != http.StatusNotFound {
		t.Errorf("a foreign address reads: got %d, want 404", a.status)
	}
	s.stop()
}

// If tokens have budgets, a creation is charged to its token at any address, and not to
// the address.
func TestTokenBudget(t *testing.T) {
	redis := startRedis(t)
	for name, args := range map[string][]string{
		"local":  nil,
		"shared": {"--store=" + redis.URL(true), "--limit-scope=shared"},
	} {
		t.Run(name, func(t *testing.T) {
			file := tokensIn(t, "alice:"+aliceToken+"\nbob:"+bobToken+"\n")
			s := startLimited(t, append(args, "--create-token-file="+file, "--limit-create=1/h:1", "--limit-token-create=1/h:3")...)
			for i := range 3 {
				a := s.creation(from(fmt.Sprintf("127.0.9.%d", 1+i%2), 1), aliceToken)
				if a.status != http.StatusOK || !strings.Contains(a.header.Get("RateLimit"), fmt.Sprintf(`"token-create";r=%d;`, 2-i)) {
					t.Errorf("creation %d: got %d %s", i, a.status, a.header.Get("RateLimit"))
				}
			}
			tooMany(t, s.creation(from("127.0.9.3", 1), aliceToken), "token-create")
			if a := s.creation(from("127.0.9.1", 1), bobToken); a.status != http.StatusOK {
				t.Errorf("another token at the same address: got %d %s", a.status, a.body)
			}
			if a := s.creation(from("127.0.9.1", 1), ""); a.status != http.StatusUnauthorized {
				t.Errorf("no token at the same address: got %d, want 401 and not 429", a.status)
			}
			s.stop()
		})
	}
}

// The file is read again at SIGHUP while tokens are in use: a token that stays never
// fails, and a file that is wrong or gone changes nothing.
func TestTokensAreReloaded(t *testing.T) {
	file := tokensIn(t, "alice:"+aliceToken+"\nbob:"+bobToken+"\n")
	s := start(t, "--create-token-file="+file)
	var over atomic.Bool
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			c := client(1)
			for !over.Load() {
				if a, err := s.send(c, http.MethodPost, "/", "x", "Authorization", "Bearer "+aliceToken); err != nil || a.status != http.StatusOK {
					t.Errorf("a token that stays: got %d %s %v", a.status, a.body, err)
					return
				}
			}
		})
	}
	reload := func(event string) {
		t.Helper()
		before := strings.Count(s.stdout.String(), event)
		s.signal(syscall.SIGHUP)
		eventually(t, time.Minute, event, func() bool { return strings.Count(s.stdout.String(), event) > before })
	}
	const kept, read = `"msg":"the file of the tokens cannot be read`, `"msg":"the tokens were read again"`
	c := client(2)
	for _, step := range []struct {
		text  string // "-": no file
		event string
		bob   int // the status of its creations then
		carol int
	}{
		{"alice:" + aliceToken + "\ncarol:carol-token-0123456789\n", read, http.StatusUnauthorized, http.StatusOK},
		{"", kept, http.StatusUnauthorized, http.StatusOK},
		{"alice:" + aliceToken + "\nbob:short\n", kept, http.StatusUnauthorized, http.StatusOK},
		{"-", kept, http.StatusUnauthorized, http.StatusOK},
		{"alice:" + aliceToken + "\nbob:" + bobToken + "\n", read, http.StatusOK, http.StatusUnauthorized},
	} {
		if step.text == "-" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		} else {
			next := file + ".next"
			writeFile(t, next, []byte(step.text))
			if err := os.Rename(next, file); err != nil {
				t.Fatal(err)
			}
		}
		reload(step.event)
		for token, want := range map[string]int{bobToken: step.bob, "carol-token-0123456789": step.carol} {
			if a := s.creation(c, token); a.status != want {
				t.Errorf("after %q: got %d with %s, want %d", step.text, a.status, token, want)
			}
		}
	}
	over.Store(true)
	users.Wait()
	series := s.scrape()
	if series[`token_creations_total{token="alice"}`] == 0 {
		t.Error("the count of a token that stayed begins anew")
	}
	if _, there := series[`token_creations_total{token="carol"}`]; there {
		t.Error("a token that was removed has a series")
	}
	s.stop()
}

// A file of tokens that cannot be used ends the start and the command check with one line.
func TestBadTokenFiles(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		args []string
		want []string
	}{
		"missing":          {filepath.Join(t.TempDir(), "none"), nil, []string{"--create-token-file", "none"}},
		"a directory":      {t.TempDir(), nil, []string{"--create-token-file"}},
		"empty":            {tokensIn(t, ""), nil, []string{"--create-token-file", "holds no token"}},
		"a bad line":       {tokensIn(t, "alice:"+aliceToken+"\nbob\n"), nil, []string{"--create-token-file", "line 2", "NAME:TOKEN"}},
		"a budget without": {"", []string{"--limit-token-create=1/s:1"}, []string{"--limit-token-create", "--create-token-file"}},
		"a bad range":      {"", []string{"--create-from=office"}, []string{"--create-from", "office"}},
	} {
		for _, command := range []string{"serve", "check"} {
			code, _, stderr := outcome(t, nil, append(c.args, command, "--listen=127.0.0.1:0", "--create-token-file="+c.path)...)
			if code != 2 || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, aliceToken) {
				t.Errorf("%s: %s: got exit %d, %q, want 2 and one line without a token", command, name, code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s: %s: got %q, want %q in it", command, name, stderr, want)
				}
			}
		}
	}
	if os.Getuid() == 0 {
		return // root reads every file
	}
	path := tokensIn(t, "alice:"+aliceToken)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := outcome(t, nil, "check", "--create-token-file="+path); code != 2 || !strings.Contains(stderr, "permission denied") {
		t.Errorf("a file that may not be read: got exit %d, %q", code, stderr)
	}
}

// A file that others can read is used, with a warning; check counts its tokens.
func TestTokenFileThatOthersCanRead(t *testing.T) {
	path := tokensIn(t, "alice:"+aliceToken+"\n")
	var out bytes.Buffer
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		o := &options{CreateTokenFile: path}
		if _, err := o.openTokens(slog.New(slog.NewTextHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "everybody on this machine"); got != warned {
			t.Errorf("mode %o: a warning: %t, want %t: %s", mode, got, warned, out.String())
		}
	}
	code, stdout, stderr := outcome(t, nil, "check", "--create-token-file="+path)
	if code != 0 || !strings.Contains(stdout, "tokens "+path+": 1") || strings.Contains(stdout+stderr, aliceToken) {
		t.Errorf("check: got exit %d, %q %q", code, stdout, stderr)
	}
}
