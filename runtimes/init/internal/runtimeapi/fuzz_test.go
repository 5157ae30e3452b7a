package runtimeapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// willing takes everything that a runtime says about request "r".
type willing struct{ answers int }

func (*willing) Generation() int { return 1 }

func (*willing) Next(context.Context, int) (*Delivery, *Problem) {
	return &Delivery{RequestID: "r", DeadlineMs: 1, FunctionARN: "arn", Event: []byte("{}")}, nil
}

func (*willing) Check(_ int, request string) *Problem {
	if request != "r" {
		return &Problem{http.StatusBadRequest, "InvalidRequestID", "Invalid request ID"}
	}
	return nil
}

func (*willing) Stream(int, string, string) (Streamer, *Problem) { return &sunk{}, nil }

func (b *willing) Answer(int, string, Answer) *Problem {
	b.answers++
	return nil
}

func (b *willing) InitError(int, Answer) *Problem {
	b.answers++
	return nil
}

// FuzzRequests: whatever a runtime sends is answered, once, and a refusal is JSON with AWS's two members.
func FuzzRequests(f *testing.F) {
	const head = " HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"
	for _, request := range []string{
		"GET /2018-06-01/runtime/invocation/next" + head + "\r\n",
		"POST /2018-06-01/runtime/invocation/r/response" + head + "Content-Length: 4\r\n\r\n\"ok\"",
		"POST /2018-06-01/runtime/invocation/r/response" + head + "Content-Length: 9\r\n\r\nshort",
		"POST /2018-06-01/runtime/invocation/r/response" + head + modeHeader + ": streaming\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: " + errorTypeHeader + "\r\n\r\n2\r\nab\r\n0\r\n" + errorTypeHeader + ": E\r\n" + errorBodyTrailer + ": e30=\r\n\r\n",
		"POST /2018-06-01/runtime/invocation/r/response" + head + modeHeader + ": \xff\t\"\r\nContent-Length: 0\r\n\r\n",
		"POST /2018-06-01/runtime/invocation/r/response" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /2018-06-01/runtime/invocation/r/error" + head + "Content-Type: " + causeType + "\r\nContent-Length: 16\r\n\r\n{\"errorCause\":1}",
		"POST /2018-06-01/runtime/invocation/%2e%2e%2f/error" + head + "Content-Length: 2\r\n\r\n{}",
		"POST /2018-06-01/runtime/init/error" + head + errorTypeHeader + ": Runtime.X\r\nContent-Length: 2\r\n\r\n{}",
		"PUT /nothing" + head + "\r\n",
	} {
		f.Add([]byte(request))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		backend := &willing{}
		server := &Server{backend: backend}
		server.routes()
		answer := httptest.NewRecorder()
		server.mux.ServeHTTP(answer, request)
		if backend.answers > 1 {
			t.Errorf("%d answers to one request", backend.answers)
		}
		if body := answer.Body.Bytes(); answer.Code >= 400 && answer.Header().Get("Content-Type") == contentJSON[0] {
			var problem struct{ ErrorMessage, ErrorType string }
			if json.Unmarshal(body, &problem) != nil || problem.ErrorType == "" || problem.ErrorMessage == "" {
				t.Errorf("%d %q", answer.Code, body)
			}
		}
	})
}
