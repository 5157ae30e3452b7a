"""Each runtime as its users meet it: handlers, search paths, wrappers, the environment."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import java
from tests.support.cluster import LAYOUT, REPOSITORY, Cluster, zip_of
from tests.support.instance_peer import go

CUSTOM = REPOSITORY / "examples" / "custom"
AREA = {"length": 6, "width": 7}

SPY = {
    "python3.13": {
        "app.py": "import os, sys\n"
        "def handler(event, context):\n"
        "    return {'env': dict(os.environ), 'cwd': os.getcwd(), 'uid': os.getuid()}\n"
    },
    "nodejs22.x": {
        "app.mjs": "export const handler = async () =>"
        " ({env: process.env, cwd: process.cwd(), uid: process.getuid()});\n"
    },
    "provided.al2023": {
        "bootstrap": """#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
    curl -sS -D /tmp/headers -o /dev/null "$api/next"
    id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([0-9a-f-]*\\).*/\\1/Ip' /tmp/headers)
    text=$(env | sed 's/\\([^=]*\\)=\\(.*\\)/"\\1": "\\2",/')
    echo "{\\"env\\": {$text \\"end\\": \\"\\"}, \\"cwd\\": \\"$(pwd)\\", \\"uid\\": $(id -u)}" |
        curl -sS -o /dev/null --data-binary @- "$api/$id/response"
done
"""
    },
}
SPY["nodejs24.x"] = SPY["nodejs22.x"]
LONG = (pytest.param("nodejs24.x", marks=pytest.mark.full),)  # its image takes minutes to build
# What the language itself or its shell adds; not Lambda's.
ADDED = {"PWD", "OLDPWD", "SHLVL", "_", "end"}


def expected(name: str, runtime: str) -> dict[str, str]:
    """The environment of reference §g.4, each value a pattern, for a function with one variable."""
    text = {
        "_HANDLER": "app.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task"
        ":/var/task/lib:/opt/lib",
        "MINE": "of the user",
    }
    match runtime.rstrip("0123456789.x"):
        case "python":
            text |= {"PYTHONPATH": "/var/runtime"}
        case "nodejs":
            major = runtime.removeprefix("nodejs").removesuffix(".x")
            modules = f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules"
            text |= {"NODE_PATH": f"{modules}:/var/runtime/node_modules"}
    patterns = {key: re.escape(value) for key, value in text.items()} | {
        "AWS_ACCESS_KEY_ID": "ASIA[A-Z0-9]{16}",
        "AWS_SECRET_ACCESS_KEY": ".+",
        "AWS_SESSION_TOKEN": ".+",
        "AWS_LAMBDA_LOG_STREAM_NAME": r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}",
        # Ours: calls with the credentials above come back to this installation.
        "AWS_ENDPOINT_URL_[A-Z_]+": "http://.*",
    }
    if not runtime.startswith("provided"):
        patterns["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{re.escape(runtime)}"
    if runtime.startswith(("python", "nodejs")):  # Java's client sets a system property instead
        patterns["_X_AMZN_TRACE_ID"] = "Root=1-.*"
    if runtime.startswith("java"):  # the others' clients take it out
        patterns["_LAMBDA_TELEMETRY_LOG_FD"] = "62"
    return patterns


def compare(seen: Mapping[str, str], patterns: Mapping[str, str]) -> None:
    """Every variable is expected and as expected; none is missing."""
    missing = set(patterns)
    for key, value in seen.items():
        if key in ADDED:
            continue
        pattern = next((each for each in patterns if re.fullmatch(each, key)), None)
        assert pattern is not None, f"{key}={value} is not Lambda's"
        assert re.fullmatch(patterns[pattern], value), f"{key}={value}"
        missing.discard(pattern)
    assert missing == set()


@pytest.mark.parametrize("runtime", ["python3.13", "nodejs22.x", "provided.al2023", *LONG])
def test_the_environment_is_lambdas(cluster: Cluster, name: str, runtime: str) -> None:
    cluster.deploy(
        name,
        SPY[runtime],
        executable={"bootstrap"},
        Runtime=runtime,
        MemorySize=192,
        Environment={"Variables": {"MINE": "of the user"}},
    )
    seen = cluster.invoke(name)
    assert (seen["cwd"], seen["uid"]) == ("/var/task", 993)
    patterns = expected(name, runtime)
    compare(seen["env"], patterns)


WRAPPER = """#!/bin/sh
for last; do :; done
export WRAPPED="$1 … $last"
exec "$@"
"""


@pytest.mark.parametrize(
    ("runtime", "program", "last"),
    [
        ("python3.13", "/usr/bin/python3", "/var/runtime/bootstrap.py"),
        ("nodejs22.x", "/var/lang/bin/node", "/var/runtime/index.mjs"),
        pytest.param(
            "nodejs24.x", "/var/lang/bin/node", "/var/runtime/index.mjs", marks=pytest.mark.full
        ),
    ],
)
def test_a_wrapper_runs_before_the_runtime(
    cluster: Cluster, name: str, runtime: str, program: str, last: str
) -> None:
    """It gets the command; the interpreter's flags can go before the last word."""
    cluster.deploy(
        name,
        SPY[runtime] | {"wrap": WRAPPER},
        executable={"wrap"},
        Runtime=runtime,
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}},
    )
    assert cluster.invoke(name)["env"]["WRAPPED"] == f"{program} … {last}"
    cluster.aws.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nothing"}}
    )
    cluster.wait_updated(name)
    answer = cluster.invoke_raw(name, LogType="Tail")
    assert b"Runtime exited with error: exit status 127" in answer["Payload"]
    assert "/opt/nothing: does not exist" in answer["Log"]


