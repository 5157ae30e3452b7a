package instance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"klambda.io/init/internal/assign"
)

// entry is what a start of the runtime executes, and where.
type entry struct {
	candidates []string // programs by path; the first that is there counts
	command    []string // of a container image instead: a program, by name or path, and its arguments
	path       string   // PATH of the image
	directory  string
}

// candidates are the places of the bootstrap (reference §h: custom runtimes bring it themselves).
func candidates(runtime, taskRoot, optRoot, runtimeRoot, override string) []string {
	switch {
	case override != "":
		return []string{override}
	case strings.HasPrefix(runtime, "provided"):
		return []string{filepath.Join(taskRoot, "bootstrap"), filepath.Join(optRoot, "bootstrap")}
	default:
		return []string{filepath.Join(runtimeRoot, "bootstrap")}
	}
}

// entryOf is how a container image starts: in its own directory, its program found in its own PATH.
func entryOf(image assign.Image, root string, environment []string) entry {
	e := entry{command: image.Command, directory: image.WorkingDirectory}
	if e.directory == "" {
		e.directory = root
	}
	at := slices.IndexFunc(environment, func(v string) bool { return strings.HasPrefix(v, "PATH=") })
	if at >= 0 {
		e.path = strings.TrimPrefix(environment[at], "PATH=")
	}
	return e
}

// startError is a start that cannot be tried, with AWS's word for it.
type startError struct{ kind, text string }

func (e *startError) Error() string { return e.text }

// find answers the program and its arguments. One that is there but cannot be executed fails at its start, with the
// kernel's reason in AWS's words.
func (e entry) find() (path string, arguments []string, err error) {
	if info, err := os.Stat(e.directory); err != nil || !info.IsDir() {
		return "", nil, &startError{"Runtime.InvalidWorkingDir", "chdir " + e.directory + ": no such file or directory"}
	}
	if e.candidates != nil {
		for _, path := range e.candidates {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, []string{path}, nil
			}
		}
		//lint:ignore ST1005 AWS's text
		return "", nil, fmt.Errorf("Couldn't find valid bootstrap(s): [%s]", strings.Join(e.candidates, " "))
	}
	if len(e.command) == 0 {
		return "", nil, errors.New("the image has neither ENTRYPOINT nor CMD")
	}
	path, err = e.lookUp(e.command[0])
	return path, e.command, err
}

// lookUp finds a program as a shell would: a name in PATH, a path as it is, from the working directory.
func (e entry) lookUp(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, folder := range filepath.SplitList(e.path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(e.directory, folder)
		}
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// startErrorType is AWS's word for a start that failed.
func startErrorType(err error) string {
	if e := (*startError)(nil); errors.As(err, &e) {
		return e.kind
	}
	return "Runtime.InvalidEntrypoint"
}
