package web_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"messaging_api/internal/message"
	"messaging_api/internal/web"
)

// A document is docs/openapi.yaml.
type document struct {
	*openapi3.T
	exercised map[string]bool // "GET /msg/{id} 404"
}

func loadDocument(t *testing.T) *document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The library knows text/plain alone.
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.RegisteredBodyDecoder("text/plain"))
	return &document{doc, make(map[string]bool)}
}

// The document is valid OpenAPI 3.1, with schemas of JSON Schema 2020-12, and its
// examples fit them.
func TestDocumentIsValid(t *testing.T) {
	doc := loadDocument(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("openapi: %s, want 3.1", doc.OpenAPI)
	}
	err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableSchemaPatternValidation())
	if err != nil {
		t.Error(err)
	}
}

// The table of retries names every error that the document has, each once.
func TestDocumentSaysWhatToRetry(t *testing.T) {
	doc := loadDocument(t)
	var table []string
	for row := range strings.Lines(doc.Info.Description) {
		if cells := strings.Split(row, "|"); len(cells) > 2 {
			table = append(table, regexp.MustCompile(`\d{3}`).FindAllString(cells[1], -1)...)
		}
	}
	statuses := map[string]bool{"405": true}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				statuses[status] = true
			}
		}
	}
	delete(statuses, "200")
	delete(statuses, "204")
	if got, want := slices.Sorted(slices.Values(table)), slices.Sorted(maps.Keys(statuses)); !slices.Equal(got, want) {
		t.Errorf("the table of retries has the statuses %v, want %v", got, want)
	}
}

// operation returns what the document says of a method. HEAD is answered like GET. A
// method that a path does not describe gets the answers of GET that do not depend on
// the method, and a 405.
func (d *document) operation(item *openapi3.PathItem, method string) *openapi3.Operation {
	if method == http.MethodHead {
		return item.Get
	}
	if o := item.GetOperation(method); o != nil {
		return o
	}
	o := &openapi3.Operation{Responses: openapi3.NewResponses(openapi3.WithStatus(http.StatusMethodNotAllowed, d.Components.Responses["MethodNotAllowed"]))}
	for _, status := range []string{"400", "403", "417", "421", "431", "501", "505"} {
		o.Responses.Set(status, item.Get.Responses.Value(status))
	}
	return o
}

// route finds the operation of a request. Any path but the two is described by
// the 404 of an unknown message.
func (d *document) route(e statusCase) (*routers.Route, map[string]string) {
	path, params := "/", map[string]string(nil)
	if target, _, _ := strings.Cut(e.target, "?"); target != "/" {
		path, params = "/msg/{id}", map[string]string{"id": strings.TrimPrefix(target, "/msg/")}
	}
	item := d.Paths.Value(path)
	return &routers.Route{Spec: d.T, Path: path, PathItem: item, Method: e.method, Operation: d.operation(item, e.method)}, params
}

// check holds a request and its answer against the document.
func (d *document) check(t *testing.T, e statusCase, body string, a answer) {
	t.Helper()
	route, params := d.route(e)
	r := httptest.NewRequestWithContext(t.Context(), e.method, e.target, strings.NewReader(body))
	for name, values := range e.header {
		r.Header[name] = values
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil && e.status == http.StatusOK {
		t.Errorf("the document does not allow the request: %v", err)
	} else if err == nil && e.undocumented {
		t.Error("the document allows the request")
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.StatusCode, Header: a.Header, Options: in.Options,
		Body: io.NopCloser(bytes.NewBufferString(a.body)),
	}
	if e.method == http.MethodHead { // the validator passes over it, but its fields count
		in.Request.Method = http.MethodGet
		out.Options = &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: true}
	}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		t.Errorf("the document does not allow the answer: %v", err)
		return
	}
	d.checkFields(t, route.Operation.Responses.Status(a.StatusCode).Value, a)
	d.exercised[e.method+" "+route.Path+" "+strconv.Itoa(a.StatusCode)] = true
}

// checkFields finds fields that the document does not tell of, besides those
// that HTTP itself gives every answer.
func (d *document) checkFields(t *testing.T, response *openapi3.Response, a answer) {
	t.Helper()
	known := []string{"Connection", "Content-Length", "Content-Type", "Date"}
	for name := range response.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range a.Header {
		if !slices.Contains(known, name) {
			t.Errorf("the document does not tell of the field %s", name)
		}
	}
}

