// Command init is PID 1 of every function container: it calls the gateways, becomes the function that they assign, runs
// one invocation at a time through Lambda's Runtime API, and outlives whatever the function does.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"klambda.io/init/internal/extensionapi"
	"klambda.io/init/internal/guard"
	"klambda.io/init/internal/instance"
	"klambda.io/init/internal/logs"
	"klambda.io/init/internal/peer"
	"klambda.io/init/internal/process"
	"klambda.io/init/internal/runtimeapi"
	"klambda.io/init/internal/settings"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "dev"

// softMemory makes the collector work harder before init outgrows its share of the container (memorySize + 32 MiB).
const softMemory = 24 << 20

// The main goroutine keeps the main thread for itself: package guard confines threads for good, and the main thread is
// the one that the kernel asks whether the function may signal init.
func init() { runtime.LockOSThread() }

func main() {
	booted := time.Now()
	if len(os.Args) > 1 {
		if err := command(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "klambda init:", err)
			os.Exit(1)
		}
		return
	}
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(softMemory)
	if err := run(booted); err != nil {
		fmt.Fprintln(os.Stderr, "klambda init:", err)
		os.Exit(1)
	}
}

// command is what init does when it is not PID 1 of a function: `version`, or `install PATH`, which copies the program to
// where the container of an image without it will find it (in an init container, which may have no shell).
func command(words []string) error {
	switch {
	case len(words) == 1 && words[0] == "version":
		fmt.Println(version)
		return nil
	case len(words) == 2 && words[0] == "install":
		return install(words[1])
	default:
		return fmt.Errorf("unknown command %q: version, install PATH", words)
	}
}

func install(path string) error {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(path, program, 0o755) //nolint:gosec // others execute it
}

func run(booted time.Time) error {
	configuration, err := settings.Read(os.Environ())
	if err != nil {
		return err
	}
	settings.Wipe()
	guard.Erase()
	guard.Own()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a log reader that is gone ends nothing; children have their own

	sink := logs.NewSink(os.Stdout)
	one := instance.New(configuration, process.NewKeeper(), logs.NewStream(sink), booted)
	api, err := runtimeapi.Listen(configuration.APIPort, one)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gateways := peer.NewSet(configuration.Gateways, peer.Identity{
		Namespace: configuration.Namespace, Pod: configuration.Pod, PodUID: configuration.PodUID,
		Boot: peer.Nonce(), Token: configuration.Token,
	}, one, complain())
	extensionapi.Mount(api, one, instance.NewUUID)
	one.Attach(api, instance.Named(ctx, gateways))
	go func() { _ = api.Serve() }()
	go gateways.Run(ctx)

	for {
		select {
		case <-stop:
			one.Terminate()
		case <-one.Left():
			one.Close()
			sink.Flush()
			return nil
		}
	}
}

// complain writes failures of the connection to gateways to stderr, the same one at most every ten seconds: the pod's
// stdout is Lambda's log and stays clean.
func complain() func(error) {
	lines := make(chan string, 1)
	go func() {
		for line := range lines {
			fmt.Fprintln(os.Stderr, "klambda init: gateways:", line)
			time.Sleep(10 * time.Second)
		}
	}()
	return func(err error) {
		select {
		case lines <- err.Error():
		default:
		}
	}
}
