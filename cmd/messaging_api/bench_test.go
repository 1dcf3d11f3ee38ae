package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/tlscert"
)

// asBare makes the test binary the yardstick: a net/http TLS server that does one
// thing. Its value is the listening address and what that is, with spaces between:
// "get" with the address of a Redis and a key makes one go-redis GET for each
// request, "set" with an address a go-redis SET, "constant" answers with one word, and "answer" with a file's name
// answers what stands there, each time alike: status, fields and body.
const asBare = "TEST_BINARY_IS_A_BARE_SERVER"

func bareServer(spec string) error {
	handlers := map[string]func(args []string) (http.HandlerFunc, error){
		"get": bareGet, "set": bareSet, "constant": bareConstant, "answer": bareAnswer,
	}
	words := strings.Fields(spec)
	if len(words) < 2 || handlers[words[1]] == nil {
		return fmt.Errorf("%s=%s: want an address and what to do", asBare, spec)
	}
	handler, err := handlers[words[1]](words[2:])
	if err != nil {
		return err
	}
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	if err != nil {
		return err
	}
	server := http.Server{
		Addr:              words[0],
		TLSConfig:         &tls.Config{GetCertificate: source.GetCertificate, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		Handler:           handler,
	}
	return server.ListenAndServeTLS("", "")
}

func bareGet(args []string) (http.HandlerFunc, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("get %v: want an address and a key", args)
	}
	client := redis.NewClient(&redis.Options{Addr: args[0], Username: redisAdmin, Password: redisPassword})
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := client.Get(r.Context(), args[1]).Bytes()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(value)
	}, nil
}

func bareSet(args []string) (http.HandlerFunc, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("set %v: want an address", args)
	}
	client := redis.NewClient(&redis.Options{Addr: args[0], Username: redisAdmin, Password: redisPassword})
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = client.SetNX(r.Context(), rand.Text(), body, time.Minute).Err()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("stored"))
	}, nil
}

func bareConstant([]string) (http.HandlerFunc, error) {
	word := []byte("constant")
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(word) }, nil
}

func bareAnswer(args []string) (http.HandlerFunc, error) {
	text, err := os.ReadFile(strings.Join(args, " "))
	if err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(body)
	}, err
}

// BenchmarkReadWholeProcess measures reads over 32 keep-alive TLS connections
// from the real service, in turn with the bare server, both on one Redis and both
// without a line a request. The figure that counts is the ratio of their
// throughputs in the same run.
func BenchmarkReadWholeProcess(b *testing.B) {
	server := startRedis(b)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Username: redisAdmin, Password: redisPassword})
	defer func() { _ = admin.Close() }()
	if err := admin.Set(b.Context(), "plain", benchText, 0).Err(); err != nil {
		b.Fatal(err)
	}
	compare(b, oursReads(b, server.URL(true), "--log-level=error"), bare(b, "get "+server.Addr+" plain", http.StatusOK))
}

// BenchmarkCreateWholeProcess measures creations over 32 keep-alive TLS connections from
// the real service, in turn with the bare server, both on one Redis.
func BenchmarkCreateWholeProcess(b *testing.B) {
	server := startRedis(b)
	address, pid := ours(b, "--log-level=error", "--store="+server.URL(true))
	bareAddress := freeAddr(b)
	barePid := spawn(b, program(b, []string{asBare + "=" + bareAddress + " set " + server.Addr}), bareAddress)
	compare(b, creations(b, address, pid), creations(b, bareAddress, barePid))
}

// BenchmarkConfirmedCreateWholeProcess measures creations that two replicas confirm, in
// turn with creations that none does, both on one Redis with two replicas.
func BenchmarkConfirmedCreateWholeProcess(b *testing.B) {
	server := startRedis(b)
	host, port, _ := net.SplitHostPort(server.Addr)
	for range 2 {
		replica := startRedis(b, "--replicaof", host+" "+port, "--masteruser", redisAdmin, "--masterauth", redisPassword)
		eventually(b, time.Minute, "the replica has the data", func() bool {
			return strings.Contains(fmt.Sprint(replica.Do("info", "replication")), "master_link_status:up")
		})
	}
	var loads []*load
	for _, replicas := range []string{"2", "0"} {
		address, pid := ours(b, "--log-level=error", "--store="+server.URL(true), "--redis-replicas="+replicas)
		loads = append(loads, creations(b, address, pid))
	}
	compare(b, loads[0], loads[1])
}

