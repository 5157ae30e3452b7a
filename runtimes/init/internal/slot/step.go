package slot

// Step returns what the machine becomes by an event, and what has to be done.
func (m Machine) Step(e Event) (Machine, []Action) {
	t := turn{Machine: m}
	t.take(e)
	return t.Machine, t.actions
}

// turn is one step in the making.
type turn struct {
	Machine
	actions []Action
}

func (t *turn) do(a Action) { t.actions = append(t.actions, a) }

func (t *turn) take(e Event) {
	switch e.Kind {
	case Assign, Unpacked, Unusable:
		t.assignment(e)
	case Invoke:
		t.invoke(e.Attempt)
	case Loaded, Invalid, Cancel, Impatient:
		t.held(e)
	case Lost:
		t.lost(e.Peer)
	case Next, Response, InitError, Exited, InitLimit, Cleared, Enrolled, Rested:
		t.runtime(e)
	case Deadline:
		t.deadline(e.Attempt)
	case DrainIdle, DrainNow, Terminate:
		t.drain(e)
	}
}

func (t *turn) assignment(e Event) {
	switch {
	case e.Kind == Assign && t.Digest != "" && t.Digest != e.Digest:
		t.do(Action{Verb: BreakPeer, Peer: e.Peer})
	case e.Kind == Assign && (t.Phase == Unassigned || t.Phase == Failed):
		t.Phase, t.Digest = Assigning, e.Digest
		t.do(Action{Verb: Unpack})
	case e.Kind == Assign && t.Phase != Assigning:
		t.do(Action{Verb: Confirm, Peer: e.Peer})
	case e.Kind == Unpacked && t.Phase == Assigning:
		t.Phase, t.Crew = Init, e.Extended
		t.launch()
		t.do(Action{Verb: Confirm})
		t.do(Action{Verb: Start, Generation: t.Generation})
	case e.Kind == Unusable && t.Phase == Assigning:
		t.Phase = Failed
		t.do(Action{Verb: Complain})
		t.refuseHeld(NotAssigned)
	}
}

func (t *turn) invoke(a Attempt) {
	refuse := func(r Reason) { t.do(Action{Verb: Refuse, Attempt: a, Reason: r}) }
	switch {
	case t.Phase == Unassigned || t.Phase == Failed:
		refuse(NotAssigned)
	case t.Draining:
		refuse(Draining)
	case t.Held != None || t.Phase == Restarting || t.Phase == Running:
		refuse(Busy)
	case t.Phase == Answered, t.Phase == Resetting && t.Current != None:
		t.Held, t.HeldLoaded = a, false
		t.do(Action{Verb: HoldBriefly, Attempt: a})
	default:
		t.Held, t.HeldLoaded = a, false
		t.do(Action{Verb: Hold, Attempt: a})
	}
}

func (t *turn) held(e Event) {
	if e.Kind == Cancel && e.Attempt == t.Current && t.Current != None {
		t.do(Action{Verb: Mute, Attempt: e.Attempt})
		return
	}
	if t.Held == None || e.Attempt != t.Held {
		return
	}
	switch e.Kind {
	case Loaded:
		t.HeldLoaded = true
		t.advance()
	case Invalid:
		t.refuseHeld(InvalidJSON)
	case Cancel:
		t.refuseHeld(Cancelled)
	case Impatient:
		t.refuseHeld(Busy)
	}
}

func (t *turn) lost(peer uint64) {
	if t.Held != None && t.Held.Peer == peer {
		t.do(Action{Verb: Forget, Attempt: t.Held})
		t.Held, t.HeldLoaded = None, false
	}
	if t.Current != None && t.Current.Peer == peer {
		t.do(Action{Verb: Mute, Attempt: t.Current})
	}
}

// runtime takes what the runtime's process does. Of an older generation nothing counts.
func (t *turn) runtime(e Event) {
	if e.Generation != t.Generation {
		if e.Kind == Next || e.Kind == Response || e.Kind == InitError {
			t.do(Action{Verb: Reject})
		}
		return
	}
	switch e.Kind {
	case Next:
		t.next()
	case Response:
		if t.Phase != Running || e.Attempt != t.Current {
			t.do(Action{Verb: Reject})
			return
		}
		t.Phase = Answered
		t.do(Action{Verb: AnswerOut, Attempt: t.Current})
	case InitError:
		t.initError()
	case Exited:
		t.exited()
	case InitLimit:
		if t.Phase == Init {
			t.reset(InitFailed)
		}
	case Cleared:
		t.cleared()
	case Enrolled:
		t.Owed, t.Wakeful = true, t.Wakeful || e.Extended
	case Rested:
		t.rested()
	}
}

