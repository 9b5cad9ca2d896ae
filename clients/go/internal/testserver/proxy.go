package testserver

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy passes TCP connections on to a server, and cuts each one after so many bytes.
type Proxy struct {
	// Cuts is how many connections were cut.
	Cuts atomic.Int32

	to       string
	listener net.Listener
	mutex    sync.Mutex
	budgets  []int64
	requests bool
}

// CutAnswers cuts connections after so many bytes of answers each; connections after the last are not cut.
func CutAnswers(t testing.TB, s *Server, budgets ...int64) *Proxy {
	return start(t, s, budgets, false)
}

// CutRequests cuts connections after so many bytes of requests each; connections after the last are not cut.
func CutRequests(t testing.TB, s *Server, budgets ...int64) *Proxy {
	return start(t, s, budgets, true)
}

func start(t testing.TB, s *Server, budgets []int64, requests bool) *Proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{to: s.address, listener: listener, budgets: budgets, requests: requests}
	t.Cleanup(func() { _ = listener.Close() })
	go p.accept()
	return p
}

// Address is `HOST:PORT`.
func (p *Proxy) Address() string {
	return p.listener.Addr().String()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.pass(client)
	}
}

func (p *Proxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	closeBoth := func() { _, _ = client.Close(), server.Close() }
	counted, counter, other, origin := client, server, server, client
	if p.requests {
		counted, counter, other, origin = server, client, client, server
	}
	go func() {
		_, _ = io.Copy(other, origin)
		closeBoth()
	}()
	if budget, ok := p.budget(); ok {
		if n, _ := io.CopyN(counted, counter, budget); n == budget {
			p.cut(client)
		}
	} else {
		_, _ = io.Copy(counted, counter)
	}
	closeBoth()
}

func (p *Proxy) budget() (int64, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.budgets) == 0 {
		return 0, false
	}
	budget := p.budgets[0]
	p.budgets = p.budgets[1:]
	return budget, true
}

// cut makes the coming close an orderly end or a reset, in turn.
func (p *Proxy) cut(client net.Conn) {
	if tcp, ok := client.(*net.TCPConn); ok && p.Cuts.Add(1)%2 == 0 {
		_ = tcp.SetLinger(0)
	}
}
