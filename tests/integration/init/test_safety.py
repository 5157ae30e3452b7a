"""What a function, a peer or an archive cannot do to init, and what init leaves: nothing."""

from __future__ import annotations

import asyncio
import http.server
import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance_peer import (
    ASSIGNED,
    FAILED,
    TOKEN,
    Gateway,
    Init,
    archive,
    assign,
    assignment,
    encode,
    eventually,
    gateway,
)

from .conftest import Launch

ECHO = "def lambda_handler(event, context):\n    return event\n"


def landlock() -> bool:
    """Whether the kernel has it: asked as init asks."""
    import ctypes

    return bool(ctypes.CDLL(None).syscall(444, 0, 0, 1) > 0)


def descendants(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        state, parent = text.rsplit(")", 1)[1].split()[:2]
        if int(parent) == pid and state != "Z":
            child = int(entry.parent.name)
            found += [child, *descendants(child)]
    return found


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 64,
        struct.pack(">I", 4) + b"\x05\x00\x00\x00\x00",
        struct.pack(">IBI", 2 << 20, 5, 0),
        struct.pack(">IBI", 5, 5, 1),
        encode(99, {}),
        encode(16, {"digest": "d"}),
        encode(5, {"attempt": "a"}),
        encode(6, {}),
        encode(8, {"mode": "sideways"}),
        encode(5, {"attempt": "a", "requestId": "r", "mode": "buffered", "size": 1}, b"22"),
        encode(5, {"attempt": "a", "requestId": "r", "mode": "buffered", "size": 7 << 20}),
        struct.pack(">IBI", 7, 5, 2) + b"[]",
        struct.pack(">IBI", 7, 5, 2) + b"{x",
    ],
)
async def test_a_peer_that_talks_nonsense_only_loses_its_connection(
    launch: Launch, junk: bytes
) -> None:
    running = await launch(ECHO)
    running.connection.writer.write(junk)
    await asyncio.wait_for(running.connection.closed.wait(), 30)
    again = await running.gateway.connection()
    assert (await again.invoke(1)).json == 1


async def test_a_flood_of_frames_is_survived(launch: Launch) -> None:
    running = await launch(ECHO)
    connection = running.connection
    before = resident(running.pid)
    flood = encode(9, {"attempt": "x"}) * 1000
    for _ in range(50):
        connection.writer.write(flood)
        await connection.writer.drain()
    await eventually(lambda: connection.others.qsize() >= 50_000, 20)
    assert (await connection.invoke(1)).json == 1
    assert resident(running.pid) - before < 30


async def test_a_gateway_that_does_not_know_the_token_is_left(
    bare: Callable[[str], Init], peer: Gateway, python_bootstrap: str
) -> None:
    async with gateway("impostor", token="guessed") as impostor:
        init = bare(python_bootstrap)
        await init.start(f"127.0.0.1:{impostor.port}", f"127.0.0.1:{peer.port}")
        await peer.connection()
        await eventually(lambda: impostor.refusals >= 2)  # dialled again, and left again
        assert impostor.connections.empty()


