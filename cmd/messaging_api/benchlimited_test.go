package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// otherBuild names a program: another build of the service, to be measured in turn
// with this one.
const otherBuild = "OTHER_BUILD"

// BenchmarkNextToAnotherBuild measures reads of plain messages, with and without a log
// line each, creations and refusals, in turn with the build that OTHER_BUILD names.
func BenchmarkNextToAnotherBuild(b *testing.B) {
	other := os.Getenv(otherBuild)
	if other == "" {
		b.Skip(otherBuild + " names no program")
	}
	for _, test := range []struct {
		name, store, arg string
		load             func(b *testing.B, address string, pid int) *load
	}{
		{"reads/redis", "redis", "--log-level=error", reads},
		{"reads/file", "file", "--log-level=error", reads},
		{"logged-reads/file", "file", "--log-level=info", reads},
		{"creations/redis", "redis", "--log-level=error", creations},
		{"creations/file", "file", "--log-level=error", creations},
		{"refusals", "file", "--limit-read=1/d:1", refusedReads},
	} {
		b.Run(test.name, func(b *testing.B) {
			var loads []*load
			for _, command := range []*exec.Cmd{program(b, nil), exec.Command(other)} {
				store := "file:" + filepath.Join(b.TempDir(), "messages.db")
				if test.store == "redis" {
					store = startRedis(b).URL(true)
				}
				address, pid := launch(b, command, test.arg, "--store="+store)
				loads = append(loads, test.load(b, address, pid))
			}
			compare(b, loads[0], loads[1])
		})
	}
}

// creations is a load of creations.
func creations(b *testing.B, address string, pid int) *load {
	b.Helper()
	const body = `{"message":"a message of some length, again and again","ttl":600}`
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
	return newLoadOf(b, pid, address, request, http.StatusOK)
}

// BenchmarkOpening measures the service's processor time for openings of limited
// messages, each with a claim, and for as many reads of a plain one, in turns.
func BenchmarkOpening(b *testing.B) {
	const messages, workers = 2000, 16
	for _, kind := range []string{"redis", "file"} {
		b.Run(kind, func(b *testing.B) {
			store := "file:" + filepath.Join(b.TempDir(), "messages.db")
			if kind == "redis" {
				store = startRedis(b).URL(true)
			}
			address, pid := ours(b, "--log-level=error", "--store="+store)
			s, c := &service{t: b, address: address}, client(1)
			link, err := s.post(c, benchText)
			if err != nil {
				b.Fatal(err)
			}
			ids := make([]string, messages)
			each := func(f func(i int) (int, error)) time.Duration {
				b.Helper()
				start := processorTime(b, pid)
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						for i := w; i < messages; i += workers {
							if status, err := f(i); err != nil || status != http.StatusOK {
								b.Errorf("got %d and %v", status, err)
								return
							}
						}
					})
				}
				wg.Wait()
				return processorTime(b, pid) - start
			}
			var openings, plain time.Duration
			for b.Loop() {
				each(func(i int) (int, error) { ids[i] = s.limited(c, 1).MessageID; return http.StatusOK, nil })
				openings += each(func(i int) (int, error) { a, err := s.open(c, ids[i], claimOf(i)); return a.status, err })
				plain += each(func(int) (int, error) { status, _, err := s.get(c, link); return status, err })
			}
			requests := float64(b.N * messages)
			b.ReportMetric(float64(openings.Microseconds())/requests, "opening-cpu-µs")
			b.ReportMetric(float64(plain.Microseconds())/requests, "read-cpu-µs")
			b.ReportMetric(openings.Seconds()/plain.Seconds(), "ratio")
		})
	}
}
