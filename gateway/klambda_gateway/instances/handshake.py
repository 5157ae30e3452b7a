"""Mutual proof between a gateway and an instance: the gateway's side, and both macs.

    instance                       gateway
      hello(nonce a, uid, boot) ──►  looks the pod up: its Deployment gives the token
      ◄── challenge(nonce b, mac "gateway")
      proof(mac "instance", state) ──►  verified: linked

Place: ``instances.server`` drives it. Invariants: pure; a mac is compared in constant time; each
side proves the token over both nonces, so nothing recorded can be replayed.
Not here: finding the pod, sockets, time-outs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from klambda_gateway.instances.frames import Frame, FrameType, ProtocolError

VERSION: Final = 1
_NONCE_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who dials in, by its own word; nothing of it is believed before the proof."""

    namespace: str
    pod: str
    uid: str
    boot: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proven instance says of itself."""

    state: str
    digest: str | None
    """Digest of the assignment it already has."""


def instance_mac(token: str, *, nonce: str, gateway_nonce: str, uid: str, boot: str) -> str:
    """Return the mac of ``proof``."""
    return _mac(token, ("instance", gateway_nonce, nonce, uid, boot))


def gateway_mac(token: str, *, nonce: str, gateway_nonce: str, uid: str, boot: str) -> str:
    """Return the mac of ``challenge``; ``nonce`` is the instance's."""
    return _mac(token, ("gateway", nonce, gateway_nonce, uid, boot))


def _mac(token: str, parts: tuple[str, ...]) -> str:
    return hmac.new(token.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def read_hello(frame: Frame) -> Hello:
    """Read the first frame of a connection. Raises ProtocolError."""
    if frame.type is not FrameType.HELLO:
        raise ProtocolError(f"expected hello, got {frame.type.name}")
    header = frame.header
    if VERSION not in header["versions"]:
        raise ProtocolError(f"no common version in {header['versions']!r}")
    if len(header["nonce"]) != _NONCE_LENGTH:
        raise ProtocolError("nonce of a wrong length")
    return Hello(
        namespace=header["namespace"],
        pod=header["pod"],
        uid=header["podUid"],
        boot=header["boot"],
        nonce=header["nonce"],
    )


def challenge(hello: Hello, *, token: str, gateway: str, nonce: str) -> Mapping[str, Any]:
    """Return the header of ``challenge``."""
    mac = gateway_mac(token, nonce=hello.nonce, gateway_nonce=nonce, uid=hello.uid, boot=hello.boot)
    return {"version": VERSION, "gateway": gateway, "nonce": nonce, "mac": mac}


def read_proof(frame: Frame, hello: Hello, *, token: str, nonce: str) -> Proof:
    """Verify the answer to our challenge. Raises ProtocolError."""
    if frame.type is not FrameType.PROOF:
        raise ProtocolError(f"expected proof, got {frame.type.name}")
    expected = instance_mac(
        token, nonce=hello.nonce, gateway_nonce=nonce, uid=hello.uid, boot=hello.boot
    )
    if not hmac.compare_digest(expected.encode(), frame.header["mac"].encode()):
        raise ProtocolError("wrong mac")
    digest = frame.header.get("digest")
    return Proof(
        state=frame.header["state"], digest=digest if isinstance(digest, str) and digest else None
    )
