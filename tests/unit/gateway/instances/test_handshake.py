"""The handshake: both macs as docs/runtime-contract.md spells them, and who is turned away."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from klambda_gateway.instances.frames import Frame, FrameType, ProtocolError
from klambda_gateway.instances.handshake import Hello, challenge, read_hello, read_proof

TOKEN = "c0ffee"
OURS, THEIRS = "a" * 32, "b" * 32


def hello_header(**change: Any) -> dict[str, Any]:
    header: dict[str, Any] = {
        "versions": [1],
        "namespace": "default",
        "pod": "p",
        "podUid": "uid-1",
        "boot": "boot-1",
        "nonce": THEIRS,
    }
    return header | change


def hello() -> Hello:
    return read_hello(Frame(type=FrameType.HELLO, header=hello_header()))


def mac(*parts: str) -> str:
    return hmac.new(TOKEN.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def test_the_challenge_proves_the_gateway() -> None:
    header = challenge(hello(), token=TOKEN, gateway="gw-0", nonce=OURS)
    assert header == {
        "version": 1,
        "gateway": "gw-0",
        "nonce": OURS,
        "mac": mac("gateway", THEIRS, OURS, "uid-1", "boot-1"),
    }


def proof(**change: Any) -> Frame:
    header: dict[str, Any] = {
        "mac": mac("instance", OURS, THEIRS, "uid-1", "boot-1"),
        "state": "unassigned",
    }
    return Frame(type=FrameType.PROOF, header=header | change)


def test_the_instances_mac_is_accepted_with_what_it_says_of_itself() -> None:
    proven = read_proof(proof(state="idle", digest="d1"), hello(), token=TOKEN, nonce=OURS)
    assert (proven.state, proven.digest) == ("idle", "d1")
    assert read_proof(proof(), hello(), token=TOKEN, nonce=OURS).digest is None


@pytest.mark.parametrize(
    "frame",
    [
        proof(mac=mac("gateway", OURS, THEIRS, "uid-1", "boot-1")),
        proof(mac=mac("instance", THEIRS, OURS, "uid-1", "boot-1")),
        proof(mac=mac("instance", OURS, THEIRS, "uid-2", "boot-1")),
        proof(mac=mac("instance", OURS, THEIRS, "uid-1", "boot-2")),
        proof(mac="é"),
        Frame(type=FrameType.STATE, header={"state": "idle", "served": 0}),
    ],
    ids=[
        "the-gateways-own-mac",
        "nonces-swapped",
        "other-pod",
        "other-boot",
        "not-hex",
        "no-proof",
    ],
)
def test_a_wrong_proof_is_turned_away(frame: Frame) -> None:
    with pytest.raises(ProtocolError):
        read_proof(frame, hello(), token=TOKEN, nonce=OURS)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(type=FrameType.HELLO, header=hello_header(versions=[2, 3])),
        Frame(type=FrameType.HELLO, header=hello_header(nonce="short")),
        proof(),
    ],
    ids=["no-common-version", "short-nonce", "no-hello"],
)
def test_a_wrong_hello_is_turned_away(frame: Frame) -> None:
    with pytest.raises(ProtocolError):
        read_hello(frame)
