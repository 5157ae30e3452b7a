"""Real servers of AWS's messaging protocols, and a sink: what destinations are tested against.

SQS: ElasticMQ, from Maven Central (pinned in ``elasticmq.lock``), on the machine's Java. SNS:
GoAws, from the Go module proxy. Both listen on loopback, keep everything in memory and end with
the test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import boto3
import pytest

from tests.support.apiserver import free_ports
from tests.support.instance_peer import go
from tests.support.java import LAYOUT, jars

LOCK = Path(__file__).with_name("elasticmq.lock")
MAIN = Path(__file__).with_name("Queues.java")
GOAWS = "github.com/Admiral-Piett/goaws/app/cmd@v0.4.5"
START_S = 60.0


@contextlib.contextmanager
def queues(port: int = 0) -> Iterator[str]:
    """Run ElasticMQ; yield its endpoint."""
    java = shutil.which("java")
    if java is None:
        pytest.skip("no Java on this machine")
    port = port or free_ports(1)[0]
    path = os.pathsep.join(map(str, jars(LOCK)))
    command = [java, "-Xmx128m", "-cp", path, str(MAIN), str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.contextmanager
def topics(folder: Path) -> Iterator[str]:
    """Run GoAws; yield its endpoint."""
    program = LAYOUT.cache / "goaws" / GOAWS.partition("@")[2] / "cmd"
    tool = go()
    if tool is None:
        pytest.skip("no Go tool on this machine")
    if not program.exists():
        environment = {**os.environ, "GOBIN": str(program.parent), "GOFLAGS": "-mod=mod"}
        subprocess.run([tool, "install", GOAWS], env=environment, cwd=folder, check=True)
    port = free_ports(1)[0]
    configuration = folder / "goaws.yaml"
    configuration.write_text(
        f"Local:\n  Host: 127.0.0.1\n  Port: {port}\n  Region: us-east-1\n"
        '  AccountId: "123456789012"\n  LogToFile: false\n  Queues: []\n  Topics: []\n'
    )
    command = [str(program), "-config", str(configuration), "Local"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _answers(endpoint)
            yield endpoint
        finally:
            process.kill()


def sqs(endpoint: str) -> Any:
    """Return boto3's own client of a queue server."""
    return boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )


def query(endpoint: str, **members: str) -> ElementTree.Element:
    """Call an operation of the Query protocol, unsigned (GoAws' queues speak nothing newer)."""
    data = urlencode(members).encode()
    with urllib.request.urlopen(endpoint + "/", data, timeout=10) as answer:
        return ElementTree.fromstring(answer.read())


def _answers(endpoint: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(endpoint + "/health", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, endpoint
            time.sleep(0.05)
        else:
            return
