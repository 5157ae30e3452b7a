package instance

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/peer"
	"klambda.io/init/internal/slot"
)

const (
	// completingPatience is how long an attempt waits for the one before it to end (docs/runtime-contract.md §1).
	completingPatience = 100 * time.Millisecond
	sampleEvery        = 100 * time.Millisecond
	megabyte           = 1 << 20
)

// Statuses of an end frame.
const (
	success = "success"
	failed  = "error"
	timeout = "timeout"
)

const unhandled = "Unhandled" // the only X-Amz-Function-Error of current runtimes (reference §b.1)

// invocation is one attempt, from its first frame to its end.
type invocation struct {
	attempt slot.Attempt
	conn    *peer.Conn
	header  frame.InvokeHeader
	event   []byte
	loaded  bool
	flaw    string // why the event is not JSON
	brief   bool   // it waits for a completing one
	cold    bool
	started time.Time

	patience, deadline *time.Timer

	answering, answered, back time.Time // the answer's first and last byte; the runtime at /next, or gone

	muted     bool    // nobody waits for the answer
	answer    *stream // of a streamed answer, once its head is out
	status    string
	errorType string
	begun     bool // its START is written
	told      bool // extensions know of it
	done      bool // the runtime is done with it, and that was told
	reported  bool // status and error type belong into the REPORT line
	bytesOut  int
}

// visible is the connection that the answer goes to, if any.
func (inv *invocation) visible() *peer.Conn {
	if inv.muted {
		return nil
	}
	return inv.conn
}

func (inv *invocation) stopTimers() {
	if inv.patience != nil {
		inv.patience.Stop()
	}
	if inv.deadline != nil {
		inv.deadline.Stop()
	}
}

// begin starts the run: the clock of the timeout, the log, the promise to the gateway.
func (i *Instance) begin(attempt slot.Attempt) {
	inv := i.invocations[attempt]
	inv.stopTimers()
	inv.patience = nil
	inv.started, inv.cold, inv.status = time.Now(), i.machine.Served == 0, success
	i.memory.Accepted(inv.conn.Gateway, attempt.ID)
	i.thaw()
	i.stream.Open()
	if i.machine.Phase != slot.Restarting { // else when the start inside the invocation is over
		i.tellStart(inv)
	}
	inv.conn.SendLazily(frame.Accepted, frame.AcceptedHeader{Attempt: attempt.ID, Cold: inv.cold})
	inv.deadline = time.AfterFunc(i.work.timeout(), func() {
		i.handle(slot.Event{Kind: slot.Deadline, Attempt: attempt})
	})
	i.watchMemory()
}

// tellStart writes START, once. As on AWS a start inside the invocation comes before it, with all that it wrote.
func (i *Instance) tellStart(inv *invocation) {
	if inv.begun {
		return
	}
	inv.begun = true
	version := i.work.assignment.Version
	i.stream.LineLazily(i.work.format.Start(time.Now(), inv.header.RequestID, version))
	if i.hub.Load() != nil {
		i.emit("start", logs.Record{
			"requestId": inv.header.RequestID, "version": version,
			"tracing": logs.Record{"type": "X-Amzn-Trace-Id", "value": inv.header.TraceID},
		})
	}
}

// respond sends a complete answer, or ends a stream that has begun.
func (i *Instance) respond(inv *invocation, body []byte, contentType, errorType string, isError bool) {
	inv.answered = time.Now()
	if inv.answer != nil {
		inv.answer.seal(errorType, body, isError)
		return
	}
	inv.bytesOut = len(body)
	c := inv.visible()
	if c == nil {
		return
	}
	size := len(body)
	head := frame.HeadHeader{
		Attempt: inv.attempt.ID, Mode: frame.Buffered, Size: &size, ContentType: contentType,
	}
	if isError {
		head.FunctionError, head.ErrorType = unhandled, errorType
	}
	c.SendBulk(frame.Head, head, inv.attempt.ID, body)
}

// fail answers with an error of the platform's own.
func (i *Instance) fail(inv *invocation, status, errorType, message string) {
	body, _ := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{errorType, fmt.Sprintf("RequestId: %s Error: %s", inv.header.RequestID, message)})
	inv.status, inv.errorType, inv.reported = status, errorType, true
	i.respond(inv, body, "application/json", errorType, true)
}

