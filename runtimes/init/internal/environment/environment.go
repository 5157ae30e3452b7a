// Package environment makes the function's environment variables exactly as Lambda does (reference §g.4).
//
// Pure: the same input gives the same list. Of names that occur twice, the later source wins:
// defaults < endpoints < the user's < credentials < reserved. Nothing of the pod's own environment gets through for
// managed runtimes; for container images, what the image sets does.
package environment

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"klambda.io/init/internal/assign"
	"klambda.io/init/internal/frame"
)

// Input is everything that the environment depends on.
type Input struct {
	Assignment         assign.Assignment
	InitializationType string
	Credentials        *frame.Credentials
	Endpoints          map[string]string
	LogStream          string
	RuntimeAPI         string            // host:port
	TaskRoot           string            // /var/task
	RuntimeRoot        string            // /var/runtime
	Resolved           map[string]string // variables whose values Kubernetes gave
	Image              []string          // the image's own environment
	LogDescriptor      int               // where the runtime's client writes its log records; 0: nowhere of its own
}

// Variables renders the environment, sorted, in the form of execve.
func Variables(in Input) []string {
	all := map[string]string{}
	if in.Assignment.Runtime == "" {
		for _, entry := range in.Image {
			if name, value, found := strings.Cut(entry, "="); found {
				all[name] = value
			}
		}
	} else {
		maps.Copy(all, defaults(in))
	}
	maps.Copy(all, in.Endpoints)
	maps.Copy(all, in.Assignment.Environment)
	maps.Copy(all, in.Resolved)
	maps.Copy(all, credentials(in.Credentials))
	maps.Copy(all, reserved(in))
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != "" && !strings.ContainsAny(name, "=\x00") && !strings.ContainsRune(all[name], 0) {
			list = append(list, name+"="+all[name])
		}
	}
	return list
}

// defaults are those that a user may override.
func defaults(in Input) map[string]string {
	task, runtime := in.TaskRoot, in.RuntimeRoot
	values := map[string]string{
		"LANG": "en_US.UTF-8",
		"TZ":   ":UTC",
		"PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:" + runtime + ":" + runtime + "/lib:" +
			task + ":" + task + "/lib:/opt/lib",
		"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
		"AWS_XRAY_DAEMON_ADDRESS":  "169.254.79.129:2000",
		"_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
		"_AWS_XRAY_DAEMON_PORT":    "2000",
	}
	switch name := in.Assignment.Runtime; {
	case strings.HasPrefix(name, "python"):
		values["PYTHONPATH"] = runtime
	case strings.HasPrefix(name, "nodejs"):
		major := strings.TrimSuffix(strings.TrimPrefix(name, "nodejs"), ".x")
		values["NODE_PATH"] = "/opt/nodejs/node" + major + "/node_modules:/opt/nodejs/node_modules:" +
			runtime + "/node_modules"
	}
	return values
}

func credentials(c *frame.Credentials) map[string]string {
	if c == nil || c.AccessKeyID == "" {
		return nil
	}
	return map[string]string{
		"AWS_ACCESS_KEY_ID": c.AccessKeyID, "AWS_SECRET_ACCESS_KEY": c.SecretAccessKey, "AWS_SESSION_TOKEN": c.SessionToken,
	}
}

// reserved are those that nobody can change.
func reserved(in Input) map[string]string {
	a := in.Assignment
	values := map[string]string{
		"_HANDLER":                        a.Handler,
		"AWS_REGION":                      a.Region,
		"AWS_DEFAULT_REGION":              a.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        a.FunctionName,
		"AWS_LAMBDA_FUNCTION_VERSION":     a.Version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(a.MemorySize),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  in.InitializationType,
		"AWS_LAMBDA_LOG_GROUP_NAME":       a.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      in.LogStream,
		"AWS_LAMBDA_RUNTIME_API":          in.RuntimeAPI,
		"LAMBDA_TASK_ROOT":                in.TaskRoot,
		"LAMBDA_RUNTIME_DIR":              in.RuntimeRoot,
	}
	if a.Runtime == "" && a.Handler == "" {
		delete(values, "_HANDLER")
	}
	if a.Runtime != "" && !strings.HasPrefix(a.Runtime, "provided") {
		values["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + a.Runtime
	}
	if in.LogDescriptor != 0 {
		values["_LAMBDA_TELEMETRY_LOG_FD"] = strconv.Itoa(in.LogDescriptor)
	}
	if a.LogFormat != "" {
		values["AWS_LAMBDA_LOG_FORMAT"] = a.LogFormat
	}
	if a.ApplicationLevel != "" {
		values["AWS_LAMBDA_LOG_LEVEL"] = a.ApplicationLevel
	}
	return values
}

// LogStream names the environment's log stream (reference §g.5); its random part is unique to this environment.
func LogStream(now time.Time, a assign.Assignment) string {
	var unique [16]byte
	_, _ = rand.Read(unique[:]) // never fails
	function := ""
	if a.LogGroup != "/aws/lambda/"+a.FunctionName {
		function = a.FunctionName
	}
	return fmt.Sprintf("%s/%s[%s]%s", now.UTC().Format("2006/01/02"), function, a.Version, hex.EncodeToString(unique[:]))
}
