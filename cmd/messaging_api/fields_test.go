package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// processorTime returns how many seconds of processor time the service has used.
func (s *service) processorTime() float64 {
	s.t.Helper()
	answer, err := http.Get("http://" + s.ops + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^process_cpu_seconds_total (\S+)$`).FindSubmatch(body)
	if found == nil {
		s.t.Fatal("no metric process_cpu_seconds_total")
	}
	seconds, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return seconds
}

// No field of a request costs more than the same bytes in a field that nobody
// reads, over HTTP/2, where the bytes are sent once and then referred to. It is the
// service's processor time that is compared, in turns, so that nothing depends on
// the machine's speed.
func TestNoFieldIsExpensive(t *testing.T) {
	const rounds, requests = 4, 300
	s := start(t)
	c := client(2)
	ask := func(method, name, value string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address+"/", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			r.Header.Add(name, value)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	const size = 3900
	for name, field := range map[string][2]string{
		"Accept of commas":     {"Accept", strings.Repeat(",", size)},
		"Accept of elements":   {"Accept", strings.Repeat("a,", size/2)},
		"Accept of parameters": {"Accept", "a" + strings.Repeat(";q", size/2)},
		"Content-Type":         {"Content-Type", "text/plain" + strings.Repeat(";a=b", size/4)},
		"Content-Encoding":     {"Content-Encoding", strings.Repeat("a,", size/2)},
		"Origin":               {"Origin", "https://" + strings.Repeat("%41", size/3)},
		"Sec-Fetch-Site":       {"Sec-Fetch-Site", strings.Repeat("a,", size/2)},
		"X-Forwarded-For":      {"X-Forwarded-For", strings.Repeat("1,", size/2)},
		"Referer":              {"Referer", strings.Repeat("%41", size/3)},
	} {
		method := http.MethodGet
		if strings.HasPrefix(field[0], "Content-") {
			method = http.MethodPost
		}
		var plain, suspect float64
		for range rounds {
			for _, side := range []struct {
				name, value string
				spent       *float64
			}{{"X-Unread", strings.Repeat("x,", size/2), &plain}, {field[0], field[1], &suspect}} {
				before := s.processorTime()
				for range requests {
					ask(method, side.name, side.value)
				}
				*side.spent += s.processorTime() - before
			}
		}
		t.Logf("%s: %.2f times", name, suspect/plain)
		if plain == 0 || suspect > 2*plain {
			t.Errorf("%s: %d requests took %.2f s of processor time, with the same bytes in another field %.2f s", name, rounds*requests, suspect, plain)
		}
	}
}
