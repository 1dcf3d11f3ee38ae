package web

import "time"

// An Observer counts what a listener and its handlers do. It is safe for
// concurrent use and returns at once: it is asked within each request.
type Observer interface {
	// Request counts one answer, what net/http refused by itself included, by
	// one of [RouteNames] and the protocol as in http.Request.Proto.
	Request(route, protocol string, status int, took time.Duration)
	// Refused counts a request that was refused because of a limit: the budget
	// that a [Denial] names, or [LimitInFlight].
	Refused(limit string)
	// Handshake counts a TLS handshake that was completed, with the version as
	// in tls.ConnectionState.
	Handshake(version uint16, resumed bool)
	// HandshakeFailed counts a TLS handshake that failed with an error of this
	// text, which may hold what the client sent.
	HandshakeFailed(text string)
}

// LimitInFlight names the limit of [InFlight], to log lines and to an Observer.
const LimitInFlight = "in-flight"

// RouteNames are what a request can have matched, for log lines and figures:
// patterns, never a path.
func RouteNames() []string { return []string{rootRoute, messageRoute, plainRoute, otherRoute} }
