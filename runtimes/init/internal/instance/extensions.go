package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"klambda.io/init/internal/extensionapi"
	"klambda.io/init/internal/extensions"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/process"
	"klambda.io/init/internal/slot"
)

const extensionsFolder = "/opt/extensions"

// Reasons of a SHUTDOWN event, beside timeout.
const (
	spindown = "spindown"
	failure  = "failure"
)

// What the end may take: nothing without extensions, little with internal ones only (reference §g.2). The runtime has the
// first part of it, between SIGTERM and SIGKILL.
const (
	partingInternal = 500 * time.Millisecond
	partingExternal = 2 * time.Second
	runtimesPart    = 0.3
)

// companion is the process of an external extension.
type companion struct {
	agent  *extensions.Agent
	pipe   *logs.Pipe
	pid    int
	exited chan struct{}
}

// man launches the external extensions and waits until they have registered; false when the generation ended before.
func (i *Instance) man(ctx context.Context, l *launch) bool {
	for _, agent := range l.crew.Agents() { // before the runtime starts, only external ones are there
		if err := i.launchExtension(l, agent); err != nil {
			i.mu.Lock()
			agent.State, agent.ErrorType = extensions.LaunchError, launchErrorType(err)
			i.lost(l, "Extension.LaunchError", err.Error())
			i.mu.Unlock()
			return false
		}
	}
	if len(l.companions) == 0 {
		return true
	}
	select {
	case <-l.manned:
		return true
	case <-ctx.Done():
		return false
	}
}

func (i *Instance) launchExtension(l *launch, agent *extensions.Agent) error {
	pipe, output, err := logs.NewPipe(i.stream.Source())
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	c := &companion{agent: agent, pipe: pipe, exited: make(chan struct{})}
	path := i.settings.Path(filepath.Join(extensionsFolder, agent.Name))
	c.pid, err = i.keeper.Start(process.Command{
		Path: path, Arguments: []string{path}, Environment: extensions.Environment(i.work.environment),
		Directory: "/", Output: output, Writable: i.writable(),
	}, func(e process.Exit) { go i.companionGone(l, c, e) })
	if err != nil {
		pipe.Close()
		return err
	}
	i.mu.Lock()
	l.companions = append(l.companions, c)
	i.mu.Unlock()
	return nil
}

func (i *Instance) companionGone(l *launch, c *companion, e process.Exit) {
	c.pipe.Sync()
	i.mu.Lock()
	defer i.mu.Unlock()
	close(c.exited)
	if !l.parted {
		c.agent.State, c.agent.ErrorType = extensions.Exited, "Extension.Crash"
	}
	i.lost(l, "Extension.Crash", exitText(e.Status))
}

func exitText(status syscall.WaitStatus) string {
	switch {
	case status.Signaled():
		return "signal: " + status.Signal().String()
	case status.ExitStatus() == 0:
		return "exit code 0"
	default:
		return fmt.Sprintf("exit status %d", status.ExitStatus())
	}
}

func launchErrorType(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return "PermissionDenied"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "TooManyOpenFiles"
	default:
		return "UnknownError"
	}
}

// Register implements extensionapi.Backend.
func (i *Instance) Register(
	generation int, name string, events []string,
) (*extensionapi.Registration, *extensions.Problem) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.crewOf(generation)
	agent, problem := l.crew.Register(name, events)
	if problem != nil {
		return nil, problem
	}
	i.listen(l)
	i.step(slot.Event{Kind: slot.Enrolled, Generation: generation, Extended: agent.Wants(extensions.Invoke)})
	if agent.External && l.crew.Complete() {
		close(l.manned) // each registers once: this is the last
	}
	a := i.work.assignment
	return &extensionapi.Registration{
		ID: agent.ID, Function: a.FunctionName, Version: a.Version, Handler: a.Handler, Account: a.AccountID,
	}, nil
}

// crewOf is the launch that a caller belongs to; of one that is not the current one any more nothing is known.
func (i *Instance) crewOf(generation int) *launch {
	if i.launch != nil && i.launch.generation == generation {
		return i.launch
	}
	nobody := &launch{crew: extensions.NewCrew(nil, NewUUID)}
	nobody.crew.Close()
	return nobody
}

