package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/peer"
)

// What init adds to a warm invocation (issue 5: 0.3 ms at p50): the time from an invoke frame on the gateway's socket to
// the answer's, less that of a bare loop, a server that does nothing but /next and /response, with the same runtime. Both
// take turns in one run. The runtime is this test's own program; `make bench-init` runs it.

const (
	runtimeVariable = "BENCH_RUNTIME"
	token           = "token"
	rounds          = 5
)

func TestMain(m *testing.M) {
	if os.Getenv(runtimeVariable) != "" {
		if err := beRuntime(os.Getenv("AWS_LAMBDA_RUNTIME_API")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// beRuntime echoes events until the API is gone.
func beRuntime(api string) error {
	base := "http://" + api + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(base + "next")
		if err != nil {
			return err
		}
		event, err := io.ReadAll(next.Body)
		_ = next.Body.Close()
		if err != nil {
			return err
		}
		request := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		done, err := http.Post(base+request+"/response", "application/json", bytes.NewReader(event))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, done.Body)
		_ = done.Body.Close()
	}
}

// loop runs one invocation and returns how long the answer took.
type loop func(event []byte) time.Duration

// bare is the loop without init.
func bare(b *testing.B) loop {
	b.Helper()
	events, answers, back := make(chan []byte), make(chan time.Time), make(chan bool, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		back <- true
		select {
		case event := <-events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "r")
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/r/response", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answers <- time.Now()
		w.WriteHeader(http.StatusAccepted)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	runtime := exec.Command(os.Args[0])
	runtime.Env = []string{runtimeVariable + "=1", "AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}
	start(b, runtime)
	b.Cleanup(func() { _ = server.Close() })
	return func(event []byte) time.Duration {
		<-back
		began := time.Now()
		events <- event
		return (<-answers).Sub(began)
	}
}

func start(b *testing.B, program *exec.Cmd) {
	b.Helper()
	if err := program.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	})
}

// gateway is a gateway's side of one connection.
type gateway struct {
	b      *testing.B
	socket net.Conn
	frames *frame.Reader
	number int
}

// through is the loop with init, a container image's whose command is this program; and init's pid.
func through(b *testing.B) (loop, int) {
	b.Helper()
	folder := b.TempDir()
	binary := filepath.Join(folder, "init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatal(string(text))
	}
	for _, name := range []string{"var/task", "opt", "tmp"} {
		_ = os.MkdirAll(filepath.Join(folder, name), 0o755)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	program := exec.Command(binary)
	program.Env = []string{
		"KLAMBDA_GATEWAYS=" + listener.Addr().String(), "KLAMBDA_TOKEN=" + token, "KLAMBDA_POD_UID=u", "KLAMBDA_POD_NAME=p",
		"KLAMBDA_NAMESPACE=n", "KLAMBDA_ROOT=" + folder, "KLAMBDA_API_PORT=0",
	}
	start(b, program)
	socket, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = socket.Close() })
	g := &gateway{b: b, socket: socket, frames: frame.NewReader(bufio.NewReader(socket))}
	g.greet()
	g.assign()
	return g.invoke, program.Process.Pid
}

func (g *gateway) send(kind frame.Type, header any, body []byte) {
	head, err := frame.Encode(kind, header, len(body))
	if err == nil {
		_, err = g.socket.Write(append(head, body...))
	}
	if err != nil {
		g.b.Fatal(err)
	}
}

// await skips to the next frame of a type.
func (g *gateway) await(kind frame.Type) frame.Frame {
	for {
		f, err := g.frames.Next()
		if err != nil {
			g.b.Fatal(err)
		}
		if f.Type == frame.Refused || f.Type == frame.Failed {
			g.b.Fatalf("%s", f.Header)
		}
		if f.Type == kind {
			return f
		}
	}
}

func (g *gateway) greet() {
	var hello frame.HelloHeader
	_ = json.Unmarshal(g.await(frame.Hello).Header, &hello)
	nonce := peer.Nonce()
	proof := peer.MAC(token, "gateway", hello.Nonce, nonce, hello.PodUID, hello.Boot)
	g.send(frame.Challenge, frame.ChallengeHeader{Version: frame.Version, Gateway: "g", Nonce: nonce, MAC: proof}, nil)
	g.await(frame.Proof)
}

func (g *gateway) assign() {
	assignment, _ := json.Marshal(map[string]any{
		"digest": "d", "functionName": "f", "functionArn": "arn", "version": "$LATEST", "accountId": "1",
		"region": "us-east-1", "memorySize": 128, "timeout": 30, "logGroup": "g", "logFormat": "Text",
		"environment": map[string]string{runtimeVariable: "1"},
		"image":       map[string]any{"command": []string{os.Args[0]}, "workingDirectory": "/"},
	})
	g.send(frame.Assign, frame.AssignHeader{Assignment: assignment, InitializationType: "on-demand"}, nil)
	g.await(frame.Assigned)
}

func (g *gateway) invoke(event []byte) time.Duration {
	g.number++
	header := frame.InvokeHeader{
		Attempt: strconv.Itoa(g.number), RequestID: "00000000-0000-4000-8000-000000000000", FunctionARN: "arn",
		Mode: frame.Buffered, Remaining: 60_000, Size: len(event), Validated: true,
	}
	began := time.Now()
	g.send(frame.Invoke, header, event)
	g.await(frame.Head)
	took := time.Since(began)
	g.await(frame.End)
	return took
}

// BenchmarkWarm measures in rounds that take turns; pauses let init freeze the function between two invocations. Then it
// runs b.N invocations and tells init's memory before and after.
func BenchmarkWarm(b *testing.B) {
	with, pid := through(b)
	event := []byte(`{"length":6,"width":7}`)
	if b.N == 1 { // the first of the benchmark's two calls
		compare(b, bare(b), with, event)
		return
	}
	with(event)
	time.Sleep(time.Second) // frozen, buffers given back
	b.Logf("init idle: %s", resident(pid))
	for range b.N {
		with(event)
	}
	b.Logf("init after %d invocations: %s", b.N, resident(pid))
}

func compare(b *testing.B, plain, with loop, event []byte) {
	b.Helper()
	_, _ = plain(event), with(event) // both have started
	for _, c := range []struct {
		name  string
		pause time.Duration
		count int
	}{{"at once", 0, 2000}, {"every 20 ms", 20 * time.Millisecond, 100}} {
		var alone, added []time.Duration
		for range rounds {
			one, other := median(plain, event, c.count, c.pause), median(with, event, c.count, c.pause)
			alone, added = append(alone, one), append(added, other-one)
		}
		slices.Sort(alone)
		slices.Sort(added)
		b.Logf("%s: a bare loop takes %v at p50, init adds %v", c.name, alone[rounds/2], added[rounds/2])
	}
}

func median(run loop, event []byte, count int, pause time.Duration) time.Duration {
	times := make([]time.Duration, count)
	for n := range times {
		time.Sleep(pause)
		times[n] = run(event)
	}
	slices.Sort(times)
	return times[count/2]
}

// resident is the kernel's word for a process' memory.
func resident(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS:") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return "gone"
}
