package logs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The texts are AWS's (reference §g.5); tabs, and the tab at the end of REPORT, included.

// Text writes them as lines.
type Text struct{}

// Start implements Format: the line before an invocation's output.
func (Text) Start(_ time.Time, request, version string) string {
	return "START RequestId: " + request + " Version: " + version
}

// End implements Format: the line after it.
func (Text) End(request string) string { return "END RequestId: " + request }

// RuntimeDone implements Format: text has no such line.
func (Text) RuntimeDone(time.Time, Report) string { return "" }

// Timeout implements Format: an invocation ran out of time at now.
func (Text) Timeout(now time.Time, request string, timeout time.Duration) string {
	return fmt.Sprintf("%s %s Task timed out after %.2f seconds\n", Stamp(now), request, timeout.Seconds())
}

// Exit implements Format: the pair of lines of a runtime that ended during an invocation.
func (Text) Exit(request, reason, errorType string) string {
	return fmt.Sprintf("RequestId: %s Error: %s\n%s", request, reason, errorType)
}

// Stamp is AWS's time format.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Report is what a REPORT line tells.
type Report struct {
	Request   string
	Duration  time.Duration
	BilledMs  int
	MemoryMB  int
	UsedMB    int
	Init      time.Duration // 0: not the first invocation
	Produced  int           // bytes of the answer
	Status    string        // "" for success, else "timeout" or "error"
	ErrorType string
	Phases    string // ours, after AWS's fields
	Trace     string // the trace header; of events only, as the spans
	Spans     []Span
}

// Span is a named part of an invocation.
type Span struct {
	Name  string
	Start time.Time
	Took  time.Duration
}

// Report implements Format.
func (Text) Report(_ time.Time, r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %s ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		r.Request, millis(r.Duration, 2), r.BilledMs, r.MemoryMB, r.UsedMB)
	if r.Init > 0 {
		fmt.Fprintf(&b, "Init Duration: %s ms\t", millis(r.Init, 2))
	}
	if r.Status != "" {
		fmt.Fprintf(&b, "Status: %s", r.Status)
		if r.ErrorType != "" {
			fmt.Fprintf(&b, "\tError Type: %s", r.ErrorType)
		}
	}
	if r.Phases != "" {
		if r.Status != "" {
			b.WriteByte('\t')
		}
		fmt.Fprintf(&b, "Phases: %s\t", r.Phases)
	}
	return b.String()
}

// Phase is one named part of the start.
type Phase struct {
	Name string
	Took time.Duration
}

// Phases renders the start's parts for the REPORT line.
func Phases(parts ...Phase) string {
	texts := make([]string, len(parts))
	for i, part := range parts {
		texts[i] = part.Name + " " + millis(part.Took, 1) + " ms"
	}
	return strings.Join(texts, ", ")
}

// InitStart implements Format: the first line of an environment.
func (Text) InitStart(_ time.Time, e Environment) string {
	if e.Runtime == "" {
		return "INIT_START "
	}
	version, arn := runtimeVersion(e.Runtime, e.Region)
	return "INIT_START Runtime Version: " + version + "\tRuntime Version ARN: " + arn
}

// runtimeVersion stands for AWS's: Klambda's runtimes have none, their image is it.
func runtimeVersion(runtime, region string) (version, arn string) {
	name := strings.TrimRight(runtime, "0123456789.x")
	sum := sha256.Sum256([]byte("klambda " + runtime))
	return name + ":" + strings.TrimPrefix(runtime, name) + ".klambda",
		"arn:aws:lambda:" + region + "::runtime:" + hex.EncodeToString(sum[:])
}

// Success is the status of a start that went well.
const Success = "success"

// InitReport is how a start went; Phase is "init" or "invoke", Status "success", "error" or "timeout".
type InitReport struct {
	Took                                     time.Duration
	Initialization, Phase, Status, ErrorType string
}

// InitRuntimeDone implements Format: text has no such line.
func (Text) InitRuntimeDone(time.Time, InitReport) string { return "" }

// InitReport implements Format: a line only of a start that failed.
func (Text) InitReport(_ time.Time, r InitReport) string {
	if r.Status == Success {
		return ""
	}
	text := fmt.Sprintf("INIT_REPORT Init Duration: %s ms\tPhase: %s\tStatus: %s", millis(r.Took, 2), r.Phase, r.Status)
	if r.ErrorType != "" {
		text += "\tError Type: " + r.ErrorType
	}
	return text
}

// Extension implements Format.
func (Text) Extension(_ time.Time, e Extension) string {
	text := fmt.Sprintf("EXTENSION\tName: %s\tState: %s\tEvents: [%s]", e.Name, e.State, strings.Join(e.Events, ", "))
	if e.ErrorType != "" {
		text += "\tError Type: " + e.ErrorType
	}
	return text
}

// Subscription implements Format.
func (Text) Subscription(_ time.Time, s Subscription) string {
	types := make([]string, len(s.Types))
	for n, name := range s.Types {
		types[n] = strings.ToUpper(name[:1]) + name[1:]
	}
	return fmt.Sprintf("%s\tName: %s\tState: Subscribed\tTypes: [%s]", strings.ToUpper(s.API), s.Name, strings.Join(types, ", "))
}

func millis(d time.Duration, digits int) string {
	return fmt.Sprintf("%.*f", digits, float64(d)/float64(time.Millisecond))
}
