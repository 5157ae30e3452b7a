package logs

import (
	"bytes"
	"encoding/binary"
	"time"
)

// AWS's runtime clients write log records in frames to the descriptor that _LAMBDA_TELEMETRY_LOG_FD names: type, length, time and
// text, so that a record with several lines stays one (their own sources: Python's FramedTelemetryLogSink, Node.js's
// LogPatch, Java's FramedTelemetryLogSink). Here that descriptor leads to the pipe of the runtime's stdout. Records and what is
// merely printed so keep the order in which they were written, which two pipes could not tell, and a call to the Runtime
// API finds both behind one drain (docs/adr/0028).
const (
	// RecordsDescriptor is far from the numbers that shells and programs use by hand.
	RecordsDescriptor = 62
	// recordBytes is the longest record that is kept whole, CloudWatch Logs' old limit of an event; a longer one, or one
	// that claims to be, goes out in pieces of that size.
	recordBytes = 256 << 10
)

// The type is 0xa55a00xx. Of its low byte, bit 0 says text (else JSON), bit 1 that the time is there, the next ones are
// the level.
var frameMagic = []byte{0xa5, 0x5a, 0x00}

const (
	untimed     = 0x01 // the only type of older clients
	timed       = 0x02
	highestType = 6<<2 | timed | untimed
	// What must be zero in a time of these centuries, in microseconds: bytes that only look like a frame are none.
	impossibleTime = 0xfff << 52
)

// Records takes the output of a runtime apart: frames become records, all else is output as ever.
//
// Only what is cut off is held back: the beginning of a frame, at most 15 bytes, and the record that is being read.
// Another process that writes between the two parts of a frame shifts what belongs to the record; no byte is lost.
type Records struct {
	stream  *Stream
	held    []byte // a frame's beginning, or the record so far
	missing int    // bytes that the record still lacks
	written time.Time
}

// Records makes one, for one process of the runtime.
func (s *Stream) Records() *Records { return &Records{stream: s} }

// Output implements Writer.
func (r *Records) Output(data []byte) {
	r.output(data, len(data) < pipeBuffer) // a read that was not cut ends where a write did
}

func (r *Records) output(data []byte, whole bool) {
	if r.missing == 0 && len(r.held) > 0 {
		data = append(r.held, data...)
		r.held = nil
	}
	for len(data) > 0 {
		if r.missing > 0 {
			data = r.fill(data)
			continue
		}
		plain := beforeFrame(data, whole)
		if plain > 0 {
			r.stream.Output(data[:plain])
			data = data[plain:]
			continue
		}
		size, begun := r.open(data)
		switch {
		case size > 0:
			data = data[size:]
		case begun:
			r.held = bytes.Clone(data)
			return
		default: // no frame: its first byte is output
			r.stream.Output(data[:1])
			data = data[1:]
		}
	}
}

// End implements Writer: what is unfinished stays so.
func (r *Records) End() {
	if r.missing > 0 {
		r.missing = 0
		r.record()
	} else if len(r.held) > 0 {
		r.stream.Output(r.held)
		r.held = nil
	}
}

// beforeFrame counts the bytes that come before anything that could be a frame. A beginning of less than three bytes
// counts only where the output was cut: a text may well end with one of them.
func beforeFrame(data []byte, whole bool) int {
	if at := bytes.Index(data, frameMagic); at >= 0 {
		return at
	}
	if whole {
		return len(data)
	}
	for n := len(frameMagic) - 1; n > 0; n-- {
		if bytes.HasSuffix(data, frameMagic[:n]) {
			return len(data) - n
		}
	}
	return len(data)
}

// open reads a frame's head: its size when there is one; begun when it may become one.
func (r *Records) open(data []byte) (size int, begun bool) {
	if len(data) < 4 {
		return 0, true
	}
	kind := data[3]
	size = 8
	switch {
	case kind == untimed:
	case kind&timed != 0 && kind <= highestType:
		size = 16
	default:
		return 0, false
	}
	if len(data) < size {
		return 0, true
	}
	r.written = time.Time{}
	if size == 16 {
		micros := binary.BigEndian.Uint64(data[8:])
		if micros&impossibleTime != 0 {
			return 0, false
		}
		r.written = time.UnixMicro(int64(micros))
	}
	length := binary.BigEndian.Uint32(data[4:])
	if length > 1<<31-1 {
		return 0, false
	}
	r.missing = int(length)
	return size, false
}

// fill takes the record's next bytes and returns what follows them.
func (r *Records) fill(data []byte) []byte {
	n := min(r.missing, len(data), recordBytes-len(r.held))
	r.held = append(r.held, data[:n]...)
	r.missing -= n
	if r.missing == 0 || len(r.held) == recordBytes {
		r.record()
	}
	return data[n:]
}

func (r *Records) record() {
	r.stream.Record(r.held, r.written)
	r.held = r.held[:0]
	if cap(r.held) > pipeBuffer { // a long one must not stay in memory
		r.held = nil
	}
}
