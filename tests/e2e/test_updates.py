"""An update is invisible to callers, and once it is called successful nobody gets the old code."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support.cluster import Cluster

RATE = 50  # requests per second
LONG = pytest.param(300, 20, marks=pytest.mark.full)


def source(generation: int) -> str:
    return (
        "import os\n"
        "def handler(event, context):\n"
        f"    return [{generation}, int(os.environ.get('CONFIGURED', '0'))]\n"
    )


@dataclass
class Watchtower:
    """What was true when: the generation that each new request must see at least."""

    code: int = 0
    configured: int = 0
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def floor(self) -> tuple[int, int]:
        with self.lock:
            return self.code, self.configured

    def tell(self, floor: tuple[int, int], answer: list[int]) -> None:
        with self.lock:
            self.answers += 1
            if answer[0] < floor[0] or answer[1] < floor[1]:
                self.wrong.append(f"{answer} after {floor} was successful")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seconds", "changes"), [(60, 8), LONG])
def test_no_request_fails_while_code_and_configuration_change(
    cluster: Cluster, name: str, seconds: int, changes: int
) -> None:
    cluster.create(name, source(0))
    cluster.invoke(name)
    tower = Watchtower()
    stop = time.monotonic() + seconds

    def call() -> None:
        floor = tower.floor()
        try:
            tower.tell(floor, cluster.invoke(name))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
            with tower.lock:
                tower.wrong.append(repr(error))

    def update() -> None:
        for turn in range(1, changes + 1):
            time.sleep(max(0.0, seconds / (changes + 1) - 1))
            if turn % 2:
                cluster.update_code(name, source(turn))
                with tower.lock:
                    tower.code = turn
            else:
                cluster.aws.update_function_configuration(
                    FunctionName=name, Environment={"Variables": {"CONFIGURED": str(turn)}}
                )
                cluster.wait_updated(name)
                with tower.lock:
                    tower.configured = turn

    with ThreadPoolExecutor(RATE + 1) as pool:
        updates = pool.submit(update)
        began, sent = time.monotonic(), 0
        while time.monotonic() < stop:
            pool.submit(call)
            sent += 1
            time.sleep(max(0.0, began + sent / RATE - time.monotonic()))
        updates.result()
    assert not tower.wrong, f"{len(tower.wrong)} of {tower.answers}: {tower.wrong[:5]}"
    assert tower.answers == sent
    assert (tower.code, tower.configured) == (changes - 1, changes)
