package process

import (
	"bytes"
	"os"
	"strconv"
)

// preferForKilling makes the kernel's OOM killer take the function and not init.
func preferForKilling(pid int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("1000"), 0)
}

// Where the kernel counts what its OOM killer has ended in this container: cgroup v2, cgroup v1.
var oomCounters = []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"}

// OutOfMemoryKills is that count; 0 when it cannot be known.
func OutOfMemoryKills() int {
	for _, path := range oomCounters {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(text) {
			if rest, found := bytes.CutPrefix(line, []byte("oom_kill ")); found {
				count, _ := strconv.Atoi(string(bytes.TrimSpace(rest)))
				return count
			}
		}
	}
	return 0
}

// Resident is the sum of the tree's resident memory in bytes; shared pages count once per process, so it may be too much.
func (k *Keeper) Resident() int64 {
	var pages int64
	for _, pid := range k.Tree() {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if err != nil {
			continue
		}
		if fields := bytes.Fields(text); len(fields) > 1 {
			resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			pages += resident
		}
	}
	return pages * int64(os.Getpagesize())
}

// Proportional is the tree's memory with shared pages divided among their users: exact, and dear to ask for.
func (k *Keeper) Proportional() int64 {
	var kilobytes int64
	for _, pid := range k.Tree() {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
		if err != nil {
			continue
		}
		for line := range bytes.Lines(text) {
			if rest, found := bytes.CutPrefix(line, []byte("Pss:")); found {
				value, _ := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
				kilobytes += value
			}
		}
	}
	return kilobytes << 10
}
