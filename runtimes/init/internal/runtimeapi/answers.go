package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
)

// MaxResponse is what a runtime may post: 6 MiB and 100 bytes (reference §b).
const MaxResponse = 6<<20 + 100

const (
	freeFrom         = 1 << 20
	errorTypeHeader  = "Lambda-Runtime-Function-Error-Type"
	errorBodyTrailer = "Lambda-Runtime-Function-Error-Body"
	modeHeader       = "Lambda-Runtime-Function-Response-Mode"
	causeType        = "application/vnd.aws.lambda.error.cause+json"
)

var errTooLarge = errors.New("too large")

func (s *Server) response(w http.ResponseWriter, r *http.Request) {
	generation, request := GenerationOf(r), r.PathValue("id")
	if problem := s.backend.Check(generation, request); problem != nil {
		refuse(w, problem)
		return
	}
	switch mode := r.Header.Get(modeHeader); mode {
	case "":
		s.collect(w, r, false)
	case "streaming":
		s.stream(w, r)
	default:
		const kind = "Runtime.InvalidResponseModeHeader"
		message := "Invalid response mode header: " + mode
		if problem := s.backend.Answer(generation, request, failed(kind, message)); problem != nil {
			refuse(w, problem)
			return
		}
		refuse(w, &Problem{http.StatusBadRequest, "InvalidFunctionResponseMode", message})
	}
}

func (s *Server) failure(w http.ResponseWriter, r *http.Request) {
	if problem := s.backend.Check(GenerationOf(r), r.PathValue("id")); problem != nil {
		refuse(w, problem)
		return
	}
	s.collect(w, r, true)
}

// collect takes a whole body, then answers with it.
func (s *Server) collect(w http.ResponseWriter, r *http.Request, isError bool) {
	generation, request := GenerationOf(r), r.PathValue("id")
	body, size, err := readAll(r)
	switch {
	case errors.Is(err, errTooLarge):
		message := fmt.Sprintf("Response payload size (%d bytes) exceeded maximum allowed payload size (%d bytes).",
			size, MaxResponse)
		if problem := s.backend.Answer(generation, request, failed(tooLarge, message)); problem != nil {
			refuse(w, problem)
			return
		}
		message = fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxResponse)
		refuse(w, &Problem{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message})
		return
	case err != nil:
		refuse(w, &Problem{http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated"})
		return
	}
	answer := Answer{Body: body, ContentType: r.Header.Get("Content-Type"), Failed: isError}
	if isError {
		answer.ErrorType = r.Header.Get(errorTypeHeader)
		answer = withoutCause(answer)
	} else if errorType := r.Trailer.Get(errorTypeHeader); errorType != "" { // a stream, collected for a buffered caller
		answer = failedBy(errorType, r.Trailer.Get(errorBodyTrailer))
	}
	if problem := s.backend.Answer(generation, request, answer); problem != nil {
		refuse(w, problem)
		return
	}
	runtime.Gosched() // the caller's answer goes out before the runtime's receipt
	accept(w)
}

func (s *Server) initError(w http.ResponseWriter, r *http.Request) {
	body, _, err := readAll(r)
	if err != nil {
		refuse(w, &Problem{http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated"})
		return
	}
	answer := Answer{
		Body: body, ContentType: r.Header.Get("Content-Type"), Failed: true, ErrorType: r.Header.Get(errorTypeHeader),
	}
	if problem := s.backend.InitError(GenerationOf(r), answer); problem != nil {
		refuse(w, problem)
		return
	}
	accept(w)
}

// readAll takes a body of at most MaxResponse bytes; of a larger one it counts the bytes and keeps none.
func readAll(r *http.Request) (body []byte, size int64, err error) {
	if r.ContentLength > freeFrom {
		lastLarge.Store(true)
	}
	switch {
	case r.ContentLength > MaxResponse:
		size, err = io.Copy(io.Discard, r.Body)
		if err == nil {
			err = errTooLarge
		}
		return nil, size, err
	case r.ContentLength >= 0:
		body = make([]byte, r.ContentLength)
		n, err := io.ReadFull(r.Body, body)
		if len(body) == 0 {
			err = nil
		}
		return body, int64(n), err
	}
	return readChunked(r.Body)
}

func readChunked(source io.Reader) (body []byte, size int64, err error) {
	body = make([]byte, 0, 4096)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := source.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > MaxResponse {
			rest, err := io.Copy(io.Discard, source)
			if err != nil {
				return nil, 0, err
			}
			lastLarge.Store(true)
			return nil, int64(len(body)) + rest, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			if len(body) > freeFrom {
				lastLarge.Store(true)
			}
			return body, int64(len(body)), nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// withoutCause strips the member that only X-Ray reads, as AWS does for that content type.
func withoutCause(answer Answer) Answer {
	if answer.ContentType != causeType {
		return answer
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(answer.Body, &members) == nil {
		delete(members, "errorCause")
		if body, err := json.Marshal(members); err == nil {
			answer.Body = body
		}
	}
	answer.ContentType = contentJSON[0]
	return answer
}

func failed(errorType, message string) Answer {
	body, _ := json.Marshal(struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}{message, errorType})
	return Answer{Body: body, ContentType: contentJSON[0], Failed: true, ErrorType: errorType}
}

func failedBy(errorType, encoded string) Answer {
	return Answer{Body: []byte(decodeBody(encoded)), ContentType: contentJSON[0], Failed: true, ErrorType: errorType}
}
