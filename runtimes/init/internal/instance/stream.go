package instance

import (
	"sync"
	"time"

	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/peer"
	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/slot"
)

// maxDetails bounds the error body that travels in a frame's header.
const maxDetails = 256 << 10

// stream is an answer that goes out while the function writes it.
//
// The gateway grants credit in bytes (docs/runtime-contract.md §1): whoever writes without credit waits, and with him the
// runtime at its socket, so that a slow client slows the function and nothing else. A piece is sent whole as soon as
// there is any credit, which overdraws it by less than one piece. An answer that nobody reads needs none. Everything is
// guarded by the instance's mutex; room is signalled whenever a writer may have to look again.
type stream struct {
	instance   *Instance
	inv        *invocation
	generation int
	credit     int
	sealed     bool // its last frame is out: nothing may follow
	room       sync.Cond
}

// Stream implements runtimeapi.Backend.
func (i *Instance) Stream(generation int, request, contentType string) (runtimeapi.Streamer, *runtimeapi.Problem) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if problem := i.check(generation, request); problem != nil {
		return nil, problem
	}
	inv := i.invocations[i.machine.Current]
	if inv.header.Mode != frame.Streaming {
		return nil, nil
	}
	s := &stream{instance: i, inv: inv, generation: generation, credit: inv.header.Window}
	s.room.L = &i.mu
	inv.answer = s
	if c := inv.visible(); c != nil {
		c.Send(frame.Head, frame.HeadHeader{
			Attempt: inv.attempt.ID, Mode: frame.Streaming, ContentType: contentType, Credit: true,
		}, nil)
	}
	return s, nil
}

// receiveCredit lets an answer go on.
func (i *Instance) receiveCredit(c *peer.Conn, f frame.Frame) error {
	var h frame.CreditHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	inv := i.invocations[slot.Attempt{Peer: c.ID, ID: h.Attempt}]
	if inv != nil && inv.answer != nil {
		inv.answer.credit += h.Bytes
		inv.answer.wake()
	}
	return nil
}

// Write implements runtimeapi.Streamer.
func (s *stream) Write(piece []byte) error {
	s.instance.mu.Lock()
	defer s.instance.mu.Unlock()
	for s.credit <= 0 && !s.inv.muted && !s.sealed {
		s.room.Wait()
	}
	if s.sealed {
		return peer.ErrClosed
	}
	s.inv.bytesOut += len(piece)
	if c := s.inv.visible(); c != nil { // else the client is gone: the function runs on, its output is discarded
		s.credit -= len(piece)
		c.Send(frame.Data, frame.DataHeader{Attempt: s.inv.attempt.ID}, append([]byte(nil), piece...))
	}
	return nil
}

// Close implements runtimeapi.Streamer.
func (s *stream) Close(errorType, errorBody string) *runtimeapi.Problem {
	i := s.instance
	i.mu.Lock()
	defer i.mu.Unlock()
	return s.close(errorType, errorBody)
}

func (s *stream) close(errorType, errorBody string) *runtimeapi.Problem {
	i := s.instance
	if s.sealed || i.machine.Current != s.inv.attempt || i.machine.Phase != slot.Running {
		return i.transitionLocked("ResponseSent")
	}
	i.posted = runtimeapi.Answer{Failed: errorType != "", ErrorType: errorType, Body: []byte(errorBody)}
	i.step(slot.Event{Kind: slot.Response, Generation: s.generation, Attempt: s.inv.attempt})
	return nil
}

// Abort implements runtimeapi.Streamer. A runtime that breaks off is usually about to end: then its exit says more.
func (s *stream) Abort(errorType, errorBody string) {
	i := s.instance
	i.mu.Lock()
	l := i.launch
	i.mu.Unlock()
	select {
	case <-l.exited:
	case <-time.After(exitGrace):
	}
	_ = s.Close(errorType, errorBody)
}

// seal sends the last frame.
func (s *stream) seal(errorType string, body []byte, isError bool) {
	if s.sealed {
		return
	}
	s.sealed = true
	s.wake()
	c := s.inv.visible()
	if c == nil {
		return
	}
	last := frame.DataHeader{Attempt: s.inv.attempt.ID, Last: true}
	if isError {
		last.FunctionError, last.ErrorType = unhandled, errorType
		last.ErrorDetails = string(body[:min(len(body), maxDetails)])
	}
	c.Send(frame.Data, last, nil)
}

// wake lets a waiting writer look again; a nil stream has none.
func (s *stream) wake() {
	if s != nil {
		s.room.Broadcast()
	}
}
