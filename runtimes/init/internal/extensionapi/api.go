// Package extensionapi is Lambda's Extensions API, version 2020-01-01, with the subscriptions of the Telemetry and Logs
// APIs, over HTTP (reference §g.2, §g.3). It translates, as package runtimeapi does; what a call means, the Backend
// decides.
package extensionapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"klambda.io/init/internal/extensions"
	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/telemetry"
)

const (
	version         = "/2020-01-01/extension"
	nameHeader      = "Lambda-Extension-Name"
	idHeader        = "Lambda-Extension-Identifier"
	eventHeader     = "Lambda-Extension-Event-Identifier"
	featureHeader   = "Lambda-Extension-Accept-Feature"
	errorTypeHeader = "Lambda-Extension-Function-Error-Type"
	maxRegistration = 16 << 10
)

// Registration is what a new extension learns.
type Registration struct {
	ID       string `json:"-"`
	Function string `json:"functionName"`
	Version  string `json:"functionVersion"`
	Handler  string `json:"handler"`
	Account  string `json:"accountId,omitempty"`
}

// Backend decides.
type Backend interface {
	Register(generation int, name string, events []string) (*Registration, *extensions.Problem)
	// NextEvent blocks until there is an event or the caller has gone away (nil, nil).
	NextEvent(gone context.Context, generation int, id string) (*extensions.Event, *extensions.Problem)
	GiveUp(generation int, id string, into extensions.State, errorType string) *extensions.Problem
	// Subscribe takes the body of a subscription.
	Subscribe(generation int, id string, api telemetry.API, body []byte) *telemetry.Problem
}

type api struct {
	backend Backend
	newID   func() string
}

// Routes is where the API is added: the Runtime API's server.
type Routes interface {
	Handle(pattern string, handler http.HandlerFunc)
}

// Mount adds the API.
func Mount(server Routes, backend Backend, newID func() string) {
	a := &api{backend: backend, newID: newID}
	server.Handle("POST "+version+"/register", a.register)
	server.Handle("GET "+version+"/event/next", a.next)
	server.Handle("POST "+version+"/init/error", func(w http.ResponseWriter, r *http.Request) {
		a.giveUp(w, r, extensions.InitError)
	})
	server.Handle("POST "+version+"/exit/error", func(w http.ResponseWriter, r *http.Request) {
		a.giveUp(w, r, extensions.ExitError)
	})
	server.Handle("PUT /2022-07-01/telemetry", a.subscribe(telemetry.Telemetry))
	server.Handle("PUT /2020-08-15/logs", a.subscribe(telemetry.Logs))
}

func (a *api) subscribe(api telemetry.API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
		problem := &telemetry.Problem{Status: http.StatusBadRequest, Type: "ValidationError", Message: fmt.Sprint(err)}
		if err == nil {
			problem = a.backend.Subscribe(runtimeapi.GenerationOf(r), r.Header.Get(idHeader), api, body)
		}
		if problem != nil {
			document := map[string]string{"errorType": problem.Type, "errorMessage": problem.Message}
			runtimeapi.WriteJSON(w, problem.Status, document)
			return
		}
		runtimeapi.WriteJSON(w, http.StatusOK, "OK")
	}
}

func (a *api) register(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events            []string        `json:"events"`
		ConfigurationKeys json.RawMessage `json:"configurationKeys"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRegistration)).Decode(&body); err != nil {
		refuse(w, &extensions.Problem{Type: "InvalidRequestFormat", Message: err.Error()})
		return
	}
	if body.ConfigurationKeys != nil {
		refuse(w, &extensions.Problem{Type: "InvalidRequestFormat", Message: "configurationKeys are deprecated"})
		return
	}
	answer, problem := a.backend.Register(runtimeapi.GenerationOf(r), r.Header.Get(nameHeader), body.Events)
	if problem != nil {
		refuse(w, problem)
		return
	}
	if !accepts(r.Header.Values(featureHeader), "accountId") {
		answer.Account = ""
	}
	w.Header().Set(idHeader, answer.ID)
	runtimeapi.WriteJSON(w, http.StatusOK, answer)
}

func accepts(features []string, wanted string) bool {
	for _, list := range features {
		for feature := range strings.SplitSeq(list, ",") {
			if strings.TrimSpace(feature) == wanted {
				return true
			}
		}
	}
	return false
}

func (a *api) next(w http.ResponseWriter, r *http.Request) {
	event, problem := a.backend.NextEvent(r.Context(), runtimeapi.GenerationOf(r), r.Header.Get(idHeader))
	switch {
	case problem != nil:
		refuse(w, problem)
	case event != nil:
		w.Header().Set(eventHeader, a.newID())
		runtimeapi.WriteJSON(w, http.StatusOK, event)
	}
}

func (a *api) giveUp(w http.ResponseWriter, r *http.Request, into extensions.State) {
	problem := a.backend.GiveUp(runtimeapi.GenerationOf(r), r.Header.Get(idHeader), into, r.Header.Get(errorTypeHeader))
	if problem != nil {
		refuse(w, problem)
		return
	}
	runtimeapi.WriteJSON(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func refuse(w http.ResponseWriter, p *extensions.Problem) {
	runtimeapi.WriteJSON(w, http.StatusForbidden, map[string]string{"errorType": p.Type, "errorMessage": p.Message})
}
