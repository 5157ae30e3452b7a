"""The API against real Kubernetes and a real store: what fakes cannot know."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from klambda_core.kinds import ALIAS, FUNCTION, SECRET, VERSION
from tests.integration.gateway_api.conftest import HOME, Rig
from tests.support.rights import grant
from tests.unit.gateway_api.fakes import ROLE, make_zip
from tests.unit.gateway_api.test_configuration_api import CASES, CLEARED


def create(client: Any, name: str, **more: Any) -> dict[str, Any]:
    members = {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": make_zip()},
    }
    answer: dict[str, Any] = client.create_function(**members | more)
    return answer


REFUSALS = ("UnrecognizedClientException", "AccessDeniedException")


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What ``look`` finds at last; watches take milliseconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
    return found


def test_the_life_of_a_function(rig: Rig, client: Any, name: str) -> None:
    assert create(client, name, Environment={"Variables": {"AA": "1"}})["State"] == "Pending"
    rig.settle()
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == make_zip()
    answer = client.update_function_configuration(
        FunctionName=name, Timeout=20, Environment={"Variables": {"BB": "2"}}
    )
    assert answer["LastUpdateStatus"] == "InProgress"
    assert answer["Environment"] == {"Variables": {"BB": "2"}}
    rig.settle()
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=make_zip("x = 2\n"))
    rig.settle()
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    rig.settle()
    client.update_function_configuration(FunctionName=name, Timeout=21)
    rig.settle()
    assert client.publish_version(FunctionName=name, Description="two")["Version"] == "2"
    client.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}},
    )
    shifted = client.update_alias(
        FunctionName=name, Name="live", FunctionVersion="2",
        RoutingConfig={"AdditionalVersionWeights": {}},
    )  # fmt: skip
    assert shifted["FunctionVersion"] == "2"
    assert "RoutingConfig" not in shifted
    found = client.get_function_configuration(FunctionName=name, Qualifier="live")
    assert found["FunctionArn"].endswith(f":{name}:live")
    assert (found["Version"], found["Timeout"], found["Description"]) == ("2", 21, "two")
    client.delete_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)


def test_create_publishes_at_once_and_survives_a_namesake(rig: Rig, client: Any, name: str) -> None:
    """No collector runs here: the versions and aliases of the deleted function stay."""
    for _ in range(3):
        assert create(client, name, Publish=True)["Version"] == "1"
        rig.settle()
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        assert len(client.list_versions_by_function(FunctionName=name)["Versions"]) == 2
        assert len(client.list_aliases(FunctionName=name)["Aliases"]) == 1
        client.delete_function(FunctionName=name)
    assert rig.objects(VERSION)
    assert rig.objects(ALIAS)


def test_a_ghost_in_foreground_deletion_gives_its_name_back(
    rig: Rig, client: Any, name: str
) -> None:
    """Nothing here ends a foreground deletion: the ghost would stay for ever."""
    create(client, name)
    obj = next(o for o in rig.objects(FUNCTION) if o["spec"].get("functionName") == name)
    path = FUNCTION.path("default", obj["metadata"]["name"])
    rig.server.request("DELETE", path, {"propagationPolicy": "Foreground"})
    assert rig.server.request("GET", path)[1]["metadata"]["deletionTimestamp"]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)
    assert create(client, name)["State"] == "Pending"


def test_one_of_many_creators_wins(rig: Rig, client: Any, name: str) -> None:
    def attempt(_: int) -> int:
        try:
            create(client, name)
        except botocore.exceptions.ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 201

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(6))) == [201] + [409] * 5


def test_concurrent_changes_all_happen(rig: Rig, client: Any, name: str) -> None:
    arn = create(client, name)["FunctionArn"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: client.tag_resource(Resource=arn, Tags={f"k{n}": "v"}), range(4)))
    assert set(client.list_tags(Resource=arn)["Tags"]) == {"k0", "k1", "k2", "k3"}


def test_writes_touch_only_what_they_change(rig: Rig, client: Any, name: str) -> None:
    create(client, name)
    rig.settle()
    obj = next(o for o in rig.objects(FUNCTION) if o["spec"].get("functionName") == name)
    path = FUNCTION.path("default", obj["metadata"]["name"])
    theirs = {"spec": {"scaling": {"idleSeconds": 7}, "description": "by kubectl"}}
    rig.server.request("PATCH", path, theirs, "application/merge-patch+json")
    rig.settle()
    client.update_function_configuration(FunctionName=name, MemorySize=256)
    spec = rig.server.request("GET", path)[1]["spec"]
    assert (spec["memorySize"], spec["scaling"], spec["description"]) == (
        256, {"idleSeconds": 7}, "by kubectl",
    )  # fmt: skip


def test_invoke_with_log_tail(rig: Rig, client: Any, name: str) -> None:
    answer = client.invoke(FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
    assert answer["StatusCode"] == 200
    assert answer["Payload"].read() == b'{"a": 1}'
    assert answer["ExecutedVersion"] == "$LATEST"
    assert base64.b64decode(answer["LogResult"]) == b"START\nEND\n"
    assert client.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204


def test_sts_says_who_we_are(rig: Rig) -> None:
    identity = rig.client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:user/klambda-admin"


def test_keys_come_and_go_with_their_secrets(rig: Rig) -> None:
    secret = {
        "metadata": {"name": "second"},
        "type": "klambda.io/access-key",
        "stringData": {
            "accessKeyId": "AKIASECOND",
            "secretAccessKey": "very secret",
            "namespace": "second",
            "user": "second",
        },
    }
    rig.server.create_namespace("second")
    grant(rig.server, "second", "klambda-developer", user="second")
    rig.server.request("POST", SECRET.path(HOME), secret)
    client = rig.client(secret="second")

    def works() -> bool:
        try:
            client.list_functions()
        except botocore.exceptions.ClientError as error:
            # The key, and then the right, is on its way.
            return error.response["Error"]["Code"] not in REFUSALS
        return True

    eventually(works)
    create(client, "theirs")
    assert len(rig.objects(FUNCTION, "second")) == 1
    names = [f["FunctionName"] for f in rig.client().list_functions()["Functions"]]
    assert "theirs" not in names
    rig.server.request("DELETE", SECRET.path(HOME, "second"))
    eventually(lambda: not works())


def condition(rig: Rig, name: str) -> dict[str, Any] | None:
    status = rig.server.request("GET", FUNCTION.path("default", name))[1].get("status", {})
    found: list[dict[str, Any]] = status.get("conditions", [])
    return next((c for c in found if c["type"] == "CodeResolved"), None)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ({"files": {"lambda_function.py": "x = 1\n"}}, "True", "Stored"),
        ({"zip": base64.b64encode(make_zip()).decode()}, "True", "Stored"),
        ({"zip": "no base64!"}, "False", "InvalidCode"),
        ({"zip": base64.b64encode(b"no zip").decode()}, "False", "InvalidCode"),
        ({"blob": {"sha256": "0" * 64, "size": 1}}, "False", "BlobMissing"),
        (None, "False", "NoCode"),
    ],
)
def test_code_of_objects_is_resolved(
    rig: Rig, name: str, code: dict[str, Any] | None, status: str, reason: str
) -> None:
    name = name.lower().replace("_", "-")
    spec: dict[str, Any] = {"runtime": "python3.13", "handler": "lambda_function.handler"}
    if code is not None:
        spec["code"] = code
    body = {
        "apiVersion": FUNCTION.api_version,
        "kind": FUNCTION.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    assert rig.server.request("POST", FUNCTION.path("default"), body)[0] == 201
    found = eventually(lambda: condition(rig, name))
    assert (found["status"], found["reason"]) == (status, reason)
    patch = {"spec": {"code": {"files": {"lambda_function.py": "y = 2\n"}, "zip": None}}}
    path = FUNCTION.path("default", name)
    rig.server.request("PATCH", path, patch, "application/merge-patch+json")
    eventually(lambda: (condition(rig, name) or {})["observedGeneration"] == 2)
    assert (condition(rig, name) or {})["status"] == "True"
    obj = rig.server.request("GET", path)[1]
    assert obj["status"]["code"]["size"] > 0
    version = obj["metadata"]["resourceVersion"]
    time.sleep(0.3)
    assert rig.server.request("GET", path)[1]["metadata"]["resourceVersion"] == version


def test_a_function_of_kubectl_without_code_takes_an_upload(
    rig: Rig, client: Any, name: str
) -> None:
    name = name.lower().replace("_", "-")
    body = {
        "apiVersion": FUNCTION.api_version,
        "kind": FUNCTION.kind,
        "metadata": {"name": name},
        "spec": {"runtime": "python3.13", "handler": "lambda_function.handler"},
    }
    rig.server.request("POST", FUNCTION.path("default"), body)
    assert client.get_function(FunctionName=name)["Configuration"]["State"] == "Pending"
    client.update_function_code(FunctionName=name, ZipFile=make_zip())
    eventually(lambda: (condition(rig, name) or {}).get("status") == "True")


def stored_zip(size: int) -> bytes:
    """A zip of about this size that does not compress."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", random.Random(1).randbytes(size))
    return buffer.getvalue()


