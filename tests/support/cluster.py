"""The running cluster as the end-to-end tests see it: kubectl, the aws CLI, boto3 and processes.

Everything is taken from `.klambda/env`, the file that `make up` writes for its users.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from klambda_core.signer import Credentials
from klambda_core.tickets import ticket
from tools.cluster.layout import Layout

LAYOUT = Layout.of(os.environ)
REPOSITORY = LAYOUT.repository
ENVIRONMENT_FILE = LAYOUT.environment
ROLE = "arn:aws:iam::000000000000:role/klambda-e2e"
CONTROL_PLANE = "klambda"
POLL = 0.1


class ClusterDown(Exception):
    """There is no cluster to test against; the text says how to get one."""


def environment() -> dict[str, str]:
    """Return the variables of a shell that has sourced `.klambda/env`."""
    if not ENVIRONMENT_FILE.exists():
        raise ClusterDown(f"{ENVIRONMENT_FILE} is missing: run `make up` first")
    script = f"set -a; . {ENVIRONMENT_FILE}; env -0"
    found = subprocess.run(["bash", "-c", script], check=True, capture_output=True).stdout
    pairs = (item.partition("=") for item in found.decode().split("\0") if item)
    return {name: value for name, _, value in pairs}


def zip_of(files: Mapping[str, str | bytes], *, executable: Collection[str] = ()) -> bytes:
    """Pack `files` (path → content) as a developer's zip tool would."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o755 if path in executable else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def wait_until(what: str, probe: Callable[[], Any], *, timeout: float = 60) -> Any:
    """Poll `probe` until it returns something true and return that; fail naming `what`."""
    deadline = time.monotonic() + timeout
    seen: Any = None
    while time.monotonic() < deadline:
        seen = probe()
        if seen:
            return seen
        time.sleep(POLL)
    raise AssertionError(f"not within {timeout:.0f} s: {what} (last seen: {seen!r})")


