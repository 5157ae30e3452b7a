"""The frame types in the contract, in init's source and in the tests' peer are the same."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import instance_peer

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "runtimes" / "init" / "internal" / "frame"


def documented() -> dict[str, int]:
    text = (ROOT / "docs" / "runtime-contract.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (?:init|gateway|both) \|", text, re.MULTILINE)
    return {name: int(number) for number, name in rows}


def test_types_are_those_of_the_contract() -> None:
    constants = re.findall(
        r"^\t(\w+) +Type = (\d+)$", (SOURCE / "frame.go").read_text(), re.MULTILINE
    )
    assert {name.lower(): int(number) for name, number in constants} == documented()
    assert len(documented()) == 20


def test_the_peer_speaks_the_same() -> None:
    peer = {name: getattr(instance_peer, name.upper()) for name in documented()}
    assert peer == documented()


def test_members_that_init_writes_are_documented() -> None:
    """What the contract does not name, a gateway cannot rely on."""
    contract = (ROOT / "docs" / "runtime-contract.md").read_text()
    source = (SOURCE / "messages.go").read_text()
    members = set(re.findall(r'json:"(\w+)', source))
    unknown = sorted(m for m in members if not re.search(rf"\b{m}\b", contract))
    assert unknown == []
