package telemetry

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSubscriptions has a row for each thing that a body can say (reference §g.3).
func TestSubscriptions(t *testing.T) {
	const destination = `"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:8080/x"}`
	for body, want := range map[string]string{
		`{"schemaVersion":"2022-12-13","types":["platform","function","extension"],` + destination + `}`: "",
		`{"schemaVersion":"2022-07-01","types":["platform"],` + destination + `}`:                        "",
		`{"schemaVersion":"2025-01-29","types":["platform"],"destination":{"protocol":"TCP","port":9}}`:  "",
		`{`: "Could not parse",
		`{"schemaVersion":"2020-01-01","types":["platform"],` + destination + `}`:                                          `Schema version "2020-01-01" is not supported`,
		`{"types":["platform"],` + destination + `}`:                                                                       `Schema version "" is not supported`,
		`{"schemaVersion":"2022-12-13","types":[],` + destination + `}`:                                                    "No types are named",
		`{"schemaVersion":"2022-12-13","types":["other"],` + destination + `}`:                                             `Type "other" is not supported`,
		`{"schemaVersion":"2022-12-13","types":["platform"]}`:                                                              "No destination is named",
		`{"schemaVersion":"2022-12-13","types":["platform"],"destination":{"protocol":"UDP"}}`:                             `Protocol "UDP" is not supported`,
		`{"schemaVersion":"2022-12-13","types":["platform"],"destination":{"protocol":"TCP","port":0}}`:                    "port must be between 1 and 65535",
		`{"schemaVersion":"2022-12-13","types":["platform"],"destination":{"protocol":"HTTP","URI":"http://elsewhere:1"}}`: "URI must be",
		`{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"maxItems":999},` + destination + `}`:             "maxItems must be between 1000 and 10000",
		`{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"maxBytes":1048577},` + destination + `}`:         "maxBytes must be between 262144 and 1048576",
		`{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"timeoutMs":24},` + destination + `}`:             "timeoutMs must be between 25 and 30000",
	} {
		s, problem := Parse(Telemetry, "e", []byte(body))
		switch {
		case want == "" && problem != nil, want != "" && (problem == nil || !strings.Contains(problem.Message, want)):
			t.Errorf("%s: %v", body, problem)
		case problem != nil && (problem.Status != 400 || problem.Type != "ValidationError"):
			t.Errorf("%s: %v", body, problem)
		case problem == nil && (s.MaxItems != 10_000 || s.MaxBytes != 262_144 || s.Timeout != time.Second):
			t.Errorf("%s: %+v", body, s)
		}
	}
	s, problem := Parse(Logs, "e", []byte(`{"types":["function"],"buffering":{"maxItems":1000,"maxBytes":262144,`+
		`"timeoutMs":25},`+destination+`}`))
	if problem != nil || s.Timeout != 25*time.Millisecond || s.MaxItems != 1000 || s.Address != "127.0.0.1:8080" {
		t.Error(s, problem)
	}
}

// listener is an extension's server.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	got    []map[string]any
	posts  int
	status int
	block  chan struct{}
}

func listen(t *testing.T) *listener {
	l := &listener{status: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.block != nil {
			<-l.block
		}
		var batch []map[string]any
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &batch); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.posts++
		if l.status == http.StatusOK {
			l.got = append(l.got, batch...)
		}
		w.WriteHeader(l.status)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) types() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.got {
		names = append(names, e["type"].(string))
	}
	return names
}

func (l *listener) subscription(api API, types ...string) *Subscription {
	return &Subscription{
		API: api, Name: "e", Types: types, MaxItems: 1000, MaxBytes: 262_144, Timeout: time.Hour, Protocol: "HTTP",
		URL: l.URL, Address: strings.TrimPrefix(l.URL, "http://"),
	}
}

func soon() time.Time { return time.Now().Add(5 * time.Second) }

func TestEventsReachThoseWhoWantThem(t *testing.T) {
	all, few, old := listen(t), listen(t), listen(t)
	h := NewHub()
	h.Emit("initStart", map[string]any{"phase": "init"})
	h.Log(Function, []byte("plain\n{\"a\":1}\n"), true)
	for _, s := range []*Subscription{
		all.subscription(Telemetry, Platform, Function, Extension), few.subscription(Telemetry, Extension),
		old.subscription(Logs, Platform),
	} {
		s.Name = s.URL
		if problem := h.Subscribe(s); problem != nil {
			t.Fatal(problem)
		}
	}
	h.Close()
	h.Emit("start", map[string]any{"requestId": "r"})
	h.Emit("end", map[string]any{"requestId": "r"})
	h.Log(Extension, []byte("{\"a\":1}\nof mine\n"), false)
	h.Flush(soon())
	if got := fmt.Sprint(all.types()); got != "[platform.initStart function function platform.start extension extension]" {
		t.Error(got)
	}
	if got := fmt.Sprint(few.types()); got != "[extension extension]" {
		t.Error(got)
	}
	if got := fmt.Sprint(old.types()); got != "[platform.start platform.end]" {
		t.Error(got)
	}
	records := fmt.Sprintf("%v %v %v", all.got[1]["record"], all.got[2]["record"], all.got[4]["record"])
	if got := records; got != "plain map[a:1] {\"a\":1}" {
		t.Error(got)
	}
	problem := h.Subscribe(all.subscription(Telemetry, Platform))
	if problem == nil || problem.Status != 403 || problem.Type != "Telemetry.SubscriptionClosed" {
		t.Error(problem)
	}
	h.Stop()
}

