package main

import (
	"log"
	"strings"
)

// troubles are the kinds of what net/http has to say of its own, by how its text
// begins.
var troubles = []struct{ text, kind string }{
	{"http: Accept error", "accept"},
	{"http2: server: error reading preface", "http2-preface"},
	{"http2: server connection error", "http2-connection"},
	{"http2: server: ", "http2"},
	{"http2: panic serving", "panic"},
	{"http: panic serving", "panic"},
	{"timeout waiting for ", "http2-timeout"},
	{"http: superfluous", "handler"},
}

// troubleLog is for http.Server.ErrorLog. Its texts quote what a client sent, a
// path for one, and its whole address, and clients cause them as often as they like:
// only their kind goes on, and into the digest.
func troubleLog(d *digest) *log.Logger { return log.New(troubleWriter{d}, "", 0) }

type troubleWriter struct{ digest *digest }

func (w troubleWriter) Write(p []byte) (int, error) {
	kind := "other"
	for _, t := range troubles {
		if strings.HasPrefix(string(p), t.text) {
			kind = t.kind
			break
		}
	}
	w.digest.serverTrouble(kind)
	return len(p), nil
}
