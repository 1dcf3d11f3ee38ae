package web

import (
	"net/http"
	"strings"
)

// A Page is the document with which people use the service in their browser. It is
// the same for every path: what a link names is judged by its script.
type Page struct {
	HTML   []byte
	Gzip   []byte // HTML in the content coding gzip (RFC 1952)
	Brotli []byte // HTML in the content coding br (RFC 7932)

	ContentSecurityPolicy string   // replaces the one that allows nothing
	Permissions           []string // features of the browser that it may use itself
}

// A pageAnswer is the page as it is sent, prepared once for each content coding.
type pageAnswer struct{ identity, gzip, brotli codedPage }

type codedPage struct {
	headers *headerBlock
	body    []byte
}

// newPageAnswer returns nil where there is no page.
func newPageAnswer(p *Page) *pageAnswer {
	if p == nil {
		return nil
	}
	coded := func(body []byte, coding ...header) codedPage {
		return codedPage{newHeaderBlock(append(pageHeaders(p), coding...)), body}
	}
	return &pageAnswer{
		identity: coded(p.HTML),
		gzip:     coded(p.Gzip, header{"Content-Encoding", []string{"gzip"}}),
		brotli:   coded(p.Brotli, header{"Content-Encoding", []string{"br"}}),
	}
}

// pageHeaders are the security headers with the page's own policies.
func pageHeaders(p *Page) []header {
	headers := securityHeaders()
	for i, h := range headers {
		switch h.name {
		case "Content-Security-Policy":
			headers[i].value = []string{p.ContentSecurityPolicy}
		case "Permissions-Policy":
			policy := h.value[0]
			for _, feature := range p.Permissions {
				policy = strings.Replace(policy, feature+"=()", feature+"=(self)", 1)
			}
			headers[i].value = []string{policy}
		}
	}
	return append(headers, header{"Vary", []string{"Accept, Accept-Encoding"}})
}

// wantsPage reports whether a GET or HEAD is answered with the page.
func (s *routes) wantsPage(x *Exchange, r *http.Request) bool {
	if s.page == nil {
		return false
	}
	x.negotiated(r)
	return x.html
}

// sendPage answers with the page, which costs a read and asks no store.
func (s *routes) sendPage(x *Exchange, r *http.Request) error {
	if err := s.charge(x); err != nil {
		return err
	}
	page := s.page.coded(r.Header["Accept-Encoding"])
	x.headers = page.headers
	x.load.setWait(x, forReader)
	x.send(r, http.StatusOK, htmlType, page.body)
	return nil
}

// coded chooses the coding with the highest weight, and of several the smallest
// (RFC 9110, section 12.5.3). Without a field, and where none is acceptable, the
// page is sent as it is.
func (p *pageAnswer) coded(acceptEncoding []string) codedPage {
	var br, gzip, identity preference
	eachElement(acceptEncoding, func(name string, weight int) {
		if name == "*" {
			name = "*/*"
		}
		br.consider(name, "br", "", weight)
		gzip.consider(name, "gzip", "", weight)
		identity.consider(name, "identity", "", weight)
	})
	best, page := identity.weight, p.identity
	if gzip.weight > 0 && gzip.weight >= best {
		best, page = gzip.weight, p.gzip
	}
	if br.weight > 0 && br.weight >= best {
		page = p.brotli
	}
	return page
}
