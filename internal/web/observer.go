package web

import "time"

// An Observer counts what a listener and its handlers do. It is safe for
// concurrent use, and returns at once: each request calls it.
type Observer interface {
	// Request counts one answer, by one of [RouteNames] and the protocol as in
	// http.Request.Proto. net/http's own refusals are counted too.
	Request(route, protocol string, status int, took time.Duration)
	// Refused counts a request that was refused because of a limit: the budget
	// that a [Denial] names, or [LimitInFlight].
	Refused(limit string)
	// Message counts one of [MessageEvents].
	Message(event string)
	// Handshake counts a TLS handshake that was completed, with the version as
	// in tls.ConnectionState.
	Handshake(version uint16, resumed bool)
	// HandshakeFailed counts a TLS handshake that failed, with the error's text.
	// The text may hold what the client sent.
	HandshakeFailed(text string)
}

// LimitInFlight names the limit of [InFlight], to log lines and to an Observer.
const LimitInFlight = "in-flight"

// RouteNames are the routes of log lines and metrics: patterns, never a path.
func RouteNames() []string { return []string{rootRoute, messageRoute, plainRoute, otherRoute} }
