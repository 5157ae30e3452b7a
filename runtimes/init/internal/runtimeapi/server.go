// Package runtimeapi is Lambda's Runtime API, version 2018-06-01, as the runtime sees it (reference §g.1).
//
// It translates HTTP into calls of a Backend and back; what a call means, and whether it is allowed now, the Backend
// decides. Each connection carries the generation of the runtime process that was current when it was opened, so that a
// process of an earlier generation cannot touch a later invocation.
package runtimeapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// MaxHeader is above the 1 MB that runtimes send as X-Ray cause.
const MaxHeader = 4 << 20

// Delivery is an invocation as /next hands it out.
type Delivery struct {
	RequestID       string
	DeadlineMs      int64 // epoch
	FunctionARN     string
	TraceID         string
	ClientContext   string
	CognitoIdentity string
	Event           []byte
}

// Answer is what the runtime posted for an invocation, complete.
type Answer struct {
	Body        []byte
	ContentType string
	Failed      bool   // posted to /error, or refused by the API
	ErrorType   string // of the header, "" when absent
}

// Problem is an error answer of the Runtime API.
type Problem struct {
	Status  int
	Type    string
	Message string
}

// Streamer takes a response as it comes. Write blocks while the reader is slow.
type Streamer interface {
	Write(piece []byte) error
	// Close ends the stream; with the error of the trailers, if any.
	Close(errorType, errorBody string) *Problem
	// Abort ends it when the runtime broke off: with this error, unless its own end says more.
	Abort(errorType, errorBody string)
}

// Backend decides; its methods are called from many goroutines.
type Backend interface {
	Generation() int
	// Next blocks until there is an event or the runtime has gone away (nil, nil).
	Next(gone context.Context, generation int) (*Delivery, *Problem)
	// Check says whether an answer to this request may come now, before its body is read.
	Check(generation int, request string) *Problem
	// Stream opens a streamed response; nil without a problem means: collect it.
	Stream(generation int, request, contentType string) (Streamer, *Problem)
	Answer(generation int, request string, answer Answer) *Problem
	InitError(generation int, answer Answer) *Problem
}

// Server serves one environment.
type Server struct {
	backend  Backend
	listener net.Listener
	http     *http.Server
	mux      *http.ServeMux

	mu          sync.Mutex
	connections map[net.Conn]int // by generation
}

type generationKey struct{}

// Listen opens the API on the loopback address.
func Listen(port string, backend Backend) (*Server, error) {
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	s := &Server{backend: backend, listener: listener, connections: map[net.Conn]int{}}
	s.routes()
	s.http = &http.Server{
		Handler:        s.mux,
		MaxHeaderBytes: MaxHeader,
		ConnContext:    s.accepted,
		ConnState:      s.changed,
	}
	s.http.SetKeepAlivesEnabled(true)
	return s, nil
}

// Address is host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve runs until the process ends.
func (s *Server) Serve() error { return s.http.Serve(s.listener) }

// Disconnect closes every connection of a generation and of those before it.
func (s *Server) Disconnect(generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for connection, of := range s.connections {
		if of <= generation {
			_ = connection.Close()
		}
	}
}

func (s *Server) accepted(ctx context.Context, connection net.Conn) context.Context {
	generation := s.backend.Generation()
	s.mu.Lock()
	s.connections[connection] = generation
	s.mu.Unlock()
	return context.WithValue(ctx, generationKey{}, generation)
}

func (s *Server) changed(connection net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		s.mu.Lock()
		delete(s.connections, connection)
		s.mu.Unlock()
	}
}

// GenerationOf is the generation that was current when the request's connection was opened.
func GenerationOf(r *http.Request) int {
	generation, _ := r.Context().Value(generationKey{}).(int)
	return generation
}

const version = "/2018-06-01"

func (s *Server) routes() {
	mux := http.NewServeMux()
	s.mux = mux
	mux.HandleFunc("GET "+version+"/runtime/invocation/next", s.next)
	mux.HandleFunc("POST "+version+"/runtime/invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+version+"/runtime/invocation/{id}/error", s.failure)
	mux.HandleFunc("POST "+version+"/runtime/init/error", s.initError)
	mux.HandleFunc("GET "+version+"/ping", ping)
	mux.HandleFunc("GET /ping", ping)
}

// Handle adds a route of another API; before Serve.
func (s *Server) Handle(pattern string, handler http.HandlerFunc) { s.mux.HandleFunc(pattern, handler) }

func ping(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("pong")) }

func (s *Server) next(w http.ResponseWriter, r *http.Request) {
	delivery, problem := s.backend.Next(r.Context(), GenerationOf(r))
	if problem != nil {
		refuse(w, problem)
		return
	}
	if delivery == nil {
		return
	}
	header := w.Header()
	header["Content-Type"] = contentJSON
	header["Content-Length"] = []string{strconv.Itoa(len(delivery.Event))}
	header["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(delivery.DeadlineMs, 10)}
	for name, value := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id":       delivery.RequestID,
		"Lambda-Runtime-Invoked-Function-Arn": delivery.FunctionARN,
		"Lambda-Runtime-Trace-Id":             delivery.TraceID,
		"Lambda-Runtime-Client-Context":       delivery.ClientContext,
		"Lambda-Runtime-Cognito-Identity":     delivery.CognitoIdentity,
	} {
		if value != "" {
			header[name] = []string{value}
		}
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(delivery.Event)
}

var contentJSON = []string{"application/json"}

// refuse writes an error as runtimes expect it.
func refuse(w http.ResponseWriter, p *Problem) {
	message, _ := json.Marshal(p.Message) // a string always can be; bytes that are no text are replaced
	body := `{"errorMessage":` + string(message) + `,"errorType":"` + p.Type + `"}` + "\n"
	w.Header()["Content-Type"] = contentJSON
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(body))
}

func accept(w http.ResponseWriter) {
	const body = `{"status":"OK"}` + "\n"
	w.Header()["Content-Type"] = contentJSON
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write([]byte(body))
}

// WriteJSON writes an answer of one of init's APIs.
func WriteJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header()["Content-Type"] = contentJSON
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// lastLarge says when memory is worth giving back: set by bodies above freeFrom.
var lastLarge atomic.Bool

// TookLarge tells, once, that a large body has passed.
func TookLarge() bool { return lastLarge.Swap(false) }
