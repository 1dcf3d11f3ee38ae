// Package limit decides how much one client may do: who is one client
// ([Resolver]), what each may still spend ([Table], or [Shared] where replicas
// keep one budget in Redis), how an answer says so ([SetHeaders]), and whose
// connections are let in at all ([Listener]).
//
// Nothing a client sends makes any of it grow: memory is fixed when the parts
// are built, and the work for a decision is bounded. Nothing here knows routes,
// messages or stores.
package limit
