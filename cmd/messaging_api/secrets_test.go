package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"messaging_api/internal/redistest"
)

// secrets are what must not be found in anything that the service writes.
type secrets struct{ all []string }

// fresh returns a new one, made so that it fits wherever a name does.
func (s *secrets) fresh() string {
	word := "s" + strings.ToLower(rand.Text())
	s.all = append(s.all, word)
	return word
}

// link remembers the id of a link, in each form of it.
func (s *secrets) link(link string) string {
	_, id, _ := strings.Cut(link, "/msg/")
	bare := strings.ReplaceAll(id, "-", "")
	s.all = append(s.all, id, bare)
	if raw, err := hex.DecodeString(bare); err == nil {
		s.all = append(s.all, base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw))
	}
	return "/msg/" + id
}

// expectNone looks for each secret, as it is and as code might write it.
func (s *secrets) expectNone(t *testing.T, what, text string) {
	t.Helper()
	text = strings.ToLower(text)
	for _, secret := range s.all {
		for _, form := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		} {
			if i := strings.Index(text, strings.ToLower(form)); i >= 0 {
				t.Errorf("%s holds %q: …%s…", what, form, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

// A visitor asks for things with a secret in every place that there is for one.
type visitor struct {
	*service
	secrets
	host string
}

// ask returns the status and the link of an answer.
func (v *visitor) ask(c *http.Client, method, target, contentType, body string) (int, string) {
	v.t.Helper()
	request, err := http.NewRequest(method, "https://"+v.address+target, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Host = v.host
	for _, name := range []string{
		"Referer", "Cookie", "Authorization", "Proxy-Authorization", "X-Request-Id", "X-Forwarded-For", "Forwarded", v.fresh(),
	} {
		request.Header.Set(name, v.fresh())
	}
	request.Header.Set("Content-Type", contentType)
	answer, err := c.Do(request)
	if err != nil {
		v.t.Logf("%s: %v", method, err)
		return 0, ""
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("Location")
}

// create makes a message and returns its path.
func (v *visitor) create(c *http.Client) string {
	v.t.Helper()
	status, link := v.ask(c, "POST", "/?ttl=60", "text/plain", v.fresh())
	if status != http.StatusOK {
		v.t.Fatalf("creating: got %d", status)
	}
	return v.link(link)
}

// visit makes every kind of request and refusal that needs nobody's help.
func (v *visitor) visit(c *http.Client) {
	path := v.create(c)
	for _, target := range []string{path, "/msg/" + v.fresh(), path + "?" + v.fresh(), path + v.fresh()} {
		v.ask(c, "GET", target, "", "")
		v.ask(c, "HEAD", target, "", "")
	}
	unknown := v.link("/msg/00000000-0000-4000-8000-" + hex.EncodeToString([]byte(rand.Text()[:6])))
	v.ask(c, "GET", unknown, "", "")
	v.ask(c, "DELETE", path, "", "")
	v.ask(c, strings.ToUpper(v.fresh()), path, "", "")
	v.ask(c, "GET", "/"+v.fresh()+"?"+v.fresh()+"="+v.fresh(), "", "")
	for contentType, body := range map[string]string{
		"application/json":                  `{"message":"` + v.fresh() + `","ttl":"` + v.fresh() + `"}`,
		"application/x-www-form-urlencoded": v.fresh() + "=" + v.fresh(),
		v.fresh() + "/" + v.fresh():         v.fresh(),
		"text/plain":                        strings.Repeat(v.fresh(), 1<<14), // too large
		"text/plain; charset=utf-8":         v.fresh() + "\xff",
	} {
		v.ask(c, "POST", "/", contentType, body)
	}
	v.ask(c, "POST", "/?"+v.fresh()+"="+v.fresh(), "text/plain", "x")
	host := v.host
	for _, other := range []string{v.fresh() + ".example", v.fresh() + "_-"} {
		v.host = other
		v.ask(c, "GET", path, "", "")
	}
	v.host = host
}

// knock sends what net/http and crypto/tls refuse by themselves, and what is
// refused on plain HTTP.
func (v *visitor) knock() {
	secure := func() net.Conn {
		conn, err := tls.Dial("tcp", v.address, &tls.Config{InsecureSkipVerify: true, ServerName: v.host})
		if err != nil {
			v.t.Fatal(err)
		}
		return conn
	}
	plain := func(address string) func() net.Conn {
		return func() net.Conn {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				v.t.Fatal(err)
			}
			return conn
		}
	}
	for _, input := range []string{
		v.fresh() + "\r\n\r\n",
		"GET /" + v.fresh() + " " + v.fresh() + "\r\n\r\n",
		"GET /%zz" + v.fresh() + " HTTP/1.1\r\nHost: " + v.fresh() + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + v.fresh() + "\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat(v.fresh(), 1<<11) + "\r\n\r\n",
	} {
		for _, dial := range []func() net.Conn{secure, plain(v.address), plain(v.http)} {
			conn := dial()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(conn, input)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}
	if conn, err := tls.Dial("tcp", v.address, &tls.Config{InsecureSkipVerify: true, ServerName: v.fresh() + ".example"}); err == nil {
		_ = conn.Close()
		v.t.Error("a handshake for a strange name succeeds")
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+v.http+"/.well-known/acme-challenge/"+v.fresh()+"?"+v.fresh(), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Referer", v.fresh())
	answer, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = answer.Body.Close()
}

// written returns all that the service writes: its output, its log's file and its
// metrics as they last were.
func (v *visitor) written(dir string) map[string]string {
	v.t.Helper()
	answer, err := http.Get("http://" + v.ops + "/metrics")
	if err != nil {
		v.t.Fatal(err)
	}
	metrics, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		v.t.Fatal(err)
	}
	_, ready := v.ready()
	v.stop()
	file, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		v.t.Fatal(err)
	}
	return map[string]string{
		"stdout": v.stdout.String(), "stderr": v.stderr.String(), "the log's file": string(file),
		"/metrics": string(metrics), "/readyz": ready,
	}
}

// Whatever happens, at debug level, nothing that the service writes holds a text,
// an id, a path, a password or the value of any field; and what happened is
// there, under the names that docs/OPERATIONS.md gives.
func TestNothingWrittenHoldsSecrets(t *testing.T) {
	redis := redistest.New(t)
	for name, args := range map[string][]string{
		"file":  {"--store=file:" + filepath.Join(t.TempDir(), "m.db")},
		"redis": {"--store=" + redis.URL(true)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			args = append(args, "--log-level=debug", "--log-dir="+dir, "--host=msg.example", "--listen-http=127.0.0.1:0",
				"--conns-per-client=24", "--limit-create=1/h:100", "--handshakes-per-client=off", "--limit-read=1/h:300", "--limit-miss=1/h:200")
			v := &visitor{service: startLimited(t, args...), host: "msg.example"}
			v.all = []string{redistest.Password, url.QueryEscape(redistest.Password), strings.ReplaceAll(redistest.Password, " ", "%20")}
			for _, protocol := range []int{1, 2} {
				v.visit(client(protocol))
			}
			v.knock()
			events := []string{"configuration", "start", "limit", "host", "name", "admission", "handshake"}
			c := client(1)
			path := v.create(c)
			if name == "redis" {
				redis.Kill()
				v.ask(c, "POST", "/", "text/plain", v.fresh())
				v.ask(c, "GET", path, "", "")
				redis.Start()
				eventually(t, 20*time.Second, "the store is back", func() bool {
					status, _ := v.ask(c, "GET", path, "", "")
					return status == http.StatusOK && strings.Contains(v.stdout.String(), `"store_back"`)
				})
				events = append(events, "store_lost", "store_back")
			}
			for refused := 0; refused < 5; {
				if status, _ := v.ask(c, "POST", "/", "text/plain", v.fresh()); status == http.StatusTooManyRequests {
					refused++
				}
			}
			var held []net.Conn
			for range 40 { // more than one client may have
				if conn, err := net.Dial("tcp", v.address); err == nil {
					held = append(held, conn)
				}
			}
			for _, event := range events {
				eventually(t, 20*time.Second, "the event "+event, func() bool {
					return strings.Contains(v.stdout.String(), fmt.Sprintf(`"event":%q`, event))
				})
				if event == "admission" {
					for _, conn := range held {
						_ = conn.Close()
					}
				}
			}
			for what, text := range v.written(dir) {
				v.expectNone(t, what, text)
				if (what == "stdout" || what == "the log's file") && !strings.Contains(text, `"msg":"request"`) {
					t.Errorf("%s has no line of a request", what)
				}
			}
		})
	}
}
