"""Every waiter of botocore's model through boto3, to each end that its acceptors name.

The rows are made from botocore's own waiters: an acceptor that nobody can arrange fails.
Sources: botocore's model; aws-contract a.1 (waiters poll), a.4 (State, LastUpdateStatus).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.exceptions
import botocore.loaders
import pytest
from botocore import xform_name

from klambda_core.crd import Function, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.kinds import FUNCTION, VERSION
from tests.integration.gateway_api.account import ROLE, Account, account, package
from tests.integration.gateway_api.conftest import Rig

WAITERS: Mapping[str, Any] = botocore.loaders.create_loader().load_service_model(
    "lambda", "waiters-2"
)["waiters"]
CASES = [
    pytest.param(name, acceptor, id=f"{name}-{acceptor['expected']}")
    for name, waiter in WAITERS.items()
    for acceptor in waiter["acceptors"]
]
TEXT = "Could not be brought into use."


@dataclass(kw_only=True)
class Scene:
    """A function of one test's own, and what a waiter asks for."""

    account: Account
    client: Any
    name: str = field(default_factory=lambda: f"fn-{secrets.token_hex(4)}")
    polls: int = 0
    at_poll: dict[int, Callable[[], None]] = field(default_factory=dict)
    """What happens after a poll was answered."""

    def wait(self, waiter: str, attempts: int, **given: Any) -> None:
        """Poll without a pause, so many times at most."""
        operation = WAITERS[waiter]["operation"]
        event = f"after-call.lambda.{operation}"
        self.polls = 0
        self.client.meta.events.register(event, self._polled, unique_id="polls")
        try:
            self.client.get_waiter(xform_name(waiter)).wait(
                FunctionName=self.name,
                **given,
                WaiterConfig={"Delay": 0, "MaxAttempts": attempts},
            )
        finally:
            self.client.meta.events.unregister(event, unique_id="polls")

    def _polled(self, **_: Any) -> None:
        self.polls += 1
        self.at_poll.get(self.polls, lambda: None)()

    def create(self, **more: Any) -> None:
        """Make the function; it is Pending."""
        self.client.create_function(
            FunctionName=self.name, Runtime="python3.13", Handler="f.h", Role=ROLE,
            Code={"ZipFile": package()}, **more,
        )  # fmt: skip

    def settle(self) -> None:
        """What is wanted is active."""
        self.account.rig.settle(self.account.namespace)

    def update(self) -> None:
        """Begin an update of a function that is active."""
        self.create()
        self.settle()
        self.client.update_function_configuration(FunctionName=self.name, Timeout=9)

    def fail(self) -> None:
        """What is wanted could not be brought into use, as the operator says it."""
        rig, namespace = self.account.rig, self.account.namespace
        for kind in (FUNCTION, VERSION):
            for obj in rig.objects(kind, namespace):
                if self.name not in obj["metadata"]["name"]:
                    continue
                digest = (
                    function_digest(Function.read(obj))
                    if kind is FUNCTION
                    else snapshot_digest(Version.read(obj).spec.snapshot)
                )
                failed = {"configDigest": digest, "reasonCode": "InvalidImage", "message": TEXT}
                status, answer = rig.server.request(
                    "PATCH",
                    kind.path(namespace, obj["metadata"]["name"]) + "/status",
                    {"status": {"failed": failed}},
                    "application/merge-patch+json",
                )
                assert status == 200, answer


def pending(scene: Scene) -> None:
    scene.create(Publish=True)


def active(scene: Scene) -> None:
    pending(scene)
    scene.settle()


def failed(scene: Scene) -> None:
    pending(scene)
    scene.fail()


def updated(scene: Scene) -> None:
    scene.update()
    scene.settle()


def update_failed(scene: Scene) -> None:
    scene.update()
    scene.fail()


STATES: Mapping[tuple[str, Any], Callable[[Scene], None]] = {
    ("State", "Pending"): pending,
    ("State", "Active"): active,
    ("State", "Failed"): failed,
    ("LastUpdateStatus", "InProgress"): Scene.update,
    ("LastUpdateStatus", "Successful"): updated,
    ("LastUpdateStatus", "Failed"): update_failed,
    ("error", False): pending,
    ("error", "ResourceNotFoundException"): lambda _: None,
}
ENDS: Mapping[str, Callable[[Scene], None]] = {
    "State": Scene.settle,
    "LastUpdateStatus": Scene.settle,
    "error": Scene.create,
}
"""By what a waiter looks at: what brings it to its success."""


def aspect(acceptor: Mapping[str, Any]) -> str:
    """The member that an acceptor looks at, or that it looks at errors."""
    return str(acceptor.get("argument", acceptor["matcher"])).rpartition(".")[2]


@pytest.fixture(scope="module")
def home(rig: Rig) -> Account:
    return account(rig, "waiting")


@pytest.fixture(scope="module")
def member(home: Account) -> Any:
    return home.member("klambda-developer", "wanda")


@pytest.fixture
def scene(home: Account, member: Any) -> Scene:
    return Scene(account=home, client=member)


@pytest.mark.parametrize(("waiter", "acceptor"), CASES)
def test_every_end_of_every_waiter(scene: Scene, waiter: str, acceptor: Mapping[str, Any]) -> None:
    given = {"Qualifier": "1"} if waiter == "PublishedVersionActive" else {}
    STATES[aspect(acceptor), acceptor["expected"]](scene)
    if acceptor["state"] == "success":
        scene.wait(waiter, 1, **given)
        return
    with pytest.raises(botocore.exceptions.WaiterError) as stopped:
        scene.wait(waiter, 2, **given)
    if acceptor["state"] == "failure":
        assert "terminal failure state" in str(stopped.value)
        assert scene.polls == 1
        answer = stopped.value.last_response
        found = answer.get("Configuration", answer)
        assert found[f"{aspect(acceptor)}Reason"] == TEXT
        assert found[f"{aspect(acceptor)}ReasonCode"] == "InvalidImage"
        return
    assert acceptor["state"] == "retry"
    assert "Max attempts exceeded" in str(stopped.value)
    assert scene.polls == 2
    scene.at_poll[2] = lambda: ENDS[aspect(acceptor)](scene)
    scene.wait(waiter, 9, **given)
    assert scene.polls == 3


@pytest.mark.parametrize("waiter", [name for name in WAITERS if name != "FunctionExists"])
def test_a_waiter_for_what_is_not_there_stops_at_once(scene: Scene, waiter: str) -> None:
    given = {"Qualifier": "1"} if waiter == "PublishedVersionActive" else {}
    with pytest.raises(botocore.exceptions.WaiterError, match="ResourceNotFoundException"):
        scene.wait(waiter, 9, **given)
    assert scene.polls == 1