NODE24 = """
import { readFileSync } from 'node:fs';
let runs = 0;
export const handler = async (event) => {
  console.log('first\\nsecond');
  if (event === 'throw') throw new TypeError('boom');
  if (event === 'exit') process.exit(3);
  return { runs: ++runs, node: process.version };
};
export const callback = (event, context, done) => done(null, 1);
export const streaming = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('one');
  stream.write('two');
  stream.end();
});
"""


@pytest.mark.full
def test_node_24(cluster: Cluster, name: str) -> None:
    """AWS's client 4: promises and streams; callbacks are refused in its own words."""
    cluster.create(name, NODE24, Runtime="nodejs24.x", MemorySize=256)
    first = cluster.invoke(name)
    assert (first["runs"], first["node"].split(".")[0]) == (1, "v24")
    answer = cluster.invoke_raw(name, b'"throw"', LogType="Tail")
    body = json.loads(answer["Payload"])
    assert (body["errorType"], body["errorMessage"]) == ("TypeError", "boom")
    assert body["trace"][0] == "TypeError: boom"
    assert "\tINFO\tfirst\nsecond\n" in answer["Log"]
    assert cluster.invoke(name)["runs"] == 2, "the instance is kept"
    gone = json.loads(cluster.invoke_raw(name, b'"exit"')["Payload"])
    assert gone["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    become(cluster, name, "app.streaming")
    assert cluster.invoke_stream(name).body.endswith(b"onetwo")
    become(cluster, name, "app.callback")
    refused = json.loads(cluster.invoke_raw(name)["Payload"])
    assert refused["errorType"] == "Runtime.CallbackHandlerDeprecated"
    become(cluster, name, "app.nothing")
    missing = json.loads(cluster.invoke_raw(name)["Payload"])
    assert missing["errorType"] == "Runtime.HandlerNotFound"


@pytest.fixture(scope="module")
def java_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The classes of tests/e2e/java, with AWS's library of events in lib/."""
    source = Path(__file__).with_name("java")
    libraries = java.jars(source / "jars.lock")
    classes = java.compiled(source, libraries, tmp_path_factory.mktemp("classes"))
    return classes | {f"lib/{each.name}": each.read_bytes() for each in libraries}


@pytest.fixture(scope="module")
def java_function(cluster: Cluster, java_files: dict[str, bytes]) -> Iterator[str]:
    name = f"java-forms-{secrets.token_hex(3)}"
    files, handler = java_files | {"wrap": WRAPPER.encode()}, "example.Forms$Typed"
    settings: dict[str, Any] = {"Runtime": "java21", "MemorySize": 512, "Handler": handler}
    cluster.deploy(name, files, executable={"wrap"}, **settings)
    yield name
    cluster.kubectl("delete", "functions.klambda.io", name)


def become(cluster: Cluster, name: str, handler: str, **settings: Any) -> None:
    cluster.aws.update_function_configuration(FunctionName=name, Handler=handler, **settings)
    cluster.wait_updated(name)


def test_java_has_lambdas_environment_and_share_of_memory(
    cluster: Cluster, java_function: str
) -> None:
    settings = {"MemorySize": 192, "Environment": {"Variables": {"MINE": "of the user"}}}
    become(cluster, java_function, "example.Forms$Typed", **settings)
    seen = cluster.invoke(java_function, {"do": "spy"})
    assert seen["cwd"] == "/var/task"
    assert seen["java"].startswith("21.")
    assert 0 < seen["remaining"] <= 10_000
    patterns = expected(java_function, "java21") | {"_HANDLER": r"example\.Forms\$Typed"}
    compare(seen["env"], patterns)
    options = seen["options"]
    assert f"-XX:MaxHeapSize={192 * 1024 * 85 // 100}k" in options
    assert {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"} <= set(options)
    user = {"MINE": "of the user", "JAVA_TOOL_OPTIONS": "-Xmx64m -XX:TieredStopAtLevel=4"}
    become(cluster, java_function, "example.Forms$Typed", Environment={"Variables": user})
    seen = cluster.invoke(java_function, {"do": "spy"})
    assert 60 << 20 < seen["heap"] <= 64 << 20
    assert "-XX:TieredStopAtLevel=1" not in seen["options"]
    assert "-XX:+UseSerialGC" in seen["options"]


def test_a_wrapper_runs_before_java(cluster: Cluster, java_function: str) -> None:
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}
    environment = {"Variables": variables}
    become(cluster, java_function, "example.Forms$Typed", Environment=environment)
    seen = cluster.invoke(java_function, {"do": "spy"})
    assert seen["env"]["WRAPPED"] == "/var/lang/bin/java … example.Forms$Typed"


def test_java_handlers_in_every_form(cluster: Cluster, java_function: str) -> None:
    settings = {"MemorySize": 512, "Environment": {"Variables": {}}}
    become(cluster, java_function, "example.Forms$Plain::area", **settings)
    answer = cluster.invoke_raw(java_function, b'{"length": 6, "width": 7}')
    request = answer["ResponseMetadata"]["RequestId"]
    assert json.loads(answer["Payload"]) == {"area": 42.0, "requestId": request}
    become(cluster, java_function, "example.Forms$Streams")
    assert cluster.invoke(java_function, AREA) == {"echo": AREA}
    become(cluster, java_function, "example.Forms$Messages::handleRequest")
    records = [{"messageId": "1", "body": "first"}, {"messageId": "2", "body": "second"}]
    assert cluster.invoke(java_function, {"Records": records}) == ["first", "second"]


def test_java_errors_have_lambdas_bodies(cluster: Cluster, java_function: str) -> None:
    def failed(event: object) -> dict[str, Any]:
        answer = cluster.invoke_raw(java_function, json.dumps(event).encode())
        assert answer["FunctionError"] == "Unhandled"
        body: dict[str, Any] = json.loads(answer["Payload"])
        return body

    become(cluster, java_function, "example.Forms$Typed", MemorySize=512)
    assert [cluster.invoke(java_function, {}) for _ in range(2)] == [1, 2], "the instance is kept"
    raised = failed({"do": "raise"})
    assert (raised["errorMessage"], raised["errorType"]) == (
        "boom",
        "java.lang.IllegalStateException",
    )
    assert raised["stackTrace"][0].startswith("example.Forms$Typed.handleRequest(Forms.java:")
    assert set(raised) == {"errorMessage", "errorType", "stackTrace"}
    exited = failed({"do": "exit"})
    assert exited["errorType"] == "Runtime.ExitError"
    assert exited["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert cluster.invoke(java_function, {}) == 1, "a new environment"
    become(cluster, java_function, "example.Nothing")
    assert failed({}) == {
        "errorMessage": "Class not found: example.Nothing",
        "errorType": "java.lang.ClassNotFoundException",
    }
    become(cluster, java_function, "example.Forms$Broken")
    assert failed({})["errorMessage"] == "no such luck"


@pytest.mark.full
def test_java_without_memory_or_time(cluster: Cluster, java_function: str) -> None:
    become(cluster, java_function, "example.Forms$Typed", MemorySize=512)
    for event, words in {
        "hoard": "exited with error: signal: killed",
        "sleep": "timed out",
    }.items():
        answer = cluster.invoke_raw(java_function, json.dumps({"do": event}).encode())
        assert words in json.loads(answer["Payload"])["errorMessage"]
        assert cluster.invoke(java_function, {}) == 1, "a new environment"


def test_java_finds_the_libraries_of_layers(
    cluster: Cluster, name: str, java_files: dict[str, bytes]
) -> None:
    """§h: jars in java/lib of a layer are on the class path, behind the function's own."""
    jars = {f"java/{path}": data for path, data in java_files.items() if path.startswith("lib/")}
    own = {path: data for path, data in java_files.items() if not path.startswith("lib/")}
    content = {"ZipFile": zip_of(jars)}
    layer = cluster.aws.publish_layer_version(LayerName=name, Content=content)
    arn, handler = layer["LayerVersionArn"], "example.Forms$Messages"
    cluster.deploy(name, own, Runtime="java21", MemorySize=512, Handler=handler, Layers=[arn])
    records = [{"messageId": "1", "body": "found"}]
    assert cluster.invoke(name, {"Records": records}) == ["found"]
    cluster.aws.delete_layer_version(LayerName=name, VersionNumber=layer["Version"])


def test_a_custom_runtime_in_ten_lines_of_shell(cluster: Cluster, name: str) -> None:
    """As `provided.al2`, which provided.al2023 stands in for."""
    files = {"bootstrap": (CUSTOM / "shell" / "bootstrap").read_text()}
    cluster.deploy(name, files, executable=files, Runtime="provided.al2")
    assert cluster.invoke(name, AREA) == {"shell": AREA}
    assert "event: 7" in cluster.invoke_raw(name, b"7", LogType="Tail")["Log"]
    conditions = cluster.objects("fn", "--field-selector", f"metadata.name={name}")[0]["status"]
    (told,) = [c for c in conditions["conditions"] if c["type"] == "RuntimeSubstituted"]
    assert (told["status"], "provided.al2023" in told["message"]) == ("True", True)


def rectangle(cluster: Cluster, name: str, program: Path) -> None:
    """Deploy a program for custom runtimes and see that it answers, fails and logs as it should."""
    files = {"bootstrap": program.read_bytes()}
    cluster.deploy(name, files, executable=files, Runtime="provided.al2023", Handler="any")
    answer = cluster.invoke_raw(name, b'{"length": 6, "width": 7}', LogType="Tail")
    request = answer["ResponseMetadata"]["RequestId"]
    assert json.loads(answer["Payload"]) == {"area": 42, "requestId": request}
    assert "the area is 42" in answer["Log"]
    failed = cluster.invoke_raw(name, b'{"length": -6, "width": 7}')
    assert failed["FunctionError"] == "Unhandled"
    assert b'"errorMessage":"a side is negative"' in failed["Payload"]


def test_a_go_function_with_awss_library(cluster: Cluster, name: str, tmp_path: Path) -> None:
    tool = go()
    assert tool is not None, "`make test` has fetched one"
    flags = ["-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w"]
    program = tmp_path / "bootstrap"
    build(tool, "build", *flags, "-o", str(program), ".", folder=CUSTOM / "go")
    rectangle(cluster, name, program)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_rust_function_with_awss_library(cluster: Cluster, name: str) -> None:
    target = LAYOUT.cache / "rust"
    manifest = ["--manifest-path", str(CUSTOM / "rust" / "Cargo.toml")]
    build("cargo", "build", "--release", "--locked", *manifest, "--target-dir", str(target))
    rectangle(cluster, name, target / "release" / "bootstrap")


def build(*command: Any, folder: Path = REPOSITORY) -> None:
    """Run a compiler."""
    environment = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
