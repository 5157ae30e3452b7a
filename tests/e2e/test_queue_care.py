"""An operator's care for the queue of events, by the commands of docs/operations.md as printed.

The function fails until it is told better, and is paused while its event has to stay where it is.
"""

from __future__ import annotations

import re
import secrets
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import CONTROL_PLANE, LAYOUT, Cluster, all_gone, wait_until
from tests.support.documented import blocks, paste
from tests.support.lookup import ask, look
from tests.support.node import host_address
from tests.support.postgres import running

SOURCE = """
import os
def handler(event, context):
    if 'BETTER' not in os.environ:
        raise ValueError('not yet')
    return event
"""
OPERATIONS = "docs/operations.md"
EXAMPLE = "postgresql://user:password@host:5432/klambda"
"""What the page says instead of a real database's URL."""
VALUES = "my-values.yaml"
LEFT = ("/data/aside", "/data/backup.sqlite3", "/data/restore")
"""What the page's commands leave, and what they leave when a test breaks off."""


class Queue:
    """One function and its events."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def send(self, number: int) -> str:
        answer = self.cluster.aws.invoke(
            FunctionName=self.name, InvocationType="Event", Payload=str(number).encode()
        )
        assert answer["StatusCode"] == 202
        return str(answer["ResponseMetadata"]["RequestId"])

    def ask(self, method: str, verb: str = "", document: object = None) -> dict[str, Any]:
        return ask(self.cluster.aws, method, f"async-queues/{self.name}{verb}", document)

    def pause(self) -> None:
        assert self.ask("PUT", document={"Paused": True})["Paused"] is True

    def resume(self) -> None:
        """As kubectl does it."""
        self.cluster.kubectl(
            "patch", "fn", self.name, "--type=merge", "-p", '{"spec": {"asyncPaused": false}}'
        )

    def better(self) -> None:
        self.cluster.aws.update_function_configuration(
            FunctionName=self.name, Environment={"Variables": {"BETTER": "1"}}
        )
        self.cluster.wait_updated(self.name)

    def state(self, request_id: str) -> str:
        return str(look(self.cluster.aws, request_id)["State"])

    def reaches(self, request_id: str, state: str) -> None:
        wait_until(f"{request_id} is {state}", lambda: self.state(request_id) == state)


@pytest.fixture
def queue(cluster: Cluster) -> Iterator[Queue]:
    name = f"queue-{secrets.token_hex(3)}"
    cluster.create(name, SOURCE)
    cluster.aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    yield Queue(cluster, name)
    cluster.kubectl("delete", "functions.klambda.io", name, "--ignore-not-found")
    cluster.kubectl("exec", "-n", CONTROL_PLANE, "klambda-store-0", "--", "rm", "-rf", *LEFT)
    all_gone(cluster, {name})


def passage(start: str) -> str:
    """The commands of one passage of the page."""
    return "".join(blocks(OPERATIONS, f"**{start}.**", end="\n**"))


def test_a_paused_queue_waits_and_what_failed_runs_again(queue: Queue) -> None:
    queue.pause()
    waiting = [queue.send(number) for number in range(3)]
    wait_until("the queue is seen", lambda: queue.ask("GET")["Depth"] == 3)
    assert {queue.state(each) for each in waiting} == {"Queued"}
    queue.resume()
    for each in waiting:
        queue.reaches(each, "Failed")
    assert queue.ask("GET")["Paused"] is False
    queue.better()
    assert queue.ask("POST", "/redrive") == {"Redriven": 3}
    for number, each in enumerate(waiting):
        queue.reaches(each, "Succeeded")
        shown = look(queue.cluster.aws, each)
        assert (shown["ResponsePayload"], shown["Redriven"]) == (number, 1)
    assert queue.ask("POST", "/redrive") == {"Redriven": 0}


def test_a_backup_is_looked_into_and_restored(queue: Queue, tmp_path: Path) -> None:
    cluster = queue.cluster
    queue.better()
    queue.pause()
    request_id = queue.send(7)
    assert '"Queued"' in paste(cluster, *blocks(OPERATIONS, "What became of", "\n**")[:1],
                               REQUEST_ID=request_id)  # fmt: skip
    look_into = paste(cluster, passage("Backup") + passage("Looking into the queue"))
    assert re.search(rf"'queued', '[^']*{queue.name}[^']*', [1-9]", look_into), look_into
    taken, emptied, restored = blocks(OPERATIONS, "**Restoring.**", end="\n**")
    paste(cluster, taken, folder=tmp_path)
    paste(cluster, emptied)
    cluster.wait_ready()
    wait_until("it is gone with the file", lambda: unknown(queue, request_id))
    assert "events and records moved" in paste(cluster, restored, folder=tmp_path)
    queue.reaches(request_id, "Queued")
    queue.resume()
    queue.reaches(request_id, "Succeeded")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_queue_moves_to_postgresql_and_back(queue: Queue) -> None:
    cluster = queue.cluster
    queue.better()
    queue.pause()
    request_id = queue.send(8)
    with running(host_address(cluster)) as server:
        url = server.fresh_database()

        def move(start: str) -> None:
            script = passage(start).replace(EXAMPLE, url).replace(VALUES, str(LAYOUT.values))
            paste(cluster, script, timeout=400)
            cluster.wait_ready()
            queue.reaches(request_id, "Queued")

        try:
            move("PostgreSQL")
            second = queue.send(9)
            queue.resume()
            queue.reaches(request_id, "Succeeded")
            queue.reaches(second, "Succeeded")
            queue.pause()
            request_id = queue.send(10)
        finally:
            move("Back to the volume")
        assert queue.state(second) == "Succeeded"
        queue.resume()
        queue.reaches(request_id, "Succeeded")


def unknown(queue: Queue, request_id: str) -> bool:
    """Whether nothing is known of an invocation."""
    try:
        look(queue.cluster.aws, request_id)
    except urllib.error.HTTPError as error:
        return error.code == 404
    return False
