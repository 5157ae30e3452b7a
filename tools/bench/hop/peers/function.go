package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
)

// function is a bootstrap whose handler does nothing: the cheapest that init can run.
func function(_ []string) error {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		event, err := http.Get(base + "next")
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, event.Body)
		event.Body.Close()
		id := event.Header.Get("Lambda-Runtime-Aws-Request-Id")
		told, err := http.Post(base+id+"/response", "application/json", bytes.NewReader([]byte("null")))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, told.Body)
		told.Body.Close()
	}
}