// documentedCases are requests for the statuses that each operation can have, and for
// those that the document forbids by what it says of bodies.
func documentedCases(w *testServer, t testing.TB) []statusCase {
	var list []statusCase
	for target, allow := range map[string]string{"/": "GET, HEAD, POST", w.post(t, "hello"): "GET, HEAD"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			head := method + " " + target + " HTTP/1.1\r\nHost: example.com\r\n"
			list = append(list,
				statusCase{name: "malformed", status: 400, method: method, target: target, raw: head + "x\r\n\r\n"},
				statusCase{name: "expectation", status: 417, method: method, target: target, raw: head + "Expect: x\r\n\r\n"},
				statusCase{name: "other host", status: 421, method: method, target: target, header: fields("Host", "example.org")},
				statusCase{name: "large headers", status: 431, method: method, target: target, raw: head + "X: " + strings.Repeat("x", 32<<10) + "\r\n\r\n"},
				statusCase{name: "transfer coding", status: 501, method: method, target: target, raw: head + "Transfer-Encoding: x\r\n\r\n"},
				statusCase{name: "version", status: 505, method: method, target: target, raw: strings.Replace(head, "/1.1", "/9.9", 1) + "\r\n"},
			)
			if !strings.Contains(allow, method) {
				list = append(list, statusCase{name: "method", status: 405, method: method, target: target})
			}
		}
		list = append(list, statusCase{name: "Accept", status: 406, method: "HEAD", target: target, header: fields("Accept", "image/png")})
		if target != "/" {
			list = append(list,
				statusCase{name: "broken", status: 500, method: "HEAD", target: target, fault: func() error { return errBroken }},
				statusCase{name: "unavailable", status: 503, method: "HEAD", target: target, fault: func() error { return message.ErrUnavailable }},
			)
		}
	}
	for _, body := range []string{"null", "[]", "{}", `{"ttl":1}`, `{"message":""}`, `{"message":1}`, `{"message":null}`, `{"message":"x","tll":1}`,
		`{"message":"x","ttl":0}`, `{"message":"x","ttl":1.5}`, `{"message":"x","ttl":"1"}`, `{"message":"x","ttl":null}`} {
		list = append(list, statusCase{name: body, status: 400, method: "POST", target: "/", undocumented: true,
			header: fields("Content-Type", typeJSON), body: strings.NewReader(body)})
	}
	for _, body := range []string{"message=", "ttl=1", "message=x&ttl=0", "message=x&ttl=x"} {
		list = append(list, statusCase{name: body, status: 400, method: "POST", target: "/", undocumented: true,
			header: fields("Content-Type", typeForm), body: strings.NewReader(body)})
	}
	for _, query := range []string{"ttl=0", "ttl=-1", "ttl=x", "ttl=1.5"} {
		list = append(list, statusCase{name: query, status: 400, method: "POST", target: "/?" + query, undocumented: true,
			header: fields("Content-Type", typeText), body: strings.NewReader("x")})
	}
	return list
}

// taken returns what a body holds, and leaves the body as it was.
func taken(t *testing.T, e *statusCase) string {
	t.Helper()
	switch body := e.body.(type) {
	case nil:
		return ""
	case endless:
		return "x"
	case *strings.Reader:
		text := make([]byte, body.Len())
		if _, err := body.ReadAt(text, 0); err != nil {
			t.Fatal(err)
		}
		return string(text)
	default:
		t.Fatalf("a body of type %T", body)
		return ""
	}
}

// Real requests and answers of every status fit the document, and each status that
// the document lists for an operation occurs.
func TestDocumentFitsTheService(t *testing.T) {
	doc := loadDocument(t)
	w := newService(limits, "example.com").listen(t)
	c := w.client(t, "HTTP/1.1")
	for _, e := range append(statusCases(w, t), documentedCases(w, t)...) {
		t.Run(e.method+" "+e.name, func(t *testing.T) {
			body := taken(t, &e)
			a := w.sendCase(t, c, e)
			if a.StatusCode != e.status {
				t.Errorf("got %s, want %d", a.Status, e.status)
			}
			doc.check(t, e, body, a)
		})
	}
	t.Run("creators", func(t *testing.T) {
		for _, creators := range []web.Creators{{Tokens: new(oneToken)}, {From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}} {
			w := restricted(creators).listen(t)
			c := w.client(t, "HTTP/1.1")
			refused := http.StatusUnauthorized
			if creators.Tokens == nil {
				refused = http.StatusForbidden
			}
			for authorization, status := range map[string]int{"": refused, "Bearer wrong": refused, "Bearer " + rightToken: http.StatusOK} {
				e := statusCase{name: authorization, status: status, method: "POST", target: "/", header: fields("Content-Type", typeText, "Authorization", authorization), body: strings.NewReader("x")}
				if creators.Tokens == nil {
					e.status = refused
				}
				a := w.sendCase(t, c, e)
				if a.StatusCode != e.status {
					t.Errorf("%q: got %s, want %d", authorization, a.Status, e.status)
				}
				doc.check(t, e, "x", a)
			}
			e := statusCase{status: http.StatusOK, method: "GET", target: "/"}
			doc.check(t, e, "", w.sendCase(t, c, e))
		}
	})
	t.Run("slow body", func(t *testing.T) {
		w, e := slow(t)
		doc.check(t, e, "{}", w.sendCase(t, w.client(t, "HTTP/1.1"), e))
	})
	t.Run("slow opening", func(t *testing.T) {
		w, e := slow(t)
		e.target, _ = w.createLimited(t, `{"message":"hello","reads":1}`)
		doc.check(t, e, "{}", w.sendCase(t, w.client(t, "HTTP/1.1"), e))
	})
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if name := method + " " + path + " " + status; !doc.exercised[name] {
					t.Errorf("the document has %s, which nothing exercises", name)
				}
			}
		}
	}
}
