// Package frame is the codec of the protocol between init and the gateways (docs/runtime-contract.md §1).
//
// A frame is: u32 length | u8 type | u32 header length | header: JSON object | body, all big endian; length counts
// everything after itself. This package reads and writes bytes; it knows no connection, no order and no state.
// Whatever does not fit the limits or the grammar is an error, and the caller closes the connection for it.
package frame

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits of docs/runtime-contract.md §1.
const (
	MaxFrame  = 1 << 20
	MaxHeader = 512 << 10
	Piece     = 64 << 10 // bulk bytes travel in pieces of at most this
	Version   = 1
	prefix    = 4 + 1 + 4
)

// Type is a frame's type byte.
type Type uint8

// The frame types; below 16 a gateway sends them (hello and proof apart), from 16 on init does.
const (
	Hello     Type = 1
	Challenge Type = 2
	Proof     Type = 3
	Assign    Type = 4
	Invoke    Type = 5
	Data      Type = 6
	Cancel    Type = 7
	Drain     Type = 8
	Query     Type = 9
	Peers     Type = 10
	Credit    Type = 11
	Assigned  Type = 16
	Failed    Type = 17
	State     Type = 18
	Refused   Type = 19
	Accepted  Type = 20
	Head      Type = 21
	End       Type = 22
	Logs      Type = 23
	Phases    Type = 24
)

// ErrMalformed is wrapped by every error that means the peer does not speak the protocol.
var ErrMalformed = errors.New("malformed frame")

// Frame is one received frame; Header and Body are valid until the next call of Reader.Next.
type Frame struct {
	Type   Type
	Header []byte
	Body   []byte
}

// Decode parses the header into a structure of messages.go and checks its required members.
func (f Frame) Decode(into Message) error {
	header := f.Header
	if len(header) == 0 {
		header = []byte("{}")
	}
	if err := json.Unmarshal(header, into); err != nil {
		return fmt.Errorf("%w: header of type %d: %w", ErrMalformed, f.Type, err)
	}
	if missing := into.missing(); missing != "" {
		return fmt.Errorf("%w: type %d has no %q", ErrMalformed, f.Type, missing)
	}
	return nil
}

// Reader takes frames from a stream. It reuses one buffer: keep nothing of a Frame beyond the next call.
type Reader struct {
	source io.Reader
	fixed  [prefix]byte
	buffer []byte
}

// NewReader reads frames from source, which should be buffered.
func NewReader(source io.Reader) *Reader { return &Reader{source: source} }

// Next returns the next frame; io.EOF only at a frame's border.
func (r *Reader) Next() (Frame, error) {
	if _, err := io.ReadFull(r.source, r.fixed[:]); err != nil {
		return Frame{}, err
	}
	length := binary.BigEndian.Uint32(r.fixed[0:4])
	header := binary.BigEndian.Uint32(r.fixed[5:9])
	if length < 5 || length > MaxFrame {
		return Frame{}, fmt.Errorf("%w: length %d", ErrMalformed, length)
	}
	rest := length - 5
	if header > MaxHeader || header > rest {
		return Frame{}, fmt.Errorf("%w: header length %d of %d", ErrMalformed, header, rest)
	}
	if uint32(cap(r.buffer)) < rest {
		r.buffer = make([]byte, max(rest, 4096))
	}
	payload := r.buffer[:rest]
	if _, err := io.ReadFull(r.source, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return Frame{Type: Type(r.fixed[4]), Header: payload[:header], Body: payload[header:]}, nil
}

// Encode renders prefix and header of a frame whose body of bodySize bytes the caller sends right after.
func Encode(kind Type, header any, bodySize int) ([]byte, error) {
	text, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	if len(text) > MaxHeader || 5+len(text)+bodySize > MaxFrame {
		return nil, fmt.Errorf("frame of type %d too long: header %d, body %d", kind, len(text), bodySize)
	}
	out := make([]byte, prefix, prefix+len(text)+min(bodySize, 4096))
	binary.BigEndian.PutUint32(out[0:4], uint32(5+len(text)+bodySize))
	out[4] = byte(kind)
	binary.BigEndian.PutUint32(out[5:9], uint32(len(text)))
	return append(out, text...), nil
}
