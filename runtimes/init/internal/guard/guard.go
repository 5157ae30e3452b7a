// Package guard keeps the function away from init: its memory, its signals and the files that must not change.
//
// Own does what holds for init itself, Confine what holds for the thread that starts the function. Both work without
// privileges; what the kernel does not have is left out (Landlock before Linux 5.13, signal scoping before 6.12).
package guard

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	prSetDumpable       = 4
	prSetNoNewPrivs     = 38
	prSetChildSubreaper = 36
	// OpenFiles is Lambda's limit of file descriptors; init needs far fewer.
	OpenFiles = 1024
)

// Own makes init unreadable to processes of the same user (no ptrace, no /proc/1/mem, no /proc/1/environ), the parent of
// every orphan, and sets the limits that its children inherit.
func Own() {
	prctl(prSetDumpable, 0)
	prctl(prSetChildSubreaper, 1)
	syscall.Umask(0o022)
	limit := syscall.Rlimit{Cur: OpenFiles, Max: OpenFiles}
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	none := syscall.Rlimit{}
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &none)
}

// Devices are what every program may write to besides. /dev/shm is not among them: Lambda has none, and what lies there
// would outlive the environment.
var Devices = []string{
	"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
}

// Confine binds the calling thread, and every process it starts, to write nowhere but beneath the writable paths, and to
// signal and trace nothing outside. The thread can never be freed of it: lock a goroutine to it and let both end.
// It answers false when the kernel has no Landlock.
func Confine(writable []string) bool {
	prctl(prSetNoNewPrivs, 1)
	version, _, failure := syscall.Syscall(sysLandlockCreate, 0, 0, landlockVersion)
	if failure != 0 {
		return false
	}
	rules := landlockRuleset{files: writeRights(int(version))}
	if version >= 6 {
		rules.scoped = scopeSignal
	}
	set, _, failure := syscall.Syscall(sysLandlockCreate, uintptr(unsafe.Pointer(&rules)), rulesetSize(int(version)), 0)
	if failure != 0 {
		return false
	}
	defer func() { _ = syscall.Close(int(set)) }()
	for _, path := range writable {
		allow(int(set), path, rules.files)
	}
	_, _, failure = syscall.Syscall(sysLandlockRestrict, set, 0, 0)
	return failure == 0
}

const (
	sysLandlockCreate   = 444
	sysLandlockAddRule  = 445
	sysLandlockRestrict = 446
	landlockVersion     = 1
	rulePathBeneath     = 1
	scopeSignal         = 1 << 1
	oPath               = 0x200000
)

type landlockRuleset struct {
	files, network, scoped uint64
}

// rulesetSize is how much of the structure the kernel knows: unknown tails that are not zero would be refused.
func rulesetSize(version int) uintptr {
	switch {
	case version >= 6:
		return 24
	case version >= 4:
		return 16
	default:
		return 8
	}
}

// fileRights are those that a single file can have: writing, truncating.
const fileRights = 1<<1 | 1<<14

// writeRights are the rights that change files or directories, as far as the kernel's Landlock version has them.
func writeRights(version int) uint64 {
	const writeFile, removeDir, removeFile = 1 << 1, 1 << 4, 1 << 5
	const makeAny = 1<<6 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12 // char, dir, regular, socket, fifo, block, symlink
	const refer, truncate = 1 << 13, 1 << 14
	rights := uint64(writeFile | removeDir | removeFile | makeAny)
	if version >= 2 {
		rights |= refer
	}
	if version >= 3 {
		rights |= truncate
	}
	return rights
}

func allow(set int, path string, rights uint64) {
	place, err := syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer func() { _ = syscall.Close(place) }()
	var about syscall.Stat_t
	if syscall.Fstat(place, &about) != nil {
		return
	}
	if about.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		rights &= fileRights // others make no sense for a file, and are refused
	}
	// struct landlock_path_beneath_attr is packed: u64 rights, s32 directory.
	var rule [12]byte
	*(*uint64)(unsafe.Pointer(&rule[0])) = rights
	*(*int32)(unsafe.Pointer(&rule[8])) = int32(place)
	_, _, _ = syscall.Syscall6(sysLandlockAddRule, uintptr(set), rulePathBeneath, uintptr(unsafe.Pointer(&rule[0])), 0, 0, 0)
}

// Erase overwrites the environment where exec put it. Go has its own copies of the strings, which os.Unsetenv drops; but
// the first ones would stay readable in /proc/1/environ for whoever may look there. Call it before Own: afterwards init
// itself may not.
func Erase() {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < envEnd {
		return
	}
	start, _ := strconv.ParseUint(string(fields[envStart-1]), 10, 64)
	end, _ := strconv.ParseUint(string(fields[envEnd-1]), 10, 64)
	if start == 0 || end <= start {
		return
	}
	address := uintptr(start)
	clear(unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), end-start))
}

// Places of env_start and env_end in /proc/self/stat (proc(5): 50 and 51), counted after the process' name.
const (
	envStart = 50 - 2
	envEnd   = 51 - 2
)

func prctl(option, argument uintptr) {
	_, _, _ = syscall.Syscall6(syscall.SYS_PRCTL, option, argument, 0, 0, 0, 0)
}
