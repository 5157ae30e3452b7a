// Package extensions knows the extensions of one generation of the environment, and in which state each one is
// (reference §g.2). It is pure: processes, HTTP and the slot are the instance's.
//
// An external extension is a program in /opt/extensions: it is launched before the runtime, under its file's name. A
// name that is no program's is an internal extension's: part of the runtime's process, for invocations only. What holds:
//
//   - registration closes when the runtime asks for its first event;
//   - an event goes only to an extension that has subscribed to its kind, one at a time;
//   - the crew is at rest when every extension that has registered waits at /event/next, and every external one has.
package extensions

import (
	"fmt"
	"slices"
)

// MaxExtensions is how many an environment can have (reference §g.2).
const MaxExtensions = 10

// The kinds of events.
const (
	Invoke   = "INVOKE"
	Shutdown = "SHUTDOWN"
)

// State is where an extension stands; the names are AWS's.
type State string

// The states.
const (
	Started     State = "Started"
	Registered  State = "Registered"
	Ready       State = "Ready"
	Running     State = "Running"
	InitError   State = "InitError"
	ExitError   State = "ExitError"
	Exited      State = "Exited"
	LaunchError State = "LaunchError"
)

// Event is what /event/next hands out.
type Event struct {
	Type               string   `json:"eventType"`
	DeadlineMs         int64    `json:"deadlineMs"`
	RequestID          string   `json:"requestId,omitempty"`
	InvokedFunctionARN string   `json:"invokedFunctionArn,omitempty"`
	Tracing            *Tracing `json:"tracing,omitempty"`
	ShutdownReason     string   `json:"shutdownReason,omitempty"`
}

// Tracing is the trace header of an INVOKE event.
type Tracing struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Problem is why a call is refused, in AWS's words; all are 403.
type Problem struct{ Type, Message string }

// Agent is one extension.
type Agent struct {
	ID        string
	Name      string
	External  bool
	State     State
	Events    []string
	ErrorType string
	Inbox     chan Event // of one event: what /event/next waits for

	dismissed bool
}

// Crew is all extensions of a generation.
type Crew struct {
	agents []*Agent
	closed bool
	last   *Event // the SHUTDOWN event, once there is one
	newID  func() string
}

// NewCrew begins with the external extensions that will be launched.
func NewCrew(names []string, newID func() string) *Crew {
	c := &Crew{newID: newID}
	for _, name := range names {
		c.add(name, true)
	}
	return c
}

func (c *Crew) add(name string, external bool) *Agent {
	agent := &Agent{ID: c.newID(), Name: name, External: external, State: Started, Inbox: make(chan Event, 1)}
	c.agents = append(c.agents, agent)
	return agent
}

// Agents lists them, external ones first.
func (c *Crew) Agents() []*Agent { return c.agents }

// Close ends registration.
func (c *Crew) Close() { c.closed = true }

// Closed says whether it has ended.
func (c *Crew) Closed() bool { return c.closed }

// Register takes an extension's name and the events it wants.
func (c *Crew) Register(name string, events []string) (*Agent, *Problem) {
	if name == "" {
		return nil, &Problem{"Extension.InvalidExtensionName", "Empty extension name"}
	}
	agent := c.named(name)
	switch {
	case agent != nil && agent.State != Started:
		return nil, transition(agent, Registered)
	case agent == nil && c.closed:
		return nil, &Problem{"Extension.RegistrationClosed", "Extension registration closed already"}
	case agent == nil && len(c.agents) >= MaxExtensions:
		return nil, &Problem{"Extension.TooManyExtensions", fmt.Sprintf("Extension limit (%d) reached", MaxExtensions)}
	}
	if problem := check(events, agent != nil); problem != nil {
		return nil, problem
	}
	if agent == nil {
		agent = c.add(name, false)
	}
	agent.State, agent.Events = Registered, slices.Clone(events)
	return agent, nil
}

func check(events []string, external bool) *Problem {
	for _, event := range events {
		switch {
		case event == Invoke, event == Shutdown && external:
		case event == Shutdown:
			return &Problem{"Extension.InvalidEventType", Shutdown + ": ShutdownEventNotSupportedForInternalExtension"}
		default:
			return &Problem{"Extension.InvalidEventType", event + ": ErrEventNotSupported"}
		}
	}
	return nil
}

func (c *Crew) named(name string) *Agent {
	for _, agent := range c.agents {
		if agent.Name == name {
			return agent
		}
	}
	return nil
}

// Find takes the identifier that a call carries.
func (c *Crew) Find(id string) (*Agent, *Problem) {
	if id == "" {
		return nil, &Problem{"Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"}
	}
	if !isUUID(id) {
		return nil, &Problem{"Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"}
	}
	for _, agent := range c.agents {
		if agent.ID == id && agent.State != Started {
			return agent, nil
		}
	}
	return nil, &Problem{"Extension.UnknownExtensionIdentifier", "Unknown extension " + id}
}

// Next notes that an extension asks for its next event.
func (c *Crew) Next(a *Agent) *Problem {
	switch a.State {
	case Registered, Running, Ready:
		a.State = Ready
		if c.last != nil {
			c.dismiss(a)
		}
		return nil
	}
	return transition(a, Ready)
}

// Dismiss tells everybody who wants to know that the end has come, now or at his next /event/next; it names those whose
// own end is worth waiting for.
func (c *Crew) Dismiss(event Event) []*Agent {
	c.last = &event
	var leaving []*Agent
	for _, agent := range c.agents {
		if !agent.Wants(Shutdown) {
			continue
		}
		leaving = append(leaving, agent)
		if agent.State == Ready {
			c.dismiss(agent)
		}
	}
	return leaving
}

func (c *Crew) dismiss(a *Agent) {
	if a.Wants(Shutdown) && !a.dismissed {
		a.dismissed = true
		a.State = Running
		a.Inbox <- *c.last
	}
}

// Fail notes that an extension gives up: InitError before its first /event/next, ExitError at any time.
func (c *Crew) Fail(a *Agent, into State, errorType string) *Problem {
	if errorType == "" {
		return &Problem{"Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"}
	}
	switch a.State {
	case Registered:
	case Ready, Running:
		if into == InitError {
			return transition(a, into)
		}
	default:
		return transition(a, into)
	}
	a.State, a.ErrorType = into, errorType
	return nil
}

// Complete says whether every external extension has registered.
func (c *Crew) Complete() bool {
	return !slices.ContainsFunc(c.agents, func(a *Agent) bool { return a.State == Started })
}

// Rested says whether every extension waits for its next event.
func (c *Crew) Rested() bool {
	return !slices.ContainsFunc(c.agents, func(a *Agent) bool { return a.State != Ready })
}

// Wants says whether an extension has subscribed to a kind of event.
func (a *Agent) Wants(kind string) bool { return slices.Contains(a.Events, kind) }

// Send hands an event to all who want it and wait, and names them.
func (c *Crew) Send(event Event) []*Agent {
	var told []*Agent
	for _, agent := range c.agents {
		if agent.State == Ready && agent.Wants(event.Type) {
			agent.State = Running
			agent.Inbox <- event // it is empty: who is Ready has taken the one before
			told = append(told, agent)
		}
	}
	return told
}

func transition(a *Agent, to State) *Problem {
	return &Problem{"Extension.InvalidExtensionState", fmt.Sprintf(
		"State transition from %s to %s failed for extension %s. Error: State transition is not allowed", a.State, to, a.ID,
	)}
}

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for n, c := range []byte(text) {
		dash := n == 8 || n == 13 || n == 18 || n == 23
		digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash != (c == '-') || !dash && !digit {
			return false
		}
	}
	return true
}
