package instance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/slot"
)

// waiter is a runtime's call of /next that waits for an event.
type waiter struct {
	generation int
	delivery   chan *runtimeapi.Delivery
}

// Generation implements runtimeapi.Backend.
func (i *Instance) Generation() int { return int(i.generation.Load()) }

// Next implements runtimeapi.Backend.
func (i *Instance) Next(gone context.Context, generation int) (*runtimeapi.Delivery, *runtimeapi.Problem) {
	w := &waiter{generation: generation, delivery: make(chan *runtimeapi.Delivery, 1)}
	i.mu.Lock()
	if i.launch != nil && i.launch.generation == generation {
		i.launch.sync() // what was written before this call belongs to the invocation that it ends
		i.launch.ready = true
		i.launch.crew.Close()
		i.failures = 0
	}
	i.waiters = append(i.waiters, w)
	accepted := i.step(slot.Event{Kind: slot.Next, Generation: generation})
	if !accepted {
		i.unwait(w)
	}
	i.mu.Unlock()
	if !accepted {
		return nil, i.transition("Ready")
	}
	select {
	case delivery := <-w.delivery:
		return delivery, nil
	case <-gone.Done():
		i.mu.Lock()
		i.unwait(w)
		i.mu.Unlock()
		return nil, nil
	}
}

func (i *Instance) unwait(w *waiter) {
	i.waiters = slices.DeleteFunc(i.waiters, func(other *waiter) bool { return other == w })
}

// deliver hands the event to one waiting call; a runtime that is not there yet will ask for it again.
func (i *Instance) deliver(inv *invocation) {
	current := func(w *waiter) bool { return w.generation == i.machine.Generation }
	at := slices.IndexFunc(i.waiters, current)
	if at < 0 {
		return
	}
	w := i.waiters[at]
	i.unwait(w)
	w.delivery <- &runtimeapi.Delivery{
		RequestID:       inv.header.RequestID,
		DeadlineMs:      inv.started.Add(i.work.timeout()).UnixMilli(),
		FunctionARN:     inv.header.FunctionARN,
		TraceID:         inv.header.TraceID,
		ClientContext:   inv.header.ClientContext,
		CognitoIdentity: string(inv.header.CognitoIdentity),
		Event:           inv.event,
	}
}

// Check implements runtimeapi.Backend: first the id, then the state (reference §g.1).
func (i *Instance) Check(generation int, request string) *runtimeapi.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	problem := i.check(generation, request)
	if problem == nil {
		i.invocations[i.machine.Current].answering = time.Now()
	}
	return problem
}

func (i *Instance) check(generation int, request string) *runtimeapi.Problem {
	inv := i.invocations[i.machine.Current]
	if inv == nil || inv.header.RequestID != request || generation != i.machine.Generation {
		return &runtimeapi.Problem{Status: http.StatusBadRequest, Type: "InvalidRequestID", Message: "Invalid request ID"}
	}
	if i.machine.Phase != slot.Running || inv.answer != nil {
		return i.transitionLocked("InvocationResponse")
	}
	return nil
}

// Answer implements runtimeapi.Backend.
func (i *Instance) Answer(generation int, request string, answer runtimeapi.Answer) *runtimeapi.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	if problem := i.check(generation, request); problem != nil {
		return problem
	}
	i.posted = answer
	i.step(slot.Event{Kind: slot.Response, Generation: generation, Attempt: i.machine.Current})
	return nil
}

// InitError implements runtimeapi.Backend.
func (i *Instance) InitError(generation int, answer runtimeapi.Answer) *runtimeapi.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.posted = answer
	accepted := i.step(slot.Event{Kind: slot.InitError, Generation: generation})
	i.posted = runtimeapi.Answer{}
	if !accepted {
		return i.transitionLocked("InitError")
	}
	return nil
}

func (i *Instance) transition(to string) *runtimeapi.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.transitionLocked(to)
}

// transitionLocked is AWS's text for a call in a wrong state; the names are those of AWS's own state machine.
func (i *Instance) transitionLocked(to string) *runtimeapi.Problem {
	from := "Started"
	switch i.machine.Phase {
	case slot.Ready:
		from = "Ready"
	case slot.Running:
		from = "Running"
	case slot.Answered:
		from = "ResponseSent"
	}
	return &runtimeapi.Problem{
		Status: http.StatusForbidden, Type: "InvalidStateTransition",
		Message: fmt.Sprintf("State transition from %s to %s failed for runtime. Error: State transition is not allowed", from, to),
	}
}
