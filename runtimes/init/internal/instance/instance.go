// Package instance is init's story: it feeds what happens to the slot machine and carries out what the machine says.
//
// One mutex guards everything here. Events come from connections (intake.go), from the runtime (api.go), from processes
// (launch.go), from the assignment (prepare.go) and from timers; each takes the mutex, makes one step, performs the
// actions (perform.go, answer.go) and lets go. Nothing that can block is done under the mutex: frames are queued,
// processes are started and killed by goroutines that report back with an event.
package instance

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/peer"
	"klambda.io/init/internal/process"
	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/settings"
	"klambda.io/init/internal/slot"
	"klambda.io/init/internal/telemetry"
)

// API is the part of the Runtime API's server that the instance uses.
type API interface {
	Address() string
	Disconnect(generation int)
}

// Instance is one execution environment.
type Instance struct {
	settings settings.Settings
	keeper   *process.Keeper
	stream   *logs.Stream
	client   *http.Client
	api      API
	named    func(addresses []string) // new addresses of gateways
	left     chan struct{}

	mu          sync.Mutex
	machine     slot.Machine
	memory      slot.Memory
	connections map[uint64]*peer.Conn
	invocations map[slot.Attempt]*invocation // the running and the held one
	assigners   map[uint64]bool              // who wants to hear what becomes of the assignment
	work        *work
	launch      *launch
	waiters     []*waiter
	posted      runtimeapi.Answer // what AnswerOut and AnswerInit mean
	phases      phases
	failures    int // starts of the runtime that failed, in a row
	lastFailure time.Time
	freezer     *time.Timer
	sampler     *time.Timer
	sampling    bool
	rejected    bool
	closing     bool

	wantFrozen atomic.Bool
	peak       atomic.Int64                  // bytes; over the environment's life
	generation atomic.Int64                  // for connections being accepted
	hub        atomic.Pointer[telemetry.Hub] // nil without extensions
	objects    atomic.Bool                   // the function logs JSON
}

// New makes an instance without an assignment. Attach an API before any gateway connects.
func New(s settings.Settings, keeper *process.Keeper, stream *logs.Stream, booted time.Time) *Instance {
	i := &Instance{
		phases:   phases{booted: booted},
		settings: s, keeper: keeper, stream: stream, left: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{
			ResponseHeaderTimeout: 10 * time.Second, DisableCompression: true, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: time.Second,
		}},
		connections: map[uint64]*peer.Conn{}, invocations: map[slot.Attempt]*invocation{}, assigners: map[uint64]bool{},
	}
	stream.Watch(i.overhear)
	return i
}

// Attach connects the instance with its Runtime API and with the set of gateways.
func (i *Instance) Attach(api API, named func(addresses []string)) { i.api, i.named = api, named }

// Left is closed when init shall end.
func (i *Instance) Left() <-chan struct{} { return i.left }

// Terminate begins the end: nothing new is taken, what runs is finished.
func (i *Instance) Terminate() { i.handle(slot.Event{Kind: slot.Terminate}) }

// Close kills what is left of the function and writes out what gateways have not read yet.
func (i *Instance) Close() {
	i.mu.Lock()
	i.closing = true
	l := i.launch
	i.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.done
		i.mu.Lock()
		l.shutdown = spindown
		i.mu.Unlock()
		i.farewell(l)
	}
	i.keeper.KillTree()
	i.mu.Lock()
	connections := make([]*peer.Conn, 0, len(i.connections))
	for _, c := range i.connections {
		connections = append(connections, c)
	}
	i.mu.Unlock()
	for _, c := range connections {
		c.Flush(2 * time.Second)
	}
}

// handle takes an event; it answers false when the machine rejected it.
func (i *Instance) handle(e slot.Event) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.step(e)
}

// step does the same with the mutex held.
func (i *Instance) step(e slot.Event) bool {
	before := i.machine.Name()
	was := i.machine
	var actions []slot.Action
	i.machine, actions = was.Step(e)
	i.generation.Store(int64(i.machine.Generation))
	i.rejected = false
	for _, action := range actions {
		i.perform(action)
	}
	if name := i.machine.Name(); name != before {
		i.announce(i.informed(was, e))
	}
	return !i.rejected
}

// informed is the gateway that knows of the change anyway: by the frames of its own attempt, or by the reply to its drain.
func (i *Instance) informed(was slot.Machine, e slot.Event) uint64 {
	if e.Kind == slot.DrainIdle || e.Kind == slot.DrainNow || e.Kind == slot.Terminate {
		return e.Peer
	}
	for _, attempt := range []slot.Attempt{i.machine.Current, i.machine.Held, was.Current, was.Held} {
		if attempt != slot.None {
			return attempt.Peer
		}
	}
	return 0
}

// announce tells the state to every gateway but one.
func (i *Instance) announce(but uint64) {
	for id, c := range i.connections {
		if id != but {
			c.Send(frame.State, i.state(), nil)
		}
	}
}

func (i *Instance) state() frame.StateHeader {
	header := frame.StateHeader{
		State: i.machine.Name(), Served: i.machine.Served, Attempt: i.machine.Current.ID, InitFailed: i.failures > 0,
	}
	if i.work != nil {
		header.Initialization = i.work.header.InitializationType
	}
	return header
}
