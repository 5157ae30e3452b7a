"""Accounts of a test's own: namespaces with people, whose access keys the gateway knows."""

from __future__ import annotations

import io
import secrets
import time
import zipfile
from collections.abc import Callable
from typing import Any

import botocore.exceptions

from klambda_core.kinds import SECRET
from tests.integration.gateway_api.conftest import HOME, Rig
from tests.support.rights import grant

ROLE = "arn:aws:iam::000000000000:role/r"


def eventually(holds: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def package() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("f.py", "def h(e, c): return 1")
    return buffer.getvalue()


def code_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return "passed"


class Account:
    """A namespace with people in it."""

    def __init__(self, rig: Rig, namespace: str) -> None:
        self.rig = rig
        self.namespace = namespace
        rig.server.create_namespace(namespace)

    def key(self, **data: str) -> str:
        """Make an access key as `kubectl create secret generic --type` does; its Secret's name."""
        name = f"key-{secrets.token_hex(4)}"
        body = {
            "metadata": {"name": name},
            "type": "klambda.io/access-key",
            "stringData": {
                "accessKeyId": "AKIA" + secrets.token_hex(8).upper(),
                "secretAccessKey": secrets.token_hex(20),
                "namespace": self.namespace,
                **data,
            },
        }
        assert self.rig.server.request("POST", SECRET.path(HOME), body)[0] == 201
        return name

    def client(self, service: str = "lambda", **data: str) -> Any:
        """A client with a new key that the gateway knows already."""
        client = self.rig.client(service, secret=self.key(**data))
        probe = client.list_functions if service == "lambda" else client.get_caller_identity
        eventually(lambda: code_of(probe) != "UnrecognizedClientException")
        return client

    def create(self, client: Any, name: str) -> None:
        client.create_function(
            FunctionName=name, Runtime="python3.13", Handler="f.h", Role=ROLE,
            Code={"ZipFile": package()},
        )  # fmt: skip
        self.rig.settle(self.namespace)

    def member(self, role: str, user: str) -> Any:
        """A client whose user has a role of the chart's, from the first call on."""
        grant(self.rig.server, self.namespace, role, user=user)
        client = self.client(user=user)
        eventually(lambda: code_of(client.list_functions) == "passed")
        return client


def account(rig: Rig, purpose: str) -> Account:
    """A new account."""
    return Account(rig, f"{purpose}-{secrets.token_hex(3)}")
