"""The rendered Deployment against golden files, and what must hold for every one.

`KLAMBDA_GOLDEN=write` rewrites the golden files.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from klambda_core.crd import Function
from klambda_operator.assess import Target, assess, drifted, subject_of_function
from klambda_operator.model import Json
from klambda_operator.render.deployment import birth, render
from klambda_operator.render.quantities import cpu, mebibytes, milli
from tests.unit.operator.world import WORLD, stored_function

GOLDEN = Path(__file__).parents[2] / "golden" / "operator"
FULL: dict[str, Any] = {
    "functionName": "Area",
    "runtime": "provided.al2023",
    "handler": "bootstrap",
    "timeout": 900,
    "memorySize": 3008,
    "architectures": ["arm64"],
    "ephemeralStorage": {"size": 2048},
    "environment": {
        "variables": {"PLAIN": "value"},
        "valueFrom": {
            "SECRET": {"secretKeyRef": {"name": "s", "key": "k"}},
            "CONFIG": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}},
        },
    },
    "loggingConfig": {"logFormat": "JSON"},
    "role": "arn:aws:iam::123456789012:role/worker",
    "pod": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "registry"}],
        "cpu": "1500m",
        "runtimeClassName": "gvisor",
        "labels": {"team": "blue"},
        "annotations": {"note": "x"},
    },
}


def rendered(**spec: Any) -> Json:
    subject = subject_of_function(Function.read(stored_function(**spec)))
    target = assess(subject, WORLD)
    assert isinstance(target, Target)
    return render(subject, target, WORLD)


@pytest.mark.parametrize(("name", "spec"), [("plain", {}), ("full", FULL)])
def test_golden(name: str, spec: dict[str, Any]) -> None:
    path = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump(rendered(**spec), sort_keys=False, width=100)
    if os.environ.get("KLAMBDA_GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("spec", [{}, FULL])
def test_what_holds_for_every_pod(spec: dict[str, Any]) -> None:
    pod = rendered(**spec)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert not pod.keys() & {"volumes", "initContainers", "hostNetwork", "hostPID"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 993
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "volumeMounts" not in container
    assert not container.keys() & {"livenessProbe", "readinessProbe", "startupProbe", "ports"}


def test_grace_is_the_timeout_and_ten_seconds() -> None:
    pod = rendered(timeout=60)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 70


@pytest.mark.parametrize(
    ("spec", "request_", "limit"),
    [
        ({"memorySize": 128}, "72m", "1"),
        ({"memorySize": 1769}, "1", "1"),
        ({"memorySize": 3538}, "2", "2"),
        ({"memorySize": 10240}, "5788m", "5788m"),
        ({"pod": {"cpu": "250m"}}, "250m", "1"),
        ({"pod": {"cpu": "2"}}, "2", "2"),
    ],
)
def test_cpu_follows_memory(spec: dict[str, Any], request_: str, limit: str) -> None:
    resources = rendered(**spec)["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == (request_, limit)


def test_memory_has_room_for_init() -> None:
    container = rendered(memorySize=512)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == "544Mi"
    assert container["resources"]["requests"]["memory"] == "544Mi"


def test_replicas_are_only_in_the_birth() -> None:
    manifest = rendered()
    assert "replicas" not in manifest["spec"]
    assert birth(manifest)["spec"]["replicas"] == 0
    assert not drifted(birth(manifest), manifest)


def test_what_the_deployment_controller_notes_is_only_in_the_birth() -> None:
    manifest, noted = rendered(), "deployment.kubernetes.io/revision"
    assert noted not in manifest["metadata"]["annotations"]
    assert birth(manifest)["metadata"]["annotations"][noted] == "1"


def test_labels_of_the_user_never_hide_ours() -> None:
    labels = rendered(**FULL)["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "blue"
    assert labels["app.kubernetes.io/managed-by"] == "klambda"
    assert rendered(**FULL)["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_every_change_moves_the_template_hash() -> None:
    key = "klambda.io/template-hash"
    one, other = rendered(), rendered(timeout=4)
    assert one["metadata"]["annotations"][key] == rendered()["metadata"]["annotations"][key]
    assert one["metadata"]["annotations"][key] != other["metadata"]["annotations"][key]


@pytest.mark.parametrize(("text", "expected"), [("500m", 500), ("2", 2000), ("0.5", 500)])
def test_cpu_is_read(text: str, expected: int) -> None:
    assert milli(text) == expected


def test_quantities_are_canonical() -> None:
    assert [cpu(72), cpu(1000), cpu(1500)] == ["72m", "1", "1500m"]
    assert [mebibytes(160), mebibytes(1024), mebibytes(1056)] == ["160Mi", "1Gi", "1056Mi"]
