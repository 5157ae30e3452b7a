"""Container images, from a real registry with a password (aws-contract a.4, b.1, h)."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.support.cluster import CONTROL_PLANE, LAYOUT, REPOSITORY, ROLE, Cluster, wait_until
from tests.support.images import build_and_push
from tests.support.registry import Registry, running_registry
from tools.cluster.cluster import recorded
from tools.cluster.native import addresses
from tools.cluster.native.cluster import PULL_SECRET

from .test_edges import PYTHON
from .test_extensions import EYE

HERE = Path(__file__).with_name("images")
AT_LOAD = """import os, time
match os.environ.get("AT_LOAD"):
    case "fail":
        raise RuntimeError("no such luck")
    case "sleep":
        time.sleep(11)
"""
NAMES = {"client": "tests/client:1", "layout": "tests/layout:1", "web": "tests/web:1"}


@pytest.fixture(scope="module")
def registry(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One on this machine's address of the node's link, with the images, and its credentials."""
    if recorded(LAYOUT) != "native":
        pytest.skip("only the native node knows a registry on this machine")
    folder = tmp_path_factory.mktemp("registry")
    address, _, port = addresses.LOCAL_REGISTRY.partition(":")
    eye = folder / "eye"
    eye.write_text(EYE)
    eye.chmod(0o755)
    lock = REPOSITORY / "runtimes" / "python3.13" / "requirements.lock"
    edges = folder / "edges.py"
    edges.write_text(AT_LOAD + PYTHON)
    extra = {"requirements.lock": lock, "eye": eye, "edges.py": edges}
    with running_registry(folder, address=address, port=int(port)) as found:
        build_and_push(HERE, extra, found, NAMES)
        (folder / "config.json").write_text(json.dumps(found.docker_config()))
        flags = (f"--from-file=.dockerconfigjson={folder / 'config.json'}",)
        for namespace in (CONTROL_PLANE, "default"):
            cluster.kubectl(
                "create", "secret", "generic", PULL_SECRET, "-n", namespace, *flags,
                "--type=kubernetes.io/dockerconfigjson",
            )  # fmt: skip
        try:
            yield found
        finally:
            for namespace in (CONTROL_PLANE, "default"):
                cluster.kubectl("delete", "secret", PULL_SECRET, "-n", namespace)


def create(cluster: Cluster, name: str, uri: str, **settings: Any) -> dict[str, Any]:
    values = {"Role": ROLE, "Timeout": 10, "PackageType": "Image", **settings}
    made: dict[str, Any] = cluster.aws.create_function(
        FunctionName=name, Code={"ImageUri": uri}, **values
    )
    cluster.wait_active(name)
    return made


def failed(cluster: Cluster, name: str, event: object = None) -> dict[str, Any]:
    answer = cluster.invoke_raw(name, json.dumps(event).encode())
    assert answer["FunctionError"] == "Unhandled"
    body: dict[str, Any] = json.loads(answer["Payload"])
    return body


def test_debian_with_awss_client(cluster: Cluster, registry: Registry, name: str) -> None:
    """An image that knows nothing of us: init is brought to it, everything else is its own."""
    uri = f"{registry.host}/{NAMES['client']}"
    made = create(cluster, name, uri, Environment={"Variables": {"MINE": "1"}})
    assert re.fullmatch("[0-9a-f]{64}", made["CodeSha256"])
    code = cluster.aws.get_function(FunctionName=name)["Code"]
    assert code["ResolvedImageUri"].endswith(f"/tests/client@sha256:{made['CodeSha256']}")
    seen = cluster.invoke(name, {"do": "spy"})
    assert (seen["cwd"], seen["uid"]) == ("/function", 993)
    environment = seen["env"]
    assert (environment["OF_THE_IMAGE"], environment["MINE"]) == ("yes", "1")
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert not environment.keys() & {"_HANDLER", "AWS_EXECUTION_ENV", "HOSTNAME", "PYTHONPATH"}
    assert not [key for key in environment if key.startswith(("KLAMBDA_", "KUBERNETES_"))]
    assert cluster.invoke(name) == 2, "the instance is kept"
    logged = cluster.invoke_raw(name, b'{"do": "log"}', LogType="Tail")["Log"]
    assert "\tfirst\nsecond\nEND RequestId" in logged, "the client found the descriptor for records"
    cluster.invoke(name, {"do": "write", "path": "/tmp/file"})
    for path in ("/function/file", "/klambda/file", "/var/tmp/file"):
        assert "Errno" in failed(cluster, name, {"do": "write", "path": path})["errorMessage"]
    gone = failed(cluster, name, {"do": "exit"})
    assert gone["errorMessage"].endswith("Error: Runtime exited with error: exit status 5")
    assert cluster.invoke(name) == 1, "a new environment"


