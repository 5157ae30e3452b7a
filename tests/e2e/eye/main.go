// An extension that tells in the log what it sees: events, and from telemetry how each invocation went. Without a
// language of its own it runs in every runtime.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

var (
	api  = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
	told = make(chan struct{}, 100)
	id   string
)

type event struct {
	EventType      string
	RequestID      string
	ShutdownReason string
	Type           string
	Record         json.RawMessage
}

func call(method, path, name string, body any, into any) http.Header {
	text, _ := json.Marshal(body)
	request, _ := http.NewRequest(method, api+path, bytes.NewReader(text))
	request.Header.Set("Lambda-Extension-Name", name)
	request.Header.Set("Lambda-Extension-Identifier", id)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer answer.Body.Close()
	text, _ = io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		fmt.Println(answer.StatusCode, string(text))
		os.Exit(1)
	}
	if into != nil {
		_ = json.Unmarshal(text, into)
	}
	return answer.Header
}

func receive(_ http.ResponseWriter, r *http.Request) {
	var events []event
	_ = json.NewDecoder(r.Body).Decode(&events)
	for _, e := range events {
		var record struct{ RequestID, Status string }
		if e.Type == "platform.runtimeDone" && json.Unmarshal(e.Record, &record) == nil {
			fmt.Println("told", record.RequestID, record.Status)
			told <- struct{}{}
		}
	}
}

func main() {
	events := map[string]any{"events": []string{"INVOKE", "SHUTDOWN"}}
	name := filepath.Base(os.Args[0])
	id = call("POST", "/2020-01-01/extension/register", name, events, nil).Get("Lambda-Extension-Identifier")
	listener, err := net.Listen("tcp", ":4243")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() { fmt.Println(http.Serve(listener, http.HandlerFunc(receive))) }()
	call("PUT", "/2022-07-01/telemetry", name, map[string]any{
		"schemaVersion": "2022-12-13", "types": []string{"platform"}, "buffering": map[string]int{"timeoutMs": 25},
		"destination": map[string]string{"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/"},
	}, nil)
	for {
		var e event
		call("GET", "/2020-01-01/extension/event/next", name, nil, &e)
		fmt.Println("sees", e.EventType, e.RequestID+e.ShutdownReason)
		if e.EventType == "SHUTDOWN" {
			return
		}
		select {
		case <-told:
		case <-time.After(5 * time.Second):
		}
	}
}
