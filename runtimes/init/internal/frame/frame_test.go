package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func encoded(t testing.TB, kind Type, header any, body []byte) []byte {
	t.Helper()
	text, err := Encode(kind, header, len(body))
	if err != nil {
		t.Fatal(err)
	}
	return append(text, body...)
}

func TestFramesComeBackAsTheyWereSent(t *testing.T) {
	size := 3
	stream := encoded(t, Head, HeadHeader{Attempt: "a", Mode: Buffered, Size: &size}, []byte("abc"))
	stream = append(stream, encoded(t, Data, DataHeader{Attempt: "a", Last: true}, nil)...)
	for _, source := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
		frames := NewReader(source)
		first, err := frames.Next()
		if err != nil || first.Type != Head || string(first.Body) != "abc" ||
			string(first.Header) != `{"attempt":"a","mode":"buffered","size":3}` {
			t.Fatalf("%v %v", first, err)
		}
		second, err := frames.Next()
		var header DataHeader
		if err != nil || second.Decode(&header) != nil || !header.Last || len(second.Body) != 0 {
			t.Fatalf("%v %v", second, err)
		}
		if _, err := frames.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
}

func TestWhatIsNotAFrame(t *testing.T) {
	prefixed := func(length, header uint32) []byte {
		out := binary.BigEndian.AppendUint32(nil, length)
		return binary.BigEndian.AppendUint32(append(out, 5), header)
	}
	for name, stream := range map[string][]byte{
		"too short":             prefixed(4, 0),
		"too long":              prefixed(MaxFrame+1, 0),
		"header beyond frame":   prefixed(5, 1),
		"header too long":       prefixed(MaxFrame, MaxHeader+1),
		"cut in the prefix":     prefixed(5, 0)[:5],
		"cut in the payload":    append(prefixed(7, 2), '{'),
		"cut before the header": prefixed(7, 2),
	} {
		_, err := NewReader(bytes.NewReader(stream)).Next()
		if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequiredMembers(t *testing.T) {
	for _, c := range []struct {
		header string
		into   Message
		fits   bool
	}{
		{`{"version":1,"gateway":"g","nonce":"0123456789abcdef0123456789abcdef","mac":"m"}`, &ChallengeHeader{}, true},
		{`{"version":1,"gateway":"g","nonce":"short","mac":"m"}`, &ChallengeHeader{}, false},
		{`{"gateway":"g","nonce":"0123456789abcdef0123456789abcdef","mac":"m"}`, &ChallengeHeader{}, false},
		{`{"assignment":{},"code":{"inline":true}}`, &AssignHeader{}, true},
		{`{"assignment":{},"code":{"url":"http://store"},"new":[1]}`, &AssignHeader{}, true},
		{`{"assignment":{},"code":{}}`, &AssignHeader{}, false},
		{`{"code":{"inline":true}}`, &AssignHeader{}, false},
		{`{"attempt":"a","requestId":"r","mode":"buffered","size":0}`, &InvokeHeader{}, true},
		{`{"attempt":"a","requestId":"r","mode":"odd","size":0}`, &InvokeHeader{}, false},
		{`{"attempt":"a","mode":"buffered"}`, &InvokeHeader{}, false},
		{`{"attempt":"a","requestId":"r","mode":"buffered","size":-1}`, &InvokeHeader{}, false},
		{`{"attempt":"a","requestId":"r","mode":"streaming","size":0,"window":1}`, &InvokeHeader{}, true},
		{`{"attempt":"a","requestId":"r","mode":"streaming","size":0}`, &InvokeHeader{}, false},
		{`{"attempt":"a","bytes":1}`, &CreditHeader{}, true},
		{`{"attempt":"a","bytes":0}`, &CreditHeader{}, false},
		{`{"bytes":1}`, &CreditHeader{}, false},
		{`{"attempt":"a"}`, &DataHeader{}, true},
		{``, &DataHeader{}, false},
		{`{}`, &CancelHeader{}, false},
		{`{"mode":"idle"}`, &DrainHeader{}, true},
		{`{"mode":""}`, &DrainHeader{}, false},
		{``, &QueryHeader{}, true},
		{`{"addresses":[]}`, &PeersHeader{}, true},
		{`{}`, &PeersHeader{}, false},
		{`[]`, &QueryHeader{}, false},
		{`{"attempt":1}`, &DataHeader{}, false},
	} {
		err := Frame{Header: []byte(c.header)}.Decode(c.into)
		if (err == nil) != c.fits || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%T %s: %v", c.into, c.header, err)
		}
	}
}

func TestTooLongToSend(t *testing.T) {
	if _, err := Encode(Data, DataHeader{}, MaxFrame); err == nil {
		t.Error("a frame beyond the limit")
	}
	if _, err := Encode(Data, func() {}, 0); err == nil {
		t.Error("a header that is no JSON")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(encoded(f, Invoke, InvokeHeader{Attempt: "a", RequestID: "r", Mode: Buffered}, []byte("{}")))
	f.Add([]byte{0, 0, 0, 5, 9, 0, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{255}, 32))
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames := NewReader(bytes.NewReader(stream))
		consumed := 0
		for {
			frame, err := frames.Next()
			if err != nil {
				break
			}
			consumed += prefix + len(frame.Header) + len(frame.Body)
			if consumed > len(stream) {
				t.Fatal("more than there was")
			}
			for _, into := range []Message{
				&ChallengeHeader{}, &AssignHeader{}, &InvokeHeader{}, &DataHeader{}, &CreditHeader{}, &DrainHeader{}, &PeersHeader{},
			} {
				_ = frame.Decode(into)
			}
		}
	})
}