def test_the_layout_of_awss_base_images(cluster: Cluster, registry: Registry, name: str) -> None:
    """With init inside: no init container, no volume; ImageConfig replaces each part for itself."""
    uri = f"{registry.host}/{NAMES['layout']}"
    create(cluster, name, uri)
    seen = cluster.invoke(name, {"do": "spy"})
    assert (seen["cwd"], seen["env"]["_HANDLER"]) == ("/var/task", "app.handler")
    (pod,) = cluster.objects("pods", "-l", f"klambda.io/function={name}")
    assert not pod["spec"].keys() & {"volumes", "initContainers"}

    def become(**config: Any) -> None:
        cluster.aws.update_function_configuration(FunctionName=name, ImageConfig=config)
        cluster.wait_updated(name)

    become(Command=["app.other"])
    assert cluster.invoke(name) == "other"
    become(EntryPoint=["/no/such/program"])
    body = failed(cluster, name)
    assert body["errorType"] == "Runtime.InvalidEntrypoint"
    assert body["errorMessage"].endswith("fork/exec /no/such/program: no such file or directory")
    become(WorkingDirectory="/no/such/folder")
    assert failed(cluster, name)["errorType"] == "Runtime.InvalidWorkingDir"
    become(EntryPoint=["/bin/sh", "-c", "exit 3"])
    assert failed(cluster, name)["errorType"] == "Runtime.ExitError"


def test_an_image_of_kubectl_and_what_is_published(
    cluster: Cluster, registry: Registry, name: str
) -> None:
    """Versions keep their image; a name that leads nowhere is told by the object."""
    manifest = {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {
            "packageType": "Image",
            "timeout": 10,
            "code": {"imageUri": f"{registry.host}/{NAMES['layout']}"},
        },
    }
    cluster.apply(manifest)
    cluster.kubectl("wait", "fn", name, "--for=condition=Ready", "--timeout=60s")
    published = cluster.aws.publish_version(FunctionName=name)["Version"]
    manifest["spec"]["imageConfig"] = {"command": ["app.other"]}  # type: ignore[index]
    cluster.apply(manifest)
    wait_until("the new command runs", lambda: cluster.invoke(name) == "other")
    assert cluster.invoke(name, Qualifier=published) == 1
    manifest["spec"]["code"] = {"imageUri": f"{registry.host}/tests/nothing:1"}  # type: ignore[index]
    cluster.apply(manifest)

    def refused() -> bool:
        found = cluster.one("fn", name)
        assert found is not None
        conditions = {c["type"]: c for c in found["status"]["conditions"]}
        return bool(conditions["ImageResolved"]["reason"] == "ImageNotFound")

    wait_until("condition ImageResolved says so", refused)
    assert cluster.invoke(name) == "other", "what serves goes on serving"
    seen = cluster.aws.get_function_configuration(FunctionName=name)
    assert (seen["State"], seen["LastUpdateStatus"]) == ("Active", "Failed")
    assert seen["LastUpdateStatusReasonCode"] == "ImageDeleted"


