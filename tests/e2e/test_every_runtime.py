"""The platform's edges in every runtime: the same questions, put to each in its own language.

test_edges.py asks Python and Node.js more than this, and does it in `make test`; here is what fills
the other columns of docs/runtimes.md.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import java
from tests.support.cluster import Cluster, wait_until, zip_of
from tests.support.instance_peer import go
from tests.support.registry import Registry

from .test_edges import LIMIT, NODE, TOO_LARGE, failed, status
from .test_images import NAMES, create, registry
from .test_runtimes import build

__all__ = ["registry"]

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
LOADING = """
if (process.env.AT_LOAD === 'fail') throw new Error('no such luck');
if (process.env.AT_LOAD === 'sleep') await new Promise((resolve) => setTimeout(resolve, 11000));
"""
SHELL = r"""#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
case $AT_LOAD in
fail) exit 3 ;;
sleep) sleep 11 ;;
esac
header() { sed -n "s/^$1: *\([0-9a-f-]*\).*/\1/Ip" /tmp/headers; }
member() { head -c 200 /tmp/event | sed -n "s/.*\"$1\": *\"*\([^\",}]*\).*/\1/p"; }
calls=0 ticking=
while :; do
    curl -sS -D /tmp/headers -o /tmp/event "$api/next"
    id=$(header lambda-runtime-aws-request-id)
    calls=$((calls + 1))
    case $(member do) in
    calls) echo $calls ;;
    thread)
        if [ -z "$ticking" ]; then
            (while :; do echo; sleep 0.02; done) > /tmp/ticks &
            ticking=$!
            sleep 0.3
        fi
        wc -l < /tmp/ticks
        ;;
    big)
        printf '"'
        head -c $(($(member bytes) - 2)) /dev/zero | tr '\0' x
        printf '"'
        ;;
    size) wc -c < /tmp/event ;;
    remaining) echo $(($(header lambda-runtime-deadline-ms) - $(date +%s%3N))) ;;
    write)
        answer=refused
        (echo > "$(member path)") 2> /dev/null && answer=written
        echo "\"$answer\""
        ;;
    flood)
        line=$(head -c 1023 /dev/zero | tr '\0' x)
        yes "$line" | head -c $(($(member megabytes) << 20)) >&2
        echo '"done"'
        ;;
    binary) printf 'bytes \200\377\000\r end\n' >&2 ;;
    memory) exec tail /dev/zero ;;
    sleep) sleep 60 ;;
    stream)
        (printf one; sleep 1; printf two) |
            curl -sS -X POST -T - -H 'Lambda-Runtime-Function-Response-Mode: streaming' \
                -o /dev/null "$api/$id/response"
        continue
        ;;
    *) cat /tmp/event ;;
    esac > /tmp/answer
    curl -sS -o /dev/null --data-binary @/tmp/answer "$api/$id/response"
done
"""
REFUSED = {"refused", "EACCES", "EROFS", "ENOENT", "Permission denied", "Read-only file system",
           "No such file or directory"}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A function in one of the runtimes."""

    cluster: Cluster
    name: str

    def ask(self, do: str, **members: Any) -> Any:
        return self.cluster.invoke(self.name, {"do": do, **members})

    def become(self, **settings: Any) -> None:
        self.cluster.aws.update_function_configuration(FunctionName=self.name, **settings)
        self.cluster.wait_updated(self.name)

    def load(self, how: str) -> None:
        self.become(Environment={"Variables": {"AT_LOAD": how}})

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.objects("pods", "-l", f"klambda.io/function={self.name}")

    def restarts(self) -> set[int]:
        return {
            container["restartCount"]
            for pod in self.pods()
            for container in pod["status"].get("containerStatuses", [])
        }


