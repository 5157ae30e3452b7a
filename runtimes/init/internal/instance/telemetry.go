package instance

import (
	"net/http"
	"time"

	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/telemetry"
)

// flushLimit is what buffered telemetry may take of the SHUTDOWN phase.
const flushLimit = 300 * time.Millisecond

// listen begins the telemetry of a generation, once somebody could want it; the mutex is held.
func (i *Instance) listen(l *launch) {
	if l.heard {
		return
	}
	l.heard = true
	if i.hub.Load() == nil {
		i.hub.Store(telemetry.NewHub())
	}
	i.emit("initStart", i.describe().Record(l.phase()))
}

// deafen ends the deliveries of a generation. What is still to be told of it, is kept for the next one's subscribers.
func (i *Instance) deafen() {
	var next *telemetry.Hub
	if len(i.work.extensions) > 0 {
		next = telemetry.NewHub()
	}
	if hub := i.hub.Swap(next); hub != nil {
		hub.Stop()
	}
}

// phase is how AWS calls the start: of a fresh environment, or inside an invocation.
func (l *launch) phase() string {
	if l.first {
		return "init"
	}
	return "invoke"
}

func (i *Instance) emit(kind string, record logs.Record) { i.hub.Load().Emit(kind, record) }

// overhear passes what processes write on to who has subscribed.
func (i *Instance) overhear(said logs.Said) {
	hub := i.hub.Load()
	switch {
	case hub == nil:
	case said.Record:
		hub.Record(said.Text, said.At, i.objects.Load())
	case said.Extension:
		hub.Log(telemetry.Extension, said.Text, i.objects.Load())
	default:
		hub.Log(telemetry.Function, said.Text, i.objects.Load())
	}
}

// started tells that a start is over, and how it went; subscribing is over, too. The mutex is held.
func (i *Instance) started(status, errorType string) {
	l := i.launch
	if l.told {
		return
	}
	l.told = true
	now := time.Now()
	report := logs.InitReport{
		Took: now.Sub(l.began), Initialization: i.work.header.InitializationType, Phase: l.phase(), Status: status,
		ErrorType: errorType,
	}
	i.stream.Line(i.work.format.InitRuntimeDone(now, report))
	for _, agent := range l.crew.Agents() {
		i.stream.Line(i.work.format.Extension(now, about(agent)))
	}
	i.stream.Line(i.work.format.InitReport(now, report))
	if hub := i.hub.Load(); hub != nil {
		hub.Emit("initRuntimeDone", report.DoneRecord())
		for _, agent := range l.crew.Agents() {
			hub.Emit("extension", about(agent).Record())
		}
		hub.Emit("initReport", report.Record())
		hub.Close()
	}
	if !l.first {
		i.tellStart(i.invocations[i.machine.Current])
	}
}

// Subscribe implements extensionapi.Backend.
func (i *Instance) Subscribe(generation int, id string, api telemetry.API, body []byte) *telemetry.Problem {
	i.mu.Lock()
	defer i.mu.Unlock()
	agent, refused := i.crewOf(generation).crew.Find(id)
	if refused != nil {
		return &telemetry.Problem{Status: http.StatusForbidden, Type: refused.Type, Message: refused.Message}
	}
	subscription, problem := telemetry.Parse(api, agent.Name, body)
	if problem == nil {
		problem = i.hub.Load().Subscribe(subscription)
	}
	if problem != nil {
		return problem
	}
	told := logs.Subscription{API: api.Name, Name: agent.Name, Types: subscription.Types}
	i.stream.Line(i.work.format.Subscription(time.Now(), told))
	i.emit(told.Kind(), told.Record())
	return nil
}