// BenchmarkLoggedReadWholeProcess measures what a line for each read costs, in a
// file and on stdout, which leads to a file too: reads from a service with logging,
// in turn with reads from one without, both on the embedded store.
func BenchmarkLoggedReadWholeProcess(b *testing.B) {
	logged := oursReads(b, "file:messages.db", "--log-dir="+b.TempDir())
	compare(b, logged, oursReads(b, "file:messages.db", "--log-level=error"))
}

// BenchmarkRefuseWholeProcess measures refusals of a client that has spent its
// budget, in turn with a bare server: one that answers with a word, and one that
// answers just what ours does, as a constant.
func BenchmarkRefuseWholeProcess(b *testing.B) {
	for _, yardstick := range []string{"word", "same-answer"} {
		b.Run(yardstick, func(b *testing.B) {
			address, pid := ours(b, "--limit-read=1/d:1")
			refused := refusedReads(b, address, pid)
			what, status := "constant", http.StatusOK
			if yardstick == "same-answer" {
				what, status = sameAnswer(b, refused), http.StatusTooManyRequests
			}
			compare(b, refused, bare(b, what, status))
		})
	}
}

// refusedReads is a load of reads by a client that has spent its budget.
func refusedReads(b *testing.B, address string, pid int) *load {
	b.Helper()
	const path = "/msg/6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	return newLoad(b, pid, address, path, http.StatusTooManyRequests)
}

// BenchmarkPageWholeProcess measures the page as browsers get it, in turn with a bare
// server that sends the same answer as a constant.
func BenchmarkPageWholeProcess(b *testing.B) {
	address, pid := ours(b, "--log-level=error")
	page := newLoad(b, pid, address, "/", http.StatusOK, "Accept: text/html", "Accept-Encoding: br")
	compare(b, page, bare(b, sameAnswer(b, page), http.StatusOK))
}

// BenchmarkReadNextToThePage measures what the page costs programs: reads that accept
// anything, in turn from a service with the page and from one without.
func BenchmarkReadNextToThePage(b *testing.B) {
	var loads []*load
	for _, page := range []string{"--page", "--page=false"} {
		address, pid := ours(b, "--log-level=error", "--store=file:messages.db", page)
		loads = append(loads, newLoad(b, pid, address, posted(b, address), http.StatusOK, "Accept: */*"))
	}
	compare(b, loads[0], loads[1])
}

// sameAnswer is what a bare server does to answer like a load's server.
func sameAnswer(b *testing.B, l *load) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "answer")
	if err := os.WriteFile(file, l.answer, 0o600); err != nil {
		b.Fatal(err)
	}
	return "answer " + file
}

// benchText is what is read.
var benchText = strings.Repeat("a message of some length. ", 10)

// ours runs the service without limits but for these arguments, and returns its
// address and its pid.
func ours(b *testing.B, args ...string) (address string, pid int) {
	b.Helper()
	return launch(b, program(b, nil), args...)
}

