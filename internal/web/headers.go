package web

import (
	"fmt"
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

func newHeaderBlock(fields []header) *headerBlock {
	b := &headerBlock{fields: fields}
	for _, h := range fields {
		b.lines = append(b.lines, h.name+": "+h.value[0]+"\r\n"...)
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

// securityHeaders returns the headers of every answer, in a fixed order. The values
// follow the OWASP REST Security and HTTP Headers cheat sheets. They never change, so
// unrolled/secure is asked once.
func securityHeaders() []header {
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

	headers := make([]header, 0, len(fields))
	for name, value := range fields {
		headers = append(headers, header{http.CanonicalHeaderKey(name), slices.Clip(value)})
	}
	slices.SortFunc(headers, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return headers
}
