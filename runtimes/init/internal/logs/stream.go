package logs

import (
	"bytes"
	"sync"
	"time"
)

const (
	// TailBytes is how much of an invocation's log a caller can ask for (LogType: Tail).
	TailBytes = 4096
	// longestLine is what waits for its end of line; longer lines go out in pieces.
	longestLine = 64 << 10
)

// Stream is the environment's log: the function's output and the platform's lines, in order.
type Stream struct {
	sink *Sink

	mu      sync.Mutex
	partial []byte
	tail    []byte // the last bytes of the current invocation, at most twice TailBytes
	keep    bool
	tap     Tap
	filter  func(line []byte) bool
}

// Said is what a process has written: whole lines, or one record.
type Said struct {
	Text      []byte
	Extension bool      // not the function
	Record    bool      // one record, whatever line breaks it has
	At        time.Time // when a record was written; zero: now
}

// Tap is told of everything as it is written.
type Tap func(said Said)

// Watch sets the tap; before anything is written.
func (s *Stream) Watch(tap Tap) { s.tap = tap }

// Keep sets which of the function's lines are logged; nil keeps all.
func (s *Stream) Keep(filter func(line []byte) bool) {
	s.mu.Lock()
	s.filter = filter
	s.mu.Unlock()
}

// NewStream logs to a sink.
func NewStream(sink *Sink) *Stream { return &Stream{sink: sink} }

// Output takes what the function wrote.
func (s *Stream) Output(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := bytes.LastIndexByte(data, '\n') + 1
	if end > 0 {
		if len(s.partial) > 0 {
			s.partial = append(s.partial, data[:end]...)
			s.said(s.partial)
			s.partial = s.partial[:0]
		} else {
			s.said(data[:end])
		}
	}
	s.partial = append(s.partial, data[end:]...)
	if len(s.partial) > longestLine {
		s.said(s.partial)
		s.partial = nil
	}
}

// Record takes a record of the function. A line that it has not finished goes on afterwards.
func (s *Stream) Record(text []byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tap != nil {
		s.tap(Said{Text: text, Record: true, At: at})
	}
	if s.filter != nil && !s.filter(text) {
		return
	}
	if !bytes.HasSuffix(text, []byte{'\n'}) {
		text = append(text, '\n')
	}
	s.emit(text)
}

// Source is the output of one more process: its unfinished lines do not mix with the function's.
type Source struct {
	stream  *Stream
	mu      sync.Mutex
	partial []byte
}

// Source makes one.
func (s *Stream) Source() *Source { return &Source{stream: s} }

// Output takes what the process wrote.
func (s *Source) Output(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial = append(s.partial, data...)
	end := bytes.LastIndexByte(s.partial, '\n') + 1
	if len(s.partial)-end > longestLine {
		end = len(s.partial)
	}
	if end > 0 {
		s.stream.text(s.partial[:end])
		s.partial = append(s.partial[:0], s.partial[end:]...)
	}
}

// End implements Writer: an unfinished line is one.
func (s *Source) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.partial) > 0 {
		s.stream.text(append(s.partial, '\n'))
		s.partial = nil
	}
}

// text takes whole lines of another process; an unfinished line of the function is ended first.
func (s *Stream) text(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishPartial()
	if s.tap != nil {
		s.tap(Said{Text: lines, Extension: true})
	}
	s.emit(lines)
}

// said logs lines of the function, those that are to be kept.
func (s *Stream) said(lines []byte) {
	if s.tap != nil {
		s.tap(Said{Text: lines})
	}
	if s.filter == nil {
		s.emit(lines)
		return
	}
	for line := range bytes.Lines(lines) {
		if s.filter(line) {
			s.emit(line)
		}
	}
}

// Line adds a line of the platform's own, unless it is empty; an unfinished line of the function is ended first.
func (s *Stream) Line(text string) {
	if text == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishPartial()
	s.emit(append([]byte(text), '\n'))
}

// Open begins an invocation and its tail.
func (s *Stream) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishPartial()
	s.tail, s.keep = s.tail[:0], true
}

// LineLazily adds a line of the platform's own that goes out with the next ones, or soon.
func (s *Stream) LineLazily(text string) {
	if text == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishPartial()
	line := append([]byte(text), '\n')
	s.sink.WriteLazily(line)
	s.remember(line)
}

// Tail ends it and returns its last bytes; they are the caller's.
func (s *Stream) Tail() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = false
	return bytes.Clone(s.tail[max(0, len(s.tail)-TailBytes):])
}

func (s *Stream) finishPartial() {
	if len(s.partial) > 0 {
		s.said(append(s.partial, '\n'))
		s.partial = s.partial[:0]
	}
}

func (s *Stream) emit(text []byte) {
	s.sink.Write(text)
	s.remember(text)
}

// remember adds to the tail of the current invocation.
func (s *Stream) remember(text []byte) {
	if !s.keep {
		return
	}
	if len(text) > TailBytes {
		text = text[len(text)-TailBytes:]
	}
	if len(s.tail)+len(text) > 2*TailBytes {
		kept := copy(s.tail, s.tail[max(0, len(s.tail)-TailBytes):])
		s.tail = s.tail[:kept]
	}
	s.tail = append(s.tail, text...)
}