func (t *turn) next() {
	switch t.Phase {
	case Init, Restarting, Answered:
		if !t.Owed {
			t.back()
			return
		}
		if t.Phase == Answered && !t.Returned {
			t.do(Action{Verb: RuntimeDone, Attempt: t.Current})
		}
		t.Returned = true
	case Running: // AWS answers a repeated /next with the same event
		t.do(Action{Verb: Deliver, Attempt: t.Current})
	case Ready:
	default:
		t.do(Action{Verb: Reject})
	}
}

// back goes on when the runtime and all extensions that are waited for have come.
func (t *turn) back() {
	t.Returned = false
	switch t.Phase {
	case Init:
		t.Phase = Ready
		t.do(Action{Verb: Initialised})
		t.settle()
	case Restarting:
		t.deliver()
	case Answered:
		t.Phase = Ready
		t.finish()
		t.settle()
	}
}

func (t *turn) rested() {
	t.Owed = false
	if t.Returned {
		t.back()
	}
}

// deliver hands the running attempt out; whoever is told of it owes its return.
func (t *turn) deliver() {
	t.Phase, t.Owed = Running, t.Wakeful
	t.do(Action{Verb: Deliver, Attempt: t.Current})
}

// launch begins a generation: extensions first, if there are any.
func (t *turn) launch() {
	t.Generation++
	t.Owed, t.Wakeful, t.Returned = t.Crew, false, false
}

func (t *turn) initError() {
	switch t.Phase {
	case Init:
		t.reset(InitFailed)
	case Restarting:
		t.reset(AnswerInit)
	default:
		t.do(Action{Verb: Reject})
	}
}

func (t *turn) exited() {
	switch t.Phase {
	case Init:
		t.reset(InitFailed)
	case Ready:
		t.Phase = Resetting
		t.do(Action{Verb: Reset, Generation: t.Generation})
	case Restarting, Running:
		t.reset(AnswerExit)
	case Answered:
		t.reset(NoteExit)
	}
}

func (t *turn) deadline(a Attempt) {
	if t.Current == None || a != t.Current {
		return
	}
	switch t.Phase {
	case Restarting, Running:
		t.reset(AnswerTimeout)
	case Answered:
		t.reset(NoteTimeout)
	}
}

func (t *turn) cleared() {
	if t.Phase != Resetting {
		return
	}
	t.Phase = Cold
	if t.Current != None {
		t.finish()
	}
	t.advance()
}

// reset says what the end of the process means, and kills what is left of it.
func (t *turn) reset(meaning Verb) {
	t.Phase, t.Returned = Resetting, false
	t.do(Action{Verb: meaning, Attempt: t.Current, Generation: t.Generation})
	t.do(Action{Verb: Reset, Generation: t.Generation})
}

func (t *turn) finish() {
	t.Served++
	t.do(Action{Verb: Finish, Attempt: t.Current})
	t.Current = None
	if t.Leaving {
		t.do(Action{Verb: Leave})
	}
}

// settle follows a runtime that has come to /next: the held attempt, or the freezer.
func (t *turn) settle() {
	t.advance()
	if t.Phase == Ready {
		t.do(Action{Verb: Freeze})
	}
}

// advance begins the held attempt as soon as its event is there and the slot is free.
func (t *turn) advance() {
	if t.Held == None || !t.HeldLoaded || (t.Phase != Ready && t.Phase != Cold) {
		return
	}
	t.Current, t.Held, t.HeldLoaded = t.Held, None, false
	t.do(Action{Verb: Begin, Attempt: t.Current})
	if t.Phase == Ready {
		t.deliver()
		return
	}
	t.Phase = Restarting
	t.launch()
	t.do(Action{Verb: Restart, Generation: t.Generation, Attempt: t.Current})
}

func (t *turn) drain(e Event) {
	if e.Kind == DrainIdle && !t.idle() {
		t.do(Action{Verb: RefuseDrain, Peer: e.Peer})
		return
	}
	t.Draining = true
	t.refuseHeld(Draining)
	if e.Kind == Terminate && !t.Leaving {
		t.Leaving = true
		if t.Current == None {
			t.do(Action{Verb: Leave})
		}
	}
}

func (t *turn) idle() bool {
	switch t.Phase {
	case Unassigned, Failed, Ready, Cold:
		return t.Held == None
	default:
		return t.Draining && t.Current == None
	}
}

func (t *turn) refuseHeld(r Reason) {
	if t.Held == None {
		return
	}
	t.do(Action{Verb: Refuse, Attempt: t.Held, Reason: r})
	t.Held, t.HeldLoaded = None, false
}
