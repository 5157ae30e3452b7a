// Package telemetry delivers what happens in the environment to extensions that have subscribed: the platform's events,
// the function's log and the extensions' (reference §g.3).
//
// A Hub takes events without ever blocking: each is rendered once and put into the buffers of those who want it. A
// subscriber's buffer is sent when it is full or its time is over, one delivery at a time. What does not fit because the
// subscriber is slow, or cannot be delivered, is dropped, counted, and told by platform.logsDropped. Events of the start
// are kept for who subscribes late. A nil Hub is that of an environment without extensions: it does nothing.
package telemetry

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// keptBytes bounds what is kept for late subscribers.
const keptBytes = 1 << 20

// Hub is the events of one generation of the environment.
type Hub struct {
	now func() time.Time

	mu          sync.Mutex
	closed      bool // nobody may subscribe any more
	kept        []event
	keptSize    int
	subscribers []*subscriber
}

// event is one, rendered.
type event struct {
	stream, kind string
	text         []byte
}

// NewHub begins to keep.
func NewHub() *Hub { return &Hub{now: time.Now} }

// Emit takes an event of the platform.
func (h *Hub) Emit(kind string, record map[string]any) {
	if h != nil {
		h.publish(h.now(), Platform, kind, Platform+"."+kind, record)
	}
}

// Log takes lines of the function (stream Function) or of an extension. An object stays one when objects is true.
func (h *Hub) Log(stream string, lines []byte, objects bool) {
	if h == nil {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(lines), "\n"), "\n") {
		h.say(h.now(), stream, line, objects)
	}
}

// Record takes one record of the function, line breaks and all; at is when it was written.
func (h *Hub) Record(text []byte, at time.Time, objects bool) {
	if h == nil {
		return
	}
	if at.IsZero() {
		at = h.now()
	}
	h.say(at, Function, strings.TrimSuffix(string(text), "\n"), objects)
}

func (h *Hub) say(at time.Time, stream, text string, objects bool) {
	if objects && strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
		h.publish(at, stream, stream, stream, json.RawMessage(text))
	} else {
		h.publish(at, stream, stream, stream, text)
	}
}

func (h *Hub) publish(at time.Time, stream, kind, name string, record any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed && !slices.ContainsFunc(h.subscribers, func(s *subscriber) bool { return s.wants(stream, kind) }) {
		return
	}
	text, err := json.Marshal(struct {
		Time   string `json:"time"`
		Type   string `json:"type"`
		Record any    `json:"record"`
	}{at.UTC().Format("2006-01-02T15:04:05.000Z"), name, record})
	if err != nil {
		return
	}
	e := event{stream, kind, text}
	for _, s := range h.subscribers {
		s.take(e)
	}
	if !h.closed && h.keptSize+len(text) <= keptBytes {
		h.kept = append(h.kept, e)
		h.keptSize += len(text)
	}
}

// Subscribe adds a subscriber, or replaces its earlier subscription, and gives it what has been kept.
func (h *Hub) Subscribe(s *Subscription) *Problem {
	if h == nil {
		return closed(s.API)
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return closed(s.API)
	}
	fresh := newSubscriber(s, h.now)
	others := h.subscribers[:0:0]
	for _, old := range h.subscribers {
		if old.Name == s.Name && old.API.Name == s.API.Name {
			old.stop()
		} else {
			others = append(others, old)
		}
	}
	h.subscribers = append(others, fresh)
	for _, e := range h.kept {
		fresh.take(e)
	}
	h.mu.Unlock()
	return nil
}

func closed(api API) *Problem {
	return &Problem{403, api.Name + ".SubscriptionClosed", api.Name + " API subscription is closed already"}
}

// Close ends the time of subscribing: the start is over.
func (h *Hub) Close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.closed, h.kept = true, nil
	h.mu.Unlock()
}

// Flush sends what is buffered and waits for it, but not beyond the deadline.
func (h *Hub) Flush(deadline time.Time) {
	if h == nil {
		return
	}
	h.mu.Lock()
	subscribers := append([]*subscriber(nil), h.subscribers...)
	h.mu.Unlock()
	for _, s := range subscribers {
		s.flush(deadline)
	}
}

// Stop ends all deliveries.
func (h *Hub) Stop() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.kept = true, nil
	for _, s := range h.subscribers {
		s.stop()
	}
	h.subscribers = nil
}
