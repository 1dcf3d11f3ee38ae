package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"index/suffixarray"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"messaging_api/internal/api"
)

// secrets are what must not be found in anything that the service writes.
type secrets struct {
	mu  sync.Mutex // guards all
	all []string
}

// fresh returns a new one, made so that it fits wherever a name does.
func (s *secrets) fresh() string {
	word := "s" + strings.ToLower(rand.Text())
	s.keep(word)
	return word
}

// keep remembers what is a secret too.
func (s *secrets) keep(words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, words...)
}

// link remembers the id of a link, in each form of it.
func (s *secrets) link(link string) string {
	_, id, _ := strings.Cut(link, "/msg/")
	bare := strings.ReplaceAll(id, "-", "")
	s.keep(id, bare)
	if raw, err := hex.DecodeString(bare); err == nil {
		s.keep(base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), byteList(raw))
	}
	return "/msg/" + id
}

// byteList is how %v shows bytes, without the brackets.
func byteList(b []byte) string { return strings.Trim(fmt.Sprint(b), "[]") }

// expectNone looks for each secret, as it is and as code might write it.
func (s *secrets) expectNone(t testing.TB, what, text string) {
	t.Helper()
	text = strings.ToLower(text)
	index := suffixarray.New([]byte(text)) // there are thousands to look for
	for _, secret := range s.all {
		for _, form := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
			byteList([]byte(secret)),
		} {
			for _, i := range index.Lookup([]byte(strings.ToLower(form)), 1) {
				t.Errorf("%s holds %q: …%s…", what, form, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

// A visitor asks for things with a secret in every place that there is for one.
type visitor struct {
	*service
	secrets
	host    string
	origin  string       // of the page that has the request sent, where there is one
	answers sync.Map     // keyed by the statuses that were seen
	owner   atomic.Value // the owner token of the last message made from JSON, a string
	bearer  string       // the token that the request shows, where it has one
	paths   []string     // of the messages made
	written [][2]string  // what the service wrote, by where
}

// ask returns the status and the link of an answer.
func (v *visitor) ask(c *http.Client, method, target, contentType, body string) (int, string) {
	v.t.Helper()
	return v.request(c, method, target, contentType, body, v.fresh)
}

// request is ask with words of the caller's.
func (v *visitor) request(c *http.Client, method, target, contentType, body string, word func() string) (int, string) {
	v.t.Helper()
	request, err := http.NewRequest(method, "https://"+v.address+target, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Host = v.host
	for _, name := range []string{
		"Referer", "Cookie", "Authorization", "Proxy-Authorization", "X-Request-Id", "X-Forwarded-For", "Forwarded", word(),
	} {
		request.Header.Set(name, word())
	}
	request.Header.Set("Content-Type", contentType)
	if v.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+v.bearer)
	}
	if v.origin != "" {
		request.Header.Set("Origin", v.origin)
	}
	answer, err := c.Do(request)
	if err != nil {
		v.t.Logf("%s: %v", method, err)
		return 0, ""
	}
	var created api.Created
	_ = json.NewDecoder(answer.Body).Decode(&created) // most answers are others
	if created.OwnerToken != "" {
		v.keep(created.OwnerToken)
		v.owner.Store(created.OwnerToken)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	v.answers.Store(answer.StatusCode, true)
	return answer.StatusCode, answer.Header.Get("Location")
}

// create makes a message and returns its path.
func (v *visitor) create(c *http.Client) string {
	v.t.Helper()
	return v.createAs(c, "/?ttl=600", "text/plain", v.fresh())
}

func (v *visitor) createAs(c *http.Client, target, contentType, body string) string {
	v.t.Helper()
	status, link := v.ask(c, "POST", target, contentType, body)
	if status != http.StatusOK {
		v.t.Fatalf("creating as %s: got %d", contentType, status)
	}
	path := v.link(link)
	v.paths = append(v.paths, path)
	return path
}

// visit makes every kind of request and refusal that needs nobody's help.
func (v *visitor) visit(c *http.Client) {
	path := v.create(c)
	v.createAs(c, "/", "application/json", `{"message":"`+v.fresh()+`","ttl":600}`)
	v.createAs(c, "/", "application/x-www-form-urlencoded", "ttl=600&message="+v.fresh())
	for _, target := range []string{path, "/msg/" + v.fresh(), path + "?" + v.fresh(), path + v.fresh()} {
		v.ask(c, "GET", target, "", "")
		v.ask(c, "HEAD", target, "", "")
		v.ask(c, "OPTIONS", target, "", "")
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
		"text/plain; charset=" + v.fresh():  v.fresh(),
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
	v.origin = "https://" + v.fresh() + ".example"
	v.ask(c, "POST", "/", "text/plain", v.fresh())
	v.origin = ""
}

// limit makes, opens and takes back limited messages, with secrets for proofs,
// claims and tokens.
func (v *visitor) limit(c *http.Client) {
	proof := sha256.Sum256([]byte(v.fresh()))
	hash := sha256.Sum256(proof[:])
	encode := base64.RawURLEncoding.EncodeToString
	v.keep(encode(proof[:]), encode(hash[:]))
	for _, take := range []bool{false, true} {
		_, link := v.ask(c, "POST", "/", "application/json",
			`{"message":"`+v.fresh()+`","ttl":600,"reads":1,"proof_hash":"`+encode(hash[:])+`"}`)
		path := v.link(link)
		owner, _ := v.owner.Load().(string)
		claim := v.fresh()
		v.ask(c, "POST", path, "application/json", `{"claim":"`+claim+`"}`)
		v.ask(c, "POST", path, "application/json", `{"proof":"`+v.fresh()+`","claim":"`+v.fresh()+`"}`)
		for range 2 {
			v.ask(c, "POST", path, "application/json", `{"proof":"`+encode(proof[:])+`","claim":"`+claim+`"}`)
		}
		v.ask(c, "GET", path, "", "")
		v.bearer = claim
		if take {
			v.bearer = owner
		}
		v.ask(c, "DELETE", path, "", "")
		v.ask(c, "POST", path, "application/json", `{"proof":"`+encode(proof[:])+`","claim":"`+claim+`"}`)
		v.bearer = v.fresh()
		v.ask(c, "DELETE", path, "", "")
		v.bearer = ""
	}
}

// secure returns a connection with TLS.
func (v *visitor) secure() net.Conn {
	v.t.Helper()
	conn, err := tls.Dial("tcp", v.address, &tls.Config{InsecureSkipVerify: true, ServerName: v.host})
	if err != nil {
		v.t.Fatal(err)
	}
	return conn
}

// say sends this, reads the answer, if there is one within a minute, and closes.
func (v *visitor) say(conn net.Conn, input string) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, input)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		v.answers.Store(answer.StatusCode, true)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	_ = conn.Close()
}

// dawdle sends a body that never ends, for as long as it is let.
func (v *visitor) dawdle(conn net.Conn) {
	v.say(conn, "POST / HTTP/1.1\r\nHost: "+v.host+"\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"+v.fresh())
}

// exceed spends each budget of a client, and then asks for more.
func (v *visitor) exceed() {
	v.t.Helper()
	word := v.fresh()
	here, large := v.create(client(1)), strings.Repeat(v.fresh(), 1<<13) // over 200 kB
	for i, over := range []struct{ budget, method, target, body string }{
		{"create", "POST", "/", v.fresh()},
		{"bytes", "POST", "/", large},
		{"read", "GET", here, ""},
		{"miss", "GET", "/msg/" + v.fresh(), ""},
	} {
		c := from(fmt.Sprintf("127.0.4.%d", i+1), 2)
		eventually(v.t, time.Minute, "the budget "+over.budget+" is spent", func() bool {
			for range 50 {
				status, link := v.request(c, over.method, over.target, "text/plain", over.body, func() string { return word })
				if link != "" {
					v.link(link)
				}
				if status == http.StatusTooManyRequests {
					return true
				}
			}
			return false
		})
		eventually(v.t, time.Minute, "refusals are counted together", func() bool {
			for range 30 {
				v.ask(c, over.method, over.target, "text/plain", over.body)
			}
			return v.count("requests") > 0
		})
	}
}

// crowd asks for more at once than is worked on, until some of it is refused.
func (v *visitor) crowd() {
	v.t.Helper()
	c := from("127.0.5.1", 2)
	v.ask(c, "GET", "/", "", "") // all share its connection
	eventually(v.t, time.Minute, "a request is shed", func() bool {
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if _, link := v.ask(c, "POST", "/", "text/plain", v.fresh()); link != "" {
					v.link(link)
				}
			})
		}
		all.Wait()
		return strings.Contains(v.stdout.String(), `"limit":"in-flight"`)
	})
}