async def test_the_environment_is_exactly_lambdas(launch: Launch) -> None:
    source = "import os\nE = dict(os.environ)\ndef lambda_handler(event, context):\n    return E\n"
    running = await launch(
        source,
        environment={"MINE": "1", "TZ": ":Europe/Berlin", "AWS_REGION": "no", "PATCH": "x=y"},
        settings={"KLAMBDA_ENV_SECRET": "resolved", "KLAMBDA_FREEZE": "on", "OTHER_OF_IMAGE": "1"},
        frame={
            "initializationType": "provisioned-concurrency",
            "credentials": {"accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T"},
            "endpoints": {"AWS_ENDPOINT_URL_LAMBDA": "http://gateway:8080"},
        },
        version="7",
        handler="lambda_function.lambda_handler",
        logFormat="JSON",
        applicationLogLevel="INFO",
    )
    found = (await running.connection.invoke()).json
    root = str(running.init.root)
    assert found.pop("AWS_LAMBDA_LOG_STREAM_NAME")[10:14] == "/[7]"
    assert found.pop("AWS_LAMBDA_RUNTIME_API").startswith("127.0.0.1:")
    for of_the_shell in ("PWD", "LC_CTYPE", "_X_AMZN_TRACE_ID", "SHLVL", "OLDPWD"):
        found.pop(of_the_shell, None)
    task, runtime = f"{root}/var/task", f"{root}/var/runtime"
    assert found == {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "S",
        "AWS_SESSION_TOKEN": "T",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_LAMBDA": "http://gateway:8080",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_NAME": "hello",
        "AWS_LAMBDA_FUNCTION_VERSION": "7",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_REGION": "us-east-1",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "LAMBDA_RUNTIME_DIR": runtime,
        "LAMBDA_TASK_ROOT": task,
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"/var/lang/lib:/lib64:/usr/lib64:{runtime}:{runtime}/lib:{task}:"
        f"{task}/lib:/opt/lib",
        "MINE": "1",
        "PATCH": "x=y",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": runtime,
        "SECRET": "resolved",
        "TZ": ":Europe/Berlin",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": "lambda_function.lambda_handler",
    }


async def test_the_token_is_nowhere_in_inits_memory(launch: Launch) -> None:
    """Read as root, which the function is not: not in the environment block that exec left."""
    running = await launch(ECHO)
    environ = proc(running.pid, "environ")
    assert environ.strip("\0") == ""
    assert TOKEN not in environ


async def test_open_files_are_limited_as_on_lambda(launch: Launch) -> None:
    source = "import resource\ndef lambda_handler(event, context):\n"
    source += "    return resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    running = await launch(source)
    assert (await running.connection.invoke()).json == [1024, 1024]


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
async def test_only_tmp_is_writable_and_init_is_out_of_reach(launch: Launch) -> None:
    source = """import os, signal
root = os.path.join(os.environ['LAMBDA_TASK_ROOT'], '../..')
def attempt(do):
    try:
        do()
        return 'done'
    except OSError as e:
        return type(e).__name__
def write(path):
    open(os.path.join(root, path), 'w').write('x')
def lambda_handler(event, context):
    init = os.getppid()
    return {
        'tmp': attempt(lambda: write('tmp/x')),
        'task': attempt(lambda: write('var/task/x')),
        'code': attempt(lambda: write('var/task/lambda_function.py')),
        'opt': attempt(lambda: os.mkdir(os.path.join(root, 'opt/x'))),
        'runtime': attempt(lambda: os.unlink(os.path.join(root, 'var/runtime/bootstrap'))),
        'null': attempt(lambda: open('/dev/null', 'w').write('x')),
        'signal': attempt(lambda: os.kill(init, signal.SIGTERM)),
        'memory': attempt(lambda: open(f'/proc/{init}/mem', 'rb').read(1)),
        'trace': attempt(lambda: os.readlink(f'/proc/{init}/fd/0')),
        'self': attempt(lambda: os.kill(os.getpid(), 0)),
    }
"""
    running = await launch(source)
    found = (await running.connection.invoke()).json
    assert found == {
        "tmp": "done",
        "task": "PermissionError",
        "code": "PermissionError",
        "opt": "PermissionError",
        "runtime": "PermissionError",
        "null": "done",
        "signal": "PermissionError",
        "memory": "PermissionError",
        "trace": "PermissionError",
        "self": "done",
    }


DAEMON = """import os, time, subprocess, sys
def lambda_handler(event, context):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, ['python', '-c', 'import time; time.sleep(1000)'], {})
        os._exit(0)
    subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True)
    time.sleep(0.05)
    if event == 'exit': os._exit(1)
    if event == 'sleep': time.sleep(1000)
    return len(os.listdir('/proc'))
"""