func TestABufferIsSentWhenItIsFullOrItsTimeIsOver(t *testing.T) {
	l := listen(t)
	h := NewHub()
	s := l.subscription(Telemetry, Function)
	_ = h.Subscribe(s)
	for n := range 1000 {
		h.Log(Function, fmt.Appendf(nil, "%d\n", n), false)
	}
	eventually(t, func() bool { return len(l.types()) == 1000 })
	if l.posts != 1 {
		t.Error(l.posts)
	}
	h.Log(Function, append([]byte(strings.Repeat("x", 262_144)), '\n'), false)
	eventually(t, func() bool { return len(l.types()) == 1001 })
	h.Stop()
	h = NewHub()
	s.Timeout = 25 * time.Millisecond
	_ = h.Subscribe(s)
	h.Log(Function, []byte("alone\n"), false)
	eventually(t, func() bool { return len(l.types()) == 1002 })
	h.Stop()
}

func TestASlowSubscriberLosesEventsAndHearsOfIt(t *testing.T) {
	l := listen(t)
	l.block = make(chan struct{})
	h := NewHub()
	_ = h.Subscribe(l.subscription(Telemetry, Platform, Function))
	const sent = 6000
	for n := range sent {
		h.Log(Function, fmt.Appendf(nil, "%d\n", n), false)
	}
	close(l.block)
	h.Flush(soon())
	dropped := 0.0
	for _, e := range l.got {
		if e["type"] == "platform.logsDropped" {
			record := e["record"].(map[string]any)
			dropped += record["droppedRecords"].(float64)
			if record["droppedBytes"].(float64) <= 0 || record["reason"] == "" {
				t.Error(record)
			}
		}
	}
	if arrived := len(l.got) - 1; dropped == 0 || float64(arrived)+dropped != sent {
		t.Error(arrived, dropped)
	}
	h.Stop()
}

func TestADeliveryThatFailsIsLost(t *testing.T) {
	l := listen(t)
	l.status = http.StatusInternalServerError
	h := NewHub()
	_ = h.Subscribe(l.subscription(Telemetry, Platform, Function))
	h.Log(Function, []byte("lost\n"), false)
	h.Flush(soon())
	l.mu.Lock()
	l.status = http.StatusOK
	l.mu.Unlock()
	h.Log(Function, []byte("found\n"), false)
	h.Flush(soon())
	if got := fmt.Sprint(l.types()); got != "[function platform.logsDropped]" || l.got[0]["record"] != "found" {
		t.Error(got)
	}
	h.Stop()
}

func TestASecondSubscriptionReplacesTheFirst(t *testing.T) {
	first, second := listen(t), listen(t)
	h := NewHub()
	_ = h.Subscribe(first.subscription(Telemetry, Function))
	_ = h.Subscribe(second.subscription(Telemetry, Function))
	h.Log(Function, []byte("x\n"), false)
	h.Flush(soon())
	if len(first.types()) != 0 || len(second.types()) != 1 {
		t.Error(first.types(), second.types())
	}
	h.Stop()
}

func TestLinesOverTCP(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	lines := make(chan string, 4)
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		for scanner := bufio.NewScanner(conn); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	h := NewHub()
	_ = h.Subscribe(&Subscription{
		API: Telemetry, Types: []string{Function}, MaxItems: 1000, MaxBytes: 262_144, Timeout: time.Hour, Protocol: "TCP",
		Address: server.Addr().String(),
	})
	h.Log(Function, []byte("one\ntwo\n"), false)
	h.Flush(soon())
	for _, want := range []string{`"record":"one"}`, `"record":"two"}`} {
		if line := <-lines; !strings.HasSuffix(line, want) {
			t.Error(line)
		}
	}
	h.Stop()
}

func TestWithoutExtensionsNothingHappens(t *testing.T) {
	var h *Hub
	h.Emit("start", nil)
	h.Log(Function, []byte("x"), false)
	h.Close()
	h.Flush(soon())
	h.Stop()
	if problem := h.Subscribe(&Subscription{API: Logs}); problem == nil || problem.Type != "Logs.SubscriptionClosed" {
		t.Error(problem)
	}
}

func eventually(t *testing.T, holds func() bool) {
	for range 500 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never")
}
