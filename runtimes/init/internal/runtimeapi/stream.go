package runtimeapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// MaxStreamed is what a function may stream: 200 MiB since 2025-07 (reference §b.2).
const MaxStreamed = 200 << 20

const (
	pieceSize = 64 << 10
	tooLarge  = "Function.ResponseSizeTooLarge"
	truncated = "Runtime.TruncatedResponse"
)

var errCut = errors.New("the invocation is over")

// stream passes a response on as it comes.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	streamer, problem := s.backend.Stream(GenerationOf(r), r.PathValue("id"), r.Header.Get("Content-Type"))
	if problem != nil {
		refuse(w, problem)
		return
	}
	if streamer == nil {
		s.collect(w, r, false)
		return
	}
	switch err := pass(streamer, r.Body); {
	case errors.Is(err, errCut):
	case errors.Is(err, errTooLarge):
		s.overflow(w, r, streamer)
	case err != nil:
		streamer.Abort(truncated, string(failed(truncated, "The response was broken off.").Body))
		refuse(w, &Problem{http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated"})
	default:
		body := decodeBody(r.Trailer.Get(errorBodyTrailer))
		if problem := streamer.Close(r.Trailer.Get(errorTypeHeader), body); problem != nil {
			refuse(w, problem)
			return
		}
		accept(w)
	}
}

// pass copies until the end of the body, of the invocation, or of what a function may stream.
func pass(streamer Streamer, body io.Reader) error {
	buffer := make([]byte, pieceSize)
	for left := MaxStreamed; ; {
		n, err := body.Read(buffer)
		if n > 0 && streamer.Write(buffer[:min(n, left)]) != nil {
			return errCut
		}
		if left -= n; left < 0 {
			return errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// overflow ends a stream that is too long; the rest is read and thrown away, so that the runtime hears of it.
func (s *Server) overflow(w http.ResponseWriter, r *http.Request, streamer Streamer) {
	message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxStreamed)
	if problem := streamer.Close(tooLarge, string(failed(tooLarge, message).Body)); problem != nil {
		refuse(w, problem)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	refuse(w, &Problem{
		http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
		fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxStreamed),
	})
}

// decodeBody reads the trailer's base64; what is not base64 is taken as it is.
func decodeBody(encoded string) string {
	if text, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		return string(text)
	}
	return encoded
}
