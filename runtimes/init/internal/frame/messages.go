package frame

import "encoding/json"

// Message is a frame header that can name the first required member it lacks.
type Message interface{ missing() string }

// HelloHeader opens a connection (init → gateway).
type HelloHeader struct {
	Versions  []int  `json:"versions"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	PodUID    string `json:"podUid"`
	Boot      string `json:"boot"`
	Nonce     string `json:"nonce"`
}

// ChallengeHeader is the gateway's proof that it knows the token.
type ChallengeHeader struct {
	Version int    `json:"version"`
	Gateway string `json:"gateway"`
	Nonce   string `json:"nonce"`
	MAC     string `json:"mac"`
}

func (h *ChallengeHeader) missing() string {
	switch {
	case h.Version == 0:
		return "version"
	case h.Gateway == "":
		return "gateway"
	case len(h.Nonce) != 32:
		return "nonce"
	case h.MAC == "":
		return "mac"
	}
	return ""
}

// ProofHeader is init's proof, with what it has to say of itself.
type ProofHeader struct {
	MAC    string `json:"mac"`
	State  string `json:"state"`
	Digest string `json:"digest,omitempty"`
}

// AssignHeader carries the assignment verbatim; package assign parses it.
type AssignHeader struct {
	Assignment         json.RawMessage   `json:"assignment"`
	InitializationType string            `json:"initializationType"`
	Credentials        *Credentials      `json:"credentials,omitempty"`
	Endpoints          map[string]string `json:"endpoints,omitempty"`
	Code               *Source           `json:"code,omitempty"` // nil for container images
	Layers             []Source          `json:"layers,omitempty"`
	LogStream          string            `json:"logStream,omitempty"`
	Before             *Before           `json:"before,omitempty"`
}

// Before is what the gateway saw of the pod before init ran in it.
type Before struct {
	ScheduleMs float64 `json:"scheduleMs"` // from the pod's creation until it had a node
	BoundMs    float64 `json:"boundMs"`    // from then until this frame left
}

func (h *AssignHeader) missing() string {
	switch {
	case len(h.Assignment) == 0:
		return "assignment"
	case h.Code != nil && !h.Code.Inline && h.Code.URL == "":
		return "code"
	}
	return ""
}

// Credentials are those of the function's role.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

// Source says where the bytes of a blob are: in the frame's body, or behind a URL.
type Source struct {
	Inline bool   `json:"inline,omitempty"`
	URL    string `json:"url,omitempty"`
}

// Modes of an invocation and of an answer.
const (
	Buffered  = "buffered"
	Streaming = "streaming"
)

// InvokeHeader asks for one invocation.
type InvokeHeader struct {
	Attempt         string          `json:"attempt"`
	RequestID       string          `json:"requestId"`
	FunctionARN     string          `json:"functionArn"`
	TraceID         string          `json:"traceId,omitempty"`
	ClientContext   string          `json:"clientContext,omitempty"`
	CognitoIdentity json.RawMessage `json:"cognitoIdentity,omitempty"`
	LogTail         bool            `json:"logTail"`
	Mode            string          `json:"mode"`
	Window          int             `json:"window,omitempty"`
	Remaining       float64         `json:"remaining"`
	Size            int             `json:"size"`
	Validated       bool            `json:"validated"`
}

func (h *InvokeHeader) missing() string {
	switch {
	case h.Attempt == "":
		return "attempt"
	case h.RequestID == "":
		return "requestId"
	case h.Mode != Buffered && h.Mode != Streaming:
		return "mode"
	case h.Mode == Streaming && h.Window <= 0:
		return "window"
	case h.Size < 0:
		return "size"
	}
	return ""
}

// DataHeader belongs to a piece of an event or of an answer. The last piece of a stream also says how it failed, if it did.
type DataHeader struct {
	Attempt       string `json:"attempt"`
	Last          bool   `json:"last,omitempty"`
	FunctionError string `json:"functionError,omitempty"`
	ErrorType     string `json:"errorType,omitempty"`
	ErrorDetails  string `json:"errorDetails,omitempty"`
}

func (h *DataHeader) missing() string { return required("attempt", h.Attempt) }

// CreditHeader lets a streamed answer send so many bytes more.
type CreditHeader struct {
	Attempt string `json:"attempt"`
	Bytes   int    `json:"bytes"`
}

func (h *CreditHeader) missing() string {
	if h.Bytes <= 0 {
		return "bytes"
	}
	return required("attempt", h.Attempt)
}

// CancelHeader names an attempt whose caller is gone.
type CancelHeader struct {
	Attempt string `json:"attempt"`
}

func (h *CancelHeader) missing() string { return required("attempt", h.Attempt) }

// Modes of a drain frame.
const (
	DrainIdle = "idle"
	DrainNow  = "now"
)

// DrainHeader asks the instance to take no more work.
type DrainHeader struct {
	Mode string `json:"mode"`
}

func (h *DrainHeader) missing() string {
	if h.Mode != DrainIdle && h.Mode != DrainNow {
		return "mode"
	}
	return ""
}

// QueryHeader asks for the state and for what became of an attempt.
type QueryHeader struct {
	Attempt string `json:"attempt,omitempty"`
}

func (h *QueryHeader) missing() string { return "" }

// PeersHeader lists the gateways' addresses, ip:port.
type PeersHeader struct {
	Addresses []string `json:"addresses"`
}

func (h *PeersHeader) missing() string {
	if h.Addresses == nil {
		return "addresses"
	}
	return ""
}

// AssignedHeader confirms that the code is unpacked.
type AssignedHeader struct {
	Digest string `json:"digest"`
}

// FailedHeader says why the assignment could not be carried out.
type FailedHeader struct {
	Digest    string `json:"digest"`
	ErrorType string `json:"errorType"`
	Message   string `json:"message"`
}

// StateHeader tells what the instance is doing, what it was started for, and whether its runtime could not be started.
type StateHeader struct {
	State          string `json:"state"`
	Served         int    `json:"served"`
	Attempt        string `json:"attempt,omitempty"`
	Asked          *Asked `json:"asked,omitempty"`
	Initialization string `json:"initialization,omitempty"`
	InitFailed     bool   `json:"initFailed,omitempty"`
}

// Asked is what became of the attempt of a query.
type Asked struct {
	Attempt  string `json:"attempt"`
	Known    bool   `json:"known"`
	Accepted bool   `json:"accepted"`
}

// RefusedHeader says that nothing ran.
type RefusedHeader struct {
	Attempt string `json:"attempt"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// AcceptedHeader says that the attempt runs: never send it elsewhere.
type AcceptedHeader struct {
	Attempt string `json:"attempt"`
	Cold    bool   `json:"cold"`
}

// HeadHeader opens an answer.
type HeadHeader struct {
	Attempt       string `json:"attempt"`
	Mode          string `json:"mode"`
	Size          *int   `json:"size,omitempty"`
	ContentType   string `json:"contentType,omitempty"`
	FunctionError string `json:"functionError,omitempty"`
	ErrorType     string `json:"errorType,omitempty"`
	Credit        bool   `json:"credit,omitempty"`
}

// EndHeader closes an attempt; the instance is free for the gateway from here on.
type EndHeader struct {
	Attempt     string   `json:"attempt"`
	Status      string   `json:"status"`
	ErrorType   string   `json:"errorType,omitempty"`
	DurationMs  float64  `json:"durationMs"`
	BilledMs    int      `json:"billedMs"`
	MaxMemoryMB int      `json:"maxMemoryMb"`
	InitMs      *float64 `json:"initMs,omitempty"`
	BytesIn     int      `json:"bytesIn"`
	BytesOut    int      `json:"bytesOut"`
}

// PhasesHeader tells how long each phase of the start took.
type PhasesHeader struct {
	ScheduleMs  *float64 `json:"scheduleMs,omitempty"`
	ContainerMs *float64 `json:"containerMs,omitempty"`
	DialMs      float64  `json:"dialMs"`
	AssignMs    float64  `json:"assignMs"`
	FetchMs     float64  `json:"fetchMs"`
	UnpackMs    float64  `json:"unpackMs"`
	RuntimeMs   float64  `json:"runtimeMs"`
	TotalMs     float64  `json:"totalMs"`
}

func required(name, value string) string {
	if value == "" {
		return name
	}
	return ""
}
