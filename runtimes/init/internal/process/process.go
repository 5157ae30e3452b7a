// Package process starts, stops, freezes and kills what the function runs.
//
// As PID 1 (or child subreaper) init is the ancestor of every process of the function, daemons in sessions of their own
// included: an orphan comes back to init. So «the tree» is simply everything that descends from init, and no process
// can leave it. All waiting goes through one reaper, because orphans have to be reaped too.
package process

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"klambda.io/init/internal/guard"
)

// Command is what to start.
type Command struct {
	Path        string
	Arguments   []string // with argv[0]
	Environment []string
	Directory   string
	Output      *os.File // stdout and stderr
	Records     *os.File // one more descriptor; nil: none
	RecordsAt   int      // its number, above stderr's
	Writable    []string // where Landlock lets it write
}

// Exit is how a process ended.
type Exit struct {
	PID    int
	Status syscall.WaitStatus
}

// Keeper owns the function's processes.
type Keeper struct {
	waits   sync.Mutex // held over fork and registration, so that no exit is missed
	waiters map[int]func(Exit)
	signals sync.Mutex // held while the tree is being stopped, continued or killed
	self    int
	census  census
	stopped []int
}

// NewKeeper starts the reaper.
func NewKeeper() *Keeper {
	k := &Keeper{waiters: map[int]func(Exit){}, self: os.Getpid()}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			k.reap()
		}
	}()
	return k
}

// Start runs a command in a session of its own; exited is called once, from the reaper.
func (k *Keeper) Start(c Command, exited func(Exit)) (int, error) {
	devnull, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = devnull.Close() }()
	attributes := &syscall.ProcAttr{
		Dir: c.Directory, Env: c.Environment,
		Files: c.descriptors(devnull.Fd()),
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	type result struct {
		pid int
		err error
	}
	done := make(chan result, 1)
	k.waits.Lock()
	go func() { // its thread is confined for good, so it ends with the goroutine
		runtime.LockOSThread()
		guard.Confine(c.Writable)
		pid, err := syscall.ForkExec(c.Path, c.Arguments, attributes)
		done <- result{pid, err}
	}()
	started := <-done
	if started.err == nil {
		k.waiters[started.pid] = exited
	}
	k.waits.Unlock()
	if started.err != nil {
		return 0, &os.PathError{Op: "fork/exec", Path: c.Path, Err: started.err} // AWS's words
	}
	preferForKilling(started.pid)
	return started.pid, nil
}

// descriptors lists what the process has open, by number.
func (c Command) descriptors(input uintptr) []uintptr {
	list := []uintptr{input, c.Output.Fd(), c.Output.Fd()}
	if c.Records == nil {
		return list
	}
	for len(list) < c.RecordsAt {
		list = append(list, ^uintptr(0)) // closed
	}
	return append(list, c.Records.Fd())
}

// Signal sends a signal to a process of Start, unless it has ended.
func (k *Keeper) Signal(pid int, signal syscall.Signal) {
	k.waits.Lock()
	defer k.waits.Unlock()
	if _, alive := k.waiters[pid]; alive {
		_ = syscall.Kill(pid, signal)
	}
}

// reap collects every dead child; orphans of the function have no waiter.
func (k *Keeper) reap() {
	for {
		var status syscall.WaitStatus
		k.waits.Lock()
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		exited := k.waiters[pid]
		delete(k.waiters, pid)
		k.waits.Unlock()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if exited != nil {
			exited(Exit{PID: pid, Status: status})
		}
	}
}

// Reason is AWS's text for the end of a runtime (reference §b.1).
func Reason(status syscall.WaitStatus) string {
	switch {
	case status.Signaled():
		return "Runtime exited with error: signal: " + status.Signal().String()
	case status.ExitStatus() == 0:
		return "Runtime exited without providing a reason"
	default:
		return "Runtime exited with error: exit status " + strconv.Itoa(status.ExitStatus())
	}
}
