package instance

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"klambda.io/init/internal/assign"
	"klambda.io/init/internal/environment"
	"klambda.io/init/internal/extensions"
	"klambda.io/init/internal/frame"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/slot"
	"klambda.io/init/internal/unpack"
)

// prepareLimit bounds fetching and unpacking together.
const prepareLimit = 5 * time.Minute

const onDemand = "on-demand" // the initialization type, unless the gateway names another

// work is the assignment, and what has been made of it.
type work struct {
	assignment  assign.Assignment
	header      frame.AssignHeader
	inline      []byte
	failure     frame.FailedHeader
	environment []string
	logStream   string
	taskRoot    string
	entry       entry
	extensions  []string // file names below /opt/extensions
	format      logs.Format
}

// describe tells of the environment; its log stream names it, as AWS's own does.
func (i *Instance) describe() logs.Environment {
	w := i.work
	a := w.assignment
	return logs.Environment{
		Instance: w.logStream,
		Runtime:  a.Runtime, Region: a.Region, Function: a.FunctionName, Version: a.Version,
		Initialization: w.header.InitializationType, MemoryMB: a.MemorySize,
	}
}

// records is the descriptor for log records: of the runtimes whose clients know of it, and of images, which may have one.
func (w *work) records() int {
	if strings.HasPrefix(w.assignment.Runtime, "provided") {
		return 0
	}
	return logs.RecordsDescriptor
}

func (w *work) timeout() time.Duration { return time.Duration(w.assignment.Timeout) * time.Second }

// prepare carries the assignment out: code and layers in place, environment known.
func (i *Instance) prepare(w *work) {
	ctx, cancel := context.WithTimeout(context.Background(), prepareLimit)
	defer cancel()
	err := i.install(ctx, w)
	w.inline = nil
	i.equip(w)
	if err != nil {
		w.failure = frame.FailedHeader{Digest: w.assignment.Digest, ErrorType: failureType(err), Message: err.Error()}
		i.handle(slot.Event{Kind: slot.Unusable})
		return
	}
	w.extensions = extensions.Programs(i.settings.Path(extensionsFolder))
	i.handle(slot.Event{Kind: slot.Unpacked, Extended: len(w.extensions) > 0})
}

// equip makes what every start of the runtime needs.
func (i *Instance) equip(w *work) {
	a := w.assignment
	w.format = logs.FormatFor(a.LogFormat, a.SystemLevel)
	i.stream.Keep(logs.LevelFilter(a.LogFormat, a.ApplicationLevel))
	i.objects.Store(a.LogFormat == "JSON")
	w.logStream = w.header.LogStream
	if w.logStream == "" {
		w.logStream = environment.LogStream(time.Now(), a)
	}
	w.taskRoot = i.settings.Path("/var/task")
	runtimeRoot := i.settings.Path("/var/runtime")
	w.entry = entry{
		candidates: candidates(a.Runtime, w.taskRoot, i.settings.Path("/opt"), runtimeRoot, i.settings.Bootstrap),
		directory:  w.taskRoot,
	}
	w.environment = environment.Variables(environment.Input{
		Assignment: a, InitializationType: w.header.InitializationType, Credentials: w.header.Credentials, Endpoints: w.header.Endpoints,
		LogStream: w.logStream, RuntimeAPI: i.api.Address(), TaskRoot: w.taskRoot, RuntimeRoot: runtimeRoot,
		Resolved: i.settings.Values, Image: i.settings.Image, LogDescriptor: w.records(),
	})
	if a.Image != nil {
		w.entry = entryOf(*a.Image, i.settings.Root, w.environment)
	}
}

// install fetches and unpacks layers, in their order, and code; an image brings all it needs.
func (i *Instance) install(ctx context.Context, w *work) error {
	if w.assignment.Image != nil {
		return nil
	}
	budget := unpack.NewBudget(unpack.MaxBytes, unpack.MaxEntries)
	opt := i.settings.Path("/opt")
	for n, layer := range w.assignment.Layers {
		if err := i.place(ctx, w.header.Layers[n], nil, layer, opt, budget); err != nil {
			return err
		}
	}
	return i.place(ctx, *w.header.Code, w.inline, w.assignment.Code, i.settings.Path("/var/task"), budget)
}

func (i *Instance) place(
	ctx context.Context, source frame.Source, inline []byte, want assign.Blob, directory string, budget *unpack.Budget,
) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	began := time.Now()
	archive, err := i.obtain(ctx, source, inline, want)
	i.phases.fetch += time.Since(began)
	if err != nil {
		return err
	}
	defer archive.Close()
	began = time.Now()
	err = unpack.Zip(archive, archive.Size, directory, budget)
	i.phases.unpack += time.Since(began)
	return err
}

func (i *Instance) obtain(ctx context.Context, source frame.Source, inline []byte, want assign.Blob) (assign.Archive, error) {
	if source.Inline {
		return assign.Inline(inline, want)
	}
	return assign.Fetch(ctx, i.client, source.URL, i.settings.Path("/tmp"), want)
}

func failureType(err error) string {
	var fetching *assign.Error
	var unpacking *unpack.Error
	switch {
	case errors.As(err, &fetching):
		return fetching.Type
	case errors.As(err, &unpacking):
		return unpacking.Type
	default:
		return "CodeStorageError"
	}
}

// phases is the protocol of the start.
type phases struct {
	booted, dialled, assigned, ready time.Time
	fetch, unpack, runtime           time.Duration
	before                           *frame.Before // unknown when the gateway did not see the pod come
}

func (p phases) dial() time.Duration   { return p.dialled.Sub(p.booted) }
func (p phases) assign() time.Duration { return p.assigned.Sub(p.dialled) }

// schedule and container are the phases before init ran: until the pod had a node, and until its container had begun.
func (p phases) schedule() time.Duration { return duration(p.before.ScheduleMs) }
func (p phases) container() time.Duration {
	return max(0, duration(p.before.BoundMs)-p.assigned.Sub(p.booted))
}

func (p phases) header() frame.PhasesHeader {
	header := frame.PhasesHeader{
		DialMs: milliseconds(p.dial()), AssignMs: milliseconds(p.assign()), FetchMs: milliseconds(p.fetch),
		UnpackMs: milliseconds(p.unpack), RuntimeMs: milliseconds(p.runtime), TotalMs: milliseconds(p.ready.Sub(p.booted)),
	}
	if p.before != nil {
		schedule, container := milliseconds(p.schedule()), milliseconds(p.container())
		header.ScheduleMs, header.ContainerMs = &schedule, &container
	}
	return header
}

func (p phases) text() string {
	var before []logs.Phase
	if p.before != nil {
		before = []logs.Phase{{Name: "schedule", Took: p.schedule()}, {Name: "container", Took: p.container()}}
	}
	return logs.Phases(append(before,
		logs.Phase{Name: "dial", Took: p.dial()}, logs.Phase{Name: "assign", Took: p.assign()},
		logs.Phase{Name: "fetch", Took: p.fetch}, logs.Phase{Name: "unpack", Took: p.unpack},
		logs.Phase{Name: "runtime", Took: p.runtime},
	)...)
}

func duration(milliseconds float64) time.Duration {
	return time.Duration(milliseconds * float64(time.Millisecond))
}
