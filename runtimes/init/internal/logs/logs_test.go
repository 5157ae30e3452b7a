package logs

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// Output implements Writer.
func (b *safeBuffer) Output(p []byte) { _, _ = b.Write(p) }

// End implements Writer.
func (b *safeBuffer) End() {}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestLinesKeepTheirOrderAndTheirWholeness(t *testing.T) {
	var out safeBuffer
	sink := NewSink(&out)
	stream := NewStream(sink)
	stream.Line("START")
	stream.Output([]byte("one\ntw"))
	stream.Output([]byte("o\nthree"))
	stream.Line("END")
	stream.Output([]byte("late\n"))
	sink.Flush()
	if want := "START\none\ntwo\nthree\nEND\nlate\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// begin opens an invocation as the instance does.
func begin(stream *Stream, line string) {
	stream.Open()
	stream.LineLazily(line)
}

// TestLevels: reference §g.5, application lines are filtered when they are JSON with a level.
func TestLevels(t *testing.T) {
	for _, c := range []struct {
		format, level, line string
		kept                bool
	}{
		{"JSON", "WARN", `{"level":"INFO","message":"x"}`, false},
		{"JSON", "WARN", `{"level":"info"}`, false},
		{"JSON", "WARN", `{"level":"WARN"}`, true},
		{"JSON", "WARN", `{"level":"FATAL"}`, true},
		{"JSON", "WARN", `{"level":"WARNING"}`, true},
		{"JSON", "ERROR", `{"level":"WARNING"}`, false},
		{"JSON", "FATAL", `{"level":"CRITICAL"}`, true},
		{"JSON", "WARN", `{"level":"loud"}`, false},
		{"JSON", "WARN", `{"level":7}`, false},
		{"JSON", "INFO", `{"message":"without"}`, true},
		{"JSON", "WARN", `{"message":"x"}`, false},
		{"JSON", "WARN", "text", true},
		{"JSON", "WARN", "{text", true},
		{"JSON", "TRACE", `{"level":"TRACE"}`, true},
		{"JSON", "", `{"level":"TRACE"}`, true},
		{"Text", "FATAL", `{"level":"TRACE"}`, true},
	} {
		var out safeBuffer
		sink := NewSink(&out)
		stream := NewStream(sink)
		stream.Keep(LevelFilter(c.format, c.level))
		stream.Output([]byte("before\n" + c.line + "\nafter\n"))
		sink.Flush()
		want := "before\nafter\n"
		if c.kept {
			want = "before\n" + c.line + "\nafter\n"
		}
		if out.String() != want {
			t.Errorf("%+v: %q", c, out.String())
		}
	}
}

func TestATapSeesWholeLinesAndWhoseTheyAre(t *testing.T) {
	stream := NewStream(NewSink(io.Discard))
	var seen []string
	stream.Watch(func(said Said) { seen = append(seen, fmt.Sprintf("%s %v", said.Text, said.Extension)) })
	stream.Keep(func([]byte) bool { return false })
	stream.Output([]byte("one\ntw"))
	other := stream.Source()
	other.Output([]byte("the"))
	other.Output([]byte("irs\nrest"))
	stream.Line("END")
	if got := strings.Join(seen, "|"); got != "one\n false|tw\n false|theirs\n true" {
		t.Errorf("%q", got)
	}
}

func TestTheTailIsOfOneInvocation(t *testing.T) {
	stream := NewStream(NewSink(io.Discard))
	stream.Output([]byte("before\nunfinished"))
	begin(stream, "START")
	for n := range 2000 {
		stream.Output(fmt.Appendf(nil, "line %d\n", n))
	}
	stream.Line("END")
	tail := stream.Tail()
	stream.Line("between")
	if len(tail) != TailBytes || !strings.HasSuffix(string(tail), "line 1999\nEND\n") {
		t.Errorf("%d %q", len(tail), tail[len(tail)-30:])
	}
	begin(stream, "")
	stream.Output(bytes.Repeat([]byte("x"), 3*longestLine))
	stream.Line("END")
	if tail := stream.Tail(); len(tail) != TailBytes || !strings.HasSuffix(string(tail), "xx\nEND\n") &&
		!strings.HasSuffix(string(tail), "xxEND\n") {
		t.Errorf("%q", tail[len(tail)-20:])
	}
	begin(stream, "START")
	stream.Line("short")
	if tail := stream.Tail(); string(tail) != "START\nshort\n" {
		t.Errorf("%q", tail)
	}
}

func TestALazyLineLeavesByItself(t *testing.T) {
	read, write := io.Pipe()
	stream := NewStream(NewSink(write))
	for range 3 {
		begin(stream, "START")
		line := make([]byte, 6)
		if _, err := io.ReadFull(read, line); err != nil || string(line) != "START\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
}

// stuck is a reader of the pod's stdout that reads nothing until it is let.
type stuck struct {
	release chan struct{}
	safeBuffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	return s.safeBuffer.Write(p)
}

func TestAStuckReaderCostsLinesAndNothingElse(t *testing.T) {
	out := &stuck{release: make(chan struct{})}
	sink := NewSink(out)
	const sent = 3 * QueueLines
	for n := range sent {
		sink.Write(fmt.Appendf(nil, "%d\n", n))
	}
	close(out.release)
	sink.Flush()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	kept, dropped := 0, 0
	for _, line := range lines {
		var count int
		if n, _ := fmt.Sscanf(line, "LOGS_DROPPED Lines: %d", &count); n == 1 {
			dropped += count
		} else {
			kept++
		}
	}
	if kept+dropped != sent || kept < QueueLines || kept > 2*QueueLines {
		t.Errorf("%d kept, %d dropped of %d", kept, dropped, sent)
	}
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	out := &stuck{release: make(chan struct{})}
	sink := NewSink(out)
	line := append(bytes.Repeat([]byte("x"), 1<<20), '\n')
	for range 50 {
		sink.Write(line)
	}
	if len(sink.pending) > QueueBytes {
		t.Error(len(sink.pending))
	}
	close(out.release)
	sink.Flush()
}

func TestThePipeIsEmptyAfterSync(t *testing.T) {
	var got safeBuffer
	pipe, write, err := NewPipe(&got)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 500 {
		text := fmt.Sprintf("line %d\n", n)
		_, _ = write.WriteString(text)
		pipe.Sync()
		if !strings.HasSuffix(got.String(), text) {
			t.Fatalf("%d is missing", n)
		}
	}
	_, _ = write.WriteString("last")
	pipe.Close()
	if !strings.HasSuffix(got.String(), "last") {
		t.Error("close takes the rest")
	}
	pipe.Sync()
	_ = write.Close()
}

func TestTexts(t *testing.T) {
	now := time.Date(2024, 5, 6, 10, 0, 3, 123456789, time.UTC)
	for got, want := range map[string]string{
		Text{}.Start(now, "r", "$LATEST"):       "START RequestId: r Version: $LATEST",
		Text{}.End("r"):                         "END RequestId: r",
		Text{}.Timeout(now, "r", 3*time.Second): "2024-05-06T10:00:03.123Z r Task timed out after 3.00 seconds\n",
		Text{}.Exit("r", "Runtime exited with error: exit status 1", "Runtime.ExitError"): "RequestId: r Error: Runtime exited " +
			"with error: exit status 1\nRuntime.ExitError",
		text(Report{
			Request: "r", Duration: 12345 * time.Microsecond, BilledMs: 13, MemoryMB: 128, UsedMB: 35,
			Init: 102020 * time.Microsecond,
		}): "REPORT RequestId: r\tDuration: 12.35 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\t" +
			"Max Memory Used: 35 MB\tInit Duration: 102.02 ms\t",
		text(Report{
			Request: "r", Duration: 3 * time.Second, BilledMs: 3000, MemoryMB: 128, UsedMB: 35, Status: "timeout",
		}): "REPORT RequestId: r\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\t" +
			"Max Memory Used: 35 MB\tStatus: timeout",
		text(Report{
			Request: "r", BilledMs: 0, MemoryMB: 128, Status: "error", ErrorType: "Runtime.ExitError",
			Phases: Phases(Phase{"dial", 2140 * time.Microsecond}, Phase{"fetch", 0}),
		}): "REPORT RequestId: r\tDuration: 0.00 ms\tBilled Duration: 0 ms\tMemory Size: 128 MB\t" +
			"Max Memory Used: 0 MB\tStatus: error\tError Type: Runtime.ExitError\tPhases: dial 2.1 ms, fetch 0.0 ms\t",
		Text{}.InitReport(now, InitReport{Took: 10003210 * time.Microsecond, Phase: "init", Status: "timeout"}): "INIT_REPORT Init Duration: 10003.21 ms\t" +
			"Phase: init\tStatus: timeout",
	} {
		if got != want {
			t.Errorf("\n got %q\nwant %q", got, want)
		}
	}
}

func text(r Report) string { return Text{}.Report(time.Time{}, r) }

func TestObjects(t *testing.T) {
	now := time.Date(2024, 5, 6, 10, 0, 3, 123456789, time.UTC)
	report := Report{
		Request: "r", Duration: 1500 * time.Microsecond, BilledMs: 2, MemoryMB: 128, UsedMB: 35, Init: time.Second, Produced: 3,
	}
	broken := Report{Request: "r", Status: "timeout", ErrorType: "Sandbox.Timedout"}
	started := InitReport{Took: time.Second, Initialization: "on-demand", Phase: "init", Status: Success}
	debug, info, warn := FormatFor("JSON", "DEBUG"), FormatFor("JSON", ""), FormatFor("JSON", "WARN")
	const at = `{"time":"2024-05-06T10:00:03.123Z","type":"platform.`
	for got, want := range map[string]string{
		debug.Start(now, "r", "7"): at + `start","record":{"requestId":"r","version":"7"}}`,
		debug.RuntimeDone(now, report): at + `runtimeDone","record":{"metrics":{"durationMs":1.5,"producedBytes":3},` +
			`"requestId":"r","status":"success"}}`,
		info.Report(now, report): at + `report","record":{"metrics":{"billedDurationMs":2,"durationMs":1.5,` +
			`"initDurationMs":1000,"maxMemoryUsedMB":35,"memorySizeMB":128},"requestId":"r","status":"success"}}`,
		warn.RuntimeDone(now, broken): at + `runtimeDone","record":{"errorType":"Sandbox.Timedout",` +
			`"metrics":{"durationMs":0,"producedBytes":0},"requestId":"r","status":"timeout"}}`,
		warn.InitReport(now, InitReport{
			Took: time.Second, Initialization: "on-demand", Phase: "init", Status: "error", ErrorType: "Runtime.ExitError",
		}): at +
			`initReport","record":{"errorType":"Runtime.ExitError","initializationType":"on-demand","metrics":{"durationMs":1000},` +
			`"phase":"init","status":"error"}}`,
		debug.InitRuntimeDone(now, started): at +
			`initRuntimeDone","record":{"initializationType":"on-demand","phase":"init","status":"success"}}`,
		debug.InitReport(now, started): at + `initReport","record":{"initializationType":"on-demand",` +
			`"metrics":{"durationMs":1000},"phase":"init","status":"success"}}`,
	} {
		if got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	extension := Extension{Name: "e", State: "Ready", Events: []string{"INVOKE", "SHUTDOWN"}}
	subscription := Subscription{API: "Telemetry", Name: "e", Types: []string{"platform", "function"}}
	for got, want := range map[string]string{
		Text{}.Extension(now, extension): "EXTENSION\tName: e\tState: Ready\tEvents: [INVOKE, SHUTDOWN]",
		Text{}.Extension(now, Extension{Name: "e", State: "Exited", ErrorType: "Extension.Crash"}): "EXTENSION\tName: e\t" +
			"State: Exited\tEvents: []\tError Type: Extension.Crash",
		Text{}.Subscription(now, subscription): "TELEMETRY\tName: e\tState: Subscribed\tTypes: [Platform, Function]",
		info.Extension(now, extension):         at + `extension","record":{"events":["INVOKE","SHUTDOWN"],"name":"e","state":"Ready"}}`,
		info.Subscription(now, subscription): at + `telemetrySubscription","record":{"name":"e","state":"Subscribed",` +
			`"types":["platform","function"]}}`,
	} {
		if got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	spanned := Report{Request: "r", Trace: "Root=1", Spans: []Span{{"responseLatency", now, 1500 * time.Microsecond}}}
	if got := debug.RuntimeDone(now, spanned); got != at+`runtimeDone","record":{"metrics":{"durationMs":0,"producedBytes":0},`+
		`"requestId":"r","spans":[{"durationMs":1.5,"name":"responseLatency","start":"2024-05-06T10:00:03.123Z"}],`+
		`"status":"success","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}}` {
		t.Error(got)
	}
	for _, silent := range []string{
		info.Start(now, "r", "7"), info.RuntimeDone(now, report), warn.Report(now, report), debug.End("r"),
		debug.Exit("r", "x", "y"), debug.Timeout(now, "r", time.Second), warn.InitStart(now, Environment{Runtime: "python3.13"}),
		Text{}.RuntimeDone(now, report), Text{}.InitRuntimeDone(now, started), Text{}.InitReport(now, started),
		info.InitRuntimeDone(now, started), info.InitReport(now, started),
	} {
		if silent != "" {
			t.Error(silent)
		}
	}
}
