package environment

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"klambda.io/init/internal/assign"
	"klambda.io/init/internal/frame"
)

func function() assign.Assignment {
	return assign.Assignment{
		FunctionName: "area", Version: "$LATEST", Region: "us-east-1", Runtime: "nodejs22.x", Handler: "index.handler",
		MemorySize: 128, LogGroup: "/aws/lambda/area",
	}
}

func variables(in Input) map[string]string {
	found := map[string]string{}
	for _, entry := range Variables(in) {
		name, value, _ := strings.Cut(entry, "=")
		found[name] = value
	}
	return found
}

func TestPrecedence(t *testing.T) {
	a := function()
	a.Environment = map[string]string{
		"TZ": ":Asia/Tokyo", "AWS_ENDPOINT_URL": "http://mine", "AWS_REGION": "mine", "_HANDLER": "mine",
		"AWS_ACCESS_KEY_ID": "mine", "BOTH": "plain", "BAD=NAME": "x", "NUL": "a\x00b", "": "x",
	}
	found := variables(Input{
		Assignment: a, Endpoints: map[string]string{"AWS_ENDPOINT_URL": "http://ours", "AWS_ENDPOINT_URL_STS": "http://ours"},
		Credentials: &frame.Credentials{AccessKeyID: "A", SecretAccessKey: "S", SessionToken: ""},
		Resolved:    map[string]string{"BOTH": "resolved"}, Image: []string{"IMAGE=1", "PATH=/image"},
	})
	for name, want := range map[string]string{
		"TZ": ":Asia/Tokyo", "AWS_ENDPOINT_URL": "http://mine", "AWS_ENDPOINT_URL_STS": "http://ours",
		"AWS_REGION": "us-east-1", "_HANDLER": "index.handler", "AWS_ACCESS_KEY_ID": "A", "BOTH": "resolved",
		"PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin", "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x",
		"AWS_SESSION_TOKEN": "",
	} {
		if value, present := found[name]; !present || value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	for _, absent := range []string{"IMAGE", "NUL", "BAD", "", "_LAMBDA_TELEMETRY_LOG_FD", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL", "PYTHONPATH"} {
		if _, present := found[absent]; present {
			t.Errorf("%q is set", absent)
		}
	}
	if !strings.HasPrefix(found["NODE_PATH"], "/opt/nodejs/node22/node_modules:/opt/nodejs/node_modules:") {
		t.Error(found["NODE_PATH"])
	}
}

func TestWhereRecordsGo(t *testing.T) {
	found := variables(Input{Assignment: function(), LogDescriptor: 62})
	if found["_LAMBDA_TELEMETRY_LOG_FD"] != "62" {
		t.Error(found)
	}
}

func TestByRuntime(t *testing.T) {
	for runtime, want := range map[string]struct{ execution, handler, image bool }{
		"python3.13":      {true, true, false},
		"provided.al2023": {false, true, false},
		"":                {false, false, true},
	} {
		a := function()
		a.Runtime = runtime
		if runtime == "" {
			a.Handler = ""
		}
		found := variables(Input{Assignment: a, Image: []string{"IMAGE=1", "PATH=/image"}})
		_, execution := found["AWS_EXECUTION_ENV"]
		_, handler := found["_HANDLER"]
		_, image := found["IMAGE"]
		if execution != want.execution || handler != want.handler || image != want.image {
			t.Errorf("%q: %v %v %v", runtime, execution, handler, image)
		}
		if want.image && found["PATH"] != "/image" {
			t.Error(found["PATH"])
		}
	}
}

func TestItIsSortedAndHasNoCredentialsByItself(t *testing.T) {
	list := Variables(Input{Assignment: function(), Credentials: &frame.Credentials{}})
	if !slices.IsSorted(list) {
		t.Error("not sorted")
	}
	for _, entry := range list {
		if strings.HasPrefix(entry, "AWS_ACCESS") || strings.HasPrefix(entry, "AWS_SESSION") {
			t.Error(entry)
		}
	}
}

func TestLogStream(t *testing.T) {
	day := time.Date(2026, 11, 2, 23, 30, 0, 0, time.FixedZone("", -3600))
	a := function()
	if name := LogStream(day, a); !regexp.MustCompile(`^2026/11/03/\[\$LATEST\][0-9a-f]{32}$`).MatchString(name) {
		t.Error(name)
	}
	a.LogGroup, a.Version = "shared", "7"
	if name := LogStream(day, a); !regexp.MustCompile(`^2026/11/03/area\[7\][0-9a-f]{32}$`).MatchString(name) {
		t.Error(name)
	}
	if first, second := LogStream(day, a), LogStream(day, a); first == second {
		t.Error("two environments share a stream")
	}
}
