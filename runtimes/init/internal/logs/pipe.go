package logs

import (
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Pipe is the read end of the runtime's stdout and stderr. A goroutine empties it as it fills; Sync empties it at once,
// so that what was written before a call to the Runtime API belongs to that call's invocation.
type Pipe struct {
	read *os.File
	raw  syscall.RawConn
	to   Writer

	mu     sync.Mutex
	buffer []byte
}

// Writer takes what comes through a pipe, piece by piece, and learns that there will be no more.
type Writer interface {
	Output(data []byte)
	End()
}

const pipeBuffer = 32 << 10

// NewPipe makes a pipe; the caller gives the returned write end to the process and closes its own copy.
func NewPipe(to Writer) (*Pipe, *os.File, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	_ = syscall.SetNonblock(ends[0], true) // the write end stays blocking: it is the function's stdout
	read := os.NewFile(uintptr(ends[0]), "output")
	raw, err := read.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	p := &Pipe{read: read, raw: raw, to: to, buffer: make([]byte, pipeBuffer)}
	go p.run()
	return p, os.NewFile(uintptr(ends[1]), "output"), nil
}

// Again opens a pipe's write end once more. Whoever makes one of both non-blocking (Node.js its stdout) leaves the other as
// it is, which two copies of one descriptor would not.
func Again(write *os.File) (*os.File, error) {
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(write.Fd())), os.O_WRONLY|syscall.O_CLOEXEC, 0)
}

// run drains whenever there is something, until the last writer is gone or the pipe is closed.
func (p *Pipe) run() {
	_ = p.raw.Read(func(fd uintptr) bool { return p.drain(int(fd)) })
}

// Sync takes everything that has been written so far.
func (p *Pipe) Sync() {
	_ = p.raw.Control(func(fd uintptr) { p.drain(int(fd)) })
}

// Close takes the rest and gives the pipe up, whoever still holds its other end.
func (p *Pipe) Close() {
	p.Sync()
	_ = p.read.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to.End()
}

// drain reads until there is nothing more; true at the end of the file.
func (p *Pipe) drain(fd int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n, err := syscall.Read(fd, p.buffer)
		switch {
		case n > 0:
			p.to.Output(p.buffer[:n])
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}
