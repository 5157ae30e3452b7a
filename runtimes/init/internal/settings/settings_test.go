package settings

import (
	"os"
	"slices"
	"testing"
)

var complete = []string{
	"KLAMBDA_GATEWAYS=klambda-instances.klambda.svc.cluster.local.:9001", "KLAMBDA_TOKEN=t", "KLAMBDA_POD_UID=u",
	"KLAMBDA_POD_NAME=p", "KLAMBDA_NAMESPACE=n",
}

func TestRead(t *testing.T) {
	s, err := Read(append(slices.Clone(complete),
		"KLAMBDA_ENV_PASSWORD=a=b", "KLAMBDA_FREEZE=off", "KUBERNETES_PORT=x", "HOSTNAME=h", "OTHER_SERVICE_HOST=1",
		"OTHER_SERVICE_PORT_HTTP=1", "OTHER_PORT=tcp://", "OTHER_PORT_80_TCP=x", "PATH=/bin", "KLAMBDA_UNKNOWN=x",
		"KLAMBDA_BOOTSTRAP=/b",
	))
	if err != nil || s.Freeze || s.Token != "t" || s.Bootstrap != "/b" || s.Values["PASSWORD"] != "a=b" {
		t.Errorf("%+v %v", s, err)
	}
	if !slices.Equal(s.Image, []string{"PATH=/bin"}) {
		t.Errorf("left for the function: %v", s.Image)
	}
	if s.Path("/var/task") != "/var/task" || s.APIPort != DefaultAPIPort {
		t.Error("what only tests set is not at its default")
	}
}

func TestWhatIsMissing(t *testing.T) {
	for n := range complete {
		if _, err := Read(slices.Delete(slices.Clone(complete), n, n+1)); err == nil {
			t.Errorf("nothing is said about %s", complete[n])
		}
	}
}

func TestWipe(t *testing.T) {
	t.Setenv("KLAMBDA_TOKEN", "t")
	t.Setenv("OTHER", "o")
	Wipe()
	if _, present := os.LookupEnv("KLAMBDA_TOKEN"); present {
		t.Error("the token is still there")
	}
	if os.Getenv("OTHER") != "o" {
		t.Error("too much is gone")
	}
}
