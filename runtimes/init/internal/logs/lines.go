package logs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The texts are AWS's (reference §g.5); tabs, and the tab at the end of REPORT, included.

// Start is the line before an invocation's output.
func Start(request, version string) string {
	return fmt.Sprintf("START RequestId: %s Version: %s", request, version)
}

// End is the line after it.
func End(request string) string { return "END RequestId: " + request }

// Timeout is the line of an invocation that ran out of time; it happened at now.
func Timeout(now time.Time, request string, timeout time.Duration) string {
	return fmt.Sprintf("%s %s Task timed out after %.2f seconds\n", Stamp(now), request, timeout.Seconds())
}

// Exit is the pair of lines of a runtime that ended during an invocation.
func Exit(request, reason, errorType string) string {
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
	Status    string        // "" for success, else "timeout" or "error"
	ErrorType string
	Phases    string // ours, after AWS's fields
}

func (r Report) String() string {
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

// InitStart is the first line of an environment. Klambda's runtimes have no AWS version; the image is the version.
func InitStart(runtime, region string) string {
	if runtime == "" {
		return "INIT_START "
	}
	name := strings.TrimRight(runtime, "0123456789.x")
	version := strings.TrimPrefix(runtime, name)
	sum := sha256.Sum256([]byte("klambda " + runtime))
	return fmt.Sprintf("INIT_START Runtime Version: %s:%s.klambda\tRuntime Version ARN: arn:aws:lambda:%s::runtime:%s",
		name, version, region, hex.EncodeToString(sum[:]))
}

// InitReport is the line of a start that failed; phase is "init" or "invoke", status "error" or "timeout".
func InitReport(took time.Duration, phase, status, errorType string) string {
	text := fmt.Sprintf("INIT_REPORT Init Duration: %s ms\tPhase: %s\tStatus: %s", millis(took, 2), phase, status)
	if errorType != "" {
		text += "\tError Type: " + errorType
	}
	return text
}

func millis(d time.Duration, digits int) string {
	return fmt.Sprintf("%.*f", digits, float64(d)/float64(time.Millisecond))
}
