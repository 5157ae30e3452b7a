package slot

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var (
	running = Attempt{Peer: 1, ID: "running"}
	held    = Attempt{Peer: 2, ID: "held"}
	fresh   = Attempt{Peer: 3, ID: "fresh"}
)

// at makes a machine in a phase, as it would have come there.
func at(p Phase) Machine {
	m := Machine{Phase: p}
	if p != Unassigned {
		m.Digest = "d"
	}
	if p >= Init {
		m.Generation = 1
	}
	if p == Restarting || p == Running || p == Answered || p == Resetting {
		m.Current = running
	}
	return m
}

func text(m Machine, actions []Action) string {
	words := make([]string, 0, len(actions)+1)
	for _, a := range actions {
		word := verbNames[a.Verb]
		if a.Reason != "" {
			word += "(" + string(a.Reason) + ")"
		}
		words = append(words, word)
	}
	flags := ""
	if m.Held != None {
		flags += " held=" + m.Held.ID
	}
	if m.Current != None {
		flags += " current=" + m.Current.ID
	}
	if m.Draining {
		flags += " draining"
	}
	return m.Phase.String() + flags + ": " + strings.Join(words, " ")
}

var verbNames = map[Verb]string{
	Unpack: "Unpack", Confirm: "Confirm", Complain: "Complain", BreakPeer: "BreakPeer", Refuse: "Refuse",
	Forget: "Forget", Hold: "Hold", HoldBriefly: "HoldBriefly", Begin: "Begin", Start: "Start", Restart: "Restart",
	Deliver: "Deliver", Initialised: "Initialised", InitFailed: "InitFailed", AnswerOut: "AnswerOut",
	AnswerInit: "AnswerInit", AnswerExit: "AnswerExit", AnswerTimeout: "AnswerTimeout", NoteExit: "NoteExit",
	NoteTimeout: "NoteTimeout", Mute: "Mute", Reset: "Reset", Finish: "Finish", Freeze: "Freeze",
	RefuseDrain: "RefuseDrain", Reject: "Reject", Leave: "Leave", RuntimeDone: "RuntimeDone",
}

func gen(kind Kind) Event { return Event{Kind: kind, Generation: 1} }

// events are one of each kind; the table below says what each does in each phase.
var events = []struct {
	name  string
	event Event
}{
	{"assign", Event{Kind: Assign, Peer: 3, Digest: "d"}},
	{"assign another", Event{Kind: Assign, Peer: 3, Digest: "e"}},
	{"unpacked", Event{Kind: Unpacked}},
	{"unusable", Event{Kind: Unusable}},
	{"invoke", Event{Kind: Invoke, Attempt: fresh}},
	{"lost owner", Event{Kind: Lost, Peer: running.Peer}},
	{"lost other", Event{Kind: Lost, Peer: 9}},
	{"cancel running", Event{Kind: Cancel, Attempt: running}},
	{"cancel unknown", Event{Kind: Cancel, Attempt: fresh}},
	{"loaded unknown", Event{Kind: Loaded, Attempt: fresh}},
	{"next", gen(Next)},
	{"next of an old process", Event{Kind: Next, Generation: 0}},
	{"response", Event{Kind: Response, Generation: 1, Attempt: running}},
	{"response to another", Event{Kind: Response, Generation: 1, Attempt: fresh}},
	{"response of an old process", Event{Kind: Response, Attempt: running}},
	{"init error", gen(InitError)},
	{"exited", gen(Exited)},
	{"exited, old process", Event{Kind: Exited}},
	{"init limit", gen(InitLimit)},
	{"deadline", Event{Kind: Deadline, Attempt: running}},
	{"deadline of another", Event{Kind: Deadline, Attempt: fresh}},
	{"cleared", gen(Cleared)},
	{"enrolled", gen(Enrolled)},
	{"rested", gen(Rested)},
	{"drain idle", Event{Kind: DrainIdle, Peer: 3}},
	{"drain now", Event{Kind: DrainNow, Peer: 3}},
	{"terminate", Event{Kind: Terminate}},
}

const same = "=" // nothing changes, nothing is done

