package process

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// killPasses bounds how often the tree is looked through while it dies; forks may race with the killing.
	killPasses = 200
	killPause  = time.Millisecond
	// killEverything is the pass from which the tree is taken for a fork bomb.
	killEverything = 20
	// stopPasses bounds the same for stopping: a fork bomb must not keep init busy.
	stopPasses = 4
)

// KillTree kills everything that descends from init and waits until nothing but the dead is left.
func (k *Keeper) KillTree() {
	k.signals.Lock()
	defer k.signals.Unlock()
	for pass := range killPasses {
		alive := k.census.descendants(k.self, true)
		if len(alive) == 0 {
			break
		}
		if pass >= killEverything && k.self == 1 {
			_ = syscall.Kill(-1, syscall.SIGKILL) // at once, all of the pid namespace but init: no fork escapes it
		}
		for _, pid := range alive {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(killPause)
	}
	k.stopped = nil
}

// Kill ends these processes and no others: what was started since they were listed is none of its business.
func (k *Keeper) Kill(pids []int) {
	k.signals.Lock()
	defer k.signals.Unlock()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Stop freezes the tree: nothing of the function runs between two invocations. It looks at wanted all along, because an
// invocation may begin meanwhile: who clears it calls Continue afterwards.
func (k *Keeper) Stop(wanted *atomic.Bool) {
	k.signals.Lock()
	defer k.signals.Unlock()
	known := make(map[int]bool, 8)
	for range stopPasses {
		news := false
		if !wanted.Load() {
			return
		}
		for _, pid := range k.census.descendants(k.self, false) {
			if !known[pid] && wanted.Load() && syscall.Kill(pid, syscall.SIGSTOP) == nil {
				known[pid], news = true, true
				k.stopped = append(k.stopped, pid)
			}
		}
		if !news {
			return
		}
	}
}

// Continue thaws the tree.
func (k *Keeper) Continue() {
	k.signals.Lock()
	defer k.signals.Unlock()
	for _, pid := range k.stopped {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	k.stopped = k.stopped[:0]
}

// Tree lists the living processes of the function.
func (k *Keeper) Tree() []int {
	k.signals.Lock()
	defer k.signals.Unlock()
	return append([]int(nil), k.census.descendants(k.self, false)...)
}

// census answers «who descends from init?» and remembers the answer for as long as the kernel has made no new process.
type census struct {
	lastPID int
	members []int
}

// descendants lists the living descendants of a process. Without fresh, a list that is still complete is used again.
func (c *census) descendants(of int, fresh bool) []int {
	last := lastPID()
	if !fresh && last != 0 && last == c.lastPID {
		return c.members
	}
	c.members = scan(of)
	c.lastPID = last
	return c.members
}

// lastPID is the number that the pid namespace gave out last; threads count too, which only costs a scan.
func lastPID() int {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	number, _ := strconv.Atoi(string(bytes.TrimSpace(text[bytes.LastIndexByte(text, ' ')+1:])))
	return number
}

func scan(of int) []int {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = directory.Close() }()
	names, _ := directory.Readdirnames(-1)
	parents := make(map[int]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == of {
			continue
		}
		if parent, alive := parentOf(name); alive {
			parents[pid] = parent
		}
	}
	members := make([]int, 0, 8)
	for pid := range parents {
		ancestor := parents[pid]
		for depth := 0; ancestor > 0 && ancestor != of && depth < len(parents); depth++ {
			ancestor = parents[ancestor]
		}
		if ancestor == of {
			members = append(members, pid)
		}
	}
	return members
}

// parentOf reads «pid (name) state ppid …»; the dead are not alive even while nobody has reaped them.
func parentOf(pid string) (parent int, alive bool) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	return parent, fields[0][0] != 'Z' && fields[0][0] != 'X'
}
