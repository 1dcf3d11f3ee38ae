package store_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"messaging_api/internal/store"
)

func TestNewRedisTakesURLs(t *testing.T) {
	for _, url := range []string{
		"redis://localhost",
		"redis://localhost:6379/2",
		"REDIS://user@[::1]:6379",
		"redis://user:p%40ss%2F%3F%23@localhost:6379",
		"redis://localhost?dial_timeout=3&read_timeout=700ms&pool_size=50&max_retries=2&client_name=me",
		"redis://a:1?addr=b:2&addr=c:3&max_redirects=5",
		"redis://s:26379?master_name=m&username=u&password=p&addr=s:26380",
		"redis://s:26379?master_name=1&username=2&password=12345678901234567890",
		"rediss://localhost?skip_verify=true",
		"rediss://localhost:6379?addr=b:2",
	} {
		r, err := store.NewRedis(url, store.RedisOptions{}, quiet)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: Close: %v", url, err)
		}
	}
}

func TestNewRedisRefusesURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                                    "must be",
		"localhost:6379":                      "must be",
		"redis:localhost":                     "must be",
		"http://localhost":                    "must be",
		"unix:///run/redis.sock":              "must be",
		"redis://localhost:port":              "not a URL",
		"redis://localhost/one":               "database number",
		"redis://localhost/1/2":               "path",
		"redis://localhost?nope=1":            "nope",
		"redis://localhost?dial_timeout=fast": "dial_timeout",
		"redis://localhost?pool_size=many":    "pool_size",
		"redis://localhost?pool_size=-1":      "pool_size",
		// At these go-redis panics, when it is made or when it is used.
		"redis://localhost?pool_size=9999999999":                   "pool_size",
		"redis://localhost?addr=b:2&pool_size=-1":                  "pool_size",
		"redis://localhost?addr=b:2&max_redirects=-2":              "max_redirects",
		"redis://localhost?min_idle_conns=9999999999":              "min_idle_conns",
		"redis://localhost?master_name=m&route_by_latency=true":    "replica",
		"redis://localhost?master_name=m&route_randomly=true":      "replica",
		"redis://localhost?master_name=m&replica_only=true":        "replica",
		"redis://localhost?addr=b:2&read_only=true":                "replica",
		"redis://localhost?addr=b":                                 "addr",
		"redis://user:secret@localhost?nope=1":                     "nope",
		"redis://user:secret@localhost/one":                        "database number",
		"redis://user:secret%zz@localhost":                         "not a URL",
		"redis://user:sec ret@local host":                          "not a URL",
		"redis://user:12/secret@localhost:6379/0":                  "percent-encoded",
		"redis://user:12?secret@localhost:6379/0":                  "percent-encoded",
		"redis://user:12#secret@localhost:6379/0":                  "percent-encoded",
		"redis://user:/secret@localhost":                           "percent-encoded",
		"redis://localhost?master_name=m&password=secret&nope=%zz": "percent-encoded",
	} {
		r, err := store.NewRedis(url, store.RedisOptions{}, quiet)
		if err == nil {
			t.Errorf("%s: accepted", url)
			_ = r.Close()
			continue
		}
		text := err.Error()
		if !strings.Contains(text, want) || strings.Contains(text, "\n") {
			t.Errorf("%s: got %q, want one line that says %q", url, text, want)
		}
		if strings.Contains(text, "secret") {
			t.Errorf("%s: the error shows the password: %q", url, text)
		}
	}
}

func TestNewRedisChecksOptions(t *testing.T) {
	certificate := &tls.Certificate{}
	for _, test := range []struct {
		url  string
		opts store.RedisOptions
		want string // empty: accepted
	}{
		{"redis://u@h", store.RedisOptions{Password: "secret"}, ""},
		{"redis://u:secret@h", store.RedisOptions{Password: "secret"}, "both"},
		{"redis://u:secret@h?addr=b:2", store.RedisOptions{Password: "secret"}, "both"},
		{"redis://h?master_name=m&password=secret", store.RedisOptions{Password: "secret"}, "both"},
		// At a Sentinel, the URL's password is the Sentinel's own.
		{"redis://u:secret@h?master_name=m&username=v", store.RedisOptions{Password: "secret"}, ""},
		{"redis://h", store.RedisOptions{RootCAs: x509.NewCertPool()}, "rediss"},
		{"redis://h", store.RedisOptions{Certificate: certificate}, "rediss"},
		{"rediss://h", store.RedisOptions{RootCAs: x509.NewCertPool(), Certificate: certificate}, ""},
	} {
		r, err := store.NewRedis(test.url, test.opts, quiet)
		switch {
		case err == nil:
			_ = r.Close()
			if test.want != "" {
				t.Errorf("%s: accepted, want an error that says %q", test.url, test.want)
			}
		case test.want == "" || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: got %v, want %q and no password", test.url, err, test.want)
		}
	}
}

func FuzzNewRedis(f *testing.F) {
	f.Add("redis://user:p%40ss@localhost:6379/0?pool_size=3&addr=a:1&master_name=m")
	f.Add("rediss://h?route_randomly=1")
	f.Fuzz(func(t *testing.T, url string) {
		if strings.Contains(url, "idle") || strings.Contains(url, "%") {
			return // min_idle_conns connects at once, to wherever that may be
		}
		r, err := store.NewRedis(url, store.RedisOptions{}, quiet)
		if err == nil {
			_ = r.Close()
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("NewRedis(%q): the error has several lines: %v", url, err)
		}
	})
}