// table[event][phase] in the order of the phases:
// Unassigned, Assigning, Failed, Init, Ready, Cold, Restarting, Running, Answered, Resetting.
var table = map[string][phases]string{
	"assign": {
		"Assigning: Unpack", same, "Assigning: Unpack", "Init: Confirm", "Ready: Confirm", "Cold: Confirm",
		"Restarting current=running: Confirm", "Running current=running: Confirm",
		"Answered current=running: Confirm", "Resetting current=running: Confirm",
	},
	"assign another": {
		"Assigning: Unpack", "Assigning: BreakPeer", "Failed: BreakPeer", "Init: BreakPeer", "Ready: BreakPeer",
		"Cold: BreakPeer", "Restarting current=running: BreakPeer", "Running current=running: BreakPeer",
		"Answered current=running: BreakPeer", "Resetting current=running: BreakPeer",
	},
	"unpacked": {same, "Init: Confirm Start", same, same, same, same, same, same, same, same},
	"unusable": {same, "Failed: Complain", same, same, same, same, same, same, same, same},
	"invoke": {
		"Unassigned: Refuse(not-assigned)", "Assigning held=fresh: Hold", "Failed: Refuse(not-assigned)",
		"Init held=fresh: Hold", "Ready held=fresh: Hold", "Cold held=fresh: Hold",
		"Restarting current=running: Refuse(busy)", "Running current=running: Refuse(busy)",
		"Answered held=fresh current=running: HoldBriefly", "Resetting held=fresh current=running: HoldBriefly",
	},
	"lost owner": {
		same, same, same, same, same, same, "Restarting current=running: Mute", "Running current=running: Mute",
		"Answered current=running: Mute", "Resetting current=running: Mute",
	},
	"lost other": {same, same, same, same, same, same, same, same, same, same},
	"cancel running": {
		same, same, same, same, same, same, "Restarting current=running: Mute", "Running current=running: Mute",
		"Answered current=running: Mute", "Resetting current=running: Mute",
	},
	"cancel unknown": {same, same, same, same, same, same, same, same, same, same},
	"loaded unknown": {same, same, same, same, same, same, same, same, same, same},
	"next": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Ready: Initialised Freeze", same, "Cold: Reject",
		"Running current=running: Deliver", "Running current=running: Deliver", "Ready: Finish Freeze",
		"Resetting current=running: Reject",
	},
	"next of an old process": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Init: Reject", "Ready: Reject", "Cold: Reject",
		"Restarting current=running: Reject", "Running current=running: Reject", "Answered current=running: Reject",
		"Resetting current=running: Reject",
	},
	"response": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Init: Reject", "Ready: Reject", "Cold: Reject",
		"Restarting current=running: Reject", "Answered current=running: AnswerOut",
		"Answered current=running: Reject", "Resetting current=running: Reject",
	},
	"response to another": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Init: Reject", "Ready: Reject", "Cold: Reject",
		"Restarting current=running: Reject", "Running current=running: Reject", "Answered current=running: Reject",
		"Resetting current=running: Reject",
	},
	"response of an old process": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Init: Reject", "Ready: Reject", "Cold: Reject",
		"Restarting current=running: Reject", "Running current=running: Reject", "Answered current=running: Reject",
		"Resetting current=running: Reject",
	},
	"init error": {
		"Unassigned: Reject", "Assigning: Reject", "Failed: Reject", "Resetting: InitFailed Reset", "Ready: Reject",
		"Cold: Reject", "Resetting current=running: AnswerInit Reset", "Running current=running: Reject",
		"Answered current=running: Reject", "Resetting current=running: Reject",
	},
	"exited": {
		same, same, same, "Resetting: InitFailed Reset", "Resetting: Reset", same,
		"Resetting current=running: AnswerExit Reset", "Resetting current=running: AnswerExit Reset",
		"Resetting current=running: NoteExit Reset", same,
	},
	"exited, old process": {same, same, same, same, same, same, same, same, same, same},
	"init limit": {
		same, same, same, "Resetting: InitFailed Reset", same, same, same, same, same, same,
	},
	"deadline": {
		same, same, same, same, same, same, "Resetting current=running: AnswerTimeout Reset",
		"Resetting current=running: AnswerTimeout Reset", "Resetting current=running: NoteTimeout Reset", same,
	},
	"deadline of another": {same, same, same, same, same, same, same, same, same, same},
	"cleared":             {same, same, same, same, same, same, same, same, same, "Cold: Finish"},
	"enrolled":            {same, same, same, same, same, same, same, same, same, same},
	"rested":              {same, same, same, same, same, same, same, same, same, same},
	"drain idle": {
		"Unassigned draining: ", "Assigning: RefuseDrain", "Failed draining: ", "Init: RefuseDrain",
		"Ready draining: ", "Cold draining: ", "Restarting current=running: RefuseDrain",
		"Running current=running: RefuseDrain", "Answered current=running: RefuseDrain",
		"Resetting current=running: RefuseDrain",
	},
	"drain now": {
		"Unassigned draining: ", "Assigning draining: ", "Failed draining: ", "Init draining: ", "Ready draining: ",
		"Cold draining: ", "Restarting current=running draining: ", "Running current=running draining: ",
		"Answered current=running draining: ", "Resetting current=running draining: ",
	},
	"terminate": {
		"Unassigned draining: Leave", "Assigning draining: Leave", "Failed draining: Leave", "Init draining: Leave",
		"Ready draining: Leave", "Cold draining: Leave", "Restarting current=running draining: ",
		"Running current=running draining: ", "Answered current=running draining: ",
		"Resetting current=running draining: ",
	},
}