def test_extensions_inside_an_image(cluster: Cluster, registry: Registry, name: str) -> None:
    """A web server that knows nothing of Lambda: one extension is its runtime, one looks on."""
    create(cluster, name, f"{registry.host}/{NAMES['web']}")
    for number in range(2):
        answer = cluster.invoke_raw(name, json.dumps({"n": number}).encode(), LogType="Tail")
        assert json.loads(answer["Payload"]) == {"path": "/events", "body": {"n": number}}
        request = answer["ResponseMetadata"]["RequestId"]
        lines = answer["Log"].splitlines()
        assert f"sees INVOKE {request}" in lines
        assert f"told {request} success" in lines
    (pod,) = cluster.children(name)["pods"]
    cluster.kubectl("wait", "pod", pod, "--for=condition=Ready", "--timeout=30s")
    log = cluster.kubectl("logs", pod)
    assert "EXTENSION\tName: adapter\tState: Ready\tEvents: []" in log
    assert "EXTENSION\tName: eye\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in log
    assert "TELEMETRY\tName: eye\tState: Subscribed\tTypes: [Platform]" in log


def refusal(cluster: Cluster, name: str, reasons: str) -> None:
    """Requests hear within seconds why instances do not start, and the object says so."""

    def told() -> str | None:
        found = cluster.one("fn", name) or {}
        conditions = found.get("status", {}).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "InstancesStart"), None)

    with pytest.raises(botocore.exceptions.ClientError, match=reasons) as refused:
        cluster.invoke(name)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    reason = wait_until("the condition says why", lambda: re.fullmatch(reasons, told() or ""))[0]
    with pytest.raises(botocore.exceptions.ClientError, match=reasons):
        cluster.invoke(name)  # at once, or when the back-off is over: as before
    counted = cluster.metrics("gateway")
    assert any("start_failures" in each and reason in each for each in counted), counted


def test_an_image_that_is_gone_and_one_that_ends_at_once(
    cluster: Cluster, registry: Registry, name: str
) -> None:
    """Issue 6, section 3: starts that fail, with no effect on another function."""
    other = f"{name}-2"
    cluster.create(other, "def handler(event, context):\n    return 'here'\n")
    try:
        assert cluster.invoke(other) == "here"
        config = {"Labels": {"io.klambda.init": "yes"}, "Entrypoint": ["/run"]}
        # A program that wants arguments and gets none, in the place of init.
        ends = {"klambda/init": (LAYOUT.bin / "forward").read_bytes()}
        registry.push("tests/ends:1", config, files=ends)
        create(cluster, name, f"{registry.host}/tests/ends:1")
        refusal(cluster, name, "CrashLoop|CrashLoopBackOff")
        # Looked up by us, deleted before kubelet comes for it.
        registry.push("tests/gone:1", config, files={"klambda/init": name.encode()})
        cluster.aws.update_function_code(
            FunctionName=name, ImageUri=f"{registry.host}/tests/gone:1"
        )
        cluster.wait_updated(name)
        registry.forget("tests/gone")
        refusal(cluster, name, "ErrImagePull|ImagePullBackOff")
        assert cluster.invoke(other) == "here"
    finally:
        cluster.kubectl("delete", "fn", other, "--ignore-not-found")


@pytest.mark.full
@pytest.mark.timeout(300)
def test_cold_starts_of_images(cluster: Cluster, registry: Registry, name: str) -> None:
    """Prints what a first request takes, with init in the image and with init brought to it."""
    for stage in ("layout", "client"):
        if stage == "layout":
            create(cluster, name, f"{registry.host}/{NAMES[stage]}")
        else:
            cluster.aws.update_function_code(
                FunctionName=name, ImageUri=f"{registry.host}/{NAMES[stage]}"
            )
            cluster.wait_updated(name)
        times = []
        for turn in range(8):
            changed = {"Variables": {"TURN": f"{stage} {turn}"}}
            cluster.aws.update_function_configuration(FunctionName=name, Environment=changed)
            cluster.wait_updated(name)
            began = time.monotonic()
            assert cluster.invoke(name) == 1, "a new environment"
            times.append((time.monotonic() - began) * 1000)
        print(f"{stage}: p50 {statistics.median(times):.0f} ms, max {max(times):.0f} ms")