// runtimeDone tells, once, that the runtime is done with an attempt; extensions may not be.
func (i *Instance) runtimeDone(inv *invocation) {
	if inv.done {
		return
	}
	inv.done = true
	inv.back = time.Now()
	report := i.report(inv)
	report.Spans = inv.spans()
	i.stream.Line(i.work.format.RuntimeDone(time.Now(), report))
	if i.hub.Load() != nil {
		i.emit("runtimeDone", report.DoneRecord())
	}
}

// finish reports an attempt and frees the slot.
func (i *Instance) finish(attempt slot.Attempt) {
	inv := i.invocations[attempt]
	delete(i.invocations, attempt)
	inv.stopTimers()
	i.runtimeDone(inv)
	report := i.report(inv)
	now := time.Now()
	if inv.told {
		report.Spans = []logs.Span{{Name: "extensionOverhead", Start: inv.back, Took: now.Sub(inv.back)}}
	}
	i.stream.Line(i.work.format.End(inv.header.RequestID))
	i.stream.Line(i.work.format.Report(now, report))
	if i.hub.Load() != nil {
		i.emit("end", logs.Record{"requestId": inv.header.RequestID})
		i.emit("report", report.Record())
	}
	tail := i.stream.Tail()
	if !inv.header.LogTail {
		tail = nil
	}
	end := frame.EndHeader{
		Attempt: attempt.ID, Status: inv.status, ErrorType: inv.errorType,
		DurationMs: milliseconds(report.Duration), BilledMs: report.BilledMs, MaxMemoryMB: report.UsedMB,
		BytesIn: inv.header.Size, BytesOut: inv.bytesOut,
	}
	if report.Init > 0 {
		ms := milliseconds(report.Init)
		end.InitMs = &ms
	}
	inv.conn.Send(frame.End, end, tail)
}

func (i *Instance) report(inv *invocation) logs.Report {
	if i.peak.Load() == 0 {
		i.sampleMemory()
	}
	r := logs.Report{
		Request: inv.header.RequestID, Duration: min(time.Since(inv.started), i.work.timeout()),
		MemoryMB: i.work.assignment.MemorySize, UsedMB: i.usedMB(), Produced: inv.bytesOut, Trace: inv.header.TraceID,
	}
	if inv.cold && i.work.header.InitializationType == onDemand { // what was started ahead had its INIT before
		r.Init, r.Phases = i.phases.runtime, i.phases.text()
	}
	r.BilledMs = int(math.Ceil(milliseconds(r.Duration + r.Init))) // since 2025 INIT is billed too
	if inv.reported {
		r.Status = inv.status
		if inv.status == failed {
			r.ErrorType = inv.errorType
		}
	}
	return r
}

// spans are the parts of a run that came to an answer of the runtime's (reference §g.3).
func (inv *invocation) spans() []logs.Span {
	if inv.answering.IsZero() || inv.answered.IsZero() {
		return nil
	}
	return []logs.Span{
		{Name: "responseLatency", Start: inv.started, Took: inv.answering.Sub(inv.started)},
		{Name: "responseDuration", Start: inv.answering, Took: inv.answered.Sub(inv.answering)},
		{Name: "runtimeOverhead", Start: inv.answered, Took: inv.back.Sub(inv.answered)},
	}
}

func (i *Instance) usedMB() int {
	used := int((i.peak.Load() + megabyte - 1) / megabyte)
	return min(used, i.work.assignment.MemorySize) // samples may be above it, what AWS tells never is
}

// watchMemory samples the tree's memory for as long as something runs; the mutex is held.
func (i *Instance) watchMemory() {
	if i.sampling {
		return
	}
	i.sampling = true
	if i.sampler == nil {
		i.sampler = time.AfterFunc(sampleEvery, i.sample)
		return
	}
	i.sampler.Reset(sampleEvery)
}

// sample ends a function that is above its memory size, and comes again.
func (i *Instance) sample() {
	i.mu.Lock()
	i.sampling = i.machine.Current != slot.None
	limit := int64(i.work.assignment.MemorySize) * megabyte
	again, l := i.sampling, i.launch
	i.mu.Unlock()
	if !again {
		return
	}
	tree := i.keeper.Tree()
	if used := i.sampleMemory(); used > limit && i.keeper.Proportional() > limit {
		l.starved.Store(true)
		i.keeper.Kill(tree) // the runtime's exit says the rest; by now it may have ended, and another be there
	}
	i.sampler.Reset(sampleEvery)
}

func (i *Instance) sampleMemory() int64 {
	used := i.keeper.Resident()
	for old := i.peak.Load(); used > old && !i.peak.CompareAndSwap(old, used); old = i.peak.Load() {
	}
	return used
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
