package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A moving is a master with a replica behind an address that is sent elsewhere when
// another server becomes master, as a proxy or a Kubernetes Service is. Connections that
// are open stay with the old one. Of three servers two are in use.
type moving struct {
	setUp
	secure      bool
	entrance    *proxy // the address that moves
	master      *server
	follower    *server
	other       *server // not in use, or the master of the round before
	wasMaster   bool
	certificate string
}

// startMoving starts a master and its replica, and the address that leads to it, over
// TLS or not.
func startMoving(l *lab, secure, confirm bool) (*moving, error) {
	t := &moving{setUp: setUp{lab: l}, secure: secure}
	kind := t.name()
	var tls []string
	if secure {
		var err error
		if tls, err = t.certify(); err != nil {
			return nil, err
		}
	}
	for i := range 3 {
		args := append([]string{"--min-replicas-to-write", minReplicas(confirm, "1")}, tls...)
		s, err := l.newServer(kind, i+1, "", args...)
		if err != nil {
			return nil, err
		}
		if secure {
			port, err := freePort(l.ctx)
			if err != nil {
				return nil, err
			}
			s.tls = net.JoinHostPort("127.0.0.1", port)
			s.args = append(s.args, "--tls-port", port)
		}
		t.nodes = append(t.nodes, s)
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	t.master, t.follower, t.other = t.nodes[0], t.nodes[1], t.nodes[2]
	var err error
	if t.entrance, err = newProxy(l.ctx, t.reached(t.master)); err != nil {
		return nil, err
	}
	if err := t.follow(t.follower, t.master); err != nil {
		return nil, err
	}
	return t, l.await("the replica follows", t.writable)
}

// reached is where the service's connections to a server go.
func (t *moving) reached(s *server) string {
	if t.secure {
		return s.tls
	}
	return s.address
}

func (t *moving) follow(s, master *server) error {
	host, port, _ := net.SplitHostPort(master.front.address)
	return s.do("replicaof", host, port)
}

// certify makes a certificate for 127.0.0.1 and returns the arguments for Redis.
func (t *moving) certify() ([]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	t.certificate = filepath.Join(t.lab.dir, "redis.pem")
	keyFile := filepath.Join(t.lab.dir, "redis.key")
	err = errors.Join(
		os.WriteFile(t.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	return []string{"--tls-cert-file", t.certificate, "--tls-key-file", keyFile, "--tls-ca-cert-file", t.certificate, "--tls-auth-clients", "no"}, err
}

func (t *moving) name() string {
	if t.secure {
		return "rediss"
	}
	return "redis"
}

func (t *moving) replicas() int { return 1 }

func (t *moving) storeURL() string { return t.name() + "://messaging_api@" + t.entrance.address }

// serviceFlags are those that the service needs to trust these servers.
func (t *moving) serviceFlags() []string {
	if t.secure {
		return []string{"--redis-ca", t.certificate}
	}
	return nil
}

func (t *moving) victim() *server { return t.master }

func (t *moving) planned(*server) error { return nil }

func (t *moving) moved(old *server) bool { return t.master != old && t.master.isMaster() }

func (t *moving) writable() bool { return t.master.takesWrites(t.replicas()) }

// move makes the replica the master and sends new connections there. The third server
// follows it, emptied.
func (t *moving) move() (old *server, err error) {
	if t.wasMaster {
		t.other.front.resume()
		t.master.front.resume()
		t.other.process.kill()
		if err := os.RemoveAll(filepath.Join(t.other.dir, "appendonlydir")); err != nil {
			return nil, err
		}
		if err := t.other.start(); err != nil {
			return nil, err
		}
	}
	old, t.master, t.follower = t.master, t.follower, t.other
	t.other, t.wasMaster = old, true
	if err := t.master.do("replicaof", "no", "one"); err != nil {
		return nil, err
	}
	if err := t.follow(t.follower, t.master); err != nil {
		return nil, err
	}
	t.entrance.retarget(t.reached(t.master))
	return old, nil
}

// moves are the faults of an address that moves.
func (t *moving) moves() []fault {
	return []fault{
		// The old master is a replica now, which hears nothing of the new one.
		{"moved, a replica now", func(l *lab, _ topology, _ *caller) error {
			t.follower.front.stop(t.master.source + ":")
			old, err := t.move()
			if err != nil {
				return err
			}
			return t.follow(old, t.master)
		}},
		// The old master is not told. It has no replica any more.
		{"moved, not told", func(*lab, topology, *caller) error {
			_, err := t.move()
			return err
		}},
		// The old master and the others no longer reach each other. It still has the
		// connections to them, but hears nothing.
		{"moved, cut off", func(l *lab, _ topology, _ *caller) error {
			t.master.front.stop(serverSource)
			if err := l.await("the master hears nothing of its replica", t.master.silent); err != nil {
				return err
			}
			_, err := t.move()
			return err
		}},
	}
}

// silent reports whether the server has a replica that it takes for connected and has
// not heard of in 3 seconds, which is more than the service believes.
func (s *server) silent() bool {
	var lag int
	_, after, found := strings.Cut(s.info("replication", "slave0"), "state=online,")
	_, after, _ = strings.Cut(after, "lag=")
	_, err := fmt.Sscan(after, &lag)
	return found && err == nil && lag >= 3
}
