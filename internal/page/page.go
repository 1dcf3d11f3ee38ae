// Package page holds the page with which people write and read messages in
// their browser: one document with its script and its style inside. Its source
// is in src; scripts/page builds page.html and its compressed forms from it.
package page

import (
	"crypto/sha256"
	_ "embed" // the document
	"encoding/base64"
	"fmt"
	"strings"
)

//go:embed page.html
var document string

//go:embed page.html.gz
var gzipped string

//go:embed page.html.br
var brotli string

// A Document is the page as it is sent.
type Document struct {
	HTML   []byte
	Gzip   []byte // HTML in the content coding gzip (RFC 1952)
	Brotli []byte // HTML in the content coding br (RFC 7932)

	// ContentSecurityPolicy allows the script and the style that the document
	// holds and requests to the service itself, and nothing else.
	ContentSecurityPolicy string
	// Permissions are the features of the browser that the page uses.
	Permissions []string
}

// New returns the page.
func New() Document {
	return Document{
		HTML:   []byte(document),
		Gzip:   []byte(gzipped),
		Brotli: []byte(brotli),
		ContentSecurityPolicy: strings.Join([]string{
			"default-src 'none'",
			"script-src " + hashOf("script type=\"module\"", "script"),
			"style-src " + hashOf("style", "style"),
			"connect-src 'self'",
			"img-src data:",
			"form-action 'none'",
			"base-uri 'none'",
			"frame-ancestors 'none'",
			"require-trusted-types-for 'script'",
			"trusted-types 'none'",
		}, "; "),
		Permissions: []string{"clipboard-write", "web-share"},
	}
}

// hashOf returns the source expression for what stands in the document's only
// element of this kind (CSP Level 3, section 6.7.2).
func hashOf(open, element string) string {
	_, rest, found := strings.Cut(document, "<"+open+">")
	text, _, closed := strings.Cut(rest, "</"+element+">")
	if !found || !closed {
		panic(fmt.Sprintf("page: the document has no <%s>", open)) // a build that its test would have refused
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
