// Package assign is the assignment: what function this instance becomes (docs/runtime-contract.md §2).
package assign

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Assignment is the operator's description of a revision; only what init needs of it.
type Assignment struct {
	Digest           string            `json:"digest"`
	FunctionName     string            `json:"functionName"`
	FunctionARN      string            `json:"functionArn"`
	Version          string            `json:"version"`
	AccountID        string            `json:"accountId"`
	Region           string            `json:"region"`
	Runtime          string            `json:"runtime"` // "" for container images
	Handler          string            `json:"handler"`
	MemorySize       int               `json:"memorySize"` // MiB
	Timeout          int               `json:"timeout"`    // seconds
	EphemeralStorage int               `json:"ephemeralStorage"`
	Environment      map[string]string `json:"environment"`
	Code             Blob              `json:"code"`
	Image            *Image            `json:"image"` // instead of code, for container images
	Layers           []Blob            `json:"layers"`
	LogGroup         string            `json:"logGroup"`
	LogFormat        string            `json:"logFormat"`
	ApplicationLevel string            `json:"applicationLogLevel"`
	SystemLevel      string            `json:"systemLogLevel"`
	TracingMode      string            `json:"tracingMode"`
	Role             string            `json:"role"`
}

// Blob names a zip archive by its content.
type Blob struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Image is how a container image starts: the operator has put ENTRYPOINT, CMD and the function's own words together.
type Image struct {
	Command          []string `json:"command"`
	WorkingDirectory string   `json:"workingDirectory"`
}

// Parse reads an assignment and refuses one that cannot be run.
func Parse(text []byte) (Assignment, error) {
	var a Assignment
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("assignment: %w", err)
	}
	switch {
	case a.Digest == "":
		return a, errors.New("assignment without digest")
	case a.FunctionName == "":
		return a, errors.New("assignment without functionName")
	case a.Timeout <= 0:
		return a, errors.New("assignment without timeout")
	case a.MemorySize <= 0:
		return a, errors.New("assignment without memorySize")
	case a.Image == nil && len(a.Code.SHA256) != 64:
		return a, errors.New("assignment without code.sha256 or image")
	}
	if a.Version == "" {
		a.Version = "$LATEST"
	}
	if a.LogGroup == "" {
		a.LogGroup = "/aws/lambda/" + a.FunctionName
	}
	return a, nil
}
