package main

import (
	"io"
	"net/http"
	"testing"

	"messaging_api/internal/page"
)

// A browser gets the page from the real service, with its own policy; without the
// page it gets what programs get.
func TestPage(t *testing.T) {
	for _, tc := range []struct {
		name, flag, mediaType, body, policy string
	}{
		{"on", "--page", "text/html; charset=utf-8", string(page.New().HTML), page.New().ContentSecurityPolicy},
		{"off", "--page=false", "application/json", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, tc.flag)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/html,*/*;q=0.8")
			r.Header.Set("Accept-Encoding", "identity")
			answer, err := client(1).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.Header.Get("Content-Type") != tc.mediaType {
				t.Errorf("got %s %s, %v, want %s", answer.Status, answer.Header.Get("Content-Type"), err, tc.mediaType)
			}
			if tc.body != "" && (string(body) != tc.body || answer.Header.Get("Content-Security-Policy") != tc.policy) {
				t.Errorf("got %d bytes with the policy %q, want the page with %q", len(body), answer.Header.Get("Content-Security-Policy"), tc.policy)
			}
		})
	}
}
