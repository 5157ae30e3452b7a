package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"klambda.io/init/internal/assign"
	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/peer"
	"klambda.io/init/internal/slot"
)

// maxEvent is above the 6 MiB that gateways let through: the sizes of the API are theirs to check.
const maxEvent = 6<<20 + 64<<10

// Introduce implements peer.Handler.
func (i *Instance) Introduce(proof *frame.ProofHeader) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.phases.dialled.IsZero() {
		i.phases.dialled = time.Now()
	}
	proof.State, proof.Digest = i.machine.Name(), i.machine.Digest
}

// Connected implements peer.Handler.
func (i *Instance) Connected(c *peer.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.connections[c.ID] = c
	c.Send(frame.State, i.state(), nil)
}

// Closed implements peer.Handler.
func (i *Instance) Closed(c *peer.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.connections, c.ID)
	delete(i.assigners, c.ID)
	i.step(slot.Event{Kind: slot.Lost, Peer: c.ID})
}

// Received implements peer.Handler.
func (i *Instance) Received(c *peer.Conn, f frame.Frame) error {
	switch f.Type {
	case frame.Assign:
		return i.receiveAssign(c, f)
	case frame.Invoke:
		return i.receiveInvoke(c, f)
	case frame.Data:
		return i.receiveData(c, f)
	case frame.Cancel:
		var h frame.CancelHeader
		if err := f.Decode(&h); err != nil {
			return err
		}
		i.handle(slot.Event{Kind: slot.Cancel, Attempt: slot.Attempt{Peer: c.ID, ID: h.Attempt}})
	case frame.Credit:
		return i.receiveCredit(c, f)
	case frame.Drain:
		return i.receiveDrain(c, f)
	case frame.Query:
		return i.receiveQuery(c, f)
	case frame.Peers:
		var h frame.PeersHeader
		if err := f.Decode(&h); err != nil {
			return err
		}
		i.named(h.Addresses)
	default:
		return fmt.Errorf("%w: type %d", frame.ErrMalformed, f.Type)
	}
	return nil
}

func (i *Instance) receiveAssign(c *peer.Conn, f frame.Frame) error {
	var h frame.AssignHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	assignment, err := assign.Parse(h.Assignment)
	if err != nil {
		return fmt.Errorf("%w: %w", frame.ErrMalformed, err)
	}
	if assignment.Image == nil && h.Code == nil {
		return fmt.Errorf("%w: assign without code", frame.ErrMalformed)
	}
	if len(h.Layers) != len(assignment.Layers) {
		return fmt.Errorf("%w: %d layer sources for %d layers", frame.ErrMalformed, len(h.Layers), len(assignment.Layers))
	}
	if h.InitializationType == "" {
		h.InitializationType = onDemand
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.phases.assigned.IsZero() {
		i.phases.assigned, i.phases.before = time.Now(), h.Before
	}
	if i.machine.Phase == slot.Unassigned || i.machine.Phase == slot.Failed {
		i.work = &work{assignment: assignment, header: h, inline: append([]byte(nil), f.Body...)}
	}
	i.assigners[c.ID] = true
	i.step(slot.Event{Kind: slot.Assign, Peer: c.ID, Digest: assignment.Digest})
	return nil
}

func (i *Instance) receiveInvoke(c *peer.Conn, f frame.Frame) error {
	var h frame.InvokeHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	if h.Size > maxEvent || len(f.Body) > h.Size {
		return fmt.Errorf("%w: event of %d bytes, said to be %d", frame.ErrMalformed, len(f.Body), h.Size)
	}
	attempt := slot.Attempt{Peer: c.ID, ID: h.Attempt}
	inv := &invocation{attempt: attempt, conn: c, header: h}
	i.mu.Lock()
	if i.invocations[attempt] != nil || !i.memory.Seen(c.Gateway, h.Attempt) {
		i.mu.Unlock()
		return nil // sent twice: it is being served, or was
	}
	i.invocations[attempt] = inv
	i.step(slot.Event{Kind: slot.Invoke, Attempt: attempt})
	i.mu.Unlock()
	return i.load(inv, f.Body)
}

func (i *Instance) receiveData(c *peer.Conn, f frame.Frame) error {
	var h frame.DataHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	i.mu.Lock()
	inv := i.invocations[slot.Attempt{Peer: c.ID, ID: h.Attempt}]
	i.mu.Unlock()
	if inv == nil || inv.loaded {
		return nil // refused meanwhile
	}
	return i.load(inv, f.Body)
}

// load adds bytes to an event. Only the connection's own goroutine touches the event until it is complete.
func (i *Instance) load(inv *invocation, piece []byte) error {
	if len(inv.event)+len(piece) > inv.header.Size {
		return fmt.Errorf("%w: more than the %d bytes of the event", frame.ErrMalformed, inv.header.Size)
	}
	if inv.event == nil {
		inv.event = make([]byte, 0, inv.header.Size)
	}
	inv.event = append(inv.event, piece...)
	if len(inv.event) < inv.header.Size {
		i.mu.Lock()
		i.beImpatient(inv)
		i.mu.Unlock()
		return nil
	}
	inv.loaded = true
	verdict := slot.Event{Kind: slot.Loaded, Attempt: inv.attempt}
	if len(inv.event) == 0 {
		inv.event = []byte("{}")
	} else if !inv.header.Validated && !json.Valid(inv.event) {
		var ignored any
		inv.flaw = fmt.Sprint(json.Unmarshal(inv.event, &ignored))
		verdict.Kind = slot.Invalid
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.step(verdict)
	i.beImpatient(inv)
	return nil
}

// beImpatient bounds how long a held attempt waits.
func (i *Instance) beImpatient(inv *invocation) {
	if i.machine.Held != inv.attempt || inv.patience != nil {
		return
	}
	limit := time.Duration(inv.header.Remaining * float64(time.Millisecond))
	if inv.brief && (limit <= 0 || limit > completingPatience) {
		limit = completingPatience
	}
	if limit > 0 {
		inv.patience = time.AfterFunc(limit, func() {
			i.handle(slot.Event{Kind: slot.Impatient, Attempt: inv.attempt})
		})
	}
}

func (i *Instance) receiveDrain(c *peer.Conn, f frame.Frame) error {
	var h frame.DrainHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	kind := slot.DrainNow
	if h.Mode == frame.DrainIdle {
		kind = slot.DrainIdle
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.step(slot.Event{Kind: kind, Peer: c.ID})
	c.Send(frame.State, i.state(), nil)
	return nil
}

func (i *Instance) receiveQuery(c *peer.Conn, f frame.Frame) error {
	var h frame.QueryHeader
	if err := f.Decode(&h); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	state := i.state()
	if h.Attempt != "" {
		fate := i.memory.Of(c.Gateway, h.Attempt)
		state.Asked = &frame.Asked{Attempt: h.Attempt, Known: fate.Known, Accepted: fate.Accepted}
	}
	c.Send(frame.State, state, nil)
	return nil
}

// Named adapts a set of connections for Attach.
func Named(ctx context.Context, set *peer.Set) func([]string) {
	return func(addresses []string) { set.Named(ctx, addresses) }
}
