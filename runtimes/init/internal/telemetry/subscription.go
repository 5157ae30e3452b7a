package telemetry

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// API is which of the two twins a subscriber speaks.
type API struct {
	Name     string // as it stands in error types
	versions []string
	kinds    []string // of platform events; nil: all
}

// The Telemetry API, and the Logs API that it replaced (reference §g.3).
var (
	Telemetry = API{Name: "Telemetry", versions: []string{"2022-07-01", "2022-12-13", "2025-01-29"}}
	Logs      = API{
		Name: "Logs", versions: []string{"", "2020-08-15", "2021-03-18"},
		kinds: []string{"start", "end", "report", "runtimeDone", "extension", "logsSubscription", "logsDropped", "fault"},
	}
)

// The streams.
const (
	Platform  = "platform"
	Function  = "function"
	Extension = "extension"
)

// Problem is why a subscription is refused.
type Problem struct {
	Status        int
	Type, Message string
}

// Subscription is what an extension asks for, checked and completed.
type Subscription struct {
	API      API
	Name     string // of the extension
	Types    []string
	MaxItems int
	MaxBytes int
	Timeout  time.Duration
	Protocol string // HTTP or TCP
	URL      string // of HTTP
	Address  string // host:port, on the loopback device
}

type request struct {
	SchemaVersion string   `json:"schemaVersion"`
	Types         []string `json:"types"`
	Buffering     *struct {
		MaxItems  *int `json:"maxItems"`
		MaxBytes  *int `json:"maxBytes"`
		TimeoutMs *int `json:"timeoutMs"`
	} `json:"buffering"`
	Destination *struct {
		Protocol string `json:"protocol"`
		URI      string `json:"URI"`
		Port     int    `json:"port"`
	} `json:"destination"`
}

// Parse reads the body of a subscription.
func Parse(api API, name string, body []byte) (*Subscription, *Problem) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, invalid("Could not parse the subscription: %v", err)
	}
	s := &Subscription{API: api, Name: name, Types: r.Types, MaxItems: 10_000, MaxBytes: 262_144, Timeout: time.Second}
	if !slices.Contains(api.versions, r.SchemaVersion) {
		return nil, invalid("Schema version %q is not supported", r.SchemaVersion)
	}
	if len(r.Types) == 0 {
		return nil, invalid("No types are named")
	}
	for _, kind := range r.Types {
		if kind != Platform && kind != Function && kind != Extension {
			return nil, invalid("Type %q is not supported", kind)
		}
	}
	if problem := s.buffering(&r); problem != nil {
		return nil, problem
	}
	return s, s.destination(&r)
}

func (s *Subscription) buffering(r *request) *Problem {
	if r.Buffering == nil {
		return nil
	}
	timeout := int(s.Timeout / time.Millisecond)
	for _, limit := range []struct {
		name        string
		given       *int
		least, most int
		into        *int
	}{
		{"maxItems", r.Buffering.MaxItems, 1000, 10_000, &s.MaxItems},
		{"maxBytes", r.Buffering.MaxBytes, 262_144, 1_048_576, &s.MaxBytes},
		{"timeoutMs", r.Buffering.TimeoutMs, 25, 30_000, &timeout},
	} {
		if limit.given == nil {
			continue
		}
		if *limit.given < limit.least || *limit.given > limit.most {
			return invalid("%s must be between %d and %d", limit.name, limit.least, limit.most)
		}
		*limit.into = *limit.given
	}
	s.Timeout = time.Duration(timeout) * time.Millisecond
	return nil
}

// destination takes HTTP and TCP on this environment's own device: nothing else can be reached from here.
func (s *Subscription) destination(r *request) *Problem {
	d := r.Destination
	if d == nil {
		return invalid("No destination is named")
	}
	switch d.Protocol {
	case "HTTP":
		u, err := url.Parse(d.URI)
		if err != nil || u.Scheme != "http" || !local(u.Hostname()) {
			return invalid("URI must be http://sandbox.localdomain:<port>/…")
		}
		port := u.Port()
		if port == "" {
			port = "80"
		}
		s.URL, s.Address = u.String(), net.JoinHostPort("127.0.0.1", port)
	case "TCP":
		if d.Port < 1 || d.Port > 65535 {
			return invalid("port must be between 1 and 65535")
		}
		s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))
	default:
		return invalid("Protocol %q is not supported", d.Protocol)
	}
	s.Protocol = d.Protocol
	return nil
}

func local(host string) bool {
	return host == "sandbox.localdomain" || host == "sandbox" || host == "localhost" || host == "127.0.0.1"
}

func invalid(format string, values ...any) *Problem {
	return &Problem{400, "ValidationError", fmt.Sprintf(format, values...)}
}

// wants says whether an event of a stream and a kind is for this subscriber.
func (s *Subscription) wants(stream, kind string) bool {
	if !slices.Contains(s.Types, stream) {
		return false
	}
	if stream != Platform {
		return true
	}
	if s.API.kinds == nil {
		return kind != "end" && kind != "logsSubscription"
	}
	return slices.Contains(s.API.kinds, kind)
}
