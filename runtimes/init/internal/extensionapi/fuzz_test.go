package extensionapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"klambda.io/init/internal/extensions"
	"klambda.io/init/internal/telemetry"
)

// crewed lets a real crew and a real hub decide.
type crewed struct {
	crew *extensions.Crew
	hub  *telemetry.Hub
}

func (b crewed) Register(_ int, name string, events []string) (*Registration, *extensions.Problem) {
	agent, problem := b.crew.Register(name, events)
	if problem != nil {
		return nil, problem
	}
	return &Registration{ID: agent.ID, Function: "f", Version: "1", Handler: "h", Account: "1"}, nil
}

func (b crewed) NextEvent(_ context.Context, _ int, id string) (*extensions.Event, *extensions.Problem) {
	agent, problem := b.crew.Find(id)
	if problem == nil {
		problem = b.crew.Next(agent)
	}
	return nil, problem
}

func (b crewed) GiveUp(_ int, id string, into extensions.State, errorType string) *extensions.Problem {
	agent, problem := b.crew.Find(id)
	if problem == nil {
		problem = b.crew.Fail(agent, into, errorType)
	}
	return problem
}

func (b crewed) Subscribe(_ int, id string, api telemetry.API, body []byte) *telemetry.Problem {
	agent, refused := b.crew.Find(id)
	if refused != nil {
		return &telemetry.Problem{Status: http.StatusForbidden, Type: refused.Type, Message: refused.Message}
	}
	subscription, problem := telemetry.Parse(api, agent.Name, body)
	if problem == nil {
		problem = b.hub.Subscribe(subscription)
	}
	return problem
}

type routes struct{ *http.ServeMux }

func (r routes) Handle(pattern string, handler http.HandlerFunc) { r.HandleFunc(pattern, handler) }

// FuzzRequests: an extension may send what it likes, before and after it has registered.
func FuzzRequests(f *testing.F) {
	const head = " HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"
	const identity = idHeader + ": 00000000-0000-4000-8000-000000000000\r\n"
	for _, request := range []string{
		"POST /2020-01-01/extension/register" + head + nameHeader + ": eye\r\nContent-Length: 21\r\n\r\n{\"events\":[\"INVOKE\"]}",
		"POST /2020-01-01/extension/register" + head + nameHeader + ": \xff\r\nContent-Length: 24\r\n\r\n{\"configurationKeys\":[]}",
		"GET /2020-01-01/extension/event/next" + head + identity + "\r\n",
		"POST /2020-01-01/extension/exit/error" + head + identity + errorTypeHeader + ": \xffX\r\n\r\n",
		"PUT /2022-07-01/telemetry" + head + identity + "Content-Length: 107\r\n\r\n" +
			`{"schemaVersion":"2022-12-13","types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox:1"}}`,
		"PUT /2020-08-15/logs" + head + identity + "Content-Length: 2\r\n\r\n{}",
	} {
		f.Add([]byte(request))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		newID := func() string { return "00000000-0000-4000-8000-000000000000" }
		backend := crewed{extensions.NewCrew([]string{"eye"}, newID), telemetry.NewHub()}
		defer backend.hub.Stop()
		mux := routes{http.NewServeMux()}
		Mount(mux, backend, newID)
		_, _ = backend.crew.Register("mine", nil)
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		if answer.Header().Get("Content-Type") == "application/json" && !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%d %q", answer.Code, answer.Body)
		}
		if answer.Code >= 500 {
			t.Errorf("%d %q", answer.Code, answer.Body)
		}
	})
}
