// Package api has the JSON bodies of the public HTTP interface as types, for the
// service, Go clients, the load test and tests. docs/openapi.yaml describes them;
// the service writes its answers to reads and creations by hand, because they are
// on the hot path.
package api

import "time"

// A Creation asks for a message, with POST.
type Creation struct {
	Message string `json:"message"`
	TTL     int64  `json:"ttl,omitempty"`   // seconds; 0: the service's default
	Reads   int    `json:"reads,omitempty"` // how often it can be opened, 1 to 100; 0: any number of times
	// ProofHash is the SHA-256 of the proof that an opening needs, base64url; only
	// with Reads.
	ProofHash string `json:"proof_hash,omitempty"`
}

// Created answers a Creation.
type Created struct {
	Status    int    `json:"status"`
	MessageID string `json:"message_id"` // version 4 UUID
	URL       string `json:"url"`
	// OwnerToken takes the message back: DELETE with Authorization: Bearer.
	OwnerToken string    `json:"owner_token"`
	ExpiresAt  time.Time `json:"expires_at"` // UTC, with milliseconds
}

// An Opening opens a limited message, with POST.
type Opening struct {
	Proof string `json:"proof,omitempty"` // 32 bytes, base64url
	Claim string `json:"claim,omitempty"` // 16 to 64 random characters
}

// A Message answers a read or an opening. Before its opening a limited message has
// no text.
type Message struct {
	Status  int    `json:"status"`
	Message string `json:"message,omitempty"` // never empty
	// ReadsLeft and Opened are of limited messages: how often it can still be
	// opened, and when it was opened before.
	ReadsLeft *int        `json:"reads_left,omitempty"`
	Opened    []time.Time `json:"opened,omitempty"`
	ExpiresAt time.Time   `json:"expires_at"` // UTC, with milliseconds
}

// A Problem is every error (RFC 9457). Type is always about:blank.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"` // the status in words
	Status int    `json:"status"`
	Detail string `json:"detail"` // for people: names the input and the rule
	// Of a 410: when the message was opened, taken back by its sender, or taken down
	// by the operator.
	Opened      []time.Time `json:"opened,omitempty"`
	WithdrawnAt *time.Time  `json:"withdrawn_at,omitempty"`
	TakenDownAt *time.Time  `json:"taken_down_at,omitempty"`
}

// A Description tells a client what the service is.
type Description struct {
	Status   int    `json:"status"`
	Service  string `json:"service"` // messaging_api
	Create   Create `json:"create"`
	Read     Read   `json:"read"`
	Open     Read   `json:"open"`     // of a limited message
	Withdraw Read   `json:"withdraw"` // by its sender
	Limits   Limits `json:"limits"`
	// CreateToken: this client needs a token to create messages.
	CreateToken bool `json:"create_token,omitempty"`
}

// Create tells how a message is created.
type Create struct {
	Method       string   `json:"method"`
	Path         string   `json:"path"`
	ContentTypes []string `json:"content_types"`
	Members      []string `json:"members"`
}

// Read tells how a message is read, opened or taken back.
type Read struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// Limits bound what a client may create.
type Limits struct {
	MaxBytes        int64 `json:"max_bytes"`        // of a request's body
	MessageOverhead int64 `json:"message_overhead"` // bytes that a stored message counts besides its text
	ReadsMax        int   `json:"reads_max"`
	TTLDefault      int64 `json:"ttl_default"` // seconds
	TTLMax          int64 `json:"ttl_max"`     // seconds
}
