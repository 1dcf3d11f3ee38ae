package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestAccept(t *testing.T) {
	const refused = ""
	for _, tc := range []struct {
		name   string
		accept []string
		want   string
	}{
		{"none", nil, typeJSON},
		{"empty", []string{""}, typeJSON},
		{"only commas", []string{" , ,"}, typeJSON},
		{"anything", []string{"*/*"}, typeJSON},
		{"JSON", []string{"application/json"}, typeJSON},
		{"text", []string{"text/plain"}, typeUTF8},
		{"in capitals", []string{"TEXT/Plain"}, typeUTF8},
		{"all of application", []string{"application/*"}, typeJSON},
		{"all of text", []string{"text/*"}, typeUTF8},
		{"both alike", []string{"text/plain, application/json"}, typeJSON},
		{"both by their families", []string{"text/*, application/*"}, typeJSON},
		{"a family before anything", []string{"*/*, text/*"}, typeUTF8},
		{"a type before a family", []string{"application/*, text/plain"}, typeUTF8},
		{"a type before anything", []string{"*/*", "text/plain"}, typeUTF8},
		{"a type before anything, other order", []string{"text/plain", "*/*"}, typeUTF8},
		{"text preferred", []string{"application/json;q=0.5, text/plain"}, typeUTF8},
		{"JSON preferred", []string{"text/plain;q=0.5, application/json;q=0.501"}, typeJSON},
		{"by a thousandth", []string{"application/json;q=0.998, text/plain;q=0.999"}, typeUTF8},
		{"weight zero", []string{"application/json;q=0, text/plain;q=0.001"}, typeUTF8},
		{"anything but JSON", []string{"*/*, application/json;q=0"}, typeUTF8},
		{"anything but JSON, other order", []string{"application/json;q=0.000, */*;q=0.1"}, typeUTF8},
		{"anything but text", []string{"*/*;q=0.1, text/*;q=0"}, typeJSON},
		{"the more specific weight counts", []string{"text/*;q=1, text/plain;q=0.1, application/json;q=0.2"}, typeJSON},
		{"spaces", []string{" text/plain ; q=0.9 ,\tapplication/json ; q=0.8 "}, typeUTF8},
		{"Q in capitals", []string{"application/json;Q=0.1,text/plain;Q=0.2"}, typeUTF8},
		{"other parameters", []string{"text/plain; charset=utf-8; q=0.9, application/json; version=1; q=0.8"}, typeUTF8},
		{"weights 1. and 0.", []string{"application/json;q=0., text/plain;q=1."}, typeUTF8},
		{"several fields", []string{"image/png", "text/plain"}, typeUTF8},
		{"one element malformed", []string{"application/json;q=2, text/plain"}, typeUTF8},
		{"malformed weights are passed over", []string{"application/json;q=1.001,application/json;q=-1,application/json;q=x,application/json;q=,application/json;q=0.1234,application/json;q=0,5, text/plain;q=0.1"}, typeUTF8},

		{"text after too many bytes", []string{strings.Repeat("a/b", 340) + ",text/plain"}, typeJSON},
		{"text after too many elements", []string{strings.Repeat("a/b,", 32) + "text/plain"}, typeJSON},
		{"text after too many empty elements", []string{strings.Repeat(",", 32) + "text/plain"}, typeJSON},
		{"text after too many fields", append(slices.Repeat([]string{"a/b"}, 32), "text/plain"), typeJSON},
		{"text after too many bytes in fields", append(slices.Repeat([]string{strings.Repeat("a", 512)}, 2), "text/plain"), typeJSON},
		{"text before too many bytes", []string{"text/plain," + strings.Repeat("a", 2000)}, typeJSON},
		{"text as the last that is looked at", []string{strings.Repeat("a/b,", 31) + "text/plain"}, typeUTF8},
		{"only what is too long", []string{strings.Repeat("a", 2000)}, typeJSON},

		{"another type", []string{"image/png"}, refused},
		{"only problems", []string{"application/problem+json"}, refused},
		{"other families", []string{"image/*, audio/*"}, refused},
		{"nothing at all", []string{"*/*;q=0"}, refused},
		{"neither", []string{"application/json;q=0, text/plain;q=0.0, */*"}, refused},
		{"not a type", []string{"text"}, refused},
		{"half a range", []string{"*"}, refused},
		{"a range of families", []string{"*/plain"}, refused},
		{"malformed only", []string{"text/plain;q=abc"}, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(limits)
			h := make(http.Header)
			if tc.accept != nil {
				h["Accept"] = tc.accept
			}
			path := s.post(t, "hello")
			_, before := s.store.count()
			post := http.Header{"Content-Type": {typeText}, "Accept": h["Accept"]}
			answers := map[string]answer{
				"GET":  s.ask("GET", path, h, nil),
				"POST": s.ask("POST", "/", post, strings.NewReader("x")),
				"root": s.ask("GET", "/", h, nil),
			}
			missing := s.ask("GET", "/msg/x", h, nil)
			if tc.want == refused {
				for _, a := range answers {
					expectProblem(t, a, http.StatusNotAcceptable, "neither application/json nor text/plain")
				}
				if _, after := s.store.count(); after != before {
					t.Error("a message was stored that nobody has a link to")
				}
				expectProblem(t, missing, http.StatusNotAcceptable, "")
				return
			}
			for name, a := range answers {
				if got := a.Header.Get("Content-Type"); a.StatusCode != http.StatusOK || got != tc.want {
					t.Errorf("%s: got %d %s, want 200 %s", name, a.StatusCode, got, tc.want)
				}
			}
			if tc.want == typeJSON {
				expectProblem(t, missing, http.StatusNotFound, "nothing here")
				return
			}
			if got, want := answers["POST"].body, answers["POST"].Header.Get("Location")+"\n"; got != want {
				t.Errorf("POST: got %q, want the bare link %q", got, want)
			}
			if got := answers["GET"].body; got != "hello" {
				t.Errorf("GET: got %q, want the bare message", got)
			}
			if missing.StatusCode != http.StatusNotFound || missing.Header.Get("Content-Type") != typeUTF8 || !strings.HasPrefix(missing.body, "There is nothing here") {
				t.Errorf("missing: got %d %s %q, want a 404 in text", missing.StatusCode, missing.Header.Get("Content-Type"), missing.body)
			}
		})
	}
}
