package page_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os/exec"
	"strings"
	"testing"

	"messaging_api/internal/page"
)

// The compressed forms are the document.
func TestCompressedForms(t *testing.T) {
	d := page.New()
	zipped, err := gzip.NewReader(bytes.NewReader(d.Gzip))
	if err != nil {
		t.Fatal(err)
	}
	if html, err := io.ReadAll(zipped); err != nil || !bytes.Equal(html, d.HTML) {
		t.Errorf("gzip: %d bytes and %v, want the document's %d", len(html), err, len(d.HTML))
	}
	command := exec.CommandContext(t.Context(), "brotli", "--decompress", "--stdout")
	command.Stdin = bytes.NewReader(d.Brotli)
	if html, err := command.Output(); err != nil || !bytes.Equal(html, d.HTML) {
		t.Errorf("br: %d bytes and %v, want the document's %d", len(html), err, len(d.HTML))
	}
}

// The page is small, loads nothing, and its policy says so.
func TestDocument(t *testing.T) {
	d := page.New()
	if len(d.Gzip) > 80_000 {
		t.Errorf("the page has %d bytes compressed, want at most 80,000", len(d.Gzip))
	}
	html := string(d.HTML)
	for _, element := range []string{"<script", "<style"} {
		if n := strings.Count(html, element); n != 1 {
			t.Errorf("%d of %s, want one", n, element)
		}
	}
	for _, loads := range []string{" src=", "@import", "url(http", "href=\"http"} {
		if strings.Contains(html, loads) {
			t.Errorf("the page holds %q", loads)
		}
	}
	for _, part := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "trusted-types 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(d.ContentSecurityPolicy, part) {
			t.Errorf("the policy %q lacks %s", d.ContentSecurityPolicy, part)
		}
	}
	if strings.Contains(d.ContentSecurityPolicy, "unsafe") {
		t.Errorf("the policy is %q", d.ContentSecurityPolicy)
	}
}
