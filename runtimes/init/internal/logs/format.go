package logs

import (
	"encoding/json"
	"time"
)

// Environment is what the platform's first line tells of a fresh environment.
type Environment struct {
	Runtime, Region, Function, Version, Initialization string
	MemoryMB                                           int
}

// Format renders the platform's lines; "" is no line. Text is what Lambda writes by default, JSON what it writes when
// the function's LoggingConfig says so (reference §g.3 and §g.5).
type Format interface {
	InitStart(now time.Time, e Environment) string
	Start(now time.Time, request, version string) string
	Timeout(now time.Time, request string, timeout time.Duration) string
	Exit(request, reason, errorType string) string
	RuntimeDone(now time.Time, r Report) string
	End(request string) string
	Report(now time.Time, r Report) string
	InitReport(now time.Time, r InitReport) string
	Extension(now time.Time, e Extension) string
}

// Extension is what the platform tells of an extension after the start.
type Extension struct {
	Name, State, ErrorType string
	Events                 []string
}

// FormatFor chooses by LoggingConfig's members.
func FormatFor(format, systemLevel string) Format {
	if format != "JSON" {
		return Text{}
	}
	level, known := levels[systemLevel]
	if !known {
		level = levels["INFO"]
	}
	return JSON{level: level}
}

var levels = map[string]int{"DEBUG": 0, "INFO": 1, "WARN": 2}

// JSON writes platform events as objects, those of the configured level and above.
type JSON struct{ level int }

type object map[string]any

func (j JSON) event(now time.Time, level, kind string, record object) string {
	if levels[level] < j.level {
		return ""
	}
	text, err := json.Marshal(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record object `json:"record"`
	}{Stamp(now), "platform." + kind, record})
	if err != nil {
		return ""
	}
	return string(text)
}

// InitStart implements Format.
func (j JSON) InitStart(now time.Time, e Environment) string {
	record := object{
		"initializationType": e.Initialization, "phase": "init", "functionName": e.Function, "functionVersion": e.Version,
		"instanceMaxMemory": e.MemoryMB << 20,
	}
	level := "DEBUG"
	if e.Runtime != "" {
		record["runtimeVersion"], record["runtimeVersionArn"] = runtimeVersion(e.Runtime, e.Region)
		level = "INFO"
	}
	return j.event(now, level, "initStart", record)
}

// Start implements Format.
func (j JSON) Start(now time.Time, request, version string) string {
	return j.event(now, "DEBUG", "start", object{"requestId": request, "version": version})
}

// Timeout implements Format: the report tells it.
func (JSON) Timeout(time.Time, string, time.Duration) string { return "" }

// Exit implements Format: the report tells it.
func (JSON) Exit(string, string, string) string { return "" }

// End implements Format: runtimeDone is in its place.
func (JSON) End(string) string { return "" }

// RuntimeDone implements Format.
func (j JSON) RuntimeDone(now time.Time, r Report) string {
	record := object{"requestId": r.Request, "metrics": object{
		"durationMs": rounded(r.Duration), "producedBytes": r.Produced,
	}}
	return j.event(now, r.outcome(record, "DEBUG"), "runtimeDone", record)
}

// Report implements Format.
func (j JSON) Report(now time.Time, r Report) string {
	metrics := object{
		"durationMs": rounded(r.Duration), "billedDurationMs": r.BilledMs, "memorySizeMB": r.MemoryMB,
		"maxMemoryUsedMB": r.UsedMB,
	}
	if r.Init > 0 {
		metrics["initDurationMs"] = rounded(r.Init)
	}
	record := object{"requestId": r.Request, "metrics": metrics}
	if r.Phases != "" {
		record["phases"] = r.Phases
	}
	return j.event(now, r.outcome(record, "INFO"), "report", record)
}

// InitReport implements Format.
func (j JSON) InitReport(now time.Time, r InitReport) string {
	record := object{
		"phase": r.Phase, "status": r.Status, "metrics": object{"durationMs": rounded(r.Took)},
	}
	if r.ErrorType != "" {
		record["errorType"] = r.ErrorType
	}
	return j.event(now, "WARN", "initReport", record)
}

// Extension implements Format.
func (j JSON) Extension(now time.Time, e Extension) string {
	record := object{"name": e.Name, "state": e.State, "events": append([]string{}, e.Events...)}
	level := "INFO"
	if e.ErrorType != "" {
		record["errorType"], level = e.ErrorType, "WARN"
	}
	return j.event(now, level, "extension", record)
}

// outcome adds status and error type; whatever is no success is a warning.
func (r Report) outcome(record object, level string) string {
	record["status"] = "success"
	if r.Status == "" {
		return level
	}
	record["status"] = r.Status
	if r.ErrorType != "" {
		record["errorType"] = r.ErrorType
	}
	return "WARN"
}

func rounded(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