func TestEveryEventInEveryPhase(t *testing.T) {
	if len(table) != len(events) {
		t.Fatalf("%d rows for %d events", len(table), len(events))
	}
	for _, e := range events {
		for p := range phases {
			before := at(p)
			after, actions := before.Step(e.event)
			want := table[e.name][p]
			if want == same {
				want = text(before, nil)
			}
			if got := text(after, actions); got != want {
				t.Errorf("%s in %s:\n got %q\nwant %q", e.name, p, got, want)
			}
		}
	}
}

func TestAHeldAttempt(t *testing.T) {
	loaded := Event{Kind: Loaded, Attempt: held}
	for _, c := range []struct {
		name   string
		phase  Phase
		loaded bool
		event  Event
		want   string
	}{
		{"begins when it is complete", Ready, false, loaded, "Running current=held: Begin Deliver"},
		{"starts a runtime when there is none", Cold, false, loaded, "Restarting current=held: Begin Restart"},
		{"waits for the start", Init, false, loaded, "Init held=held: "},
		{"begins after the start", Init, true, gen(Next), "Running current=held: Initialised Begin Deliver"},
		{"is not begun before it is complete", Init, false, gen(Next), "Ready held=held: Initialised Freeze"},
		{"begins after the one before it", Answered, true, gen(Next), "Running current=held: Finish Begin Deliver"},
		{"survives a failed start", Init, true, gen(InitError), "Resetting held=held: InitFailed Reset"},
		{"restarts what was cleared", Resetting, true, gen(Cleared), "Restarting current=held: Finish Begin Restart"},
		{"keeps others out", Ready, false, Event{Kind: Invoke, Attempt: fresh}, "Ready held=held: Refuse(busy)"},
		{"may be no JSON", Ready, false, Event{Kind: Invalid, Attempt: held}, "Ready: Refuse(invalid-json)"},
		{"is cancelled", Init, true, Event{Kind: Cancel, Attempt: held}, "Init: Refuse(cancelled)"},
		{"loses its gateway", Init, true, Event{Kind: Lost, Peer: held.Peer}, "Init: Forget"},
		{"waits no longer", Answered, true, Event{Kind: Impatient, Attempt: held}, "Answered current=running: Refuse(busy)"},
		{"is refused by a drain", Init, true, Event{Kind: DrainNow}, "Init draining: Refuse(draining)"},
		{"forbids an idle drain", Ready, false, Event{Kind: DrainIdle}, "Ready held=held: RefuseDrain"},
		{"is refused when nothing can be run", Assigning, true, Event{Kind: Unusable}, "Failed: Complain Refuse(not-assigned)"},
	} {
		m := at(c.phase)
		m.Held, m.HeldLoaded = held, c.loaded
		after, actions := m.Step(c.event)
		if got := text(after, actions); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// TestExtensions tells what the machine waits for when there are some: «owed» until they are at /event/next.
func TestExtensions(t *testing.T) {
	next, rested := gen(Next), gen(Rested)
	enrolled := Event{Kind: Enrolled, Generation: 1, Extended: true}
	for _, c := range []struct {
		name   string
		phase  Phase
		owed   bool
		events []Event
		want   []string
	}{
		{"the start waits for both", Init, true, []Event{next, rested}, []string{"Init: ", "Ready: Initialised Freeze"}},
		{"in either order", Init, true, []Event{rested, next}, []string{"Init: ", "Ready: Initialised Freeze"}},
		{
			"and for who registers meanwhile", Init, false, []Event{enrolled, next, rested},
			[]string{"Init: ", "Init: ", "Ready: Initialised Freeze"},
		},
		{
			"a start inside an invocation too", Restarting, true, []Event{next, rested},
			[]string{"Restarting current=running: ", "Running current=running: Deliver"},
		},
		{
			"the end waits for both", Answered, true, []Event{next, rested},
			[]string{"Answered current=running: RuntimeDone", "Ready: Finish Freeze"},
		},
		{
			"an extension may be back first", Running, true,
			[]Event{rested, {Kind: Response, Generation: 1, Attempt: running}, next},
			[]string{"Running current=running: ", "Answered current=running: AnswerOut", "Ready: Finish Freeze"},
		},
		{
			"a runtime that asks twice is done once", Answered, true, []Event{next, next},
			[]string{"Answered current=running: RuntimeDone", "Answered current=running: "},
		},
		{
			"an extension may be late", Answered, true, []Event{next, {Kind: Deadline, Attempt: running}, rested},
			[]string{
				"Answered current=running: RuntimeDone", "Resetting current=running: NoteTimeout Reset",
				"Resetting current=running: ",
			},
		},
		{
			"one of an older process counts for nothing", Answered, true, []Event{next, {Kind: Rested}},
			[]string{"Answered current=running: RuntimeDone", "Answered current=running: "},
		},
		{"one that ends while idle resets", Ready, false, []Event{gen(Exited)}, []string{"Resetting: Reset"}},
	} {
		m := at(c.phase)
		m.Crew, m.Owed, m.Wakeful = true, c.owed, true
		for n, e := range c.events {
			var actions []Action
			m, actions = m.Step(e)
			if got := text(m, actions); got != c.want[n] {
				t.Errorf("%s, %d:\n got %q\nwant %q", c.name, n, got, c.want[n])
			}
		}
	}
}

func TestWhoIsOwed(t *testing.T) {
	m, _ := at(Assigning).Step(Event{Kind: Unpacked, Extended: true})
	if !m.Owed || m.Wakeful {
		t.Error("a start waits for extensions that are there", m)
	}
	m, _ = m.Step(Event{Kind: Enrolled, Generation: 1, Extended: true})
	m, _ = m.Step(gen(Rested))
	m, _ = m.Step(gen(Next))
	if m.Phase != Ready || m.Owed {
		t.Error(m)
	}
	m.Held = held
	m, _ = m.Step(Event{Kind: Loaded, Attempt: held})
	if m.Phase != Running || !m.Owed {
		t.Error("who is told of an invocation owes its return", m)
	}
	m, _ = m.Step(gen(Exited))
	m, _ = m.Step(gen(Cleared))
	m.Held = fresh
	m, _ = m.Step(Event{Kind: Loaded, Attempt: fresh})
	if m.Phase != Restarting || !m.Owed || m.Wakeful {
		t.Error("a new start waits for them anew", m)
	}
	plain, _ := at(Assigning).Step(Event{Kind: Unpacked})
	if plain.Owed {
		t.Error("without extensions nobody is owed")
	}
}

func TestDraining(t *testing.T) {
	for p := range phases {
		m := at(p)
		m.Draining = true
		_, actions := m.Step(Event{Kind: Invoke, Attempt: fresh})
		want := Draining
		if p == Unassigned || p == Failed {
			want = NotAssigned
		}
		if len(actions) != 1 || actions[0].Verb != Refuse || actions[0].Reason != want {
			t.Errorf("%s: %v", p, actions)
		}
	}
	m := at(Answered)
	m, _ = m.Step(Event{Kind: Terminate})
	m, again := m.Step(Event{Kind: Terminate})
	if len(again) != 0 {
		t.Errorf("a second signal does something: %v", again)
	}
	m, actions := m.Step(gen(Next))
	if got := text(m, actions); got != "Ready draining: Finish Leave Freeze" {
		t.Error(got)
	}
}

func TestNames(t *testing.T) {
	want := [phases]string{
		"unassigned", "assigning", "failed", "init", "idle", "idle", "busy", "busy", "completing", "completing",
	}
	for p := range phases {
		m := at(p)
		if m.Name() != want[p] {
			t.Errorf("%s is %s", p, m.Name())
		}
		m.Draining = true
		drained := map[bool]string{true: "draining", false: "drained"}[m.Current != None]
		if m.Name() != drained {
			t.Errorf("%s, drained, is %s", p, m.Name())
		}
	}
	waiting := at(Ready)
	waiting.Held = held
	if waiting.Name() != "busy" {
		t.Error("an attempt on its way makes the slot busy")
	}
	again := Machine{Phase: Resetting, Generation: 1}
	if again.Name() != "init" {
		t.Error("a failed start is part of the start")
	}
}

// TestRandomHistories drives the machine with arbitrary events and checks what must always hold.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var m Machine
		fates := map[Attempt]string{}
		generation := 0
		for n := range 2000 {
			e := randomEvent(random, m, n)
			before := m
			var actions []Action
			m, actions = m.Step(e)
			if err := check(before, m, actions, fates, &generation); err != nil {
				t.Fatalf("seed %d, step %d, %v in %s: %v", seed, n, e, before.Phase, err)
			}
		}
	}
}

