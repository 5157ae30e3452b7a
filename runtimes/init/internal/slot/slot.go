// Package slot decides what the instance's one slot does next. It is the heart of init and it is pure.
//
// A Machine is a value; Step takes an event and returns the next machine and the actions that the instance must carry
// out, in order. No I/O, no clock, no goroutine: timers are events too. What must hold:
//
//   - at most one attempt runs, whatever any number of gateways send; at most one more is held;
//   - an attempt is either refused (and nothing ran), or begun and then ended exactly once;
//   - every start of the runtime raises the generation, and events of older generations change nothing;
//   - an attempt ends only when the runtime is back at /next, and every extension at /event/next that was told of the
//     attempt, or when the process tree is gone. A start is over under the same condition.
//
// The phases, with the usual way through them:
//
//	Unassigned → Assigning → Init → Ready → Running → Answered → Ready …
//	                 ↓         ↓ (error, exit, limit)   ↓ (exit, deadline)
//	              Failed    Resetting → Cold → Restarting (start inside an invocation) → Running …
package slot

// Phase is where the slot stands.
type Phase uint8

// The phases.
const (
	Unassigned Phase = iota // no assignment yet
	Assigning               // code is being fetched and unpacked
	Failed                  // the assignment could not be carried out
	Init                    // the first runtime process starts; no invocation has begun
	Ready                   // the runtime waits in /next
	Cold                    // no runtime process: the next invocation starts one
	Restarting              // an invocation runs, and its runtime is still starting
	Running                 // the runtime has the event
	Answered                // the answer is out, the runtime is not back at /next
	Resetting               // the process tree is being killed; an attempt may wait for its end
	phases
)

var phaseNames = [phases]string{
	"Unassigned", "Assigning", "Failed", "Init", "Ready", "Cold", "Restarting", "Running", "Answered", "Resetting",
}

func (p Phase) String() string { return phaseNames[p] }

// Attempt names one try of a gateway to run one invocation: the connection it came by and the gateway's id for it.
type Attempt struct {
	Peer uint64
	ID   string
}

// None is the absent attempt.
var None = Attempt{}

// Kind is the kind of an Event.
type Kind uint8

// The events. The comments name the fields each one uses.
const (
	Assign    Kind = iota // Peer, Digest: a gateway sent an assignment
	Unpacked              // Extended: code and layers are in place
	Unusable              // the assignment could not be carried out
	Invoke                // Attempt: a gateway asks for an invocation
	Loaded                // Attempt: its event is complete and valid JSON
	Invalid               // Attempt: its event is not JSON
	Cancel                // Attempt: the caller is gone
	Lost                  // Peer: a gateway's connection is gone
	Impatient             // Attempt: it has been held for as long as it may
	Next                  // Generation: the runtime asks for the next event
	Response              // Generation, Attempt: the runtime has posted an answer or an error
	InitError             // Generation: the runtime says that it cannot start
	Exited                // Generation: the runtime's process is gone (or could not be started)
	InitLimit             // Generation: the init phase has lasted too long
	Deadline              // Attempt: the function's timeout is over
	Cleared               // Generation: nothing of the process tree is left
	Enrolled              // Generation, Extended: an extension has registered (Extended: for invocations)
	Rested                // Generation: every extension is at /event/next
	DrainIdle             // Peer: take no more, if nothing is going on
	DrainNow              // take no more, finish what runs
	Terminate             // as DrainNow, and leave when it is done
	kinds
)

// Event is something that happened.
type Event struct {
	Kind       Kind
	Attempt    Attempt
	Peer       uint64
	Generation int
	Digest     string
	Extended   bool
}

// Verb is what an Action tells the instance to do.
type Verb uint8

// The actions.
const (
	Unpack        Verb = iota // carry out the assignment
	Confirm                   // tell Peer (all, when 0) that it is assigned
	Complain                  // tell all gateways that the assignment failed
	BreakPeer                 // close Peer's connection: it contradicts what is known
	Refuse                    // Attempt, Reason
	Forget                    // Attempt: it was held, and nobody is left to be told
	Hold                      // Attempt: it must wait; give up when its caller's patience ends
	HoldBriefly               // Attempt: it must wait for a completing one; give up soon
	Begin                     // Attempt runs from now on
	Start                     // start the runtime as Generation
	Restart                   // as Start, inside the running invocation
	Deliver                   // hand Attempt's event to the runtime
	Initialised               // the first start has succeeded
	InitFailed                // the start as Generation failed in the init phase
	AnswerOut                 // the posted answer of Attempt counts
	AnswerInit                // answer Attempt with what the runtime posted to init/error
	AnswerExit                // answer Attempt with Runtime.ExitError
	AnswerTimeout             // answer Attempt with Sandbox.Timedout
	NoteExit                  // the runtime went away after the answer
	NoteTimeout               // the deadline passed after the answer
	RuntimeDone               // the runtime is back, and extensions are not yet
	Mute                      // nobody waits for Attempt's answer any more
	Reset                     // kill the process tree of Generation
	Finish                    // Attempt is over: report it and free the slot
	Freeze                    // stop the processes until the next event
	RefuseDrain               // tell Peer that the instance is not idle
	Reject                    // the runtime's call does not fit the state
	Leave                     // end init
)

// Reason says why an attempt is refused.
type Reason string

// The reasons of docs/runtime-contract.md, frame 19.
const (
	Busy        Reason = "busy"
	Draining    Reason = "draining"
	InvalidJSON Reason = "invalid-json"
	Cancelled   Reason = "cancelled"
	NotAssigned Reason = "not-assigned"
)

// Action is something to do.
type Action struct {
	Verb       Verb
	Attempt    Attempt
	Peer       uint64
	Generation int
	Reason     Reason
}

// Machine is the state of the slot. Its zero value is a fresh instance.
type Machine struct {
	Phase      Phase
	Digest     string // of the assignment, once there is one
	Generation int    // of the latest runtime process
	Current    Attempt
	Held       Attempt
	HeldLoaded bool
	Draining   bool
	Leaving    bool
	Served     int

	Crew     bool // extensions are started with the runtime
	Wakeful  bool // some extension wants to be told of invocations
	Owed     bool // some extension is not at /event/next, and is waited for
	Returned bool // the runtime is at /next, while an extension is owed
}

// Name is the state as gateways know it (docs/runtime-contract.md, frame 18).
func (m Machine) Name() string {
	if m.Draining {
		if m.Current != None {
			return "draining"
		}
		return "drained"
	}
	switch m.Phase {
	case Unassigned:
		return "unassigned"
	case Assigning:
		return "assigning"
	case Failed:
		return "failed"
	case Init:
		return "init"
	case Ready, Cold:
		if m.Held != None {
			return "busy"
		}
		return "idle"
	case Restarting, Running:
		return "busy"
	case Answered:
		return "completing"
	default: // Resetting
		if m.Current != None {
			return "completing"
		}
		return "init"
	}
}
