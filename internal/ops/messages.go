package ops

import "github.com/prometheus/client_golang/prometheus"

// messages counts messages that were stored, read and looked for.
type messages struct {
	created, createdBytes prometheus.Counter
	read, readBytes       prometheus.Counter
	missed                prometheus.Counter
	events                counters
}

func newMessages(f factory, events []string) messages {
	return messages{
		created:      f.counter("messages_created_total", "Messages stored."),
		createdBytes: f.counter("messages_created_bytes_total", "Bytes of the messages stored, as they are sealed."),
		read:         f.counter("messages_read_total", "Records of messages read from the store."),
		readBytes:    f.counter("messages_read_bytes_total", "Bytes of the messages read, as they are sealed."),
		missed:       f.counter("messages_missed_total", "Requests for a message that does not exist: expired, or guessed."),
		events:       f.counters("message_events_total", "What happened to messages that are limited, taken back or taken down.", "event", events),
	}
}

// Created counts a message that was stored.
func (m *Metrics) Created(size int) {
	m.messages.created.Inc()
	m.messages.createdBytes.Add(float64(size))
}

// Read counts a message that was read.
func (m *Metrics) Read(size int) {
	m.messages.read.Inc()
	m.messages.readBytes.Add(float64(size))
}

// Missed counts a request for a message that does not exist.
func (m *Metrics) Missed() { m.messages.missed.Inc() }

// Message counts something that happened to a message, by one of the events in
// [MetricsConfig].
func (m *Metrics) Message(event string) { m.messages.events.of(event).Inc() }
