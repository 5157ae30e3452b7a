package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"klambda.io/init/internal/frame"
)

// MAC values computed with Python's hmac module from the text of docs/runtime-contract.md §1.
func TestMAC(t *testing.T) {
	for role, want := range map[string]string{
		"gateway":  "10051bc259641bb2ec6ca3951ee82541459577d21abe896801619b160b0b960a",
		"instance": "51b5eea1f06d35fa7696bd1068000b85bc21e586ae49223d94c2c71c88aac0d2",
	} {
		if got := MAC("secret", role, "aa", "bb", "uid", "boot"); got != want {
			t.Errorf("%s: %s", role, got)
		}
	}
	if first, second := Nonce(), Nonce(); len(first) != 32 || first == second {
		t.Error("a nonce is 32 random hex characters")
	}
}

// ends are both ends of a loopback connection.
func ends(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if near, err = net.Dial("tcp4", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func TestFramesLeaveInOrder(t *testing.T) {
	near, far := ends(t)
	c := newConn(1, "g", near)
	body := make([]byte, 3*frame.Piece+5)
	c.SendLazily(frame.Accepted, frame.AcceptedHeader{Attempt: "a"})
	c.SendBulk(frame.Head, frame.HeadHeader{Attempt: "a", Mode: frame.Buffered}, "a", body)
	c.Send(frame.End, frame.EndHeader{Attempt: "a"}, []byte("tail"))
	frames := frame.NewReader(far)
	total := 0
	for _, want := range []frame.Type{frame.Accepted, frame.Head, frame.Data, frame.Data, frame.Data, frame.End} {
		got, err := frames.Next()
		if err != nil || got.Type != want || len(got.Body) > frame.Piece {
			t.Fatalf("%v %v, want type %d", got.Type, err, want)
		}
		total += len(got.Body)
	}
	if total != len(body)+len("tail") {
		t.Error(total)
	}
}

func TestALazyFrameLeavesByItself(t *testing.T) {
	near, far := ends(t)
	c := newConn(1, "g", near)
	for range 3 {
		c.SendLazily(frame.Accepted, frame.AcceptedHeader{Attempt: "a"})
		_ = far.SetReadDeadline(time.Now().Add(2 * time.Second))
		if got, err := frame.NewReader(far).Next(); err != nil || got.Type != frame.Accepted {
			t.Fatal(got, err)
		}
	}
}

func TestAReaderThatReadsNothingIsGivenUp(t *testing.T) {
	near, _ := ends(t)
	c := newConn(1, "g", near)
	piece := make([]byte, frame.Piece)
	for range 2 * queueLimit / frame.Piece {
		c.Send(frame.Data, frame.DataHeader{Attempt: "a"}, piece)
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		t.Error("it still holds what nobody reads")
	}
	c.Flush(time.Second)
}

func TestFlushWaitsForWhatIsQueued(t *testing.T) {
	near, far := ends(t)
	c := newConn(1, "g", near)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	for range 100 {
		c.Send(frame.Data, frame.DataHeader{Attempt: "a"}, make([]byte, frame.Piece))
	}
	c.Flush(5 * time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued != 0 || c.closed {
		t.Error(c.queued, c.closed)
	}
}

func TestNamesBecomeAddresses(t *testing.T) {
	s := NewSet([]string{"one.example.:9001", "[::1]:9001", "127.0.0.1:9002"}, Identity{}, nil, nil)
	s.resolver = func(_ context.Context, host string) ([]string, error) {
		if host != "one.example." {
			t.Errorf("asks for %q", host)
		}
		return []string{"10.0.0.1", "fd00::1"}, nil
	}
	got, err := s.resolve(t.Context())
	want := []string{"10.0.0.1:9001", "[fd00::1]:9001", "[::1]:9001", "127.0.0.1:9002"}
	if err != nil || len(got) != len(want) {
		t.Fatal(got, err)
	}
	for n := range want {
		if got[n] != want[n] {
			t.Error(got[n])
		}
	}
	s.resolver = func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
	if got, err := s.resolve(t.Context()); err == nil || len(got) != 2 {
		t.Error("what can be dialled is dialled, and the failure is told", got, err)
	}
}
