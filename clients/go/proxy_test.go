package svoykrug_test

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// In HTTP/2, what an answer begins with.
const headersFrame = 1

// proxy forwards connections to the server, as a bad network does.
type proxy struct {
	address string
	// While cutting, it cuts each connection where an answer begins; cuts counts them.
	cutting atomic.Bool
	cuts    atomic.Int32
	// While stalled, no byte of an answer comes through.
	stalled atomic.Bool
	// While away, no byte comes through, and there is no way for new connections.
	away atomic.Bool
	// Of the connections before this one, no byte comes through, and nobody is told.
	firstAlive atomic.Int32
	accepted   atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	succeeds(t, err)
	return proxyOn(t, listener)
}

// newTLSProxy returns a proxy that shows the certificate that it is given for each connection.
func newTLSProxy(t *testing.T, certificate func() *tls.Certificate) *proxy {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		NextProtos:     []string{"h2"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(), nil },
	})
	succeeds(t, err)
	return proxyOn(t, listener)
}

func proxyOn(t *testing.T, listener net.Listener) *proxy {
	t.Helper()
	t.Cleanup(func() { succeeds(t, listener.Close()) })
	made := &proxy{address: listener.Addr().String()}
	go func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			go made.forward(caller)
		}
	}()
	return made
}

// endConnections ends every connection, as a device does whose address is gone.
func (p *proxy) endConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

// forgetConnections makes every connection a hole into which bytes fall; new ones go through.
func (p *proxy) forgetConnections() { p.firstAlive.Store(p.accepted.Load() + 1) }

func (p *proxy) forward(caller net.Conn) {
	defer caller.Close()
	number := p.accepted.Add(1)
	isHole := func() bool { return p.away.Load() || number < p.firstAlive.Load() }
	if p.away.Load() {
		return
	}
	target, err := net.Dial("tcp", running.address)
	if err != nil {
		return
	}
	defer target.Close()
	p.mu.Lock()
	p.conns = append(p.conns, caller, target)
	p.mu.Unlock()
	go func() {
		defer target.Close()
		part := make([]byte, 32<<10)
		for {
			length, err := caller.Read(part)
			if err != nil {
				return
			}
			if isHole() {
				continue
			}
			if _, err := target.Write(part[:length]); err != nil {
				return
			}
		}
	}()
	for {
		// A frame is nine bytes, of which the first three are the length of what follows and the fourth is its type.
		head := make([]byte, 9)
		if _, err := io.ReadFull(target, head); err != nil {
			return
		}
		if head[3] == headersFrame && p.cutting.Load() {
			p.cuts.Add(1)
			return
		}
		var to io.Writer = caller
		if p.stalled.Load() || isHole() {
			to = io.Discard
		}
		rest := int64(binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
		if _, err := to.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(to, target, rest); err != nil {
			return
		}
	}
}
