package runtimeapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// endless is a body of so many bytes, then an error (io.EOF for a proper end).
type endless struct {
	left int
	end  error
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, e.end
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

// sunk counts what a stream passes on.
type sunk struct {
	bytes int
	full  int // refuses from here on, when positive
	ended string
}

func (s *sunk) Write(piece []byte) error {
	if s.full > 0 && s.bytes >= s.full {
		return errCut
	}
	s.bytes += len(piece)
	return nil
}

func (s *sunk) Close(errorType, errorBody string) *Problem {
	s.ended = "closed " + errorType + errorBody
	return nil
}

func (s *sunk) Abort(errorType, _ string) { s.ended = "aborted " + errorType }

// TestAStreamIsPassedOnUntil has a row for each way that passing on can end.
func TestAStreamIsPassedOnUntil(t *testing.T) {
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		body  *endless
		full  int
		bytes int
		err   error
	}{
		"its end":                    {&endless{100_000, io.EOF}, 0, 100_000, nil},
		"the limit, exactly":         {&endless{MaxStreamed, io.EOF}, 0, MaxStreamed, nil},
		"one byte above the limit":   {&endless{MaxStreamed + 1, io.EOF}, 0, MaxStreamed, errTooLarge},
		"the runtime breaks off":     {&endless{10, broken}, 0, 10, broken},
		"the invocation is over":     {&endless{1 << 20, io.EOF}, pieceSize, pieceSize, errCut},
		"nothing was written at all": {&endless{0, io.EOF}, 0, 0, nil},
	} {
		s := &sunk{full: c.full}
		if err := pass(s, c.body); !errors.Is(err, c.err) || s.bytes != c.bytes {
			t.Errorf("%s: %v, %d bytes", name, err, s.bytes)
		}
	}
}

// streaming is a backend whose only invocation streams into a sunk.
type streaming struct {
	Backend
	into sunk
}

func (s *streaming) Generation() int            { return 1 }
func (s *streaming) Check(int, string) *Problem { return nil }
func (s *streaming) Stream(int, string, string) (Streamer, *Problem) {
	return &s.into, nil
}

func TestWhatTheRuntimeHears(t *testing.T) {
	backend := &streaming{}
	server, err := Listen("0", backend)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve() }()
	defer func() { _ = server.http.Close() }()
	post := func(body io.Reader, trailers map[string]string) (int, string) {
		r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost,
			"http://"+server.Address()+"/2018-06-01/runtime/invocation/r/response", body)
		r.Header.Set(modeHeader, "streaming")
		r.Trailer = http.Header{}
		for name, value := range trailers {
			r.Trailer.Set(name, value)
		}
		r.ContentLength = -1
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	status, text := post(bytes.NewReader([]byte("hello")), map[string]string{
		errorTypeHeader: "Function.Late", errorBodyTrailer: "e30=",
	})
	if status != http.StatusAccepted || backend.into.ended != "closed Function.Late{}" {
		t.Error(status, text, backend.into.ended)
	}
	status, text = post(&endless{MaxStreamed + 5<<20, io.EOF}, nil)
	if status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "(209715200 bytes)") ||
		!strings.HasPrefix(backend.into.ended, "closed Function.ResponseSizeTooLarge{") {
		t.Error(status, text, backend.into.ended)
	}
}
