package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"messaging_api/internal/redistest"
	"messaging_api/internal/tlscert"
)

// asBare makes the test binary the yardstick: a net/http TLS server whose
// handler makes one go-redis GET. Its value is the listening address, the Redis
// address and the key, with spaces between.
const asBare = "TEST_BINARY_IS_A_BARE_SERVER"

func bareServer(spec string) error {
	var listen, addr, key string
	if _, err := fmt.Sscan(spec, &listen, &addr, &key); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: addr, Username: redistest.AdminUser, Password: redistest.Password})
	answer := func(r *http.Request) ([]byte, error) { return client.Get(r.Context(), key).Bytes() }
	if addr == "-" { // a constant
		answer = func(r *http.Request) ([]byte, error) { return []byte(key), r.Context().Err() }
	}
	source, err := tlscert.NewSelfSigned(nil, time.Now())
	if err != nil {
		return err
	}
	server := http.Server{
		Addr:              listen,
		TLSConfig:         &tls.Config{GetCertificate: source.GetCertificate, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			value, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = w.Write(value)
		}),
	}
	return server.ListenAndServeTLS("", "")
}

// BenchmarkReadWholeProcess measures reads over 32 keep-alive TLS connections
// from the real service, in turn with the bare server, both on one Redis and both
// without a line a request. The figure that counts is the ratio of their
// throughputs in the same run.
func BenchmarkReadWholeProcess(b *testing.B) {
	server := redistest.New(b)
	ours, bare := redistest.FreeAddr(b), redistest.FreeAddr(b)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Username: redistest.AdminUser, Password: redistest.Password})
	defer func() { _ = admin.Close() }()
	text := strings.Repeat("a message of some length. ", 10)
	if err := admin.Set(b.Context(), "plain", text, 0).Err(); err != nil {
		b.Fatal(err)
	}
	pidOurs := spawn(b, program(b, nil, append(noLimits(), "--log-level=error", "--listen="+ours, "--listen-ops=127.0.0.1:0", "--store="+server.URL(true))...))
	pidBare := spawn(b, program(b, []string{asBare + "=" + bare + " " + server.Addr + " plain"}))
	s := &service{t: b, address: ours}
	var link string
	eventually(b, 20*time.Second, "both serve", func() (ok bool) {
		var err error
		link, err = s.post(client(1), text)
		conn, bareErr := net.Dial("tcp", bare)
		if bareErr == nil {
			_ = conn.Close()
		}
		return err == nil && bareErr == nil
	})
	_, path, _ := strings.Cut(link, ours)
	compare(b, newLoad(b, ours, path, http.StatusOK), newLoad(b, bare, "/", http.StatusOK), pidOurs, pidBare)
}

// BenchmarkRefuseWholeProcess measures refusals of a client that has spent its
// budget, in turn with a bare server that answers a constant.
func BenchmarkRefuseWholeProcess(b *testing.B) {
	ours, bare := redistest.FreeAddr(b), redistest.FreeAddr(b)
	pidOurs := spawn(b, program(b, nil, append(noLimits(), "--limit-read=1/d:1", "--listen="+ours, "--listen-ops=127.0.0.1:0")...))
	pidBare := spawn(b, program(b, []string{asBare + "=" + bare + " - constant"}))
	s := &service{t: b, address: ours}
	path := "/msg/6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	eventually(b, 20*time.Second, "both serve, and ours refuses", func() bool {
		status, _, err := s.get(client(1), "https://"+ours+path)
		conn, bareErr := net.Dial("tcp", bare)
		if bareErr == nil {
			_ = conn.Close()
		}
		return err == nil && status == http.StatusTooManyRequests && bareErr == nil
	})
	compare(b, newLoad(b, ours, path, http.StatusTooManyRequests), newLoad(b, bare, "/", http.StatusOK), pidOurs, pidBare)
}

// compare runs two loads in turn and reports their ratio.
func compare(b *testing.B, loadOurs, loadBare *load, pidOurs, pidBare int) {
	b.Helper()
	loadOurs.round(b) // warm both
	loadBare.round(b)
	var tookOurs, tookBare time.Duration
	cpuOurs, cpuBare := processorTime(b, pidOurs), processorTime(b, pidBare)
	for b.Loop() {
		tookOurs += loadOurs.round(b)
		tookBare += loadBare.round(b)
	}
	requests := float64(b.N * len(loadOurs.conns) * perRound)
	b.ReportMetric(requests/tookOurs.Seconds(), "ours/s")
	b.ReportMetric(requests/tookBare.Seconds(), "bare/s")
	b.ReportMetric(tookBare.Seconds()/tookOurs.Seconds(), "ratio")
	b.ReportMetric(float64((processorTime(b, pidOurs)-cpuOurs).Microseconds())/requests, "ours-cpu-µs")
	b.ReportMetric(float64((processorTime(b, pidBare)-cpuBare).Microseconds())/requests, "bare-cpu-µs")
}

// spawn runs a command for the length of a benchmark and returns its pid.
func spawn(b *testing.B, command *exec.Cmd) int {
	b.Helper()
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command.Process.Pid
}

// A load is a set of keep-alive connections that ask for one thing. All answers
// have the length of the first, so they are counted and not parsed: the
// processors are for the servers.
type load struct {
	request []byte
	status  int // that every answer has
	answer  int // bytes
	conns   []net.Conn
}

func newLoad(b *testing.B, address, path string, status int) *load {
	b.Helper()
	l := &load{status: status, request: []byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")}
	for range connections {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err := dialer.DialContext(b.Context(), "tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		l.conns = append(l.conns, conn)
	}
	l.answer = l.measure(b)
	return l
}

// measure returns the length of an answer, head and body.
func (l *load) measure(b *testing.B) int {
	b.Helper()
	if _, err := l.conns[0].Write(l.request); err != nil {
		b.Fatal(err)
	}
	var whole bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(l.conns[0], &whole)), nil)
	if err != nil || answer.StatusCode != l.status {
		b.Fatalf("got %v, %v", answer, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		b.Fatal(err)
	}
	return whole.Len()
}

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
			answer := make([]byte, l.answer)
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
		address := redistest.FreeAddr(b)
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
