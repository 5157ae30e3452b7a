"""An upgrade of Klambda makes a provisioned version anew: requests move when that is warm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from klambda_core.kinds import DEPLOYMENT, VERSION
from tests.integration.gateway_dataplane.conftest import RENEWED, ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import (
    ROLE,
    code,
    invoke,
    pods,
    provisioned,
    settled,
)

SOURCE = (
    "import os, time\n"
    "while os.path.exists({hold!r}):\n"
    "    time.sleep(0.02)\n"
    "def handler(event, context):\n"
    "    return [os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], os.getpid()]\n"
)
NAME = "fn-upgraded"
READY = {"Status": "READY", "Reason": None, "Counts": (1, 1, 1)}


def status(control_plane: ControlPlane) -> dict[str, Any]:
    _, version = control_plane.server.request("GET", VERSION.path("default", f"{NAME}-v1"))
    found: dict[str, Any] = version["status"]
    return found


def deployments(control_plane: ControlPlane) -> set[str]:
    _, listed = control_plane.server.request("GET", DEPLOYMENT.path("default"))
    names = {each["metadata"]["name"] for each in listed["items"]}
    return {each for each in names if each.startswith(f"{NAME}-v1-")}


def test_requests_of_a_provisioned_version_follow_when_its_new_revision_is_warm(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    client = control_plane.client()
    client.create_function(
        FunctionName=NAME, Runtime=RENEWED, Handler="app.handler", Role=ROLE, Publish=True,
        Code={"ZipFile": code(SOURCE.format(hold=str(hold)))},
    )  # fmt: skip
    try:
        settled(client, NAME)
        client.put_provisioned_concurrency_config(
            FunctionName=NAME, Qualifier="1", ProvisionedConcurrentExecutions=1
        )
        wait_for(lambda: provisioned(client, NAME, "1") == READY, "one is initialised")
        before = status(control_plane)["active"]
        wait_for(
            lambda: status(control_plane).get("warm", {}).get("deployment") == before["deployment"],
            "where requests go is said",
        )
        clients = [control_plane.client(number) for number in (0, 1)]
        old = invoke(client, NAME, Qualifier="1")
        assert old[0] == "provisioned-concurrency"

        hold.touch()
        images = {"python3.13": {"image": "runtime:test"}, RENEWED: {"image": "runtime:new"}}
        control_plane.parts["operator"].upgrade(KLAMBDA_RUNTIMES=json.dumps(images))
        wait_for(lambda: status(control_plane)["active"] != before, "the new revision is active")
        wait_for(lambda: len(pods(control_plane, f"{NAME}-v1")) == 2, "the new one starts")
        wait_for(lambda: "waitingSince" in status(control_plane)["warm"], "requests wait for it")
        assert [invoke(clients[n % 2], NAME, Qualifier="1") for n in range(6)] == [old] * 6
        assert provisioned(client, NAME, "1") == READY, "what is kept is there all the time"

        hold.unlink()
        after = status(control_plane)["active"]["deployment"]
        wait_for(
            lambda: status(control_plane)["warm"].get("deployment") == after, "requests follow"
        )
        assert "waitingSince" not in status(control_plane)["warm"]
        # The gateways hear of it one after the other; neither starts an instance for a request.
        kinds: set[str] = set()

        def moved() -> bool:
            found = [invoke(each, NAME, Qualifier="1") for each in clients]
            kinds.update(kind for kind, _ in found)
            return all(process != old[1] for _, process in found)

        wait_for(moved, "both gateways follow")
        assert kinds == {"provisioned-concurrency"}
        wait_for(lambda: len(pods(control_plane, f"{NAME}-v1")) == 1, "the old one goes")
        wait_for(lambda: deployments(control_plane) == {after}, "and its Deployment")
        assert provisioned(client, NAME, "1") == READY
    finally:
        hold.unlink(missing_ok=True)
        client.delete_function(FunctionName=NAME)
