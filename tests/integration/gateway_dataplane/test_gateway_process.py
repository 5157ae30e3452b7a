"""Gateways as processes, with the real operator, store and init: create, invoke, update, let go."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import os
import re
import threading
import time
import uuid
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.kinds import ALIAS, DEPLOYMENT, SECRET
from klambda_core.names import alias_name
from tests.integration.gateway_dataplane.conftest import HOME, IDLE_S, ControlPlane, wait_for
from tests.support.instance_peer import Init
from tests.support.objectstore import BUCKET
from tests.support.s3_service import error

ROLE = "arn:aws:iam::123456789012:role/test"
NUMBERS = itertools.count(1)


def code(source: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", source)
    return out.getvalue()


def answers(text: str) -> str:
    return f"def handler(event, context):\n    return {text!r}\n"


@pytest.fixture
def name(control_plane: ControlPlane) -> Iterator[str]:
    fresh = f"fn-{next(NUMBERS)}"
    yield fresh
    control_plane.client().delete_function(FunctionName=fresh)


def create(control_plane: ControlPlane, name: str, source: str, **members: Any) -> Any:
    client = control_plane.client()
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": code(source)},
        **members,
    )
    settled(client, name)
    return client


def settled(client: Any, name: str) -> None:
    def done() -> bool:
        seen = client.get_function_configuration(FunctionName=name)
        return bool(seen["State"] == "Active" and seen["LastUpdateStatus"] == "Successful")

    wait_for(done, f"{name} settles")


def invoke(client: Any, name: str, event: Any = None, **members: Any) -> Any:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **members)
    return json.loads(answer["Payload"].read())


def test_a_function_is_created_started_invoked_and_let_go(
    control_plane: ControlPlane, name: str
) -> None:
    source = "import os\ndef handler(event, context):\n    return [event['n'] + 1, os.getpid()]\n"
    client = create(control_plane, name, source)
    processes = {invoke(client, name, {"n": number})[1] for number in range(50)}
    assert invoke(client, name, {"n": 41})[0] == 42
    number, process = invoke(control_plane.client(1), name, {"n": 1})
    assert number == 2, "the other gateway knows it too"
    assert {process} == processes, "one instance serves them all"
    wait_for(lambda: not pods(control_plane, name), "the idle instance goes")
    assert invoke(client, name, {"n": 1})[0] == 2, "and comes again"


def test_a_large_package_is_kept_in_the_bucket_and_started_from_there(
    control_plane: ControlPlane, name: str
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data", os.urandom(600_000))  # too large to travel with the request
        archive.writestr(
            "app.py",
            "import os\ndef handler(event, context):\n    return os.path.getsize('data')\n",
        )
    package, objects = out.getvalue(), control_plane.objects
    client = control_plane.client()
    members = {"FunctionName": name, "Runtime": "python3.13", "Handler": "app.handler"}

    def upload() -> Any:
        return client.create_function(Role=ROLE, Code={"ZipFile": package}, **members)

    objects.faults += [lambda method, _: error(503, "SlowDown") if method == "PUT" else None] * 3
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        upload()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert answer["Error"]["Code"] == "ServiceUnavailableException"
    digest = hashlib.sha256(package).hexdigest()
    key = f"default/{digest[:2]}/{digest}"
    assert key not in objects.objects
    assert objects.faults == []
    upload()
    assert objects.objects[key][0] == package
    settled(client, name)
    assert invoke(client, name) == 600_000
    assert f"GET /{BUCKET}/{key}" in objects.requests


def test_two_are_never_at_once_in_one_instance_with_two_gateways(
    control_plane: ControlPlane, name: str
) -> None:
    source = (
        "import os, time\n"
        "def handler(event, context):\n"
        "    began = time.monotonic()\n"
        "    time.sleep(0.03)\n"
        "    return [os.getpid(), began, time.monotonic()]\n"
    )
    create(control_plane, name, source)
    clients = [control_plane.client(number) for number in (0, 1)]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda n: invoke(clients[n % 2], name), range(200)))
    assert len(runs) == 200
    spans = defaultdict(list)
    for process, began, ended in runs:
        spans[process].append((began, ended))
    assert len(spans) > 1
    for each in spans.values():
        each.sort()
        for (_, ended), (began, _) in itertools.pairwise(each):
            assert ended <= began


def test_no_request_fails_and_no_old_code_answers_while_it_is_updated(
    control_plane: ControlPlane, name: str
) -> None:
    client = create(control_plane, name, answers("0"))
    newest = 0
    stop = threading.Event()
    problems: list[object] = []
    count = 0

    def call() -> None:
        nonlocal count
        own = control_plane.client()
        while not stop.is_set():
            expected = newest
            try:
                answer = invoke(own, name)
            except botocore.exceptions.ClientError as error:
                problems.append(error)
            else:
                count += 1
                if int(answer) < expected:
                    problems.append((answer, expected))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 6):
            client.update_function_code(FunctionName=name, ZipFile=code(answers(str(number))))
            settled(client, name)
            newest = number
            time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems
    assert count > 10

    def deployments() -> int:
        _, body = control_plane.server.request("GET", DEPLOYMENT.path("default"))
        return sum(1 for each in body["items"] if each["metadata"]["name"].startswith(f"{name}-"))

    wait_for(lambda: deployments() == 1, "old revisions are drained, scaled to 0 and deleted")


def test_a_failing_function_and_bad_requests(control_plane: ControlPlane, name: str) -> None:
    client = create(
        control_plane, name, "def handler(event, context):\n    raise ValueError('no')\n"
    )
    answer = client.invoke(FunctionName=name, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == "ValueError"
    assert answer["LogResult"]
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=name, Payload=b"{")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=name, Payload=b"[" + b"1," * 20_000)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")
    assert client.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204


def test_metrics_tell_what_happened(control_plane: ControlPlane, name: str) -> None:
    invoke(create(control_plane, name, answers("x")), name)
    status, text = control_plane.gateways[0].get("/metrics")
    assert status == 200
    assert 'klambda_gateway_invocations_total{result="success"}' in text
    assert "klambda_gateway_cold_starts_total" in text


def test_no_secret_and_no_payload_is_in_a_log(control_plane: ControlPlane, name: str) -> None:
    """Of gateways, operator and store: keys, tokens, variables, events and answers."""
    variable, event = f"variable-{uuid.uuid4()}", f"event-{uuid.uuid4()}"
    source = "def handler(event, context):\n    raise ValueError(event[::-1])\n"
    client = create(control_plane, name, source, Environment={"Variables": {"PASSWORD": variable}})
    payload = json.dumps(event).encode()
    assert client.invoke(FunctionName=name, Payload=payload)["FunctionError"] == "Unhandled"
    assert client.invoke(FunctionName=name, Payload=payload, InvocationType="Event")
    assert control_plane.client(1).invoke(FunctionName=name, Payload=payload)["StatusCode"] == 200
    secrets = [variable, event, event[::-1], "secret-of-destinations"]
    for each in ("klambda-credentials", "klambda-installation"):
        _, found = control_plane.server.request("GET", SECRET.path(HOME, each))
        texts = {key: base64.b64decode(text).decode() for key, text in found["data"].items()}
        secrets += [texts[key] for key in texts.keys() & {"secretAccessKey", "key"}]
    assert len(secrets) == 6
    logs = sorted(control_plane.gateways[0].log.parent.glob("*.log"))
    assert [each.stem for each in logs] == ["gateway-0", "gateway-1", "operator", "store"]
    for log in logs:
        text = log.read_text()
        assert not [number for number, word in enumerate(secrets) if word in text], log.stem


def test_a_gateway_that_is_told_to_end_finishes_what_runs(
    control_plane: ControlPlane, name: str
) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'done'\n"
    create(control_plane, name, source, Timeout=10)
    gateway = control_plane.gateways[1]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, control_plane.client(1), name)
        wait_for(lambda: pods(control_plane, name), "the request is there")
        gateway.process.terminate()
        wait_for(lambda: not gateway.ready(), "not ready")
        assert running.result(60) == "done"
    assert gateway.process.wait(60) == 0
    control_plane.restart(1)


@pytest.fixture
def rushed(control_plane: ControlPlane) -> Iterator[None]:
    """Gateway 1 takes every start for one that would queue behind the controller-manager."""
    gateway = control_plane.gateways[1]
    for rate in ("4", "0"):
        gateway.process.terminate()
        gateway.process.wait(60)
        gateway.environment["KLAMBDA_CONTROLLER_RATE"] = rate
        control_plane.restart(1)
        if rate == "4":
            yield


def test_a_burst_is_served_by_bare_pods_which_go_like_others(
    control_plane: ControlPlane, name: str, rushed: None
) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(0.5)\n    return event\n"
    create(control_plane, name, source)
    kubelet, client = control_plane.kubelet, control_plane.client(1)
    assert kubelet is not None
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(lambda n: invoke(client, name, n), range(6))) == list(range(6))
    mine = {pod for pod in kubelet.bare.copy() if pod.startswith(f"{name}-")}
    assert 1 <= len(mine) <= 6
    [deployment] = [
        each
        for each in control_plane.server.request("GET", DEPLOYMENT.path("default"))[1]["items"]
        if each["metadata"]["labels"]["klambda.io/function"] == name
    ]
    assert deployment["spec"]["replicas"] == 0
    assert invoke(control_plane.client(0), name, 7) == 7, "the other gateway knows them too"
    wait_for(lambda: not pods(control_plane, name), "the idle ones go")
    assert invoke(control_plane.client(0), name, 8) == 8
    settled(client, name)
    client.update_function_code(FunctionName=name, ZipFile=code(answers("new")))
    settled(client, name)
    wait_for(lambda: invoke(client, name) == "new", "it is updated")
    wait_for(lambda: len(pods(control_plane, name)) == 1, "the old one goes")


def pods(control_plane: ControlPlane, name: str) -> list[Init]:
    """The pods of a function, or of its revisions of such a name."""
    assert control_plane.kubelet is not None
    running = list(control_plane.kubelet.running.items())  # another thread's
    return [init for pod, init in running if pod.startswith(f"{name}-")]


def provisioned(client: Any, name: str, qualifier: str) -> dict[str, Any]:
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    return {
        "Status": found["Status"],
        "Reason": found.get("StatusReason"),
        "Counts": tuple(
            found[f"{word}ProvisionedConcurrentExecutions"]
            for word in ("Requested", "Allocated", "Available")
        ),
    }


KIND = (
    "import os, time\n"
    "def handler(event, context):\n"
    "    if event:\n"
    "        open(os.environ['LAMBDA_TASK_ROOT'] + '/../../tmp/began', 'w').close()\n"
    "    while event and not os.path.exists(event):\n"
    "        time.sleep(0.02)\n"
    "    return [os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], os.getpid()]\n"
)


def runs_of_provisioned(control_plane: ControlPlane) -> Counter[str]:
    """Count, over all gateways and tests so far, where runs of provisioned versions went."""
    line = r'^klambda_gateway_provisioned_invocations_total{on="(\w+)"} (\S+)$'
    counted = "\n".join(gateway.get("/metrics")[1] for gateway in control_plane.gateways)
    found: Counter[str] = Counter()
    for where, count in re.findall(line, counted, re.MULTILINE):
        found[where] += int(float(count))
    return found


def test_provisioned_instances_are_there_before_requests_and_stay(
    control_plane: ControlPlane, name: str, tmp_path: Path
) -> None:
    """READY before the first request, preferred, spilt over, kept when idle, gone when removed."""
    before = runs_of_provisioned(control_plane)
    client = create(control_plane, name, KIND, Publish=True, Timeout=120)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    where = {"FunctionName": name, "Qualifier": "live"}
    client.put_provisioned_concurrency_config(**where, ProvisionedConcurrentExecutions=2)

    def count() -> int:
        return len(pods(control_plane, f"{name}-v1"))

    def begun() -> int:
        return sum((each.root / "tmp/began").exists() for each in pods(control_plane, name))

    def settled(*counts: int) -> bool:
        return provisioned(client, name, "live") == {
            "Status": "READY",
            "Reason": None,
            "Counts": counts,
        }

    wait_for(lambda: settled(2, 2, 2), "two are initialised ahead")
    clients = [control_plane.client(number) for number in (0, 1)]
    first = [invoke(clients[n % 2], name, Qualifier="live") for n in range(6)]
    assert {kind for kind, _ in first} == {"provisioned-concurrency"}
    go_on = tmp_path / "go-on"
    with ThreadPoolExecutor(3) as pool:
        started = [
            pool.submit(invoke, clients[n % 2], name, str(go_on), Qualifier="live")
            for n in range(3)
        ]
        wait_for(lambda: begun() == 3, "for one an instance was started")
        go_on.touch()
        runs = [each.result(60) for each in started]
    assert sorted(kind for kind, _ in runs) == [
        "on-demand", "provisioned-concurrency", "provisioned-concurrency",
    ]  # fmt: skip
    ahead = {process for kind, process in runs if kind != "on-demand"}
    assert {process for _, process in first} <= ahead
    counted = {"provisioned": 8, "spillover": 1}  # perhaps a moment after the answer
    wait_for(lambda: runs_of_provisioned(control_plane) - before == counted, "they are counted")

    wait_for(lambda: count() == 2, "what was spilt over goes when idle")
    time.sleep(IDLE_S + 1)
    assert count() == 2
    assert invoke(client, name, Qualifier="live")[1] in ahead, "and these are the same"
    client.put_provisioned_concurrency_config(**where, ProvisionedConcurrentExecutions=1)
    wait_for(lambda: count() == 1 and settled(1, 1, 1), "lowered")
    client.delete_provisioned_concurrency_config(**where)
    wait_for(lambda: count() == 0, "removed")
    path = ALIAS.path("default", alias_name(name, "live"))

    def told() -> bool:
        _, alias = control_plane.server.request("GET", path)
        return "provisionedConcurrency" in alias.get("status", {})

    wait_for(lambda: not told(), "nothing is told any more")


def test_an_init_that_fails_shows_in_the_status_and_requests_get_its_error(
    control_plane: ControlPlane, name: str
) -> None:
    client = create(control_plane, name, "raise OSError('no such thing')\n", Publish=True)
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )

    def failed() -> bool:
        found = provisioned(client, name, "1")
        return bool(found["Status"] == "FAILED" and found["Counts"] == (1, 1, 0))

    wait_for(failed, "the failure is told")
    assert provisioned(client, name, "1")["Reason"] == "FUNCTION_ERROR_INIT_FAILURE"
    answer = client.invoke(FunctionName=name, Qualifier="1", Payload=b"{}")
    assert answer["FunctionError"] == "Unhandled"
