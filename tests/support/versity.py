"""A real S3 server for tests marked ``full``: Versity's S3 gateway, built from its Go module."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from tests.support.apiserver import free_ports
from tools.cluster.layout import Layout
from tools.cluster.pki import Pki
from tools.cluster.programs import VERSITYGW, ensure
from tools.cluster.steps import Steps

KEY_ID, SECRET, REGION = "AKIAROOT", "root/secret+", "eu-central-1"


@contextmanager
def running_versity(
    place: Path, *, address: str = "127.0.0.1", keys: Pki | None = None
) -> Iterator[str]:
    """The endpoint of a server with versioning, its files below ``place``.

    ``keys``: it speaks TLS with the certificate that ``pki.create`` makes (``apiserver``).
    """
    (port,) = free_ports(1)
    layout = Layout.of(os.environ)
    steps = Steps(out=sys.stderr, logs=layout.logs, environment=lambda: dict(os.environ))
    ensure(layout, steps, [VERSITYGW])
    folders = [place / name for name in ("data", "versions")]
    for folder in folders:
        folder.mkdir()
    secure = () if keys is None else (
        "--cert", keys.certificate("apiserver"), "--key", keys.key("apiserver")
    )  # fmt: skip
    process = subprocess.Popen(
        [
            VERSITYGW.path(layout), "--port", f"{address}:{port}", "--region", REGION, "--quiet",
            "--access", KEY_ID, "--secret", SECRET, *secure,
            "posix", "--versioning-dir", folders[1], folders[0],
        ]
    )  # fmt: skip
    try:
        _wait(address, port)
        yield f"http{'s' if secure else ''}://{address}:{port}"
    finally:
        process.terminate()
        process.wait(30)


def client_of(endpoint: str, *, trusted: Path | None = None) -> Any:
    """A boto3 client of the server; ``trusted``: the authority that signed its certificate."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        verify=None if trusted is None else str(trusted),
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )


def _wait(address: str, port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server does not listen")
