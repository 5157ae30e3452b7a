package extensions

import (
	"os"
	"slices"
	"strings"
)

// Programs lists what is to be launched: every file in the directory, by name.
func Programs(directory string) []string {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// runtimeOnly are variables that extensions do not get (AWS Lambda developer guide, "Lambda extensions").
var runtimeOnly = []string{
	"AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING",
	"AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
}

// Environment is the function's environment without what is the runtime's alone.
func Environment(function []string) []string {
	return slices.DeleteFunc(slices.Clone(function), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "_") || slices.Contains(runtimeOnly, name)
	})
}
