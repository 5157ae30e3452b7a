"""`.klambda/env`: what a shell needs to use the cluster through both doors.

The access key is read from the Secret that the gateway makes at its first start.
"""

from __future__ import annotations

import base64
import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.layout import Layout
from tools.cluster.release import NAMESPACE
from tools.cluster.shell import CommandFailed, Shell
from tools.cluster.steps import Steps

ENDPOINT = "http://127.0.0.1:8080"
REGION = "us-east-1"
SECRET = "klambda-credentials"  # noqa: S105 - its name, not its content
DIRECT = "127.0.0.1,localhost,10.89.0.0/16"  # never through a proxy
SERVICES = ("LAMBDA", "STS", "CLOUDWATCH_LOGS")
KEY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key."""

    access_key_id: str
    secret_access_key: str


def read_credentials(layout: Layout, shell: Shell) -> Credentials:
    """Return the access key of the first start; wait until the gateway has made it."""
    deadline = time.monotonic() + KEY_SECONDS
    while True:
        try:
            text = shell.run(
                "kubectl", f"--kubeconfig={layout.kubeconfig}", f"--namespace={NAMESPACE}",
                "get", "secret", SECRET, "-o", "json",
            )  # fmt: skip
            return parse_secret(text)
        except CommandFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def parse_secret(text: str) -> Credentials:
    """Read an access key out of a Secret's JSON."""
    data = json.loads(text)["data"]
    return Credentials(
        access_key_id=base64.b64decode(data["accessKeyId"]).decode(),
        secret_access_key=base64.b64decode(data["secretAccessKey"]).decode(),
    )


def render(layout: Layout, credentials: Credentials) -> str:
    """Return the text of the file: plain POSIX shell, to be sourced."""
    variables = {
        "KUBECONFIG": str(layout.kubeconfig),
        **{f"AWS_ENDPOINT_URL_{service}": ENDPOINT for service in SERVICES},
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }
    lines = ["# Written by `make up`. Use it with:  . .klambda/env"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append("unset AWS_SESSION_TOKEN AWS_PROFILE")
    for name in ("NO_PROXY", "no_proxy"):
        lines.append(f'export {name}="{DIRECT}${{{name}:+,${name}}}"')
    for folder in (layout.repository / ".venv" / "bin", layout.bin):
        lines.append(_prepend(folder))
    return "\n".join(lines) + "\n"


def _prepend(folder: Path) -> str:
    """Return a line that puts a folder first in PATH, once."""
    quoted = shlex.quote(str(folder))
    return f'case ":$PATH:" in *:{quoted}:*) ;; *) export PATH={quoted}:"$PATH" ;; esac'


def write(layout: Layout, steps: Steps) -> Credentials:
    """Write the file (readable by its owner only) and return the key."""
    with steps.step(
        "write .klambda/env",
        log="environment",
        remedy="the gateway makes the key at its first start:"
        " `kubectl -n klambda logs deploy/klambda-gateway`",
    ) as step:
        credentials = read_credentials(layout, step.shell)
        layout.environment.touch(mode=0o600)
        layout.environment.chmod(0o600)
        layout.environment.write_text(render(layout, credentials))
    return credentials