@dataclass(slots=True)
class Streamed:
    """A whole response stream."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    """When they came (monotonic seconds), and what."""
    complete: dict[str, str] = field(default_factory=dict)
    ended: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


class Cluster:
    """Klambda through its two doors, and the processes behind them."""

    def __init__(self) -> None:
        self.env = environment()
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, max_pool_connections=64, read_timeout=120
        )
        self.session = boto3.session.Session(
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_REGION"],
        )
        self.endpoint = self.env["AWS_ENDPOINT_URL_LAMBDA"]
        self.aws: Any = self.session.client("lambda", endpoint_url=self.endpoint, config=config)

    # -- the Kubernetes door -------------------------------------------------------------------

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return its output; a failure shows kubectl's own words."""
        done = subprocess.run(
            ["kubectl", *words], env=self.env, input=stdin, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def apply(self, manifest: Mapping[str, Any], *flags: str) -> str:
        """Apply one object."""
        return self.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(manifest))

    def objects(self, kind: str, *flags: str) -> list[dict[str, Any]]:
        """List objects of `kind` in the default namespace (or as the flags say)."""
        listed: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *flags))[
            "items"
        ]
        return listed

    def one(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one object, or None when there is none."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def one_in(self, namespace: str, kind: str, name: str) -> dict[str, Any] | None:
        """Return one object of another namespace, or None when there is none."""
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def children(self, function: str) -> dict[str, list[str]]:
        """Return the names of all that stands for a function, by kind."""
        selector = f"klambda.io/function={function}"
        kinds = ("deployments", "replicasets", "pods")
        found = {
            kind: sorted(o["metadata"]["name"] for o in self.objects(kind, "-l", selector))
            for kind in kinds
        }
        for kind in ("versions.klambda.io", "aliases.klambda.io"):
            found[kind] = sorted(
                o["metadata"]["name"]
                for o in self.objects(kind)
                if o["spec"]["functionRef"] == function
            )
        return found

    def left_of(self, functions: Collection[str]) -> list[str]:
        """Return what still stands for any of these functions, as kind/name."""
        found = [
            f"{kind}/{each['metadata']['name']}"
            for kind in ("deployments", "replicasets", "pods")
            for each in self.objects(kind, "-l", "klambda.io/function")
            if each["metadata"]["labels"]["klambda.io/function"] in functions
        ]
        return found + [
            f"{kind}/{each['metadata']['name']}"
            for kind in ("versions.klambda.io", "aliases.klambda.io")
            for each in self.objects(kind)
            if each["spec"]["functionRef"] in functions
        ]

    # -- the AWS door ----------------------------------------------------------------------------

    def cli(self, *words: str) -> Any:
        """Run the aws CLI as a user would and return its parsed JSON output."""
        done = subprocess.run(["aws", *words], env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, f"aws {' '.join(words)}: {done.stderr.strip()}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def create(self, name: str, source: str, **settings: Any) -> dict[str, Any]:
        """Create a Python (or Node.js) function from one source text; wait until it is active."""
        python = settings.get("Runtime", "python").startswith("python")
        return self.deploy(name, {"app.py" if python else "app.mjs": source}, **settings)

    def deploy(
        self,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        executable: Collection[str] = (),
        **settings: Any,
    ) -> dict[str, Any]:
        """Create a function from files and wait until it is active."""
        values = {
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Role": ROLE,
            "Timeout": 10,
            **settings,
        }
        archive = zip_of(files, executable=executable)
        created: dict[str, Any] = self.aws.create_function(
            FunctionName=name, Code={"ZipFile": archive}, **values
        )
        self.wait_active(name)
        return created

    def update_code(self, name: str, source: str) -> None:
        """Replace a function's code and wait until the update is through."""
        self.aws.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": source}))
        self.wait_updated(name)

    def wait_active(self, name: str) -> None:
        """Wait for State Active, more eagerly than botocore's waiter (a second between looks)."""
        self._wait_for(name, "State", "Active")

    def wait_updated(self, name: str) -> None:
        """Wait for LastUpdateStatus Successful."""
        self._wait_for(name, "LastUpdateStatus", "Successful")

    def _wait_for(self, name: str, member: str, wanted: str) -> None:
        def reached() -> bool:
            seen = self.aws.get_function_configuration(FunctionName=name)
            assert seen[member] != "Failed", seen
            return bool(seen[member] == wanted)

        wait_until(f"{member} of {name} is {wanted}", reached)

    def invoke(self, name: str, event: object = None, **settings: Any) -> Any:
        """Invoke and return the parsed answer; a function error fails the test."""
        answer = self.aws.invoke(FunctionName=name, Payload=json.dumps(event), **settings)
        body = answer["Payload"].read()
        assert "FunctionError" not in answer, body
        return json.loads(body)

    def invoke_raw(self, name: str, payload: bytes = b"{}", **settings: Any) -> dict[str, Any]:
        """Invoke and return the answer with `Payload` read and `Log` decoded."""
        answer: dict[str, Any] = self.aws.invoke(FunctionName=name, Payload=payload, **settings)
        answer["Payload"] = answer["Payload"].read()
        if "LogResult" in answer:
            answer["Log"] = base64.b64decode(answer["LogResult"]).decode()
        return answer

    def invoke_stream(self, name: str, payload: bytes = b"{}", **settings: Any) -> Streamed:
        """Invoke with a response stream; note when each piece came."""
        answer = self.aws.invoke_with_response_stream(
            FunctionName=name, Payload=payload, **settings
        )
        streamed = Streamed()
        with contextlib.closing(answer["EventStream"]) as events:
            for event in events:
                if "PayloadChunk" in event:
                    streamed.pieces.append((time.monotonic(), event["PayloadChunk"]["Payload"]))
                else:
                    streamed.complete, streamed.ended = event["InvokeComplete"], time.monotonic()
        return streamed

    # -- the processes ---------------------------------------------------------------------------

    def pods_of(self, component: str) -> list[dict[str, Any]]:
        """Return the pods of one of our own parts (gateway, operator, store)."""
        return self.objects(
            "pods", "-n", CONTROL_PLANE, "-l", f"app.kubernetes.io/component={component}"
        )

    def kill(self, component: str) -> None:
        """End every process of a part with SIGKILL and let Kubernetes make a new pod."""
        for pod in self.pods_of(component):
            self._kill(pod)

    def kill_instance(self, function: str, draw: Callable[[Any], Any]) -> None:
        """End one of a function's instances, if there is one, as hard as `kill` does."""
        pods = self.objects("pods", "-l", f"klambda.io/function={function}")
        if pods:
            self._kill(draw(pods))

    def _kill(self, pod: Mapping[str, Any]) -> None:
        meta = pod["metadata"]
        for pid in processes_of(meta["uid"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.kubectl(
            "delete", "pod", "-n", meta["namespace"], meta["name"], "--force",
            "--grace-period=0", "--wait=false", check=False,
        )  # fmt: skip

    def credentials(self) -> Credentials:
        """Return the key of `.klambda/env`, for callers that sign without boto3."""
        return Credentials(
            access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
        )

    def metrics(self, component: str) -> dict[str, float]:
        """Return a part's metrics, read through the API server."""
        (pod,) = self.pods_of(component)
        path = f"/api/v1/namespaces/{CONTROL_PLANE}/pods/{pod['metadata']['name']}:8081/proxy"
        lines = self.kubectl("get", "--raw", f"{path}/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def blobs(self, namespace: str = "default") -> dict[str, int]:
        """Return what the store has of an account: sizes by digest."""
        secret = self.kubectl(
            "get",
            "secret",
            "klambda-installation",
            "-n",
            CONTROL_PLANE,
            "-o",
            "jsonpath={.data.key}",
        )
        path = f"/v1/blobs/{namespace}"
        query = ticket(base64.b64decode(secret).decode(), "GET", path, now=time.time())
        store = f"/api/v1/namespaces/{CONTROL_PLANE}/services/klambda-store:8090/proxy"
        listed = json.loads(self.kubectl("get", "--raw", f"{store}{path}?{query}"))
        return {each["sha256"]: each["size"] for each in listed["blobs"]}

    def wait_ready(self) -> None:
        """Wait until every part is there, ready, and not on its way out."""
        kinds = ("deploy/klambda-gateway", "deploy/klambda-operator", "statefulset/klambda-store")
        for what in kinds:
            self.kubectl("rollout", "status", "-n", CONTROL_PLANE, what, "--timeout=120s")


def all_gone(cluster: Cluster, functions: Collection[str]) -> None:
    """Wait until nothing is left of deleted functions."""

    def gone() -> bool:
        left = cluster.left_of(functions)
        if left:
            print("left:", *left)
        return not left

    wait_until("nothing is left of deleted functions", gone, timeout=120)


def processes_of(pod_uid: str) -> Iterator[int]:
    """Yield the process ids of a pod's containers that this machine can see (not its pause)."""
    wanted = (pod_uid, pod_uid.replace("-", "_"))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cgroup = (entry / "cgroup").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if any(uid in cgroup for uid in wanted) and b"pause" not in command:
            yield int(entry.name)