// NextEvent implements extensionapi.Backend.
func (i *Instance) NextEvent(
	gone context.Context, generation int, id string,
) (*extensions.Event, *extensions.Problem) {
	i.mu.Lock()
	l := i.crewOf(generation)
	agent, problem := l.crew.Find(id)
	if problem == nil {
		l.syncOf(agent)
		problem = l.crew.Next(agent)
	}
	if problem == nil && l.crew.Rested() {
		i.step(slot.Event{Kind: slot.Rested, Generation: generation})
	}
	i.mu.Unlock()
	if problem != nil {
		return nil, problem
	}
	select {
	case event := <-agent.Inbox:
		return &event, nil
	case <-gone.Done():
		return nil, nil
	}
}

// syncOf takes what an extension wrote before a call: it belongs to the invocation that the call ends.
func (l *launch) syncOf(agent *extensions.Agent) {
	for _, c := range l.companions {
		if c.agent == agent {
			c.pipe.Sync()
		}
	}
}

// GiveUp implements extensionapi.Backend: the environment ends with the extension.
func (i *Instance) GiveUp(generation int, id string, into extensions.State, errorType string) *extensions.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.crewOf(generation)
	agent, problem := l.crew.Find(id)
	if problem == nil {
		problem = l.crew.Fail(agent, into, errorType)
	}
	if problem == nil {
		i.lost(l, "Extension."+string(into), errorType)
	}
	return problem
}

// tellExtensions hands an invocation, once, to the extensions that want to know.
func (i *Instance) tellExtensions(inv *invocation) {
	i.started(success, "")
	if inv.told || !i.machine.Wakeful {
		return
	}
	inv.told = true
	i.launch.crew.Send(extensions.Event{
		Type: extensions.Invoke, DeadlineMs: inv.started.Add(i.work.timeout()).UnixMilli(),
		RequestID: inv.header.RequestID, InvokedFunctionARN: inv.header.FunctionARN,
		Tracing: &extensions.Tracing{Type: "X-Amzn-Trace-Id", Value: inv.header.TraceID},
	})
}

// about is what the platform tells of an extension.
func about(agent *extensions.Agent) logs.Extension {
	return logs.Extension{
		Name: agent.Name, State: string(agent.State), Events: agent.Events, ErrorType: agent.ErrorType,
	}
}

// farewell is the SHUTDOWN phase of a generation: the runtime first, then the extensions. Without any it takes no time.
func (i *Instance) farewell(l *launch) {
	i.mu.Lock()
	agents, external, parted := len(l.crew.Agents()), l.companions, l.parted
	l.parted = true
	reason := l.shutdown
	i.mu.Unlock()
	if parted || agents == 0 {
		return
	}
	whole := partingInternal
	if len(external) > 0 {
		whole = partingExternal
	}
	began := time.Now()
	i.thaw()
	if l.pid != 0 {
		i.keeper.Signal(l.pid, syscall.SIGTERM)
		if !endsBefore(l.exited, began.Add(time.Duration(runtimesPart*float64(whole)))) {
			i.keeper.Signal(l.pid, syscall.SIGKILL)
		}
	}
	i.hub.Load().Flush(time.Now().Add(flushLimit))
	i.dismiss(l, external, reason, began.Add(whole))
}

// dismiss tells the extensions, and waits for those who wanted to be told.
func (i *Instance) dismiss(l *launch, external []*companion, reason string, deadline time.Time) {
	i.mu.Lock()
	leaving := l.crew.Dismiss(extensions.Event{
		Type: extensions.Shutdown, ShutdownReason: reason, DeadlineMs: deadline.UnixMilli(),
	})
	i.mu.Unlock()
	for _, c := range external {
		if slices.Contains(leaving, c.agent) {
			endsBefore(c.exited, deadline)
		}
	}
}

// endsBefore says whether something ended in time.
func endsBefore(ended <-chan struct{}, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// NewUUID makes identifiers of extensions and their events.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
