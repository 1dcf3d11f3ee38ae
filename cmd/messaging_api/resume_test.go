package main

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// A lastSession is a tls.ClientSessionCache that offers the last session to every
// name, as an attacker may.
type lastSession struct{ state *tls.ClientSessionState }

func (l *lastSession) Get(string) (*tls.ClientSessionState, bool) { return l.state, l.state != nil }

func (l *lastSession) Put(_ string, state *tls.ClientSessionState) {
	if state != nil {
		l.state = state
	}
}

// A TLS 1.3 session that is resumed under another name gets past the choice of a
// certificate, and still reaches no host but the one that its connection names. In
// TLS 1.2 a foreign name is refused all the same. After a restart no session is
// resumed, and the handshake succeeds.
func TestResumedSessions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			hosts := []string{"--host=a.example", "--host=b.example"}
			s := start(t, hosts...)
			session := new(lastSession)
			// visit asks for a host and returns the status, 0 if the handshake is
			// refused, and whether the session was resumed.
			visit := func(serverName, host string) (int, bool) {
				t.Helper()
				conn, err := tls.Dial("tcp", s.address, &tls.Config{
					ServerName: serverName, InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: session,
				})
				if err != nil {
					return 0, false
				}
				defer func() { _ = conn.Close() }()
				status := ask(t, conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n").StatusCode
				return status, conn.ConnectionState().DidResume
			}
			foreign := http.StatusMisdirectedRequest
			if version == tls.VersionTLS12 {
				foreign = 0
			}
			for _, c := range []struct {
				serverName, host string
				status           int
				resumed          bool
			}{
				{"a.example", "a.example", http.StatusOK, false},
				{"a.example", "a.example", http.StatusOK, true},
				{"a.example", "b.example", http.StatusMisdirectedRequest, true},
				{"b.example", "b.example", http.StatusOK, true},
				{"b.example", "a.example", http.StatusMisdirectedRequest, true},
				{"foreign.example", "foreign.example", foreign, foreign > 0},
				{"foreign.example", "a.example", foreign, foreign > 0},
			} {
				if status, resumed := visit(c.serverName, c.host); status != c.status || resumed != c.resumed {
					t.Errorf("server name %s, Host %s: got %d, resumed %t; want %d, %t", c.serverName, c.host, status, resumed, c.status, c.resumed)
				}
			}
			s.stop()
			s = start(t, hosts...)
			if status, resumed := visit("a.example", "a.example"); status != http.StatusOK || resumed {
				t.Errorf("after a restart: got %d, resumed %t; want 200 with a new session", status, resumed)
			}
		})
	}
}
