package instance

import (
	"runtime/debug"
	"time"

	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/slot"
)

const exitError = "Runtime.ExitError" // the runtime's process ended

// freezeDelay lets a busy instance keep running from one invocation to the next.
const freezeDelay = time.Millisecond

// perform carries out one action of the machine; the mutex is held.
func (i *Instance) perform(a slot.Action) {
	inv := i.invocations[a.Attempt]
	switch a.Verb {
	case slot.Unpack:
		go i.prepare(i.work)
	case slot.Confirm:
		i.tellAssigners(a.Peer, frame.Assigned, frame.AssignedHeader{Digest: i.machine.Digest})
	case slot.Complain:
		i.tellAssigners(0, frame.Failed, i.work.failure)
	case slot.BreakPeer:
		if c := i.connections[a.Peer]; c != nil {
			c.Close()
		}
	case slot.Refuse:
		inv.stopTimers()
		inv.conn.Send(frame.Refused, frame.RefusedHeader{
			Attempt: a.Attempt.ID, Reason: string(a.Reason), Message: inv.flaw,
		}, nil)
		delete(i.invocations, a.Attempt)
	case slot.Forget:
		inv.stopTimers()
		delete(i.invocations, a.Attempt)
	case slot.Hold:
	case slot.HoldBriefly:
		inv.brief = true
	case slot.RefuseDrain:
		if c := i.connections[a.Peer]; c != nil {
			c.Send(frame.Refused, frame.RefusedHeader{Reason: string(slot.Busy)}, nil)
		}
	case slot.Freeze:
		i.freeze()
	case slot.Leave:
		close(i.left)
	case slot.Reject:
		i.rejected = true
	default:
		i.run(a, inv)
	}
}

// run carries out the actions around a running attempt and its runtime.
func (i *Instance) run(a slot.Action, inv *invocation) {
	switch a.Verb {
	case slot.Begin:
		i.begin(a.Attempt)
	case slot.Start:
		i.stream.Line(i.work.format.InitStart(time.Now(), i.describe()))
		i.start(a.Generation, true)
	case slot.Restart:
		i.start(a.Generation, false)
	case slot.Deliver:
		i.deliver(inv)
		i.tellExtensions(inv)
	case slot.RuntimeDone:
		i.runtimeDone(inv)
	case slot.Initialised:
		i.initialised()
	case slot.InitFailed:
		i.noteFailure()
	case slot.AnswerOut:
		i.answerPosted(inv)
	case slot.AnswerInit:
		i.noteFailure()
		i.answerPosted(inv)
		inv.reported, inv.errorType = true, classified(inv.errorType)
	case slot.AnswerExit:
		i.answerExit(inv)
	case slot.AnswerTimeout:
		if !i.launch.told {
			i.noteFailure()
		}
		i.launch.shutdown = timeout
		i.noteTimeout(inv)
		i.fail(inv, timeout, "Sandbox.Timedout", timeoutText(i.work.timeout()))
	case slot.NoteExit:
		i.noteExit(inv)
	case slot.NoteTimeout:
		i.launch.shutdown = timeout
		i.noteTimeout(inv)
	case slot.Mute:
		inv.muted = true
		inv.answer.wake()
	case slot.Reset:
		if ended := i.invocations[i.machine.Current]; ended != nil {
			i.runtimeDone(ended)
		}
		go i.reset(i.launch)
	case slot.Finish:
		i.finish(a.Attempt)
	}
}

func (i *Instance) tellAssigners(only uint64, kind frame.Type, header any) {
	for id := range i.assigners {
		if c := i.connections[id]; c != nil && (only == 0 || only == id) {
			c.Send(kind, header, nil)
		}
	}
}

// answerPosted answers with what the runtime posted.
func (i *Instance) answerPosted(inv *invocation) {
	posted := i.posted
	i.posted = runtimeapi.Answer{}
	if posted.Failed {
		inv.status = failed
		inv.errorType = posted.ErrorType
		if inv.errorType == "" {
			inv.errorType = typeOf(posted.Body)
		}
	}
	i.respond(inv, posted.Body, posted.ContentType, inv.errorType, posted.Failed)
}

func (i *Instance) answerExit(inv *invocation) {
	if !i.launch.told {
		i.noteFailure()
	}
	i.noteExit(inv)
	i.fail(inv, failed, i.launch.exitType, i.launch.exitReason)
	inv.errorType = i.launch.verdict()
}

// noteExit writes AWS's lines about a runtime that ended, and remembers it for the report.
func (i *Instance) noteExit(inv *invocation) {
	if inv.status == success { // an answer that was an error already stays what it is
		inv.errorType = i.launch.verdict()
	}
	inv.status, inv.reported = failed, true
	i.stream.Line(i.work.format.Exit(inv.header.RequestID, i.launch.exitReason, i.launch.exitType))
}

// noteTimeout writes AWS's line, after everything that the function has written by then.
func (i *Instance) noteTimeout(inv *invocation) {
	inv.status, inv.errorType, inv.reported = timeout, "Sandbox.Timedout", true
	i.launch.sync()
	i.stream.Line(i.work.format.Timeout(time.Now(), inv.header.RequestID, i.work.timeout()))
}

// freeze stops the tree soon, and gives large buffers back.
func (i *Instance) freeze() {
	i.wantFrozen.Store(true)
	if i.freezer == nil {
		i.freezer = time.AfterFunc(freezeDelay, i.settle)
		return
	}
	i.freezer.Reset(freezeDelay)
}

func (i *Instance) settle() {
	if !i.wantFrozen.Load() {
		return
	}
	if i.settings.Freeze {
		i.keeper.Stop(&i.wantFrozen)
	}
	i.sampleMemory()
	if runtimeapi.TookLarge() {
		debug.FreeOSMemory()
	}
}

func (i *Instance) thaw() {
	i.wantFrozen.Store(false)
	i.keeper.Continue()
}