// launch is ours with any build of the service.
func launch(b *testing.B, command *exec.Cmd, args ...string) (address string, pid int) {
	b.Helper()
	address = freeAddr(b)
	stdout, err := os.Create(filepath.Join(b.TempDir(), "stdout"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = stdout.Close() }()
	command.Args = append(append(append(command.Args, noLimits()...), "--listen="+address, "--listen-ops=127.0.0.1:0"), args...)
	command.Stdout = stdout
	return address, spawn(b, command, address)
}

// oursReads is a load of reads of one message on the service.
func oursReads(b *testing.B, store string, args ...string) *load {
	b.Helper()
	address, pid := ours(b, append(args, "--store="+store)...)
	return reads(b, address, pid)
}

// reads is a load of reads of one message.
func reads(b *testing.B, address string, pid int) *load {
	b.Helper()
	return newLoad(b, pid, address, posted(b, address), http.StatusOK)
}

// posted posts a message and returns the path of its link.
func posted(b *testing.B, address string) string {
	b.Helper()
	link, err := (&service{t: b, address: address}).post(client(1), benchText)
	if err != nil {
		b.Fatal(err)
	}
	_, path, _ := strings.Cut(link, address)
	return path
}

// bare is a load on the bare server.
func bare(b *testing.B, what string, status int) *load {
	b.Helper()
	address := freeAddr(b)
	pid := spawn(b, program(b, []string{asBare + "=" + address + " " + what}), address)
	return newLoad(b, pid, address, "/", status)
}

// compare runs two loads in turn and reports the ratio of their throughputs.
func compare(b *testing.B, one, other *load) {
	b.Helper()
	one.round(b) // warm both
	other.round(b)
	var tookOurs, tookOther time.Duration
	cpuOurs, cpuOther := processorTime(b, one.pid), processorTime(b, other.pid)
	for i := 0; b.Loop(); i++ {
		// Each goes first as often as second, which with two of a kind is worth two
		// hundredths.
		if i%2 == 0 {
			tookOurs += one.round(b)
		}
		tookOther += other.round(b)
		if i%2 == 1 {
			tookOurs += one.round(b)
		}
	}
	requests := float64(b.N * connections * perRound)
	b.ReportMetric(requests/tookOurs.Seconds(), "ours/s")
	b.ReportMetric(requests/tookOther.Seconds(), "other/s")
	b.ReportMetric(tookOther.Seconds()/tookOurs.Seconds(), "ratio")
	b.ReportMetric(float64((processorTime(b, one.pid)-cpuOurs).Microseconds())/requests, "ours-cpu-µs")
	b.ReportMetric(float64((processorTime(b, other.pid)-cpuOther).Microseconds())/requests, "other-cpu-µs")
}

// spawn runs a server for the length of a benchmark and returns its pid, once it
// listens.
func spawn(b *testing.B, command *exec.Cmd, address string) int {
	b.Helper()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	eventually(b, time.Minute, "the server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return command.Process.Pid
}

// A load is a set of keep-alive connections that ask for one thing. All answers
// have the length of the first, so they are counted and not parsed: the
// processors are for the servers.
type load struct {
	pid     int // of the server
	request []byte
	status  int    // that every answer has
	answer  []byte // the first, head and body
	conns   []net.Conn
}

// newLoad asks twice before it takes an answer as what all look like: the first
// one can use up a budget.
func newLoad(b *testing.B, pid int, address, path string, status int, fields ...string) *load {
	b.Helper()
	head := append([]string{"GET " + path + " HTTP/1.1", "Host: " + address}, fields...)
	return newLoadOf(b, pid, address, strings.Join(head, "\r\n")+"\r\n\r\n", status)
}

// newLoadOf is newLoad with a whole request.
func newLoadOf(b *testing.B, pid int, address, request string, status int) *load {
	b.Helper()
	l := &load{pid: pid, status: status, request: []byte(request)}
	for range connections {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = raw.Close() })
		l.conns = append(l.conns, tls.Client(buffered{raw, bufio.NewReaderSize(raw, 16<<10)}, &tls.Config{InsecureSkipVerify: true}))
	}
	l.ask(b)
	if got := l.ask(b); got != status {
		b.Fatalf("%s: got %d, want %d", address, got, status)
	}
	return l
}

// ask keeps an answer, and returns its status.
func (l *load) ask(b *testing.B) int {
	b.Helper()
	if _, err := l.conns[0].Write(l.request); err != nil {
		b.Fatal(err)
	}
	var whole bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(l.conns[0], &whole)), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		b.Fatal(err)
	}
	l.answer = whole.Bytes()
	return answer.StatusCode
}

// A buffered connection takes an answer of up to 16 KiB out of the kernel in one
// call, which crypto/tls does not.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (c buffered) Read(p []byte) (int, error) { return c.reader.Read(p) }

// connections are how many a load has.
const connections = 32

// perRound is how often a connection asks in one round.
const perRound = 200

// round asks perRound times on each connection and returns how long it took.
func (l *load) round(b *testing.B) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for _, conn := range l.conns {
		wg.Go(func() {
			want := fmt.Appendf(nil, "HTTP/1.1 %d", l.status)
			answer := make([]byte, len(l.answer))
			for range perRound {
				if _, err := conn.Write(l.request); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(conn, answer); err != nil || !bytes.HasPrefix(answer, want) {
					b.Errorf("got %.40q, %v", answer, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkStart measures from the start of the process to the first
// connection, on a new embedded store, and the memory of the idle service.
func BenchmarkStart(b *testing.B) {
	var rss float64
	for b.Loop() {
		address := freeAddr(b)
		command := program(b, nil, "--listen="+address, "--listen-ops=127.0.0.1:0")
		if err := command.Start(); err != nil {
			b.Fatal(err)
		}
		for {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
				break
			}
		}
		b.StopTimer()
		rss += residentMB(b, command.Process.Pid)
		_ = command.Process.Kill()
		_ = command.Wait()
		b.StartTimer()
	}
	b.ReportMetric(rss/float64(b.N), "MB-idle")
}

// residentMB is the resident set of a process in megabytes (proc(5), VmRSS).
func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	match := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		b.Fatal("no VmRSS")
	}
	kib, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib * 1024 / 1e6
}

// processorTime is what a process has used of the processors, to the kernel's
// tick of 10 ms (proc(5), stat).
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