@pytest.fixture(
    scope="module",
    params=["nodejs22.x", "nodejs24.x", "java21", "provided.al2023", "image"],
)
def subject(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    runtime: str = request.param
    name = f"every-{re.sub('[^a-z0-9]', '', runtime)}-{secrets.token_hex(3)}"
    settings: dict[str, Any] = {"Runtime": runtime, "MemorySize": 512, "Timeout": 60}
    if runtime == "image":
        held: Registry = request.getfixturevalue("registry")
        config = {"Command": ["edges.handler"]}
        uri = f"{held.host}/{NAMES['client']}"
        create(cluster, name, uri, MemorySize=512, Timeout=60, ImageConfig=config)
    elif runtime == "java21":
        libraries = java.jars(HERE / "java" / "jars.lock")
        classes = java.compiled(HERE / "java", libraries, tmp_path_factory.mktemp("classes"))
        cluster.deploy(name, classes, Handler="example.Edges", **settings)
    elif runtime.startswith("provided"):
        cluster.deploy(name, {"bootstrap": SHELL}, executable={"bootstrap"}, **settings)
    else:
        cluster.create(name, LOADING + NODE, **settings)
    yield Subject(cluster, name)
    cluster.kubectl("delete", "functions.klambda.io", name)


def test_nothing_runs_between_invocations(subject: Subject) -> None:
    before = subject.ask("thread")
    assert before > 0
    time.sleep(1)
    assert subject.ask("thread") < before + 25, "of 50 in a second"


def test_the_deadline(subject: Subject) -> None:
    assert 0 < subject.ask("remaining") <= 60_000


def test_only_tmp_can_be_written(subject: Subject) -> None:
    for path in ("/var/task/x", "/opt/x", "/usr/x", "/var/tmp/x", "/dev/shm/x", "/klambda/x"):
        assert subject.ask("write", path=path) in REFUSED, path
    assert subject.ask("write", path="/tmp/x") not in REFUSED


def test_sizes_and_depths(subject: Subject) -> None:
    """Six megabytes in and out and one byte more; JSON that no parser likes."""
    name, cluster = subject.name, subject.cluster
    assert len(subject.ask("big", bytes=LIMIT + 100)) == LIMIT + 98
    assert failed(cluster, name, do="big", bytes=LIMIT + 101) == TOO_LARGE
    text = "x" * (LIMIT - len(json.dumps({"do": "size", "text": ""})))
    assert subject.ask("size", text=text) in (len(text), LIMIT)
    deep = b'{"do": "deep", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert status(cluster, name, deep) in {200, 400}
    assert subject.ask("calls") > 0


def test_output_without_bounds(subject: Subject) -> None:
    """100 MB in bounded memory; bytes that are no text."""
    before = subject.ask("calls")
    event = b'{"do": "flood", "megabytes": 100}'
    answer = subject.cluster.invoke_raw(subject.name, event, LogType="Tail")
    assert answer["Payload"].strip() == b'"done"', answer
    assert len(answer["Log"]) == 4096
    assert subject.ask("calls") == before + 2, "the same environment"
    assert subject.restarts() == {0}
    raw = subject.cluster.aws.invoke(
        FunctionName=subject.name, Payload=b'{"do": "binary"}', LogType="Tail"
    )
    tail = base64.b64decode(raw["LogResult"])
    assert b"bytes " in tail
    assert b" end\nEND RequestId" in tail


def test_memory_and_time(subject: Subject) -> None:
    """Both end the environment; only its report says that it was for memory."""
    answer = subject.cluster.invoke_raw(subject.name, b'{"do": "memory"}', LogType="Tail")
    body = json.loads(answer["Payload"])
    assert body["errorType"] == "Runtime.ExitError"
    assert body["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert answer["Log"].endswith("\tStatus: error\tError Type: Runtime.OutOfMemory\n")
    assert subject.ask("calls") == 1, "a new environment"
    subject.ask("write", path="/tmp/kept")
    subject.become(Timeout=3)
    subject.ask("write", path="/tmp/kept")
    late = failed(subject.cluster, subject.name, do="sleep")
    assert late["errorType"] == "Sandbox.Timedout"
    assert late["errorMessage"].endswith("Error: Task timed out after 3.00 seconds")
    assert subject.ask("calls") == 1, "a new environment"
    subject.become(Timeout=60)


def test_starts_that_fail_or_take_long(subject: Subject) -> None:
    """Kubelet never sees one that fails; one of more than 10 s is done again in the invocation."""
    subject.load("fail")
    told = [failed(subject.cluster, subject.name, do="calls") for _ in range(4)]
    assert len({json.dumps(each["errorType"]) for each in told}) == 1, told
    assert subject.restarts() == {0}
    subject.load("sleep")
    answer = subject.cluster.invoke_raw(subject.name, b'{"do": "calls"}', LogType="Tail")
    assert answer["Payload"].strip() == b"1"
    assert "Init Duration" not in answer["Log"]
    subject.load("")


def test_an_extension(subject: Subject, tmp_path: Path) -> None:
    """Events and telemetry; images have their own test, with extensions inside."""
    cluster, name = subject.cluster, subject.name
    if name.startswith("every-image"):
        pytest.skip("layers are for zips; see test_extensions_inside_an_image")
    tool = go()
    assert tool is not None, "`make test` has fetched one"
    flags = ["-trimpath", "-ldflags", "-s -w"]
    build(tool, "build", *flags, "-o", str(tmp_path / "eye"), ".", folder=HERE / "eye")
    content = {"extensions/eye": (tmp_path / "eye").read_bytes()}
    layer = cluster.aws.publish_layer_version(
        LayerName=name, Content={"ZipFile": zip_of(content, executable=content)}
    )
    try:
        subject.become(Layers=[layer["LayerVersionArn"]])
        for _ in range(2):
            answer = cluster.invoke_raw(name, b'{"do": "calls"}', LogType="Tail")
            request = answer["ResponseMetadata"]["RequestId"]
            lines = answer["Log"].splitlines()
            assert f"sees INVOKE {request}" in lines
            assert f"told {request} success" in lines
        serving = wait_until(
            "one pod is left", lambda: len(pods := cluster.children(name)["pods"]) == 1 and pods
        )
        cluster.kubectl("wait", "pod", serving[0], "--for=condition=Ready", "--timeout=30s")
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(cluster.kubectl, "logs", "--follow", serving[0])
            wait_until("the log is being followed", following.running)
            cluster.kubectl("delete", "pod", serving[0], "--wait=false")
            assert "sees SHUTDOWN spindown" in following.result(60)
        subject.become(Layers=[])
    finally:
        cluster.aws.delete_layer_version(LayerName=name, VersionNumber=layer["Version"])


def test_a_stream_of_a_custom_runtime(cluster: Cluster, name: str) -> None:
    """Ten lines of shell and curl can stream; Invoke gives the same bytes in one piece."""
    cluster.deploy(name, {"bootstrap": SHELL}, executable={"bootstrap"}, Runtime="provided.al2023")
    answer = cluster.invoke_stream(name, b'{"do": "stream"}', LogType="Tail")
    assert answer.body == b"onetwo"
    first = next(at for at, piece in answer.pieces if piece == b"one")
    assert answer.ended - first > 0.5, "the first piece came while the function slept"
    assert cluster.invoke_raw(name, b'{"do": "stream"}')["Payload"] == b"onetwo"
