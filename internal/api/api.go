// Package api has the JSON bodies of the public HTTP interface as types, for the
// service, Go clients, the load test and tests. docs/openapi.yaml describes them;
// the service writes its answers to reads and creations by hand, because they are
// on the hot path.
package api

import "time"

// A Creation asks for a message, with POST.
type Creation struct {
	Message string `json:"message"`
	TTL     int64  `json:"ttl,omitempty"` // seconds; 0: the service's default
}

// Created answers a Creation.
type Created struct {
	Status    int       `json:"status"`
	MessageID string    `json:"message_id"` // version 4 UUID
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"` // UTC, with milliseconds
}

// A Message answers a read.
type Message struct {
	Status    int       `json:"status"`
	Message   string    `json:"message"`
	ExpiresAt time.Time `json:"expires_at"` // UTC, with milliseconds
}

// A Problem is every error (RFC 9457). Type is always about:blank.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"` // the status in words
	Status int    `json:"status"`
	Detail string `json:"detail"` // for people: names the input and the rule
}

// A Description tells a client what the service is.
type Description struct {
	Status  int    `json:"status"`
	Service string `json:"service"` // messaging_api
	Create  Create `json:"create"`
	Read    Read   `json:"read"`
	Limits  Limits `json:"limits"`
}

// Create tells how a message is created.
type Create struct {
	Method       string   `json:"method"`
	Path         string   `json:"path"`
	ContentTypes []string `json:"content_types"`
	Members      []string `json:"members"`
}

// Read tells how a message is read.
type Read struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Limits bound what a client may create.
type Limits struct {
	MaxBytes        int64 `json:"max_bytes"`        // of a request's body
	MessageOverhead int64 `json:"message_overhead"` // bytes that a stored message counts besides its text
	TTLDefault      int64 `json:"ttl_default"`      // seconds
	TTLMax          int64 `json:"ttl_max"`          // seconds
}