// knock sends what net/http and crypto/tls refuse by themselves, and what is
// refused on plain HTTP.
func (v *visitor) knock() {
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
		"GET /" + v.fresh() + " HTTP/3.0\r\nHost: " + v.fresh() + "\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: " + v.fresh() + "\r\nContent-Length: 1\r\n\r\n",
		"GET " + v.create(client(1)) + " HTTP/1.1\r\nHost: " + v.host + "\r\nAccept: " + v.fresh() + "/" + v.fresh() + "\r\nConnection: close\r\n\r\n",
	} {
		for _, dial := range []func() net.Conn{v.secure, plain(v.address), plain(v.http)} {
			v.say(dial(), input)
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

// rest ends a run of the service and keeps what it wrote, its metrics as they
// last were included, but for the log's files: the next run turns those over.
func (v *visitor) rest() {
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
	v.written = append(v.written, [2]string{"/metrics", string(metrics)}, [2]string{"/readyz", ready},
		[2]string{"stdout", v.stdout.String()}, [2]string{"stderr", v.stderr.String()})
}

// expectNoneIn looks through all that was written, and for a line of a request in
// each place that has such lines.
func (v *visitor) expectNoneIn(logs string) {
	v.t.Helper()
	files, err := filepath.Glob(filepath.Join(logs, "*"))
	if err != nil {
		v.t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			v.t.Fatal(err)
		}
		v.written = append(v.written, [2]string{filepath.Base(name), string(text)})
	}
	for _, w := range v.written {
		what, text := w[0], w[1]
		v.expectNone(v.t, what, text)
		if (what == "stdout" || strings.HasPrefix(what, logName)) && !strings.Contains(text, `"msg":"request"`) {
			v.t.Errorf("%s has no line of a request", what)
		}
	}
}

// documented are the statuses in docs/openapi.yaml.
func documented(t *testing.T) (statuses []int) {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^ +"(\d{3})":`).FindAllStringSubmatch(string(text), -1) {
		status, _ := strconv.Atoi(match[1])
		statuses = append(statuses, status)
	}
	return statuses
}

// Whatever happens, at debug level, nothing that the service writes holds a text,
// an id, a path, a password or the value of any field; and what happened is
// there, under the names that docs/OPERATIONS.md gives. Only panics are another
// test's matter ([TestPanicsHoldNoSecrets]): no request makes this program panic.
func TestNothingWrittenHoldsSecrets(t *testing.T) {
	for name, store := range map[string]func(*testing.T) trial{"file": fileTrial, "redis": redisTrial} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keepsSecrets(t, store(t))
		})
	}
}

func keepsSecrets(t *testing.T, store trial) {
	logs := t.TempDir()
	args := append(store.args, "--log-level=debug", "--log-dir="+logs, "--host=msg.example", "--listen-http=127.0.0.1:0", "--in-flight=1",
		"--conns-per-client=24", "--handshakes-per-client=off", "--limit-create=1/h:100", "--limit-bytes=1KiB/h:2MiB", "--limit-read=1/h:300",
		"--limit-miss=1/h:200")
	v := &visitor{service: startLimited(t, args...), host: "msg.example"}
	v.keep(redisPassword, url.QueryEscape(redisPassword), strings.ReplaceAll(redisPassword, " ", "%20"))
	var slow sync.WaitGroup
	dawdler := v.secure()
	slow.Go(func() { v.dawdle(dawdler) })
	for _, protocol := range []int{1, 2} {
		v.visit(client(protocol))
		v.limit(from("127.0.6.1", protocol))
	}
	v.knock()
	v.exceed()
	v.crowd()
	for _, storeFault := range store.storeFaults(&v.secrets) {
		v.askDuring(storeFault)
	}
	slow.Wait()
	for _, status := range documented(t) {
		if _, seen := v.answers.Load(status); !seen && status != http.StatusInternalServerError && !(status == http.StatusInsufficientStorage && store.roomy) {
			t.Errorf("no answer was a %d", status)
		}
	}
	// The log turned over by hand.
	if err := os.Rename(filepath.Join(logs, logName), filepath.Join(logs, logName+".old")); err != nil {
		t.Fatal(err)
	}
	v.signal(syscall.SIGHUP)
	v.expectEvent("reload", 1)
	v.create(client(1))
	v.overcrowd()
	for _, event := range []string{
		"configuration", "start", "limit", "host", "name", "admission", "handshake", "requests",
	} {
		v.expectEvent(event, 1)
	}
	v.rest()

	// The log of another day, and messages that somebody has tampered with.
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(filepath.Join(logs, logName), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	store.rewrite(v.tamper)
	v.service = startLimited(t, args...)
	c := client(2)
	for _, path := range v.paths {
		if status, _ := v.ask(c, "GET", path, "", ""); status != http.StatusNotFound {
			t.Errorf("a message that was tampered with: got %d, want 404", status)
		}
	}
	v.expectEvent("tampered", len(v.paths))
	v.rest()
	if _, err := os.Stat(filepath.Join(logs, logName+yesterday.Format(".060102"))); err != nil {
		t.Errorf("the log of another day: %v", err)
	}
	v.expectNoneIn(logs)
}

// expectEvent waits for as many lines of an event on stdout.
func (v *visitor) expectEvent(event string, times int) {
	v.t.Helper()
	eventually(v.t, time.Minute, fmt.Sprintf("the event %s, %d times", event, times), func() bool {
		return v.count(event) >= times
	})
}

// count returns how many lines of an event are on stdout.
func (v *visitor) count(event string) int {
	return strings.Count(v.stdout.String(), fmt.Sprintf(`"event":%q`, event))
}

// overcrowd opens more connections than one client may have.
func (v *visitor) overcrowd() {
	v.t.Helper()
	for range 40 {
		if conn, err := net.Dial("tcp", v.address); err == nil {
			defer func() { _ = conn.Close() }()
		}
	}
	v.expectEvent("admission", 1)
}

// askDuring asks while the store has a fault, and until the fault is over.
func (v *visitor) askDuring(what storeFault) {
	v.t.Helper()
	c := from("127.0.6.1", 1)
	path := v.create(c)
	what.begin()
	if status, _ := v.ask(c, "GET", path, "", ""); status != what.read {
		v.t.Errorf("reading while %s: got %d, want %d", what.name, status, what.read)
	}
	if what.create != 0 {
		if status, _ := v.ask(c, "POST", "/", "text/plain", v.fresh()); status != what.create {
			v.t.Errorf("creating while %s: got %d, want %d", what.name, status, what.create)
		}
	}
	lost := v.count("store_back")
	if what.read == http.StatusServiceUnavailable {
		lost++
		v.expectEvent("store_lost", lost)
	}
	what.end()
	eventually(v.t, time.Minute, "the store works after "+what.name, func() bool {
		status, _ := v.ask(c, "GET", path, "", "")
		return status == http.StatusOK && v.count("store_back") == lost
	})
}

// tamper changes each of these envelopes, in every way that there is.
func (v *visitor) tamper(envelopes [][]byte) {
	for i, e := range envelopes {
		switch i % 6 {
		case 0:
			e[len(e)-1] ^= 1
		case 1:
			envelopes[i] = envelopes[(i+1)%len(envelopes)] // moved from another key
		case 2:
			envelopes[i] = nil
		case 3:
			e[0]-- // of no version that there is
		case 4:
			envelopes[i] = []byte("\x00" + v.fresh())
		case 5:
			envelopes[i] = append(e[:1:1], v.fresh()...)
		}
	}
}
