package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/unrolled/secure"
)

// A header is one field as net/http keeps it, so that setting it does not allocate.
type header struct {
	name  string // canonical
	value []string
}

// A headerBlock is the constant headers of an answer, prepared once: as fields for
// the header map, and as lines for a [conn] to write.
type headerBlock struct {
	fields []header
	lines  []byte
}

// newHeaderBlock prepares the fields, which have one value each, in a fixed order.
func newHeaderBlock(fields http.Header) *headerBlock {
	b := new(headerBlock)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		b.fields = append(b.fields, header{name, slices.Clip(fields[name])})
		b.lines = append(b.lines, name+": "+fields.Get(name)+"\r\n"...)
	}
	return b
}

// begin begins the answer, with its block of headers.
func (x *Exchange) begin(status int) {
	x.status = status
	if x.conn != nil {
		x.conn.headers = x.headers
	} else {
		h := x.w.Header()
		h[RequestIDHeader] = []string{x.requestID}
		for i := range x.headers.fields {
			h[x.headers.fields[i].name] = x.headers.fields[i].value
		}
	}
	x.w.WriteHeader(status)
}

// permissions are the features of a browser that answers switch off (W3C Permissions
// Policy; the list is from the OWASP Secure Headers Project).
var permissions = []string{
	"accelerometer", "autoplay", "bluetooth", "browsing-topics", "camera",
	"clipboard-read", "clipboard-write", "display-capture", "encrypted-media", "fullscreen", "gamepad", "geolocation",
	"gyroscope", "hid", "idle-detection", "keyboard-map", "local-fonts", "magnetometer",
	"microphone", "midi", "payment", "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial",
	"storage-access", "sync-xhr", "unload", "usb", "web-share", "window-management",
	"xr-spatial-tracking",
}

// securityHeaders returns the headers of every answer. The values follow the OWASP
// REST Security and HTTP Headers cheat sheets. They never change, so unrolled/secure
// is asked once.
func securityHeaders() http.Header {
	lib := secure.New(secure.Options{
		STSSeconds:                    63072000, // two years
		STSIncludeSubdomains:          true,
		ForceSTSHeader:                true, // a proxy may terminate TLS
		FrameDeny:                     true,
		ContentTypeNosniff:            true,
		ContentSecurityPolicy:         "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
		ReferrerPolicy:                "no-referrer", // a link is a credential
		PermissionsPolicy:             strings.Join(permissions, "=(), ") + "=()",
		CrossOriginOpenerPolicy:       "same-origin",
		CrossOriginEmbedderPolicy:     "require-corp",
		CrossOriginResourcePolicy:     "same-origin",
		XPermittedCrossDomainPolicies: "none",
		XDNSPrefetchControl:           "off",
	})
	fields, _, err := lib.ProcessNoModifyRequest(nil, &http.Request{URL: new(url.URL), Header: http.Header{}})
	if err != nil {
		panic(fmt.Sprint("web: unrolled/secure refuses a request without a host list: ", err))
	}
	fields.Set("Cache-Control", "no-store")
	fields.Set("X-Robots-Tag", "noindex, nofollow")
	return fields
}