@pytest.mark.parametrize("event", ["exit", "sleep"])
async def test_daemons_do_not_outlive_a_crash_or_a_timeout(launch: Launch, event: str) -> None:
    running = await launch(DAEMON, timeout=2)
    await running.connection.invoke("stay")
    assert len(descendants(running.pid)) == 3
    outcome = await running.connection.invoke(event)
    assert outcome.end is not None
    assert outcome.end["status"] in {"error", "timeout"}
    assert descendants(running.pid) == [], "at the end of the attempt nothing is left"
    assert not zombies(running.pid)


async def test_orphans_are_reaped_and_frozen(launch: Launch) -> None:
    running = await launch(DAEMON)
    for _ in range(5):
        await running.connection.invoke("stay")
    assert not zombies(running.pid)
    await eventually(lambda: {stat(pid) for pid in descendants(running.pid)} == {"T"})
    assert len(descendants(running.pid)) == 11
    await running.init.stop()


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def stat(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def zombies(pid: int) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state == "Z":
            found.append(entry.parent.name)
    return found


def resident(pid: int) -> int:
    """MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) >> 10


async def test_a_flood_of_output_is_bounded(launch: Launch) -> None:
    source = """import os
def lambda_handler(event, context):
    line = b'x' * 999 + b'\\n'
    for _ in range(event): os.write(1, line * 100)
    os.write(1, b'y' * 300000)
    return 'done'
"""
    running = await launch(source, timeout=60)
    before = resident(running.pid)
    outcome = await running.connection.invoke(1000, limit=60)
    assert outcome.json == "done"
    assert outcome.tail.startswith("y" * 1000)
    assert resident(running.pid) - before < 30
    assert (await running.connection.invoke(0)).json == "done"


async def test_output_that_is_not_text(launch: Launch) -> None:
    source = "import os\ndef lambda_handler(e, c):\n    os.write(2, bytes(range(256)))\n"
    running = await launch(source)
    await running.connection.invoke(0)
    await running.init.stop()
    assert bytes(range(256)) in (running.init.root / "stdout").read_bytes()


class Store(http.server.BaseHTTPRequestHandler):
    """A store that fails as often as it is told."""

    content = b""
    failures = 0

    def do_GET(self) -> None:
        kind = type(self)
        if kind.failures > 0:
            kind.failures -= 1
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(kind.content)))
        self.end_headers()
        self.wfile.write(kind.content)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def store() -> Iterator[tuple[type[Store], str]]:
    kind = type("ThisStore", (Store,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield (
        kind,
        f"http://127.0.0.1:{server.server_port}/v1/blobs/default/x?expires=1&signature=secret",
    )
    server.shutdown()
    thread.join()
    server.server_close()


async def fetched(
    init: Init, peer: Gateway, url: str, code: bytes, layers: list[bytes], **members: Any
) -> Any:
    await init.start(f"127.0.0.1:{peer.port}")
    connection = await peer.connection()
    digests = [assignment(layer)["code"] for layer in layers]
    frame = {"code": {"url": url}, "layers": [{"url": url} for _ in layers]}
    assign(connection, code, frame=frame, layers=digests, **members)
    return connection


async def test_code_behind_a_url(
    bare: Callable[[str], Init],
    peer: Gateway,
    python_bootstrap: str,
    store: tuple[type[Store], str],
) -> None:
    kind, url = store
    kind.content = archive({"lambda_function.py": ECHO, "blob": os.urandom(3 << 20)})
    kind.failures = 2
    init = bare(python_bootstrap)
    connection = await fetched(init, peer, url, kind.content, [])
    assert (await connection.invoke(4)).json == 4
    await connection.expect(ASSIGNED)
    assert list((init.root / "tmp").iterdir()) == []


async def test_layers_lie_under_opt_and_later_ones_win(
    bare: Callable[[str], Init],
    peer: Gateway,
    python_bootstrap: str,
    store: tuple[type[Store], str],
) -> None:
    kind, url = store
    kind.content = archive({"lambda_function.py": ECHO, "python/lib.py": "x"}, mode=0o755)
    init = bare(python_bootstrap)
    connection = await fetched(init, peer, url, kind.content, [kind.content, kind.content])
    assert (await connection.invoke(4)).json == 4
    assert (init.root / "opt/python/lib.py").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(("content", "word"), [(b"other", "CodeDigestMismatch")])
async def test_wrong_bytes_from_the_store(
    bare: Callable[[str], Init],
    peer: Gateway,
    python_bootstrap: str,
    store: tuple[type[Store], str],
    content: bytes,
    word: str,
) -> None:
    kind, url = store
    kind.content = content
    connection = await fetched(bare(python_bootstrap), peer, url, b"expected", [])
    failed = (await connection.expect(FAILED)).header
    assert failed["errorType"] == word
    assert "secret" not in failed["message"]


async def test_a_store_that_stays_away_and_comes_back(
    bare: Callable[[str], Init],
    peer: Gateway,
    python_bootstrap: str,
    store: tuple[type[Store], str],
) -> None:
    kind, url = store
    kind.content = archive({"lambda_function.py": ECHO})
    kind.failures = 4
    connection = await fetched(bare(python_bootstrap), peer, url, kind.content, [])
    failed = (await connection.expect(FAILED)).header
    assert failed["errorType"] == "CodeFetchFailed"
    assert "503" in failed["message"]
    assign(connection, kind.content)
    await connection.expect(ASSIGNED)
    assert (await connection.invoke(4)).json == 4


async def test_version(binary: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        binary, "version", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"test\n"


async def test_a_pod_without_its_settings_says_which(binary: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        binary, env={"KLAMBDA_GATEWAYS": "g:1"}, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"KLAMBDA_" in err
    assert b"is not set" in err


async def test_a_missing_bootstrap(launch: Launch) -> None:
    running = await launch(
        ECHO, bootstrap="x", settings={"KLAMBDA_BOOTSTRAP": "/nowhere/bootstrap"}
    )
    outcome = await running.connection.invoke()
    assert outcome.json["errorType"] == "Runtime.InvalidEntrypoint"
    assert outcome.json["errorMessage"].endswith(
        "Error: Couldn't find valid bootstrap(s): [/nowhere/bootstrap]"
    )


async def test_a_custom_runtime_brings_its_bootstrap(launch: Launch) -> None:
    script = """#!/bin/sh
cd "$LAMBDA_TASK_ROOT/../../tmp"
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  event=$(curl -s -D headers "$api/next")
  id=$(grep -i request-id headers | tr -d '\\r' | cut -d' ' -f2)
  curl -s "$api/$id/response" -d "\\"shell got $event\\"" > /dev/null
done
"""
    running = await launch(
        {"bootstrap": script}, runtime="provided.al2023", handler="any", mode=0o755
    )
    assert (await running.connection.invoke(5)).json == "shell got 5"
    assert (await running.connection.invoke(6)).json == "shell got 6"


@pytest.mark.parametrize(
    ("files", "mode", "reason"),
    [
        ({"other": ""}, 0o755, "Couldn't find valid bootstrap(s): [{task} {opt}]"),
        ({"bootstrap": "#!/bin/sh\n"}, 0o644, "fork/exec {task}: permission denied"),
        ({"bootstrap": "not a program"}, 0o755, "fork/exec {task}: exec format error"),
        ({"bootstrap": "#!/bin/nothing\n"}, 0o755, "fork/exec {task}: no such file or directory"),
    ],
)
async def test_a_custom_runtime_that_cannot_be_started(
    launch: Launch, files: dict[str, str | bytes], mode: int, reason: str
) -> None:
    """Reference §b.1, InvalidEntrypoint; the second and third text are Go's, as AWS shows them."""
    running = await launch(files, runtime="provided.al2023", handler="any", mode=mode)
    outcome = await running.connection.invoke()
    assert outcome.json["errorType"] == "Runtime.InvalidEntrypoint"
    task, opt = running.path("var/task/bootstrap"), running.path("opt/bootstrap")
    expected = reason.format(task=task, opt=opt)
    assert outcome.json["errorMessage"].endswith(f" Error: {expected}")
