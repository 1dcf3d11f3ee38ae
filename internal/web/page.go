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

// A codedPage is the page in one content coding, prepared once.
type codedPage struct {
	coding  string
	headers *headerBlock
	body    []byte
}

// codedPages returns the page in each coding, first as it is, last the smallest; nil
// without a page.
func codedPages(p *Page) (pages []codedPage) {
	if p == nil {
		return nil
	}
	for _, c := range []codedPage{{coding: "identity", body: p.HTML}, {coding: "gzip", body: p.Gzip}, {coding: "br", body: p.Brotli}} {
		headers := pageHeaders(p)
		if c.coding != "identity" {
			headers.Set("Content-Encoding", c.coding)
		}
		c.headers = newHeaderBlock(headers)
		pages = append(pages, c)
	}
	return pages
}

// pageHeaders are the security headers with the page's own policies.
func pageHeaders(p *Page) http.Header {
	headers := securityHeaders()
	policy := headers.Get("Permissions-Policy")
	for _, feature := range p.Permissions {
		policy = strings.Replace(policy, feature+"=()", feature+"=(self)", 1)
	}
	headers.Set("Permissions-Policy", policy)
	headers.Set("Content-Security-Policy", p.ContentSecurityPolicy)
	headers.Set("Vary", "Accept, Accept-Encoding")
	return headers
}

// wantsPage reports whether a GET or HEAD is answered with the page.
func (s *routes) wantsPage(x *Exchange, r *http.Request) bool {
	x.negotiated(r)
	return x.html && s.pages != nil
}

// sendPage answers with the page, which costs a read and asks no store.
func (s *routes) sendPage(x *Exchange, r *http.Request) error {
	if err := s.charge(x); err != nil {
		x.as = asPage
		return err
	}
	page := choosePage(s.pages, r.Header["Accept-Encoding"])
	x.headers = page.headers
	x.load.setWait(x, forReader)
	x.send(r, http.StatusOK, htmlType, page.body)
	return nil
}

// choosePage chooses the coding with the highest weight, and of several the
// smallest (RFC 9110, section 12.5.3). Without a field, and where none is
// acceptable, the page is sent as it is.
func choosePage(pages []codedPage, acceptEncoding []string) codedPage {
	chosen, best := pages[0], 1
	ranks := make([]preference, len(pages))
	eachElement(acceptEncoding, func(name string, weight int) {
		if name == "*" {
			name = "*/*"
		}
		for i := range pages {
			ranks[i].consider(name, pages[i].coding, "", weight)
		}
	})
	for i, rank := range ranks {
		if rank.weight >= best {
			chosen, best = pages[i], rank.weight
		}
	}
	return chosen
}
