package process

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"klambda.io/init/internal/guard"
)

// start runs a shell script in a tree of its own and returns what its end will say.
func start(t *testing.T, k *Keeper, script string) (pid int, ended chan string) {
	t.Helper()
	devnull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = devnull.Close() }()
	ended = make(chan string, 1)
	pid, err = k.Start(Command{
		Path: "/bin/sh", Arguments: []string{"sh", "-c", script}, Environment: []string{"PATH=/usr/bin:/bin"},
		Directory: "/", Output: devnull, Writable: []string{"/dev"},
	}, func(e Exit) { ended <- Reason(e.Status) })
	if err != nil {
		t.Fatal(err)
	}
	return pid, ended
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// One keeper for all tests: it reaps every child of the process.
var keeper = func() *Keeper {
	guard.Own() // orphans come back to a subreaper
	return NewKeeper()
}()

func TestOneMoreDescriptor(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	_, err = keeper.Start(Command{
		Path: "/bin/bash", Arguments: []string{"bash", "-c", "echo one; echo two >&62; ls /proc/$$/fd | sort -n | xargs"},
		Environment: []string{"PATH=/usr/bin:/bin"}, Directory: "/", Output: write, Records: write, RecordsAt: 62,
	}, func(e Exit) { ended <- Reason(e.Status) })
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(read)
	<-ended
	if !strings.HasPrefix(string(text), "one\ntwo\n0 1 2 62") { // the shell may open more, higher up
		t.Errorf("%q", text)
	}
}

func TestReasons(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0":        "Runtime exited without providing a reason",
		"exit 7":        "Runtime exited with error: exit status 7",
		"kill -9 $$":    "Runtime exited with error: signal: killed",
		"kill -SEGV $$": "Runtime exited with error: signal: segmentation fault",
	} {
		_, ended := start(t, keeper, script)
		if got := <-ended; got != want {
			t.Errorf("%s: %q", script, got)
		}
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	devnull, _ := os.Open(os.DevNull)
	defer func() { _ = devnull.Close() }()
	for _, path := range []string{"/nowhere", "/etc/passwd"} {
		_, err := keeper.Start(Command{Path: path, Arguments: []string{path}, Directory: "/", Output: devnull}, nil)
		if err == nil {
			t.Error(path)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	var waiting []chan string
	for range 50 {
		_, ended := start(t, keeper, "exit 3")
		waiting = append(waiting, ended)
	}
	for _, ended := range waiting {
		if got := <-ended; got != "Runtime exited with error: exit status 3" {
			t.Fatal(got)
		}
	}
}

func TestTheTreeIsStoppedContinuedAndKilled(t *testing.T) {
	pid, ended := start(t, keeper, "sleep 100 & setsid sleep 100 & wait")
	within(t, "three processes", func() bool { return len(keeper.census.descendants(keeper.self, true)) == 3 })
	if !slices.Contains(keeper.Tree(), pid) {
		t.Error("the process itself belongs to its tree")
	}
	if keeper.Resident() == 0 || keeper.Proportional() == 0 || keeper.Proportional() > keeper.Resident() {
		t.Error(keeper.Resident(), keeper.Proportional())
	}
	var wanted atomic.Bool
	keeper.Stop(&wanted)
	if len(keeper.stopped) != 0 {
		t.Error("stopped though nobody wants it")
	}
	wanted.Store(true)
	keeper.Stop(&wanted)
	within(t, "all are stopped", func() bool { return inState('T') == 3 })
	keeper.Continue()
	within(t, "all go on", func() bool { return inState('T') == 0 })
	keeper.Stop(&wanted)
	keeper.KillTree()
	if left := keeper.census.descendants(keeper.self, true); len(left) != 0 {
		t.Error(left)
	}
	if got := <-ended; got != "Runtime exited with error: signal: killed" {
		t.Error(got)
	}
}

func inState(state byte) (count int) {
	for _, pid := range keeper.census.descendants(keeper.self, true) {
		text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		for n := range text {
			if text[n] == ')' && text[n+2] == state {
				count++
			}
		}
	}
	return count
}

func TestTheFunctionIsTheOneToBeKilled(t *testing.T) {
	pid, ended := start(t, keeper, "sleep 100")
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj")
	if err != nil || string(text) != "1000\n" {
		t.Error(string(text), err)
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	if got := <-ended; got != "Runtime exited with error: signal: terminated" {
		t.Error(got)
	}
}

func TestWhatTheKernelsOOMKillerHasDone(t *testing.T) {
	before := oomCounters
	defer func() { oomCounters = before }()
	folder := t.TempDir()
	for text, want := range map[string]int{
		"low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 0\n": 3, // cgroup v2
		"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n":                1, // cgroup v1
		"nothing like it\n": 0,
	} {
		path := folder + "/" + strconv.Itoa(want)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		oomCounters = []string{folder + "/not there", path}
		if got := OutOfMemoryKills(); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	oomCounters = nil
	if got := OutOfMemoryKills(); got != 0 {
		t.Error(got)
	}
}