func randomEvent(random *rand.Rand, m Machine, n int) Event {
	e := Event{
		Kind: Kind(random.IntN(int(Terminate))), Peer: uint64(random.IntN(3) + 1),
		Generation: m.Generation - random.IntN(8)/7, Digest: "d",
	}
	switch random.IntN(3) {
	case 0:
		e.Attempt = m.Current
	case 1:
		e.Attempt = m.Held
	default:
		e.Attempt = Attempt{Peer: e.Peer, ID: fmt.Sprint(n)}
	}
	if e.Kind == Invoke {
		e.Attempt = Attempt{Peer: e.Peer, ID: fmt.Sprint(n)}
	}
	if (e.Kind == DrainNow || e.Kind == DrainIdle) && random.IntN(200) > 0 {
		e.Kind = Next
	}
	return e
}

func check(before, after Machine, actions []Action, fates map[Attempt]string, generation *int) error {
	for _, a := range actions {
		switch a.Verb {
		case Refuse, Forget:
			if fates[a.Attempt] != "" {
				return fmt.Errorf("refused after %s", fates[a.Attempt])
			}
			fates[a.Attempt] = "refused"
		case Begin:
			if fates[a.Attempt] != "" {
				return fmt.Errorf("begun after %s", fates[a.Attempt])
			}
			for other, fate := range fates {
				if fate == "begun" {
					return fmt.Errorf("begun while %s runs", other.ID)
				}
			}
			fates[a.Attempt] = "begun"
		case Finish:
			if fates[a.Attempt] != "begun" {
				return fmt.Errorf("finished after %q", fates[a.Attempt])
			}
			fates[a.Attempt] = "finished"
		case Start, Restart:
			if a.Generation != *generation+1 {
				return fmt.Errorf("generation %d after %d", a.Generation, *generation)
			}
			*generation = a.Generation
		}
	}
	inside := after.Phase == Restarting || after.Phase == Running || after.Phase == Answered
	if inside && after.Current == None || !inside && after.Phase != Resetting && after.Current != None {
		return fmt.Errorf("%s with current %q", after.Phase, after.Current.ID)
	}
	if after.Served < before.Served {
		return fmt.Errorf("served falls")
	}
	return nil
}

