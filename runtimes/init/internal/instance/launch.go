package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"klambda.io/init/internal/extensions"
	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/guard"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/process"
	"klambda.io/init/internal/slot"
)

const (
	// initLimit is Lambda's limit of the init phase for functions on demand; longInitLimit, or the function's timeout if
	// that is longer, is the limit of what is started ahead (reference §f).
	initLimit     = 10 * time.Second
	longInitLimit = 130 * time.Second
	// exitGrace lets a runtime that has reported its init error leave by itself, with its last words.
	exitGrace = 100 * time.Millisecond
	// A function whose start always fails is started ever more slowly, up to this.
	backOffFirst = 100 * time.Millisecond
	backOffLast  = time.Second
)

// launch is one process of the runtime, from the decision to start it to its end.
type launch struct {
	generation int
	first      bool // in the init phase
	began      time.Time
	cancel     context.CancelFunc
	done       chan struct{} // the start is over, whatever came of it
	exited     chan struct{}
	pipe       *logs.Pipe    // nil before done, and when the start failed
	pid        int           // of the runtime, when it was started (after done)
	manned     chan struct{} // every external extension has registered
	companions []*companion  // their processes; complete when manned, or after done

	ready      bool // it has been at /next (guarded by the instance's mutex, as all below)
	polite     bool // it said that it will leave
	exitType   string
	exitReason string
	oomKills   int         // of the container, before this launch
	starved    atomic.Bool // init ended it because of its memory
	crew       *extensions.Crew
	heard      bool   // its telemetry has begun
	told       bool   // subscribers know how the start went
	parted     bool   // its end is known to the extensions
	shutdown   string // why it ends, in the words of a SHUTDOWN event
}

// outOfMemory is AWS's word for it in reports and events; who is answered, and the log, hear of the exit.
const outOfMemory = "Runtime.OutOfMemory"

// verdict is what reports call the end of the process.
func (l *launch) verdict() string {
	killed := l.exitType == exitError && l.exitReason == process.Reason(syscall.WaitStatus(syscall.SIGKILL))
	if killed && (l.starved.Load() || process.OutOfMemoryKills() > l.oomKills) {
		return outOfMemory
	}
	return l.exitType
}

// sync takes what the process has written so far.
func (l *launch) sync() {
	select {
	case <-l.done:
		if l.pipe != nil {
			l.pipe.Sync()
		}
	default:
	}
}

// start begins a new process of the runtime; the mutex is held.
func (i *Instance) start(generation int, first bool) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &launch{
		generation: generation, first: first, began: time.Now(), cancel: cancel,
		done: make(chan struct{}), exited: make(chan struct{}), manned: make(chan struct{}),
		crew: extensions.NewCrew(i.work.extensions, NewUUID), shutdown: failure, oomKills: process.OutOfMemoryKills(),
	}
	i.launch = l
	if len(i.work.extensions) > 0 {
		i.listen(l)
	}
	pause := i.backOff()
	go func() {
		defer close(l.done)
		if pause > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		if !i.man(ctx, l) {
			return
		}
		if err := i.spawn(l); err != nil {
			go i.gone(l, startErrorType(err), err.Error())
		}
	}()
	if first {
		time.AfterFunc(i.work.initLimit(), func() {
			i.handle(slot.Event{Kind: slot.InitLimit, Generation: generation})
		})
	}
}

func (w *work) initLimit() time.Duration {
	if w.header.InitializationType == onDemand {
		return initLimit
	}
	return max(longInitLimit, w.timeout())
}

// backOff is how long to wait before the next start.
func (i *Instance) backOff() time.Duration {
	if i.failures < 2 {
		return 0
	}
	pause := min(backOffFirst<<min(i.failures-2, 10), backOffLast, i.work.timeout()/4)
	return pause - time.Since(i.lastFailure)
}

func (i *Instance) spawn(l *launch) error {
	w := i.work
	path, arguments, err := w.entry.find()
	if err != nil {
		return err
	}
	pipe, output, err := logs.NewPipe(i.stream.Records())
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	l.pipe = pipe
	command := process.Command{
		Path: path, Arguments: arguments, Environment: w.environment, Directory: w.entry.directory, Output: output,
		Writable: i.writable(),
	}
	if command.RecordsAt = w.records(); command.RecordsAt != 0 {
		if command.Records, err = logs.Again(output); err != nil {
			return err
		}
		defer func() { _ = command.Records.Close() }()
	}
	l.pid, err = i.keeper.Start(command, func(e process.Exit) {
		go func() {
			<-l.done
			i.gone(l, exitError, process.Reason(e.Status))
		}()
	})
	return err
}

// writable is where the function's processes may write, as far as the kernel can keep them to it.
func (i *Instance) writable() []string {
	return append([]string{i.settings.Path("/tmp"), "/proc"}, guard.Devices...)
}

// gone tells the machine that the process has ended, after its last words.
func (i *Instance) gone(l *launch, errorType, reason string) {
	<-l.done
	if l.pipe != nil {
		l.pipe.Sync()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	close(l.exited)
	i.lost(l, errorType, reason)
}

// lost tells the machine that a part of the generation is gone that it cannot do without; the mutex is held.
func (i *Instance) lost(l *launch, errorType, reason string) {
	if l.parted || i.closing { // it was told to go
		return
	}
	if l.exitType == "" {
		l.exitType, l.exitReason = errorType, reason
	}
	i.step(slot.Event{Kind: slot.Exited, Generation: l.generation})
}

// reset ends what is left of a process and tells the machine when nothing is.
func (i *Instance) reset(l *launch) {
	l.cancel()
	<-l.done
	i.mu.Lock()
	polite := l.polite
	i.mu.Unlock()
	if polite {
		select {
		case <-l.exited:
		case <-time.After(exitGrace):
		}
	}
	i.farewell(l)
	i.keeper.KillTree()
	i.deafen()
	if l.pipe != nil {
		l.pipe.Close()
	}
	for _, c := range l.companions {
		c.pipe.Close()
	}
	i.api.Disconnect(l.generation)
	i.handle(slot.Event{Kind: slot.Cleared, Generation: l.generation})
}

// initialised notes the first success: how long each part of the start took.
func (i *Instance) initialised() {
	i.failures = 0
	i.phases.ready = time.Now()
	i.phases.runtime = time.Since(i.launch.began)
	i.launch.ready = true
	i.started(success, "")
	header := i.phases.header()
	for _, c := range i.connections {
		c.Send(frame.Phases, header, nil)
	}
}

// noteFailure reports a start that came to nothing.
func (i *Instance) noteFailure() {
	i.failures++
	i.lastFailure = time.Now()
	l := i.launch
	l.sync()
	status, errorType := failed, l.verdict()
	switch {
	case i.posted.Failed:
		errorType = i.posted.ErrorType
		if errorType == "" {
			errorType = typeOf(i.posted.Body)
		}
		errorType = classified(errorType)
		l.polite = true
	case errorType == "":
		status = timeout
	}
	i.started(status, errorType)
}

var platformType = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][a-zA-Z]+$`)

// classified is what the platform's own lines call an error that the runtime has named (reference §b.1); who is answered
// sees the runtime's word.
func classified(errorType string) string {
	switch {
	case platformType.MatchString(errorType):
		return errorType
	case strings.HasPrefix(errorType, "Function."):
		return "Function.Unknown"
	default:
		return "Runtime.Unknown"
	}
}

// typeOf reads the error type of an error body.
func typeOf(body []byte) string {
	var e struct {
		Type string `json:"errorType"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Type
}

func timeoutText(limit time.Duration) string {
	return fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds())
}
