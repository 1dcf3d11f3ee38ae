package main

import (
	"log"
	"strings"
)

// serverErrorKind returns the kind of a text that net/http logs, by how the text
// begins.
func serverErrorKind(text string) string {
	for _, k := range [][2]string{
		{"http: Accept error", "accept"},
		{"http2: server: error reading preface", "http2-preface"},
		{"http2: server connection error", "http2-connection"},
		{"http2: server: ", "http2"},
		{"http2: panic serving", "panic"},
		{"http: panic serving", "panic"},
		{"timeout waiting for ", "http2-timeout"},
		{"http: superfluous", "handler"},
	} {
		if strings.HasPrefix(text, k[0]) {
			return k[1]
		}
	}
	return "other"
}

// serverErrorLog is for http.Server.ErrorLog. Its texts quote what a client sent,
// paths and whole addresses, and clients cause them as often as they like: only
// their kind is counted.
func serverErrorLog(f *floodLog) *log.Logger { return log.New(serverErrors{f}, "", 0) }

type serverErrors struct{ floods *floodLog }

func (s serverErrors) Write(p []byte) (int, error) {
	s.floods.serverError(serverErrorKind(string(p)))
	return len(p), nil
}
