// Package settings reads what the pod tells init: the KLAMBDA_* variables (docs/runtime-contract.md §3).
//
// It is read once, before anything else, and the secret among the variables is wiped from the process' own memory image.
// KLAMBDA_ROOT and KLAMBDA_API_PORT exist so that tests run init as an ordinary process; the operator never sets them.
package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Settings is everything that init is told from outside.
type Settings struct {
	Gateways  []string // host:port; a host may be a name or an address
	Token     string
	PodUID    string
	Pod       string
	Namespace string
	Bootstrap string // "" unless set
	Freeze    bool
	Root      string // in front of /var/task, /opt, /tmp and /var/runtime
	APIPort   string
	Values    map[string]string // KLAMBDA_ENV_<NAME>: variables resolved by kubelet
	Image     []string          // what the image sets: the rest of the environment
}

// DefaultAPIPort is where Lambda's own Runtime API listens.
const DefaultAPIPort = "9001"

// Read takes the settings from an environment in os.Environ's form.
func Read(environ []string) (Settings, error) {
	s := Settings{Freeze: true, Root: "/", APIPort: DefaultAPIPort, Values: map[string]string{}}
	targets := map[string]*string{
		"KLAMBDA_TOKEN": &s.Token, "KLAMBDA_POD_UID": &s.PodUID, "KLAMBDA_POD_NAME": &s.Pod,
		"KLAMBDA_NAMESPACE": &s.Namespace, "KLAMBDA_BOOTSTRAP": &s.Bootstrap,
		"KLAMBDA_ROOT": &s.Root, "KLAMBDA_API_PORT": &s.APIPort,
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		target, known := targets[name]
		value = strings.Clone(value) // the original may be wiped
		switch {
		case known:
			*target = value
		case name == "KLAMBDA_GATEWAYS":
			s.Gateways = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case name == "KLAMBDA_FREEZE":
			s.Freeze = value != "off"
		case strings.HasPrefix(name, "KLAMBDA_ENV_"):
			s.Values[strings.TrimPrefix(name, "KLAMBDA_ENV_")] = value
		case isOurs(name):
		default:
			s.Image = append(s.Image, entry)
		}
	}
	return s, s.check()
}

func (s Settings) check() error {
	for name, value := range map[string]string{
		"KLAMBDA_GATEWAYS": strings.Join(s.Gateways, ""), "KLAMBDA_TOKEN": s.Token, "KLAMBDA_POD_UID": s.PodUID,
		"KLAMBDA_POD_NAME": s.Pod, "KLAMBDA_NAMESPACE": s.Namespace,
	} {
		if value == "" {
			return errors.New(name + " is not set")
		}
	}
	return nil
}

// Path puts an absolute path of the container under the root.
func (s Settings) Path(absolute string) string { return filepath.Join(s.Root, absolute) }

// Wipe removes init's and Kubernetes' variables from the process' environment.
func Wipe() {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); isOurs(name) {
			_ = os.Unsetenv(name)
		}
	}
}

// isOurs says which variables the function never sees: ours, Kubernetes' (service links too) and the host's name.
func isOurs(name string) bool {
	return name == "HOSTNAME" || strings.HasPrefix(name, "KLAMBDA_") || strings.HasPrefix(name, "KUBERNETES_") ||
		strings.HasSuffix(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_PORT_") && (strings.Contains(name, "_TCP") || strings.Contains(name, "_UDP")) ||
		strings.HasSuffix(name, "_PORT")
}
