package svoykrug_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// In HTTP/2, what an answer begins with.
const headersFrame = 1

// proxy forwards connections to the server; while it is told to, it cuts each one where an answer begins.
type proxy struct {
	address string
	cutting atomic.Bool
	cuts    atomic.Int32
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	succeeds(t, err)
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

func (p *proxy) forward(caller net.Conn) {
	defer caller.Close()
	target, err := net.Dial("tcp", running.address)
	if err != nil {
		return
	}
	defer target.Close()
	go func() {
		io.Copy(target, caller)
		target.Close()
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
		rest := int64(binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))
		if _, err := caller.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(caller, target, rest); err != nil {
			return
		}
	}
}