func TestMemory(t *testing.T) {
	var m Memory
	if m.Of("g", "a") != (Fate{}) {
		t.Error("knows what it cannot know")
	}
	if !m.Seen("g", "a") || m.Of("g", "a") != (Fate{Known: true}) {
		t.Error("a new attempt")
	}
	m.Accepted("g", "a")
	if m.Seen("g", "a") || m.Of("g", "a") != (Fate{Known: true, Accepted: true}) {
		t.Error("an accepted attempt, sent again")
	}
	for n := range 10 * remembered {
		m.Seen("other", fmt.Sprint(n))
	}
	if m.Of("g", "a") != (Fate{Known: true, Accepted: true}) {
		t.Error("another gateway's attempts have pushed it out")
	}
	for n := range remembered {
		m.Seen("g", fmt.Sprint(n))
	}
	r := m.of["g"]
	if m.Of("g", "a").Known || !m.Of("g", "0").Known || len(r.fates) != remembered || len(r.order) != remembered {
		t.Error("it remembers the latest, and no more")
	}
	m.Accepted("g", "a")
	if m.Of("g", "a").Known || m.Of("nobody", "a").Known {
		t.Error("what is forgotten stays so")
	}
}

func TestMemoryOfManyGateways(t *testing.T) {
	var m Memory
	m.Seen("old", "a")
	m.Seen("often", "a")
	for n := range 2 * gateways {
		m.Seen(fmt.Sprint(n), "a")
		m.Seen("often", "a")
	}
	if len(m.of) != gateways || len(m.order) != gateways || m.Of("old", "a").Known {
		t.Error("it remembers the gateways heard of last, and no more", len(m.of), len(m.order))
	}
	if !m.Of("often", "a").Known {
		t.Error("who is heard of is not forgotten")
	}
	m.Accepted("old", "a")
	if m.Of("old", "a").Known {
		t.Error("accepted, though nothing is known of it")
	}
}
