// Package logs carries what the function writes, and Lambda's own lines around it, to the pod's stdout.
//
// Sink is the bounded way out: it never blocks the function and counts what it had to drop. Pipe takes stdout and stderr
// of the runtime; Records takes log records out of them; Stream puts all together, cuts lines and keeps the tail of the
// current invocation. Lines (lines.go) are AWS's texts. Nothing here knows of the slot or of gateways.
package logs

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// Bounds of what waits for a slow reader of the pod's stdout.
const (
	QueueLines = 8192
	QueueBytes = 4 << 20
)

// Sink writes to the pod's stdout from a goroutine of its own.
type Sink struct {
	mu      sync.Mutex
	filled  sync.Cond
	pending []byte
	lines   int
	dropped int
	writing bool
	idle    sync.Cond
	lazy    bool // what is pending may wait a little
	timer   *time.Timer
}

// lazyDelay is how long a line may wait for others to travel with: one write per short invocation instead of two.
const lazyDelay = 5 * time.Millisecond

// NewSink starts writing to out.
func NewSink(out io.Writer) *Sink {
	s := &Sink{}
	s.filled.L, s.idle.L = &s.mu, &s.mu
	go s.run(out)
	return s
}

// Write takes whole lines (or pieces of one that is too long to wait for); it never blocks on the reader.
func (s *Sink) Write(text []byte) { s.take(text, false) }

// WriteLazily takes lines that go out with the next ones, or soon.
func (s *Sink) WriteLazily(text []byte) { s.take(text, true) }

func (s *Sink) take(text []byte, lazy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := bytes.Count(text, []byte{'\n'})
	if s.lines+lines > QueueLines || len(s.pending)+len(text) > QueueBytes {
		s.dropped += max(lines, 1)
		return
	}
	s.lazy = lazy && (s.lazy || len(s.pending) == 0)
	s.pending = append(s.pending, text...)
	s.lines += lines
	if s.lazy {
		s.hurryLater()
		return
	}
	s.filled.Signal()
}

func (s *Sink) hurryLater() {
	if s.timer == nil {
		s.timer = time.AfterFunc(lazyDelay, s.hurry)
		return
	}
	s.timer.Reset(lazyDelay)
}

func (s *Sink) hurry() {
	s.mu.Lock()
	s.lazy = false
	s.filled.Signal()
	s.mu.Unlock()
}

// Flush waits until everything is out.
func (s *Sink) Flush() {
	s.hurry()
	s.mu.Lock()
	for s.writing || len(s.pending) > 0 || s.dropped > 0 {
		s.idle.Wait()
	}
	s.mu.Unlock()
}

func (s *Sink) run(out io.Writer) {
	var spare []byte
	s.mu.Lock()
	for {
		for (len(s.pending) == 0 || s.lazy) && s.dropped == 0 {
			s.writing = false
			s.idle.Broadcast()
			s.filled.Wait()
		}
		batch, dropped := s.pending, s.dropped
		s.pending, s.lines, s.dropped, s.writing = spare[:0], 0, 0, true
		s.mu.Unlock()
		if dropped > 0 {
			batch = fmt.Appendf(batch, "LOGS_DROPPED Lines: %d\n", dropped)
		}
		_, _ = out.Write(batch)
		spare = batch
		if cap(spare) > 256<<10 { // a flood must not stay in memory
			spare = nil
		}
		s.mu.Lock()
	}
}
