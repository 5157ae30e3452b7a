package logs

import (
	"encoding/json"
	"strings"
	"time"
)

// Environment is what the platform's first line tells of a fresh environment.
type Environment struct {
	Runtime, Region, Function, Version, Initialization string
	Instance                                           string // unique to the environment
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
	InitRuntimeDone(now time.Time, r InitReport) string
	InitReport(now time.Time, r InitReport) string
	Extension(now time.Time, e Extension) string
	Subscription(now time.Time, s Subscription) string
}

// Subscription is an extension's to the Telemetry or the Logs API.
type Subscription struct {
	API, Name string
	Types     []string
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

// Record is what a platform event tells; JSON logs and the Telemetry API have the same.
type Record = map[string]any

func (j JSON) event(now time.Time, level, kind string, record Record) string {
	if levels[level] < j.level {
		return ""
	}
	text, err := json.Marshal(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record Record `json:"record"`
	}{Stamp(now), "platform." + kind, record})
	if err != nil {
		return ""
	}
	return string(text)
}

// InitStart implements Format.
func (j JSON) InitStart(now time.Time, e Environment) string {
	level := "DEBUG"
	if e.Runtime != "" {
		level = "INFO"
	}
	return j.event(now, level, "initStart", e.Record("init"))
}

// Record is what initStart tells; phase is "init" or "invoke".
func (e Environment) Record(phase string) Record {
	record := Record{
		"initializationType": e.Initialization, "phase": phase, "functionName": e.Function, "functionVersion": e.Version,
		"instanceId": e.Instance, "instanceMaxMemory": e.MemoryMB << 20,
	}
	if e.Runtime != "" {
		record["runtimeVersion"], record["runtimeVersionArn"] = runtimeVersion(e.Runtime, e.Region)
	}
	return record
}

// Start implements Format.
func (j JSON) Start(now time.Time, request, version string) string {
	return j.event(now, "DEBUG", "start", Record{"requestId": request, "version": version})
}

// Timeout implements Format: the report tells it.
func (JSON) Timeout(time.Time, string, time.Duration) string { return "" }

// Exit implements Format: the report tells it.
func (JSON) Exit(string, string, string) string { return "" }

// End implements Format: runtimeDone is in its place.
func (JSON) End(string) string { return "" }

// RuntimeDone implements Format.
func (j JSON) RuntimeDone(now time.Time, r Report) string {
	return j.event(now, r.level("DEBUG"), "runtimeDone", r.DoneRecord())
}

// DoneRecord is what runtimeDone tells.
func (r Report) DoneRecord() Record {
	return r.outcome(Record{"requestId": r.Request, "metrics": Record{
		"durationMs": rounded(r.Duration), "producedBytes": r.Produced,
	}})
}

// Report implements Format.
func (j JSON) Report(now time.Time, r Report) string {
	return j.event(now, r.level("INFO"), "report", r.Record())
}

// Record is what report tells.
func (r Report) Record() Record {
	metrics := Record{
		"durationMs": rounded(r.Duration), "billedDurationMs": r.BilledMs, "memorySizeMB": r.MemoryMB,
		"maxMemoryUsedMB": r.UsedMB,
	}
	if r.Init > 0 {
		metrics["initDurationMs"] = rounded(r.Init)
	}
	record := Record{"requestId": r.Request, "metrics": metrics}
	if r.Phases != "" {
		record["phases"] = r.Phases
	}
	return r.outcome(record)
}

// InitReport implements Format.
func (j JSON) InitReport(now time.Time, r InitReport) string {
	return j.event(now, r.level(), "initReport", r.Record())
}

// InitRuntimeDone implements Format.
func (j JSON) InitRuntimeDone(now time.Time, r InitReport) string {
	return j.event(now, r.level(), "initRuntimeDone", r.DoneRecord())
}

// DoneRecord is what initRuntimeDone tells.
func (r InitReport) DoneRecord() Record {
	record := Record{"initializationType": r.Initialization, "phase": r.Phase, "status": r.Status}
	if r.ErrorType != "" {
		record["errorType"] = r.ErrorType
	}
	return record
}

// Record is what initReport tells.
func (r InitReport) Record() Record {
	record := r.DoneRecord()
	record["metrics"] = Record{"durationMs": rounded(r.Took)}
	return record
}

func (r InitReport) level() string {
	if r.Status == Success {
		return "DEBUG"
	}
	return "WARN"
}

// Extension implements Format.
func (j JSON) Extension(now time.Time, e Extension) string {
	level := "INFO"
	if e.ErrorType != "" {
		level = "WARN"
	}
	return j.event(now, level, "extension", e.Record())
}

// Record is what the event about an extension tells.
func (e Extension) Record() Record {
	record := Record{"name": e.Name, "state": e.State, "events": append([]string{}, e.Events...)}
	if e.ErrorType != "" {
		record["errorType"] = e.ErrorType
	}
	return record
}

// Subscription implements Format.
func (j JSON) Subscription(now time.Time, s Subscription) string {
	return j.event(now, "INFO", s.Kind(), s.Record())
}

// Record is what the event about a subscription tells.
func (s Subscription) Record() Record {
	return Record{"name": s.Name, "state": "Subscribed", "types": s.Types}
}

// Kind is the event's.
func (s Subscription) Kind() string { return strings.ToLower(s.API) + "Subscription" }

// outcome adds status and error type.
func (r Report) outcome(record Record) Record {
	record["status"] = "success"
	if r.Status != "" {
		record["status"] = r.Status
		if r.ErrorType != "" {
			record["errorType"] = r.ErrorType
		}
	}
	if r.Trace != "" {
		record["tracing"] = Record{"type": "X-Amzn-Trace-Id", "value": r.Trace}
	}
	if len(r.Spans) > 0 {
		spans := make([]Record, len(r.Spans))
		for n, s := range r.Spans {
			spans[n] = Record{"name": s.Name, "start": Stamp(s.Start), "durationMs": rounded(s.Took)}
		}
		record["spans"] = spans
	}
	return record
}

// level is that of an event: whatever is no success is a warning.
func (r Report) level(usual string) string {
	if r.Status == "" {
		return usual
	}
	return "WARN"
}

func rounded(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
