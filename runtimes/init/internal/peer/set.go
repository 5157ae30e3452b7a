package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"klambda.io/init/internal/frame"
)

// Timing of dialling (docs/runtime-contract.md §1 and design: retry 50 ms → 1 s).
const (
	retryFirst    = 50 * time.Millisecond
	retryLast     = time.Second
	dialLimit     = 3 * time.Second
	resolveEvery  = 5 * time.Second
	duplicateWait = 30 * time.Second
	keepAlive     = 5 * time.Second
	keepAliveMiss = 3
)

// Handler is the instance, as connections see it.
type Handler interface {
	// Introduce completes a proof with what the instance is.
	Introduce(proof *frame.ProofHeader)
	// Connected is called after the handshake, before the first frame.
	Connected(c *Conn)
	// Received takes a frame; an error closes the connection.
	Received(c *Conn, f frame.Frame) error
	// Closed is called once for each Connected.
	Closed(c *Conn)
}

// Set holds the connections to all gateways.
type Set struct {
	hosts    []string
	who      Identity
	handler  Handler
	resolver func(ctx context.Context, host string) ([]string, error)
	report   func(error)

	mu      sync.Mutex
	named   map[string]bool // addresses that DNS or a peers frame has named
	dialled map[string]bool // addresses that have a goroutine
	present map[string]bool // gateways by name: one connection each
	count   uint64
}

// NewSet connects to hosts (host:port each); report hears of failures worth a line.
func NewSet(hosts []string, who Identity, handler Handler, report func(error)) *Set {
	return &Set{
		hosts: hosts, who: who, handler: handler, report: report, resolver: net.DefaultResolver.LookupHost,
		named: map[string]bool{}, dialled: map[string]bool{}, present: map[string]bool{},
	}
}

// Run resolves and dials until the context ends.
func (s *Set) Run(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		addresses, err := s.resolve(ctx)
		if err != nil {
			s.report(err)
		}
		if len(addresses) > 0 {
			s.name(ctx, addresses, err == nil)
		}
		pause := resolveEvery
		if !s.connected() {
			pause, wait = wait, min(2*wait, retryLast)
		}
		sleep(ctx, jitter(pause))
	}
}

// Named takes the addresses of a peers frame: new ones are dialled, others are no longer dialled again.
func (s *Set) Named(ctx context.Context, addresses []string) { s.name(ctx, addresses, true) }

func (s *Set) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.present) > 0
}

func (s *Set) resolve(ctx context.Context) (addresses []string, failure error) {
	for _, target := range s.hosts {
		host, port, err := net.SplitHostPort(target)
		if err != nil {
			return nil, err
		}
		if net.ParseIP(host) != nil {
			addresses = append(addresses, target)
			continue
		}
		found, err := s.resolver(ctx, host)
		if err != nil {
			failure = err
		}
		for _, address := range found {
			addresses = append(addresses, net.JoinHostPort(address, port))
		}
	}
	return addresses, failure
}

func (s *Set) name(ctx context.Context, addresses []string, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if complete {
		for old := range s.named {
			if !slices.Contains(addresses, old) {
				delete(s.named, old)
			}
		}
	}
	for _, address := range addresses {
		s.named[address] = true
		if !s.dialled[address] {
			s.dialled[address] = true
			go s.keep(ctx, address)
		}
	}
}

// keep holds a connection to one address for as long as it is named.
func (s *Set) keep(ctx context.Context, address string) {
	wait := retryFirst
	for ctx.Err() == nil {
		served, err := s.connect(ctx, address)
		switch {
		case errors.Is(err, errDuplicate):
			sleep(ctx, jitter(duplicateWait))
		case served:
			wait = retryFirst
		case errors.Is(err, errNotGateway), errors.Is(err, frame.ErrMalformed):
			s.report(err)
		}
		s.mu.Lock()
		if !s.named[address] {
			delete(s.dialled, address)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		sleep(ctx, jitter(wait))
		wait = min(2*wait, retryLast)
	}
}

var errDuplicate = errors.New("already connected to this gateway")

// connect dials, shakes hands and serves frames until the connection ends.
func (s *Set) connect(ctx context.Context, address string) (served bool, err error) {
	dialer := net.Dialer{Timeout: dialLimit, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAliveMiss,
	}}
	socket, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false, err
	}
	defer func() { _ = socket.Close() }()
	frames := reader(socket)
	gateway, mac, err := greet(socket, frames, s.who)
	if err != nil {
		return false, err
	}
	c, err := s.enter(gateway, socket)
	if err != nil {
		return false, err
	}
	defer s.leave(c)
	proof := frame.ProofHeader{MAC: mac}
	s.handler.Introduce(&proof)
	c.Send(frame.Proof, proof, nil)
	s.handler.Connected(c)
	defer s.handler.Closed(c)
	for {
		received, err := frames.Next()
		if err == nil {
			err = s.handler.Received(c, received)
		}
		if err != nil {
			return true, err
		}
	}
}

func (s *Set) enter(gateway string, socket net.Conn) (*Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.present[gateway] {
		return nil, errDuplicate
	}
	s.present[gateway] = true
	s.count++
	return newConn(s.count, gateway, socket), nil
}

func (s *Set) leave(c *Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.present, c.Gateway)
	s.mu.Unlock()
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
