package extensions

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func crew(names ...string) *Crew {
	n := 0
	return NewCrew(names, func() string {
		n++
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	})
}

func problem(p *Problem) string {
	if p == nil {
		return ""
	}
	return p.Type + ": " + p.Message
}

// TestRegistering has a row for each answer (reference §g.2).
func TestRegistering(t *testing.T) {
	full := make([]string, MaxExtensions)
	for n := range full {
		full[n] = fmt.Sprint("e", n)
	}
	for name, c := range map[string]struct {
		names    []string
		closed   bool
		register string
		events   []string
		want     string
	}{
		"external":             {[]string{"e"}, false, "e", []string{Invoke, Shutdown}, ""},
		"external, no events":  {[]string{"e"}, false, "e", nil, ""},
		"external, late":       {[]string{"e"}, true, "e", nil, ""},
		"internal":             {nil, false, "i", []string{Invoke}, ""},
		"no name":              {nil, false, "", nil, "Extension.InvalidExtensionName: Empty extension name"},
		"unknown event":        {[]string{"e"}, false, "e", []string{"OTHER"}, "Extension.InvalidEventType: OTHER: ErrEventNotSupported"},
		"internal at shutdown": {nil, false, "i", []string{Shutdown}, "Extension.InvalidEventType: SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"},
		"internal, late":       {nil, true, "i", nil, "Extension.RegistrationClosed: Extension registration closed already"},
		"the eleventh":         {full, false, "i", nil, "Extension.TooManyExtensions: Extension limit (10) reached"},
	} {
		c0 := crew(c.names...)
		if c.closed {
			c0.Close()
		}
		agent, found := c0.Register(c.register, c.events)
		if problem(found) != c.want {
			t.Errorf("%s: %s", name, problem(found))
		}
		if found == nil && (agent.State != Registered || agent.External != (c.names != nil) || agent.Name != c.register) {
			t.Errorf("%s: %+v", name, agent)
		}
	}
	twice := crew("e")
	_, _ = twice.Register("e", nil)
	_, again := twice.Register("e", nil)
	if !strings.HasPrefix(problem(again), "Extension.InvalidExtensionState: State transition from Registered to Registered failed for extension 0") {
		t.Error(problem(again))
	}
}

func TestIdentifiers(t *testing.T) {
	c := crew("e", "silent")
	agent, _ := c.Register("e", nil)
	for id, want := range map[string]string{
		agent.ID:                               "",
		"":                                     "Extension.MissingExtensionIdentifier: Missing Lambda-Extension-Identifier header",
		"e":                                    "Extension.InvalidExtensionIdentifier: Invalid Lambda-Extension-Identifier",
		strings.Repeat("0", 36):                "Extension.InvalidExtensionIdentifier: Invalid Lambda-Extension-Identifier",
		"00000000-0000-4000-8000-000000000002": "Extension.UnknownExtensionIdentifier: Unknown extension 00000000-0000-4000-8000-000000000002",
		"00000000-0000-4000-8000-000000000009": "Extension.UnknownExtensionIdentifier: Unknown extension 00000000-0000-4000-8000-000000000009",
	} {
		if _, found := c.Find(id); problem(found) != want {
			t.Errorf("%q: %s", id, problem(found))
		}
	}
}

func TestEventsGoToThoseWhoWantThem(t *testing.T) {
	c := crew("both", "last", "none")
	both, _ := c.Register("both", []string{Invoke, Shutdown})
	if c.Complete() || c.Rested() {
		t.Error("two have not registered")
	}
	last, _ := c.Register("last", []string{Shutdown})
	none, _ := c.Register("none", nil)
	if !c.Complete() || c.Rested() {
		t.Error("all have registered, none is at rest")
	}
	for _, agent := range c.Agents() {
		if found := c.Next(agent); found != nil {
			t.Error(problem(found))
		}
	}
	if !c.Rested() {
		t.Error("all wait")
	}
	told := c.Send(Event{Type: Invoke, RequestID: "r"})
	if len(told) != 1 || told[0] != both || both.State != Running || c.Rested() {
		t.Error(told, both.State)
	}
	if event := <-both.Inbox; event.RequestID != "r" {
		t.Error(event)
	}
	if len(c.Send(Event{Type: Invoke})) != 0 {
		t.Error("who is not back gets no other")
	}
	leaving := c.Dismiss(Event{Type: Shutdown, ShutdownReason: "spindown"})
	if len(leaving) != 2 || !slices.Contains(leaving, both) || !slices.Contains(leaving, last) || none.State != Ready {
		t.Error(leaving)
	}
	if event := <-last.Inbox; event.ShutdownReason != "spindown" {
		t.Error(event)
	}
	if len(both.Inbox) != 0 {
		t.Error("it still works")
	}
	_ = c.Next(both)
	if event := <-both.Inbox; event.Type != Shutdown {
		t.Error("and hears of the end when it asks", event)
	}
	_ = c.Next(both)
	if len(both.Inbox) != 0 {
		t.Error("once")
	}
}

// TestGivingUp has a row for each state that an extension can be in when it reports an error.
func TestGivingUp(t *testing.T) {
	for _, c := range []struct {
		from State
		into State
		kind string
		want string
	}{
		{Registered, InitError, "Extension.Mine", ""},
		{Registered, ExitError, "Extension.Mine", ""},
		{Ready, ExitError, "Extension.Mine", ""},
		{Running, ExitError, "Extension.Mine", ""},
		{Registered, InitError, "", "Extension.MissingHeader: Lambda-Extension-Function-Error-Type not found"},
		{Ready, InitError, "E", "State transition from Ready to InitError failed for extension"},
		{ExitError, ExitError, "E", "State transition from ExitError to ExitError failed for extension"},
	} {
		c0 := crew("e")
		agent, _ := c0.Register("e", nil)
		agent.State = c.from
		found := c0.Fail(agent, c.into, c.kind)
		if c.want == "" && (found != nil || agent.State != c.into || agent.ErrorType != c.kind) ||
			c.want != "" && !strings.Contains(problem(found), c.want) {
			t.Errorf("%+v: %s", c, problem(found))
		}
		if c.want == "" {
			if again := c0.Next(agent); again == nil {
				t.Error("who has given up gets no event")
			}
		}
	}
}

func TestPrograms(t *testing.T) {
	directory := t.TempDir()
	if Programs(filepath.Join(directory, "none")) != nil {
		t.Error("nothing there")
	}
	_ = os.WriteFile(filepath.Join(directory, "b"), nil, 0o755)
	_ = os.WriteFile(filepath.Join(directory, "a"), nil, 0o644)
	_ = os.Mkdir(filepath.Join(directory, "lib"), 0o755)
	if got := Programs(directory); !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
}

func TestEnvironment(t *testing.T) {
	got := Environment([]string{
		"A=1", "_HANDLER=x", "_AWS_XRAY_DAEMON_PORT=2000", "AWS_EXECUTION_ENV=x", "AWS_LAMBDA_RUNTIME_API=h:1",
		"LAMBDA_TASK_ROOT=/var/task", "AWS_REGION=r", "AWS_XRAY_DAEMON_ADDRESS=x",
	})
	if !slices.Equal(got, []string{"A=1", "AWS_LAMBDA_RUNTIME_API=h:1", "AWS_REGION=r"}) {
		t.Error(got)
	}
}