def test_large_uploads(rig: Rig, client: Any, name: str) -> None:
    data = stored_zip(45_000_000)
    assert create(client, name, Code={"ZipFile": data})["CodeSize"] == len(data)
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == data


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (52_428_800, "Zipped size must be smaller than 52428800 bytes"),
        (
            53_000_000,
            "Request must be smaller than 70167211 bytes for the CreateFunction operation",
        ),
    ],
)
def test_uploads_that_are_too_large(rig: Rig, client: Any, name: str, size: int, text: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        create(client, name, Code={"ZipFile": stored_zip(size)})
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert error["Error"] == {"Code": "RequestEntityTooLargeException", "Message": text}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/2015-03-31/functions/", 403),
        ("/", 403),
        ("//", 403),
        ("/favicon.ico", 403),
        ("/_code/default/" + "0" * 64, 403),
        ("/_code/default/" + "0" * 64 + "?expires=9999999999&signature=0", 403),
    ],
)
def test_what_is_not_signed_is_refused_in_json(rig: Rig, path: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{rig.port}{path}")
    with caught.value as answer:
        assert answer.code == status
        assert answer.headers["x-amzn-RequestId"]
        assert answer.headers["x-amzn-ErrorType"]
        assert isinstance(json.loads(answer.read()), dict)


def test_the_aws_cli(rig: Rig, name: str, tmp_path: Path) -> None:
    package, out = tmp_path / "f.zip", tmp_path / "out.json"
    package.write_bytes(make_zip())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{rig.port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        **rig.key(),
    }

    def aws(*words: str, service: str = "lambda") -> Any:
        command = [sys.executable, "-m", "awscli", service, *words, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout) if done.stdout.strip() else None

    function = ("--function-name", name)
    made = aws(
        "create-function", *function, "--runtime", "python3.13", "--handler", "a.b",
        "--role", ROLE, "--zip-file", f"fileb://{package}", "--environment", "Variables={AA=1}",
    )  # fmt: skip
    assert made["State"] == "Pending"
    rig.settle()
    aws("wait", "function-active-v2", *function)
    assert aws("publish-version", *function)["Version"] == "1"
    alias = aws("create-alias", *function, "--name", "live", "--function-version", "1")
    assert alias["AliasArn"].endswith(f":{name}:live")
    answer = aws(
        "invoke", *function, "--qualifier", "live", "--log-type", "Tail",
        "--payload", '{"a": 1}', str(out),
    )  # fmt: skip
    assert answer["StatusCode"] == 200
    assert json.loads(out.read_text()) == {"a": 1}
    assert aws("get-caller-identity", service="sts")["Account"]
    aws("delete-function", *function)


def test_a_presigned_url_invokes(rig: Rig, client: Any, name: str) -> None:
    key = rig.key()
    credentials = botocore.credentials.Credentials(
        key["AWS_ACCESS_KEY_ID"], key["AWS_SECRET_ACCESS_KEY"]
    )
    url = f"http://127.0.0.1:{rig.port}/2015-03-31/functions/{name}/invocations"
    request = botocore.awsrequest.AWSRequest(method="POST", url=url)
    botocore.auth.SigV4QueryAuth(credentials, "lambda", "us-east-1").add_auth(request)
    sent = urllib.request.Request(request.url, method="POST")
    with urllib.request.urlopen(sent) as answer:
        assert answer.read() == b"{}"
        assert answer.headers["X-Amz-Executed-Version"] == "$LATEST"
        assert answer.headers["x-amzn-RequestId"]


def test_the_schema_takes_what_the_api_takes(rig: Rig, client: Any, name: str) -> None:
    """Every configuration member at creation, then every one of them cleared or changed."""
    first = {member: given for member, given, _ in reversed(CASES)}
    del first["SnapStart"]  # goes with neither a file system nor much storage
    first["VpcConfig"] = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    made = create(client, name, Tags={"a b": "c:d"}, **first)
    for member, given, shown in CASES:
        if first.get(member) == given:
            assert made[member] == shown, member
    rig.settle()
    changes = {member: clearing for member, _, clearing, _ in CLEARED}
    changed = client.update_function_configuration(FunctionName=name, **changes)
    for member, _, _, shown in CLEARED:
        assert changed.get(member) == shown, member
    client.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="*"
    )
    client.create_function_url_config(
        FunctionName=name, AuthType="NONE", Cors={"AllowOrigins": ["*"], "MaxAge": 5}
    )
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    spec = next(o for o in rig.objects(FUNCTION) if o["spec"].get("functionName") == name)["spec"]
    assert {"policy", "url", "eventInvokeConfig", "reservedConcurrentExecutions"} <= set(spec)
    client.remove_permission(FunctionName=name, StatementId="s")
    client.delete_function_url_config(FunctionName=name)
    client.delete_function_event_invoke_config(FunctionName=name)
    client.delete_function_concurrency(FunctionName=name)
    spec = next(o for o in rig.objects(FUNCTION) if o["spec"].get("functionName") == name)["spec"]
    assert not {"policy", "url", "eventInvokeConfig", "reservedConcurrentExecutions"} & set(spec)
